"""Lengths that requests for new music name, and requests that name none."""

from __future__ import annotations

import pytest

from llama.media.requests.new_length import NewLength, read_new_length

LENGTHS = {
    "20 seconds of happy piano": NewLength("happy piano", seconds=20.0),
    "Compose 30 seconds of slow, sad piano music": NewLength("Compose slow, sad piano music", seconds=30.0),
    "a slow sad violin piece in E minor, 16 bars": NewLength("a slow sad violin piece in E minor", bar_count=16),
    "energetic rock with guitar and drums, 24 bars": NewLength("energetic rock with guitar and drums", bar_count=24),
    "Play a fast dance with drums, in a major key, 8 bars.": NewLength("Play a fast dance with drums, in a major key.", bar_count=8),
    "a 16-bar waltz for flute": NewLength("a waltz for flute", bar_count=16),
    "A 20 second jingle for a podcast": NewLength("A jingle for a podcast", seconds=20.0),
    "half a minute of calm ambient music": NewLength("calm ambient music", seconds=30.0),
    "A minute of swing for trumpet": NewLength("swing for trumpet", seconds=60.0),
    "Two minutes of rock": NewLength("rock", seconds=120.0),
    "a ballad for cello, about 45 seconds long": NewLength("a ballad for cello", seconds=45.0),
    "a march that lasts 1:30": NewLength("a march", seconds=90.0),
    "compose a waltz of 12 bars, in D minor": NewLength("compose a waltz, in D minor", bar_count=12),
    "something for studying for 2 min": NewLength("something for studying", seconds=120.0),
    "a sad song, 15s": NewLength("a sad song", seconds=15.0),
    "a rock song at 120 bpm, 20 seconds": NewLength("a rock song at 120 bpm", seconds=20.0),
}
NONE = (
    "a slow waltz", "a rock song at 120 bpm", "in 3/4 time", "a piece with 4 instruments", "", "20 seconds", "16 bars", "a bar song",
    "10 seconds of rock, 20 seconds long", "the 80s sound", "piano bar music", "a second piece like this", "music for bars and cafes",
    "give me a minute", "barbershop, 4 voices", "1.5 bars of rock", "make it 30 seconds", "play 8 bars",
)  # fmt: skip


@pytest.mark.parametrize("text", LENGTHS)
def test_a_length_is_read_and_leaves_the_rest(text: str) -> None:
    assert read_new_length(text) == LENGTHS[text]


@pytest.mark.parametrize("text", NONE)
def test_other_words_are_no_length(text: str) -> None:
    assert read_new_length(text) is None
