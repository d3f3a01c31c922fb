"""Registry of the music decoders by kind: the name in config.json and of the flag --music_decoder."""

from __future__ import annotations

from llama.decoders.audioldm2 import AudioLDM2Decoder
from llama.decoders.base import StoredDecoder
from llama.decoders.musicgen.decoder import MusicGenDecoder

DECODER_CLASSES: dict[str, type[StoredDecoder]] = {"musicgen": MusicGenDecoder, "audioldm2": AudioLDM2Decoder}
