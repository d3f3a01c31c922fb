"""Public benchmarks, each read from a local folder exactly as its files are published."""
