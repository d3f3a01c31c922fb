"""Building blocks of the network: transformer, key-value cache, LoRA, adapters, projector, tokenizer."""
