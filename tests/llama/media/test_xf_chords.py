"""Chord events of MIDI files: Yamaha's published example, every chord of ours there and back, and strange bytes."""

from __future__ import annotations

import pytest

from llama.media.score import QUALITIES
from llama.media.spelling import spell_pitch_class
from llama.media.xf_chords import decode_chord, encode_chord


def test_the_published_example() -> None:
    """Am7 is 36 0A (Yamaha PLG100-VH, owner's manual, page 28)."""
    assert encode_chord("A", 0, "minor7") == (0x43, 0x7B, 0x01, 0x36, 0x0A, 0x7F, 0x7F)


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_chord_comes_back(quality: str) -> None:
    for key in range(12):
        for root in range(12):
            event = bytes(encode_chord(*spell_pitch_class(root, key, "minor"), quality))
            assert decode_chord(event) == (root, quality)


@pytest.mark.parametrize(
    "data", ["", "43", "437B01", "437B0136", "437B00360A7F7F", "410001360A7F7F", "437B01300A7F7F", "437B0138007F7F", "437B0136227F7F"]
)
def test_other_events_are_no_chords(data: str) -> None:
    assert decode_chord(bytes.fromhex(data)) is None
