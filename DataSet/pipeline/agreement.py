"""Agreement of pairs beside that of shuffled pairs: the table that tells whether a set's texts belong to their media.

Shuffled: each item's value is compared with the truth of every other item, which is the exact mean over all shuffles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama.evaluation.statistics import chance, share, wilson_interval
from llama.evaluation.tables import Measurement, Row

Agrees = Callable[[Any, Any], bool]
AGREEMENT_COLUMNS = ("own", "shuffled", "own minus shuffled")
TEMPO_CLASSES = (("slow", 92), ("medium", 130), ("fast", math.inf))  # name, the beats a minute below which it ends


def agreement_row(label: str, values: Sequence[Any], truths: Sequence[Any], agrees: Agrees = lambda value, truth: value == truth) -> Row:
    """Shares of agreeing pairs, own with Wilson's interval, and shuffled. A value None agrees with nothing."""
    hits = [value is not None and agrees(value, truth) for value, truth in zip(values, truths, strict=True)]
    own = share(hits)
    shuffled = chance(values, truths, lambda value, truth: value is not None and agrees(value, truth))
    low, high = wilson_interval(sum(hits), len(hits)) if hits else (None, None)
    cells = {
        "own": Measurement(own, len(hits), low, high, digits=2), "shuffled": Measurement(shuffled, len(hits) * (len(hits) - 1), digits=2),
        "own minus shuffled": Measurement(own - shuffled, len(hits), digits=2),
    }  # fmt: skip
    return Row(label, cells)


def tempo_class(tempo: float | None) -> str | None:
    """slow, medium or fast."""
    return None if tempo is None else next(name for name, end in TEMPO_CLASSES if tempo < end)


def cross_table(pairs: Sequence[tuple[str, str]], rows: Sequence[str], columns: Sequence[str]) -> tuple[Row, ...]:
    """How many pairs (row, column) there are of each kind."""
    return tuple(Row(row, {column: str(sum(pair == (row, column) for pair in pairs)) for column in columns}) for row in rows)


def present(names: Sequence[str], order: Mapping[str, Any] | Sequence[str]) -> tuple[str, ...]:
    """The names that occur, in the given order, then others."""
    return tuple([name for name in order if name in names] + sorted(set(names) - set(order)))
