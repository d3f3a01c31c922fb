"""Probes: what the embedded model hears, follows and sounds like, on material that it never met, beside guessing.

    python evaluate.py probes --model ckpts/nano --count 200 --data build/nano --out build/probes

DATA is the recipe's work folder: data/test_same, test_unseen, test_kin, test_tunes, noise_test (recipes.nano.render), tunes.json
(DataSet.synthesis.tunes) and photographs/ (recipes.nano.photographs). What is not there is measured on the shipped examples, or named as
not measured. Writes probes.json, probes.md and probes.png.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
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
EXAMPLES = Path(__file__).parents[2] / "assets/examples"


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


# -- writing --------------------------------------------------------------------------------------------------------


def shown(value: float | None, unit: str) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{100 * value:.1f} %" if unit == "" else f"{value:.3g} {unit}".strip()


def markdown(report: Report) -> str:
    """A table for each kind of figure; a figure that misses its target is marked."""
    parts = []
    for table in dict.fromkeys(one.table for one in report.figures):
        band = "real tunes, middle 90 %" if table == MUSIC else "95 % interval"
        lines = [f"### {table.capitalize()}", "", f"| | | measured | target | {band} | chance | majority | cases |", "|---" * 8 + "|"]
        lines += [_line(one) for one in report.figures if one.table == table]
        parts.append("\n".join(lines + (["", REMARKS[table]] if table in REMARKS else [])))
    if report.missing:
        parts.append("Not measured:\n\n" + "\n".join(f"- {line}" for line in report.missing))
    return "\n\n".join(parts) + "\n"


def _line(one: Figure) -> str:
    unit = "x" if one.table == MUSIC else one.unit
    spread = "" if one.low is None else f"{shown(one.low, unit)} to {shown(one.high, unit)}"
    value = shown(one.value, unit) + (" (missed)" if one.reached is False else "")
    target = "" if one.target is None else ("at most " if one.most else "") + shown(one.target, unit)
    cells = (one.what, one.where, value, target, spread, shown(one.chance, unit), shown(one.majority, unit), str(one.count) if one.distinct is None else f"{one.count} ({one.distinct} distinct)")
    return "| " + " | ".join(cell.replace(" x", "") if unit == "x" else cell for cell in cells) + " |"


def write(report: Report, out: Path) -> None:
    """probes.json, probes.md and probes.png, each moved into place when whole."""
    from recipes.nano.probes_picture import draw

    out.mkdir(parents=True, exist_ok=True)
    rows = [{**{name: _plain(value) for name, value in asdict(one).items()}, "reached": one.reached} for one in report.figures]
    text = json.dumps({"figures": rows, "missing": report.missing, "seconds": report.seconds}, indent=1)
    _place(out / "probes.json", lambda draft: draft.write_text(text + "\n", encoding="utf-8"))
    _place(out / "probes.md", lambda draft: draft.write_text(markdown(report), encoding="utf-8"))
    _place(out / "probes.png", lambda draft: draw(report.figures, draft))


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _place(path: Path, fill: Callable[[Path], Any]) -> None:
    draft = path.with_name(f".{path.name}.partial")
    fill(draft)
    os.replace(draft, path)


def run(model: MuMuLLaMA, folder: Path, data: Path, count: int, out: Path, say: Callable[[str], None] = print) -> Report:
    """All probes, one after the other; the report so far is written after each."""
    from recipes.nano import probes_follow, probes_hear, probes_sound

    if count < 2:
        raise ValueError(f"--count is {count}; give at least 2, since answers are also held against other cases.")
    out.mkdir(parents=True, exist_ok=True)  # a place that cannot be written to is known before hours of measuring
    probing = Probing(model, data, count, Report(), folder)
    steps = {**probes_hear.STEPS, **probes_follow.STEPS, **probes_sound.STEPS}
    for name, step in steps.items():
        begun, before = time.monotonic(), len(probing.report.figures)
        step(probing)
        probing.report.seconds[name] = round(time.monotonic() - begun, 1)
        say(f"{name}: {probing.report.seconds[name]:.0f} s, {len(probing.report.figures) - before} figures")
        write(probing.report, out)
    return probing.report
