"""Checkpoints: published files, LLaMA's base weights, our own folders, and delta checkpoints of a training."""
