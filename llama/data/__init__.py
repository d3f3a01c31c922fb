"""Training data: formats, mixtures, tokenization and batches."""
