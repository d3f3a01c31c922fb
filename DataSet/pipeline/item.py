"""Item of a data set: one recording, picture or clip of a source, with an id that never depends on where it lies.

The id is the same on every machine and in every order, so that an interrupted run goes on, and two runs give the same set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

ID_LENGTH = 16  # hex digits


def item_id(source: str, key: str, start: float | None = None, end: float | None = None) -> str:
    """The id of a segment: 16 hex digits of the SHA-256 of its source, its key there, and its times in seconds."""
    parts = [source, key, None if start is None else float(start), None if end is None else float(end)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True)
class Item:
    """One row of a source.

    source: name of the source; key: the id there (a file's relative name, a video id). media: kind (audio, image, video) -> path.
    start, end: the segment in seconds; None: the whole file. already_cut: the files hold the segment alone, as those that downloaders
    name [ID]-[30-40].wav do. group: items of one group stay in one split. truth: attributes that are known, of the made set.
    caption: the text that the source brings.
    """

    source: str
    key: str
    media: Mapping[str, str]
    start: float | None = None
    end: float | None = None
    already_cut: bool = False
    tags: tuple[str, ...] = ()
    licence: str = "unknown"
    group: str = ""
    caption: str = ""
    truth: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return item_id(self.source, self.key, self.start, self.end)

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, **vars(self), "tags": list(self.tags)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        fields = {name: value for name, value in values.items() if name != "id"}
        return cls(**{**fields, "tags": tuple(fields["tags"])})
