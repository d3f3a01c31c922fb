"""Samples of a stream as examples: words by our names, media beside them, and the broken ones, which come all the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama.data.examples import Example, MediaRef
from llama.data.formats import ASK, DESCRIBE, MAKE, SUFFIXES

WORDS = ("instruction", "answer", "caption")


def failed_example(source: str, fault: str) -> Example:
    """An example whose medium raises `fault` when it is opened."""
    return Example("", "", "chat", source, audio=MediaRef("audio", source, fault=fault))


def example_of(where: str, words: Mapping[str, str], media: Mapping[str, MediaRef], stage: int) -> Example:
    """Words by our names; a caption beside an answer is that of the music to make."""
    kind, asked, caption = next(iter(media), "text"), words.get("instruction", ""), words.get("caption", "")
    audio, image, video = (media.get(name) for name in SUFFIXES)
    if "answer" in words:
        task = (MAKE if caption else ASK)[kind]
        example = Example(asked, words["answer"], task, where, audio, image, video, caption or None)
    elif stage == 2:
        example = Example(caption, caption, MAKE["text"], where, caption=caption)
    elif media:
        example = Example(asked, caption, DESCRIBE[kind], where, audio, image, video)
    else:
        raise ValueError(f"{where} has a caption but no sound, picture or clip.")
    if not example.answer.strip():
        raise ValueError(f"{where} has no answer or caption; mend the data.")
    return example


def cell_text(where: str, name: str, cell: Any) -> str:
    """Words of a cell, none for null; `ValueError` for what is no text."""
    if not isinstance(cell, (str, type(None))):
        raise ValueError(f"{where}: its {name} is {type(cell).__name__}; give text.")
    return cell or ""


def suffix_of(name: str) -> str:
    """What stands behind the last dot."""
    return name.rsplit(".", 1)[-1]
