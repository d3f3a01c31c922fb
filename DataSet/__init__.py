"""Data generation: a composer, scenes and clips, dialogues about them, and rendering through soundfonts."""
