"""Music decoders: MusicGen, AudioLDM2 and the notes codec, behind one protocol."""
