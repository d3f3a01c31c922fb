"""The library of a session: its pieces for the panel of the page, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from demo.page.card import version_json

if TYPE_CHECKING:
    from demo.page.state import PageExchange, PieceRecord


def library_entries(exchanges: Sequence[PageExchange], pieces: Mapping[str, PieceRecord]) -> list[dict[str, Any]]:
    """The pieces as JSON: the version as on its card, without chips and downloads, with `exchange` and `when` (Unix time).

    origin: title of the piece or the recording that it changes; "" for one that changes none.
    """
    entries: list[tuple[float, dict[str, Any]]] = []
    every = (version for exchange in exchanges for version in (*exchange.view.uploads, *exchange.view.versions))
    titles = {version.id: version.title for version in every}
    for index, exchange in enumerate(exchanges):
        for version in exchange.view.versions:
            record = pieces.get(version.id)
            if record is not None and record.exchange is exchange and version.complete:
                entry = version_json(exchange.view, version)
                for name in ("chips", "downloads", "actions"):
                    del entry[name]
                origin = titles.get(version.parent or "", "")
                entries.append((record.made_at, {**entry, "exchange": index, "when": round(record.made_at), "origin": origin}))
    entries.reverse()  # of two pieces made at the same time the later one comes first
    return [entry for _, entry in sorted(entries, key=lambda made: -made[0])]
