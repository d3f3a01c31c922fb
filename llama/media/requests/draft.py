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
    """An edit while its request is read: the values of an `Edit`, what is so already, what cannot be done, and places asked in vain."""

    score: Score
    values: dict[str, Any] = field(default_factory=dict)
    already: list[str] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    is_new: bool = False
    is_read: bool = False  # a production matched

    @property
    def bar_count(self) -> int:
        return score_line(self.score).bar_count

    def change(self, name: str, value: Any) -> None:
        self.values.setdefault("change", {})[name] = value

    def add(self, name: str, parts: Sequence[str]) -> None:
        self.values[name] = (*self.values.get(name, ()), *parts)


Production = Callable[[Draft, Mapping[str, Any]], None]
PRODUCTIONS: list[tuple[re.Pattern[str], Production]] = []


def production(*patterns: str) -> Callable[[Production], Production]:
    def register(function: Production) -> Production:
        PRODUCTIONS.extend((re.compile(pattern), function) for pattern in patterns)
        return function

    return register
