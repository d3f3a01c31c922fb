"""What an instruction asks for, read from its words: stated values are read back from every template, and doubtful ones are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from DataSet.pipeline.audio_edits import VALUES
from DataSet.pipeline.edit_reading import read_edit
from DataSet.pipeline.templates import edit_answer, edit_request


@pytest.mark.parametrize(("text", "asked"), [
    ("Raise the pitch by 200 cents.", {"cents": 200.0}), ("Lower the music by two semitones.", {"cents": -200.0}),
    ("Play this at 1.5x speed.", {"speed": 1.5}), ("Slow the recording down to 0.7 times its speed.", {"speed": 0.7}),
    ("Make it twice as fast.", {"speed": 2.0}), ("Half the speed please.", {"speed": 0.5}), ("Turn it down by 6 dB.", {"level_db": -6.0}),
    ("Stretch it to 2 times the time.", {"speed": 0.5}),
    ("Raise the key by an octave and play it 1.25 times as fast.", {"speed": 1.25, "cents": 1200.0}),
])  # fmt: skip
def test_stated_values(text: str, asked: dict[str, float]) -> None:
    assert read_edit(text) == asked


@pytest.mark.parametrize("text", [
    "Make it faster.", "Shift the pitch by 200 cents.", "Speed up this track to 1.3x of the time.",
    "Make it faster, to 0.5 times the speed.", "Play it at 1.5x or 2x the speed.", "Raise it by 100 cents, then lower it by 100 cents.",
    "Play 7 notes.", "", "Make it sadder.",
])  # fmt: skip
def test_what_is_not_stated(text: str) -> None:
    assert read_edit(text) == {}


@pytest.mark.parametrize("asked", [asked for name in ("speed", "pitch", "both", "level") for asked in VALUES[name]], ids=str)
def test_our_own_words_are_read_back(asked: dict[str, Any]) -> None:
    for seed in range(20):
        for write in (edit_request, edit_answer):
            assert read_edit(write(np.random.default_rng(seed), asked)) == asked
