"""Data and training of the embedded model's language model."""
