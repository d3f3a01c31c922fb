"""The JSON of a card: what the custom element `music-card` draws. docs/page.md describes its fields.

A card has the versions of one piece: what an answer started from, its takes, and every later change of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from demo.page.view import ExchangeView, VersionView, can_play_through, version_label

JSON_FIELDS = (
    "id", "kind", "name", "title", "url", "seconds", "made", "complete", "pcm", "levels", "seed", "report", "starred", "kept", "undone",
    "parent", "tempo", "facts", "score", "stems", "sheet", "chips", "downloads",
)  # fmt: skip


def card_json(exchange: ExchangeView, index: int, *, starts: bool = False) -> dict[str, Any]:
    """The card of exchange number `index`. starts: whether its music may begin to sound by itself."""
    clip = next((media for media in exchange.media if media.kind == "video"), None)
    progress = exchange.change_progress if exchange.changing else exchange.progress if exchange.is_running else None
    new = next((version for version in exchange.versions if version.id == exchange.selected), None)
    plays = starts and new is not None and exchange.status != "stopped" and can_play_through(exchange, new)
    return {
        "exchange": index, "status": "working" if exchange.changing else exchange.status, "selected": exchange.selected or None,
        "autoplay": plays, "expected": exchange.expected, "progress": None if progress is None else list(progress),
        "clip": None if clip is None else {"url": clip.url, "seconds": clip.seconds},
        "versions": [version_json(exchange, version) for version in exchange.versions],
    }  # fmt: skip


def upload_json(upload: VersionView, index: int) -> dict[str, Any]:
    """The compact card of a recording or a score in the user's message."""
    exchange = ExchangeView("", versions=(upload,), selected=upload.id, status="done")
    return card_json(exchange, index)


def version_json(exchange: ExchangeView, version: VersionView) -> dict[str, Any]:
    """One version of a card."""
    fields = {name: getattr(version, name) for name in JSON_FIELDS}
    return {**fields, "label": version_label(exchange, version), "actions": _actions(exchange.versions, version)}


def _actions(versions: Sequence[VersionView], version: VersionView) -> list[str]:
    """What can be done with a version."""
    if not version.complete or version.kind in ("upload", "before"):
        return []
    takes = [other for other in versions if other.kind == "take" and other.complete]
    choice = ["keep"] if version.kind == "take" and len(takes) > 1 and not version.kept else []
    change = ["redo"] if version.undone else ["undo"] if version.kind == "edit" else []  # "undo that" takes answers back, too
    return ["again", "another", *choice, *change, "delete"]
