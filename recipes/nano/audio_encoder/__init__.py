"""Training of the embedded model's audio encoder."""
