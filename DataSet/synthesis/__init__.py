"""What makes data from nothing: composer, melodies, scenes, dialogues and requests."""
