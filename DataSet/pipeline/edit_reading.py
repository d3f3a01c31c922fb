"""Reads from an instruction what it asks for: for lists that have the words of an edit and not its values, as the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from DataSet.pipeline.edit_words import directions
from DataSet.pipeline.quantities import CENTS, LEVEL, SPEED, TIME, Quantity, quantities


def read_edit(text: str) -> dict[str, float]:
    """The speed, cents and level_db that a text asks for, those it states: {"speed": 0.7}, {"cents": -200.0}, or nothing.

    A number counts with its unit and its direction. What names two numbers of a unit, a pitch without a direction, or a factor
    against its direction ("faster, to 0.5 times the speed") is not stated.
    """
    said, ways = quantities(text), directions(text)
    found = {
        "speed": _speed(said, ways),
        "cents": _signed(said, CENTS, "higher" in ways, "lower" in ways),
        "level_db": _signed(said, LEVEL, "louder" in ways, "softer" in ways),
    }
    return {name: value for name, value in found.items() if value is not None}


def _speed(said: Sequence[Quantity], ways: AbstractSet[str]) -> float | None:
    speeds = [quantity.value for quantity in said if quantity.unit == SPEED] + [1 / quantity.value for quantity in said
                                                                                if quantity.unit == TIME and quantity.value]  # fmt: skip
    if len(speeds) != 1 or speeds[0] <= 0:
        return None
    turned = ("faster" in ways and speeds[0] < 1) or ("slower" in ways and speeds[0] > 1)
    return None if turned else speeds[0]


def _signed(said: Sequence[Quantity], unit: str, up: bool, down: bool) -> float | None:
    values = [quantity.value for quantity in said if quantity.unit == unit]
    if len(values) != 1 or up == down:
        return None
    return values[0] if up else -values[0]
