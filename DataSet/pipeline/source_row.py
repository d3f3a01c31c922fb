"""Rows of a source: an item, or why a row gives none. A bad row does not stop the others.

Sources are iterators of `SourceRow`. `accepted` hands their items on, for `Ledger.add_items`, and keeps the rejected rows, which the
report counts beside the rejections of the steps:

    rejected: list[RejectedRow] = []
    ledger.add_items(accepted(rows, rejected))
    write_rejected(ledger.folder, rejected)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from DataSet.pipeline.item import Item
from DataSet.pipeline.step import Rejection
from llama.errors import shorten
from llama.files import write_text
from llama.json_yaml import parse_json

REJECTED_ROWS = "rejected_rows.jsonl"


@dataclass(frozen=True)
class RejectedRow:
    """A row that gives no item. place: where it stands, such as "eval_segments.csv, line 12"; key: its id as it is written there."""

    source: str
    place: str
    key: str
    rejection: Rejection

    def as_json(self) -> dict[str, str]:
        return {"source": self.source, "place": self.place, "key": self.key, "why": self.rejection.why, "rule": self.rejection.rule}


SourceRow = Item | RejectedRow


def accepted(rows: Iterable[SourceRow], rejected: list[RejectedRow]) -> Iterator[Item]:
    """The items of the rows; rejected rows are appended to `rejected`. A second row of the same id is rejected as "repeated"."""
    seen = set[str]()
    for row in rows:
        if isinstance(row, RejectedRow):
            rejected.append(row)
        elif row.id in seen:
            times = "" if row.start is None else f" from {row.start:g} to {row.end:g} s" if row.end is not None else f" from {row.start:g} s"
            why = f"{shorten(row.key)}{times} stands twice in {row.source}; the first row is taken."
            rejected.append(RejectedRow(row.source, row.source, row.key, Rejection("repeated", why)))
        else:
            seen.add(row.id)
            yield row


def write_rejected(folder: Path, rejected: Sequence[RejectedRow]) -> None:
    """Writes FOLDER/rejected_rows.jsonl, one line a row, atomically."""
    write_text(folder / REJECTED_ROWS, "".join(f"{json.dumps(row.as_json())}\n" for row in rejected))


def read_rejected(folder: Path) -> list[RejectedRow]:
    """The rows that `write_rejected` wrote; none where there is no such file."""
    path = folder / REJECTED_ROWS
    if not path.is_file():
        return []
    values = [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [RejectedRow(row["source"], row["place"], row["key"], Rejection(row["rule"], row["why"])) for row in values]


def count_rules(rejected: Iterable[RejectedRow]) -> Counter[str]:
    """Rule -> number of rows that it rejected."""
    return Counter(row.rejection.rule for row in rejected)
