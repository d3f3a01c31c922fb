"""Checkpoints: published files, LLaMA's base weights, native folders, and delta checkpoints of a training."""
