"""Patterns with nested alternatives, {one|another}: parsed once, then sampled or counted.

The last sixth of every list of patterns is held out for testing: whole patterns are held out, not words. {names} without a
bar stay in place for the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np

Item = TypeVar("Item")
Parts = tuple[Any, ...]  # strings, and tuples of alternatives, which are Parts


def choose(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """A random item; many times faster than `rng.choice`."""
    return items[int(rng.random() * len(items))]


def chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)


@cache
def _parse(pattern: str) -> Parts:
    parts, rest = _parts(pattern, 0, False)
    if rest != len(pattern):
        raise ValueError(f"The pattern {pattern!r} closes a brace that it never opened.")
    return parts[0]


def _parts(pattern: str, at: int, inside: bool) -> tuple[list[Parts], int]:
    """Alternatives from `at` up to the closing brace, or the end; a bar outside of braces is a letter."""
    alternatives: list[list[Any]] = [[]]
    text = ""
    while at < len(pattern) and not (inside and pattern[at] == "}"):
        letter, at = pattern[at], at + 1
        if letter == "{":
            inner, at = _parts(pattern, at, True)
            if at >= len(pattern):
                raise ValueError(f"The pattern {pattern!r} leaves a brace open.")
            at += 1
            if len(inner) == 1:  # a name for the caller
                text += "{" + "".join(map(str, inner[0])) + "}"
            else:
                alternatives[-1] += [text, tuple(inner)]
                text = ""
        elif letter == "|" and inside:
            alternatives[-1].append(text)
            alternatives.append([])
            text = ""
        else:
            text += letter
    alternatives[-1].append(text)
    return [tuple(part for part in parts if part != "") for parts in alternatives], at


def spin(rng: np.random.Generator, pattern: str) -> str:
    """Choose one alternative of every {a|b}."""
    return pattern if "{" not in pattern else _draw(rng, _parse(pattern))


def _draw(rng: np.random.Generator, parts: Parts) -> str:
    return "".join([part if isinstance(part, str) else _draw(rng, part[int(rng.random() * len(part))]) for part in parts])


def variants(pattern: str) -> int:
    """Number of texts that a pattern can give."""
    return _count(_parse(pattern))


def _count(parts: Parts) -> int:
    total = 1
    for part in parts:
        total *= 1 if isinstance(part, str) else sum(map(_count, part))
    return total


def held_out_count(patterns: Sequence[Item]) -> int:
    """Number of patterns at the end of a list that are held out."""
    return max(1, len(patterns) // 6)


def select_split(patterns: Sequence[Item], held_out: bool) -> Sequence[Item]:
    """The held-out patterns, or those for training."""
    return patterns[-held_out_count(patterns):] if held_out else patterns[:-held_out_count(patterns)]


def pick(rng: np.random.Generator, patterns: Sequence[str], held_out: bool = False) -> str:
    """A random text of one pattern, of a held-out one if `held_out`."""
    return spin(rng, choose(rng, select_split(patterns, held_out)))


def say(rng: np.random.Generator, patterns: Sequence[str]) -> str:
    """A random text of any pattern, without holding any out; for the model's own phrases."""
    return spin(rng, choose(rng, patterns))
