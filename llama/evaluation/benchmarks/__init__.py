"""Formats of public benchmarks, read from a local folder."""
