"""MusicGen: the language model of codes, its sampling and batching, and the audio codec."""
