"""Captions from known attributes: of the project's own pieces, pictures and clips, and the text that a source brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from DataSet.pipeline.item import Item
from DataSet.synthesis.dialogues import LIGHTS, PLACES, WEATHERS
from DataSet.synthesis.wishes import full_caption
from llama.errors import quoted
from llama.media.score import Attributes

_PACES = {"slow": "slowly", "medium": "at a medium pace", "fast": "fast"}


def true_caption(item: Item, medium: str) -> str:
    """The caption of an item's medium. Raises ValueError for an item of which nothing is known."""
    if medium == "audio" and (piece := music_attributes(item.truth)):
        return f"{full_caption(piece, key=True)}."
    if medium != "audio" and isinstance(item.truth.get("mood"), str):
        return _of_sight({name: value for name, value in item.truth.items() if isinstance(value, str)})
    if item.caption.strip():
        return item.caption
    raise ValueError(f"Nothing is known of the {medium} of {quoted(item.key)}, and its source brings no text; take another captioner.")


def music_attributes(truth: Mapping[str, Any]) -> Attributes | None:
    """The attributes of a made piece; None where they are not all known."""
    names = [field.name for field in fields(Attributes)]
    if not all(isinstance(truth.get(name), str | int) for name in names):
        return None
    return Attributes(**{name: truth[name] for name in names})


def _of_sight(truth: Mapping[str, Any]) -> str:
    """"The sea at sunset in the rain, moving slowly; it feels sad."; what is not known is left out."""
    place = PLACES.get(truth.get("place", ""), "a scene")
    text = place + (f" {LIGHTS[truth['light']]}" if truth.get("light") in LIGHTS else "") + WEATHERS.get(truth.get("weather", ""), "")
    if truth.get("motion") in _PACES:
        text += f", moving {_PACES[truth['motion']]}"
    if truth.get("pulse", "none") != "none":
        text += f" with a pulse in {truth['pulse']}"
    return f"{text[0].upper()}{text[1:]}; it feels {truth['mood']}."
