"""Dialogues whose answers the probes and the measurement of the language model score, and the attributes they are scored by."""

from __future__ import annotations

from collections.abc import Callable

from DataSet.synthesis.dialogue import Dialogue

SCORED_ATTRIBUTES = ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums")


def sample_music_dialogues(make: Callable[[], Dialogue], count: int) -> list[Dialogue]:
    """The first `count` of the dialogues that `make` gives whose answer is music."""
    dialogues: list[Dialogue] = []
    while len(dialogues) < count:
        if (dialogue := make()).caption is not None:
            dialogues.append(dialogue)
    return dialogues
