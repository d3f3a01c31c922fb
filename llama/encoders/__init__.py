"""Frozen encoders: MERT for audio, ViT for images, ViViT for video."""
