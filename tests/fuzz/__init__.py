"""Fuzzer of everything that reads a stranger's file: damaged files end in an answer or one sentence. `python -m fuzz --help`."""
