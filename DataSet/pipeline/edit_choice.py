"""Choice of the edits of each recording, so that no category of music predicts the operation or its value.

By minimisation (Pocock and Simon, Biometrics 31, 1975): each recording gets the edits that its categories have least of; ties are
broken by a hash. Exact for any number of categories an item has, and what was chosen before stays when recordings are added.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from DataSet.pipeline.audio_edits import OPERATIONS, VALUES
from DataSet.pipeline.item import Item
from DataSet.pipeline.score_edits import CHANGES, FIELDS
from llama.errors import comma_list, quoted

ALL = "all"  # the category that every recording has


@dataclass(frozen=True)
class EditSettings:
    """operations: that recordings are edited by; targets: edits of each recording, of different operations."""

    operations: tuple[str, ...] = OPERATIONS
    targets: int = 1

    def __post_init__(self) -> None:
        if unknown := [name for name in (self.operations or ("",)) if name not in OPERATIONS]:
            raise ValueError(f"The operation {quoted(unknown[0])} is unknown; give some of {comma_list(OPERATIONS)}.")
        most = len([name for name in self.operations if name != "notes"])
        if not 1 <= self.targets <= most:
            raise ValueError(f"targets is {self.targets}; give 1 to {most}, the number of operations that every recording can have.")


@dataclass(frozen=True)
class Variant:
    """An operation with its value. asked: None for a change of the score, whose value depends on the piece; then `change` names it."""

    operation: str
    change: str
    asked: Mapping[str, Any] | None

    @property
    def label(self) -> str:
        return f"{self.operation} {self.change}".strip()


def _variants() -> Mapping[str, tuple[Variant, ...]]:
    found = {
        name: tuple(Variant(name, " ".join(f"{value:g}" for value in asked.values() if value is not True), asked) for asked in values)
        for name, values in VALUES.items()
    }
    return {**found, "notes": tuple(Variant("notes", change, None) for change in CHANGES)}


VARIANTS = _variants()


def is_composed(item: Item) -> bool:
    """Whether the notes of the recording are known, so that its score can be edited."""
    return {*FIELDS, "seconds", "seed"} <= set(item.truth)


def categories(item: Item) -> tuple[str, ...]:
    """What must not predict the edit: the tags; where the attributes of the music are known, its lead and its style."""
    if {"lead", "style"} <= set(item.truth):
        return f"lead {item.truth['lead']}", f"style {item.truth['style']}"
    return tuple(sorted(set(item.tags)))


def choose_edits(items: Iterable[Item], settings: EditSettings, chosen: Mapping[str, Sequence[str]] | None = None
                 ) -> dict[str, tuple[Variant, ...]]:  # fmt: skip
    """Id of each item -> its edits, of different operations. chosen: id -> labels of edits that stand already.

    A composed piece may have all operations, a recording all but `notes`. The result does not depend on the order of the items.
    """
    by_label = {variant.label: variant for variants in VARIANTS.values() for variant in variants}
    counts = _Counts()
    result: dict[str, tuple[Variant, ...]] = {}
    waiting = []
    for item in items:
        if labels := (chosen or {}).get(item.id):
            result[item.id] = tuple(by_label[label] for label in labels)
            counts.add(item, result[item.id])
        else:
            waiting.append(item)
    for item in sorted(waiting, key=lambda item: _hash(item.id)):
        usable = [name for name in settings.operations if name != "notes" or is_composed(item)]
        result[item.id] = ()
        for _ in range(settings.targets):
            operation = min(usable, key=lambda name: counts.rank(item, name, name))
            variant = min(_usable(item, operation), key=lambda variant: counts.rank(item, variant.label, variant.label))
            usable.remove(operation)
            counts.add(item, [variant])
            result[item.id] += (variant,)
    return result


def _usable(item: Item, operation: str) -> Sequence[Variant]:
    """The values of an operation that the item allows: a piece at the lowest or highest tempo gets no slower or faster."""
    tempo = item.truth.get("tempo") if operation == "notes" else None
    barred = {60: "slower", 180: "faster"}.get(tempo) if isinstance(tempo, int) else None
    return [variant for variant in VARIANTS[operation] if variant.change != barred]


class _Counts:
    """How often each category has each operation and each value."""

    def __init__(self) -> None:
        self._by_category: dict[str, Counter[str]] = {}

    def add(self, item: Item, variants: Iterable[Variant]) -> None:
        for variant in variants:
            for category in (ALL, *categories(item)):
                self._by_category.setdefault(category, Counter()).update({variant.operation, variant.label})

    def rank(self, item: Item, name: str, salt: str) -> tuple[int, int, str]:
        """How little the item's categories want another one: the sum of their counts, the count of all, a hash."""
        counters = [self._by_category.get(category, Counter()) for category in categories(item)]
        return sum(counter[name] for counter in counters), self._by_category.get(ALL, Counter())[name], _hash(f"{item.id} {salt}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class ChiSquare:
    """Pearson's test of independence. p: how often chance alone would make a table as uneven; cramers_v: 0 level, 1 fully predicted."""

    statistic: float
    freedom: int
    p: float
    cramers_v: float


def chi_square(counts: Sequence[Sequence[int]]) -> ChiSquare:
    """Pearson's chi-square test of a table [categories, operations]; rows and columns without cases do not count.

    Below five expected cases a cell, p is rough: read cramers_v beside it.
    """
    table = np.asarray(counts, float)
    if table.ndim != 2:
        raise ValueError("A test of independence needs a table; give a row of counts for each category.")
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(table.shape) < 2:
        return ChiSquare(0.0, 0, 1.0, 0.0)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    statistic = float((np.square(table - expected) / expected).sum())
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    p = float(torch.special.gammaincc(torch.tensor(freedom / 2, dtype=torch.float64), torch.tensor(statistic / 2, dtype=torch.float64)))
    return ChiSquare(statistic, freedom, p, float(np.sqrt(statistic / (table.sum() * (min(table.shape) - 1)))))


def cross_table(rows: Iterable[tuple[str, str]]) -> tuple[list[str], list[str], list[list[int]]]:
    """Names of the categories, names of the operations, and how often each pair of them occurs."""
    counts = Counter(rows)
    first, second = (sorted({pair[place] for pair in counts}) for place in (0, 1))
    return first, second, [[counts[row, column] for column in second] for row in first]
