"""Media: audio, images, video, scores and MIDI, and their file formats."""
