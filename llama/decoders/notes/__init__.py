"""The notes codec: tokens and grammar of scores, and the sampler that renders them."""
