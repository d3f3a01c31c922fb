"""Lexicon of requests: the words that people use for music, and the attributes of this model that each asks for.

The words are data (the TOML files of this folder). An entry that is "near" or "none" is no promise: the answer names the user's own
word and says what is played in its place. A mood, a use or a tempo is always understood.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from llama.media.score import ACCOMPANIMENTS, LEADS, METRES, MODES, STYLES, TEMPI

Confidence = Literal["exact", "near", "none"]
FOLDER = Path(__file__).parent
ALLOWED: Mapping[str, Sequence[Any]] = {"lead": tuple(LEADS), "accompaniment": tuple(ACCOMPANIMENTS), "style": STYLES, "mode": MODES, "metre": METRES, "drums": (True, False), "tempo": TEMPI}


@dataclass(frozen=True)
class LexiconEntry:
    """Names with one meaning. wish: some of the fields of `Attributes`, the tempo as one number. confidence: how near it comes."""

    names: tuple[str, ...]
    wish: Mapping[str, Any]
    confidence: Confidence = "exact"


@cache
def entries(file: str) -> tuple[LexiconEntry, ...]:
    """The entries of genres, uses, moods, instruments or tempi. Raises ValueError for a value that the model has not."""
    rows = tomllib.loads((FOLDER / f"{file}.toml").read_text(encoding="utf-8"))["entries"]
    return tuple(_entry(dict(row)) for row in rows)


def _entry(row: dict[str, Any]) -> LexiconEntry:
    names, confidence = tuple(row.pop("names")), row.pop("confidence", "exact")
    if isinstance(row.get("tempo"), list):
        low, high = row["tempo"]
        row["tempo"] = (low + high) // 4 * 2  # the even number in the middle of the range
    for name, value in row.items():
        if name not in ALLOWED or value not in ALLOWED[name]:
            raise ValueError(f"The lexicon's entry {names[0]!r} asks for {name} {value!r}; the model has {', '.join(map(str, ALLOWED.get(name, ALLOWED)))}.")
    return LexiconEntry(names, row, confidence)


@cache
def by_name(file: str) -> Mapping[str, LexiconEntry]:
    """Name -> entry. Raises ValueError for a name that is there twice: it would have two meanings."""
    named: dict[str, LexiconEntry] = {}
    for entry in entries(file):
        for name in entry.names:
            if name in named:
                raise ValueError(f"The lexicon of {file} has {name!r} twice; give it one meaning.")
            named[name] = entry
    return named


@cache
def table(file: str) -> Mapping[str, Any]:
    """A file of another form as it stands: keys, foreign."""
    return tomllib.loads((FOLDER / f"{file}.toml").read_text(encoding="utf-8"))
