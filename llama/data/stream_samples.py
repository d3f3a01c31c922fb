"""Examples from the samples of a stream: texts under our field names, media, and a placeholder for a damaged sample."""

from __future__ import annotations

from collections.abc import Mapping

from llama.data.examples import Example, MediaRef
from llama.data.formats import ASK, DESCRIBE, MAKE, SUFFIXES

TEXT_FIELDS = ("instruction", "answer", "caption")


def failed_example(source: str, error: str) -> Example:
    """An example whose medium raises `error` as a ValueError when it is opened, so that readers count and report it."""
    return Example("", "", "chat", source, audio=MediaRef("audio", source, error=error))


def example_of(where: str, texts: Mapping[str, str], media: Mapping[str, MediaRef], stage: int) -> Example:
    """The example of a sample: `texts` by TEXT_FIELDS. A caption beside an answer describes the music to generate; a caption
    alone is music to generate at stage 2, and describes the medium otherwise. ValueError for a sample without an answer."""
    kind, instruction, caption = next(iter(media), "text"), texts.get("instruction", ""), texts.get("caption", "")
    audio, image, video = (media.get(name) for name in SUFFIXES)
    if "answer" in texts:
        task = (MAKE if caption else ASK)[kind]
        example = Example(instruction, texts["answer"], task, where, audio, image, video, caption or None)
    elif stage == 2:
        example = Example(caption, caption, MAKE["text"], where, caption=caption)
    elif media:
        example = Example(instruction, caption, DESCRIBE[kind], where, audio, image, video)
    else:
        raise ValueError(f"{where} has a caption but no sound, picture or clip.")
    if not example.answer.strip():
        raise ValueError(f"{where} has no answer or caption; mend the data.")
    return example


def cell_text(where: str, name: str, cell: object) -> str:
    """Text of a cell, "" for null; `ValueError` for anything that is not text."""
    if not isinstance(cell, (str, type(None))):
        raise ValueError(f"{where}: its {name} is {type(cell).__name__}; give text.")
    return cell or ""


def suffix_of(name: str) -> str:
    """The part behind the last dot."""
    return name.rsplit(".", 1)[-1]
