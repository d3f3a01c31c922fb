"""The notes of the pieces of all sessions, of a bounded number in total, so that long scores do not fill the memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from llama.media.score import TRACKS

if TYPE_CHECKING:
    from llama.media.score import Score

MAX_NOTES = 500_000  # of all pieces, some 200 bytes each; a usual piece has some hundreds
LEAST_NOTES = 100  # that a piece counts as, which bounds their number


class KeptScores:
    """Scores by the wav files of their pieces. Thread-safe.

    Beyond `max_notes` the oldest are forgotten: such a piece is then one that has sound alone. The newest always stays.
    """

    def __init__(self, max_notes: int = MAX_NOTES) -> None:
        self._max_notes, self._guard = max_notes, threading.Lock()
        self._scores: dict[Path, Score] = {}  # oldest first
        self._labels: dict[Path, str] = {}  # of edits, for the names of their files

    def add(self, sound: Path, score: Score, label: str = "") -> None:
        """Keeps the notes of a piece, and the label of the edit that made it. Those of pieces whose sound was deleted go."""
        with self._guard:
            self._scores = {other: kept for other, kept in self._scores.items() if other != sound and other.exists()}
            self._scores[sound] = score
            self._labels[sound] = label
            total = sum(map(_size, self._scores.values()))
            for oldest in list(self._scores)[:-1]:
                if total <= self._max_notes:
                    break
                total -= _size(self._scores.pop(oldest))
            self._labels = {other: kept for other, kept in self._labels.items() if other in self._scores}

    def get(self, sound: Path) -> Score | None:
        """The notes of a piece; None where it has none, or they are not kept any more."""
        with self._guard:
            return self._scores.get(sound)

    def label(self, sound: Path) -> str:
        """What the edit that made a piece did, in some words; "" for a piece that is none, or whose notes are not kept any more."""
        with self._guard:
            return self._labels.get(sound, "")

    def pop_folder(self, folder: Path) -> None:
        """Forgets the notes of the pieces in a folder."""
        with self._guard:
            self._scores = {sound: score for sound, score in self._scores.items() if sound.parent != folder}
            self._labels = {sound: label for sound, label in self._labels.items() if sound.parent != folder}

    def clear(self) -> None:
        """Forgets all notes."""
        with self._guard:
            self._scores.clear()
            self._labels.clear()

    def __len__(self) -> int:
        return len(self._scores)


def _size(score: Score) -> int:
    return max(LEAST_NOTES, len(score.chords) + sum(len(score.track(name)) for name in TRACKS))
