"""Evaluation: metrics of text, choices, sound and notes, formats of public benchmarks, and controls that tell hearing from guessing."""
