"""Figures of the evaluation: one measured value beside its chance and its baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llama.evaluation.statistics import Agrees, chance, majority, share, wilson_interval
from llama.mumu_llama import MuMuLLaMA

HEARING, FOLLOWING, NEW_WORDING, MUSICALITY, SOUND, SPEED = "it hears", "it follows", "in words never used", "musicality", "clean sound", "speed and size"
TYPED = "requests as people type them"


DEFAULT_TARGET = 0.90  # the target of figures without one of their own


REMARKS = {
    HEARING: "Beside real tunes and answers: how many different tunes or recordings there are; the interval is that of so many cases.",
    FOLLOWING: "The player plays what its header says: lead, accompaniment, tempo and metre are true by construction, and checked by the programs that the notes "
             "are played with and the grid on which they begin. Drums, mode and key are read from the notes. Style is told by a listener that is given places, lengths and "
             "pitches of the notes and never the header; how often it is right itself stands beside it.",
    TYPED: "Written by hand before the wording of training, and kept out of it. Chance: the answers to other requests. Majority: the best single answer to all requests.",
}


BaselineHits = tuple[Sequence[bool] | None, Sequence[bool] | None]


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
        if self.table == MUSICALITY:
            return self.low <= self.value <= self.high
        if self.target is None or math.isnan(self.value):
            return None
        return self.value <= self.target if self.most else self.value >= self.target


@dataclass
class Report:
    """The figures measured so far, what could not be measured, and the seconds of each probe."""

    figures: list[Figure] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, *figures: Figure) -> None:
        self.figures += figures

    def value(self, table: str, what: str, where: str) -> float:
        """The value of an earlier figure, or nan."""
        return next((figure.value for figure in self.figures if (figure.table, figure.what, figure.where) == (table, what, where)), math.nan)


@dataclass(frozen=True)
class ProbeContext:
    """Arguments that every probe gets."""

    model: MuMuLLaMA
    data: Path  # the recipe's work folder
    count: int  # cases of a kind, at most
    report: Report
    folder: Path  # of the model, for its size


def accuracy_figure(
    table: str, what: str, where: str, answers: Sequence[Any], truth: Sequence[Any], agrees: Agrees, target: float | None = None, distinct: int | None = None
) -> Figure:
    """Share of correct answers with its interval, the share for shuffled cases (chance) and of the most frequent answer (majority)."""
    hits = [agrees(answer, true) for answer, true in zip(answers, truth, strict=True)]
    return share_figure(table, what, where, hits, target, (None, None), distinct, (chance(answers, truth, agrees), majority(truth)))


def share_figure(
    table: str, what: str, where: str, hits: Sequence[bool], target: float | None = None, baseline_hits: BaselineHits = (None, None), distinct: int | None = None,
    baseline_shares: tuple[float, float] | None = None,
) -> Figure:
    """Share of correct cases. `baseline_hits`: the same for answers to other cases, and for the commonest answers;
    Nones where there is nothing to guess. `baseline_shares`: both as shares. `distinct`: how many of the cases are independent."""
    independent = len(hits) if distinct is None else min(distinct, len(hits))
    low, high = wilson_interval(independent * share(hits) if hits else 0, independent)
    by_chance, by_majority = baseline_shares or (None if hits_of_baseline is None else share(hits_of_baseline) for hits_of_baseline in baseline_hits)
    return Figure(table, what, where, share(hits), len(hits), low, high, by_chance, by_majority, target, distinct=distinct)
