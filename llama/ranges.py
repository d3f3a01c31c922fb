"""Ranges of configuration values: sizes and rates that a file may give, checked by name when it is read.

The upper ends lie far above the largest published models, and low enough that a module of such sizes on the meta device, whose
shapes are compared with the weights before memory is taken, is built in a second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from llama.errors import comma_list, quoted


@dataclass(frozen=True)
class Range:
    """Whole (`kind` int) or real numbers from `low` to `high`; with `optional` also None."""

    kind: type[int] | type[float]
    low: float
    high: float
    optional: bool = False

    def check(self, name: str, value: object) -> None:
        """Raises ValueError with the name, the value and what is allowed. True, False, NaN and text are no numbers."""
        if value is None and self.optional:
            return
        is_number = isinstance(value, int if self.kind is int else int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:  # type: ignore[operator]
            noun = "a whole number" if self.kind is int else "a number"
            none = ", or null" if self.optional else ""
            raise ValueError(f"{name} is {quoted(value)}; give {noun} from {self.low:,} to {self.high:,}{none}.")


def check_ranges(values: Mapping[str, object], ranges: Mapping[str, Range]) -> None:
    """Raises ValueError for the first of the values that is outside its range."""
    for name, allowed in ranges.items():
        if name in values:
            allowed.check(name, values[name])


def check_keys(owner: str, kind: type, raw: Mapping[str, object]) -> None:
    """Raises ValueError for a key that is no field of the dataclass `kind`, and for a field without a default that is missing."""
    names = {field.name: field for field in dataclasses.fields(kind)}
    for key in raw:
        if key not in names:
            raise ValueError(f"{owner} has the unknown key {quoted(key)}; its keys are {comma_list(names)}.")
    for key, value in names.items():
        if key not in raw and value.default is dataclasses.MISSING and value.default_factory is dataclasses.MISSING:
            raise ValueError(f"{owner} lacks the key {key}; add it.")


def check_flag(name: str, value: object) -> None:
    """Raises ValueError for a value that is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {quoted(value)}; give true or false.")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises ValueError for a value that is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} is {quoted(value)}; give one of {', '.join(choices)}.")
