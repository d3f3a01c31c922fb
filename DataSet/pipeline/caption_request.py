"""What a captioner is given, and the form that its captions get."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from DataSet.pipeline.guards import tidy
from DataSet.pipeline.item import Item

_SENTENCES = re.compile(r"^.*[.!?](?=\s|$)", re.S)


@dataclass(frozen=True)
class CaptionRequest:
    """One medium to describe. medium: audio, image or video. path: its file. seed: of text that is sampled."""

    item: Item
    medium: str
    path: Path
    seed: int


class Captioner(Protocol):
    """Describes media. It may raise ValueError or FileNotFoundError for a batch with a file that cannot be read."""

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        """One caption for each item, in their order; the same for an item alone as in a batch."""
        ...


def as_caption(text: str) -> str:
    """A caption in one line that begins with a capital and ends with a mark, as some captioners leave out."""
    text = " ".join(tidy(text).split())
    text = text[:1].upper() + text[1:]
    return f"{text}." if text and (text[-1].isalnum() or text[-1] in ")]%#\"") else text


def whole_sentences(text: str, complete: bool = False) -> str:
    """The sentences of a text that was cut at a limit, without the last, unfinished one; "" if not one is whole.

    complete: the text was not cut, and stays as it is.
    """
    if complete:
        return text
    match = _SENTENCES.match(text.strip())
    return match[0] if match else ""
