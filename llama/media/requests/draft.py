"""What the productions of the grammar write into, and the list of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama.media.score import Score
from llama.media.score_edits import score_line


@dataclass
class Draft:
    """An edit while its request is read: the values of an `Edit`, what is so already, what cannot be done, and places asked in vain.

    contradictions: what the request asks for twice, and differently.
    """

    score: Score
    values: dict[str, Any] = field(default_factory=dict)
    already: list[str] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    wanted: set[str] = field(default_factory=set)  # parts that are to be heard
    unwanted: set[str] = field(default_factory=set)  # parts that are not
    kept: set[str] = field(default_factory=set)  # parts, as `Edit.keep` names them, that are to stay
    cut: set[int] = field(default_factory=set)  # bars that are taken out
    is_new: bool = False
    plays: bool = False  # the piece is to be played
    is_read: bool = False  # a production matched

    @property
    def bar_count(self) -> int:
        return score_line(self.score).bar_count

    def change(self, name: str, value: Any) -> None:
        """Another value of an attribute."""
        changes = self.values.setdefault("change", {})
        if changes.setdefault(name, value) != value:
            self.contradictions.append(f"two values of the {name}")

    def set(self, name: str, value: Any, *, add: bool = False) -> None:
        """The value of a field. add: to what is there, so that it contradicts nothing."""
        if not add and self.values.get(name, value) != value:
            self.contradictions.append(f"two values of {name.replace('_', ' ')}")
        self.values[name] = value

    def add(self, name: str, parts: Sequence[str]) -> None:
        """Parts, to those of a field that are there."""
        self.values[name] = (*self.values.get(name, ()), *parts)

    def want(self, parts: Sequence[str], heard: bool) -> None:
        """Notes that parts are to be heard or not, and whether the request wants both."""
        (self.wanted if heard else self.unwanted).update(parts)
        if both := sorted(self.wanted & self.unwanted):
            self.contradictions.append(f"'with' and 'without' {' and '.join(both)}")


Production = Callable[[Draft, Mapping[str, Any]], None]
PRODUCTIONS: list[tuple[re.Pattern[str], Production]] = []


def production(*patterns: str) -> Callable[[Production], Production]:
    def register(function: Production) -> Production:
        PRODUCTIONS.extend((re.compile(pattern), function) for pattern in patterns)
        return function

    return register
