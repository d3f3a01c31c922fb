"""Training of the embedded model's music decoder."""
