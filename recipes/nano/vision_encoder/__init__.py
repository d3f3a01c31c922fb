"""Training of the embedded model's image and clip encoders."""
