"""Figures of the evaluation: one measured value beside its chance and its baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llama.metrics import Agrees, chance, interval, majority, share
from llama.mumu_llama import MuMuLLaMA

HEARS, FOLLOWS, WORDS, MUSIC, SOUND, SPEED = "it hears", "it follows", "in words never used", "musicality", "clean sound", "speed and size"


NINETY = 0.90  # the target of what has no other


REMARKS = {
    HEARS: "Beside real tunes and answers: how many different tunes or recordings there are; the interval is that of so many cases.",
    FOLLOWS: "The player plays what its header says: lead, accompaniment, tempo and metre are true by construction, and checked by the programs that the notes "
             "are played with and the grid on which they begin. Drums, mode and key are read from the notes. Style is told by a listener that is given places, lengths and "
             "pitches of the notes and never the header; how often it is right itself stands beside it.",
}


Guessed = tuple[Sequence[bool] | None, Sequence[bool] | None]


EXAMPLES = Path(__file__).parents[3] / "assets/examples"


@dataclass(frozen=True)
class Figure:
    """One number. `low` and `high`: its 95 % interval or, for musicality, the band to keep to. `chance`: the same answers about
    other cases; `majority`: always the commonest answer. `most`: the target is a ceiling."""

    table: str
    what: str
    where: str
    value: float
    count: int
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    majority: float | None = None
    target: float | None = None
    most: bool = False
    unit: str = ""  # "" is a share
    distinct: int | None = None  # independent cases among the count: tunes, recordings; the interval is theirs

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one, and where nothing could be measured."""
        if self.table == MUSIC:
            return self.low <= self.value <= self.high
        if self.target is None or math.isnan(self.value):
            return None
        return self.value <= self.target if self.most else self.value >= self.target


@dataclass
class Report:
    """Figures as they come, what could not be measured, and what the model said and did case by case."""

    figures: list[Figure] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, *figures: Figure) -> None:
        self.figures += figures

    def value(self, table: str, what: str, where: str) -> float:
        """A figure that is there already, or nan."""
        return next((one.value for one in self.figures if (one.table, one.what, one.where) == (table, what, where)), math.nan)


@dataclass(frozen=True)
class Probing:
    """What every probe is given."""

    model: MuMuLLaMA
    data: Path  # the recipe's work folder
    count: int  # cases of a kind, at most
    report: Report
    folder: Path  # of the model, for its size


def judged(
    table: str, what: str, where: str, given: Sequence[Any], truth: Sequence[Any], agrees: Agrees, target: float | None = None, distinct: int | None = None
) -> Figure:
    """Share of right answers with its interval, what the same answers reach about other cases, and what the commonest reaches."""
    hits = [agrees(one, true) for one, true in zip(given, truth, strict=True)]
    return counted(table, what, where, hits, target, (None, None), distinct, (chance(given, truth, agrees), majority(truth)))


def counted(
    table: str, what: str, where: str, hits: Sequence[bool], target: float | None = None, guessed: Guessed = (None, None), distinct: int | None = None,
    guesses: tuple[float, float] | None = None,
) -> Figure:
    """Share of cases that came out right. `guessed`: the same by what was made for other cases, and by the commonest answers;
    Nones where there is nothing to guess. `guesses`: both as shares. `distinct`: how many of the cases are independent."""
    free = len(hits) if distinct is None else min(distinct, len(hits))
    low, high = interval(free * share(hits) if hits else 0, free)
    by_chance, by_majority = guesses or (None if one is None else share(one) for one in guessed)
    return Figure(table, what, where, share(hits), len(hits), low, high, by_chance, by_majority, target, distinct=distinct)
