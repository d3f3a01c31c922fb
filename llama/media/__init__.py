"""Media as values: audio, pictures, clips, scores and MIDI, and the containers they come in."""
