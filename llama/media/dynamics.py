"""Exact edits of how loud the notes of a score are: the balance of its parts, and a fade at its end.

The player brings every piece to the same loudness, so that only the parts' relation to one another can be heard; velocities hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from llama.media.score import TRACKS, Note, Score
from llama.media.score_edits import replace_notes

POWER = 1.7  # a note's amplitude is its velocity to this power
LOUDEST = 127
MAX_BALANCE = 24.0  # dB


def set_balance(score: Score, balance: Mapping[str, float]) -> Score:
    """The piece with parts louder than the others by so many dB, or softer if negative.

    Where notes would be louder than MIDI allows, all parts become softer together, which keeps their relation.
    """
    factors = {name: 10 ** (balance.get(name, 0.0) / 20 / POWER) for name in TRACKS}
    loudest = max((note.velocity * factors[name] for name in TRACKS for note in score.track(name)), default=0.0)
    scale = min(1.0, LOUDEST / loudest) if loudest else 1.0
    return _scaled(score, {name: factor * scale for name, factor in factors.items()})


def _scaled(score: Score, factors: Mapping[str, float]) -> Score:
    tracks = {name: tuple(_at(note, note.velocity * factors[name]) for note in score.track(name)) for name in TRACKS}
    return replace_notes(score, tracks)


def fade_out(score: Score, seconds: float) -> Score:
    """The piece with notes that become softer and softer in its last `seconds`; the very last ones are hardly heard.

    Raises ValueError for a fade longer than the piece.
    """
    if seconds > score.seconds:
        raise ValueError(f"The fade of {seconds:g} s is longer than the piece, which lasts {score.seconds:.1f} s; give a shorter one.")
    begin = score.seconds - seconds

    def faded(note: Note) -> Note:
        left = 1 - max(0.0, note.start - begin) / seconds
        return _at(note, note.velocity * left ** (1 / POWER)) if note.start > begin else note  # the amplitude falls in a straight line

    return replace_notes(score, {name: tuple(faded(note) for note in score.track(name)) for name in TRACKS})


def _at(note: Note, velocity: float) -> Note:
    return replace(note, velocity=min(LOUDEST, max(1, round(velocity))))
