"""Frozen encoders: MERT for audio, ViT for pictures, ViViT for clips."""
