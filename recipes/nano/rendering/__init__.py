"""Rendering of the clips that the embedded model is trained on."""
