"""What an engine tells of its requests to those who measure it."""

from __future__ import annotations

import pytest
import torch

from llama.dialogue import Reply
from llama.generation import Done, Event, MusicChunk, Progress, TextDelta
from llama.media.audio import Waveform
from llama.serving.observer import Outcome, RequestTimer

SOUND = Waveform(torch.zeros(1, 8000), 8000)


class Notes:
    """Observer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def first_text(self, seconds: float) -> None:
        self.told.append(("text", seconds))

    def first_sound(self, seconds: float) -> None:
        self.told.append(("sound", seconds))

    def ended(self, outcome: Outcome, music_seconds: float) -> None:
        self.told.append((outcome, music_seconds))


@pytest.mark.parametrize("events, names", [
    ([TextDelta("a"), TextDelta("b"), Progress(0, 1), MusicChunk(SOUND), MusicChunk(SOUND), Done(Reply("ab", (1,), SOUND))],
     ["text", "sound", "completed"]),
    ([Done(Reply("", (), SOUND))], ["text", "sound", "completed"]), ([Done(Reply("a", (1,)))], ["text", "completed"]),
    ([TextDelta("a"), ValueError("no")], ["text", "failed"]), ([None], ["cancelled"]),
])  # fmt: skip
def test_each_thing_is_told_once(events: list[Event | Exception | None], names: list[str]) -> None:
    notes = Notes()
    timer = RequestTimer(notes)
    for event in events:
        timer.see(event)
    assert [name for name, _ in notes.told] == names and all(seconds >= 0 for _, seconds in notes.told)
    assert notes.told[-1][1] == (1.0 if "sound" in names else 0.0)
