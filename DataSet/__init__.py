"""Data generation: a composer, captions, soundfont rendering, and the notebooks that use them."""
