"""Commands of evaluate.py: each file adds one sub-command's flags and runs it; heavy imports stay inside its run function."""
