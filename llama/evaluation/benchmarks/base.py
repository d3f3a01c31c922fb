"""What every benchmark gives: questions about recordings, the accepted answers, and sentences on what could not be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from llama.media.audio import Waveform
from llama.media.containers import Encoded, MediaFile

TOLERANCE = 1.0  # seconds; a file no longer than its excerpt and this is the excerpt itself
ALL = "all"


@dataclass(frozen=True)
class Recording:
    """A recording, or an excerpt of one.

    id: of the whole recording; excerpts of one share it. path, or load: where it lies; load gives a file's content. start, end: of
    the excerpt in seconds, None for the ends of the file. error: why it cannot be heard, where that is known before it is opened.
    """

    id: str
    path: Path | None = None
    start: float | None = None
    end: float | None = None
    load: Callable[[], bytes] | None = field(default=None, compare=False)
    error: str = ""

    @property
    def excerpt(self) -> tuple[str, float | None, float | None]:
        """What tells excerpts of one recording apart."""
        return self.id, self.start, self.end

    def read(self) -> Waveform:
        """The excerpt. Raises ValueError or FileNotFoundError with the sentence that an answer's `error` holds."""
        if self.error:
            raise FileNotFoundError(self.error)
        return cut(Waveform.read(self._file()), self.start, self.end, self.id)

    def _file(self) -> MediaFile:
        if self.path is not None:
            return self.path
        if self.load is None:
            raise FileNotFoundError(f"The recording {self.id} has neither a file nor a content.")
        return Encoded(self.load(), f"The recording {self.id}")


def cut(wave: Waveform, start: float | None, end: float | None, name: str) -> Waveform:
    """The excerpt from `start` to `end` seconds; a recording that is no longer than it counts as cut already.

    Downloads of MusicCaps hold the ten labelled seconds or the whole video under one name. A negative end is the end of the file.
    """
    first, last = start or 0.0, end if end is not None and end >= 0 else None
    if last is not None and wave.seconds <= last - first + TOLERANCE:
        return wave
    begin, stop = round(first * wave.sample_rate), None if last is None else round(last * wave.sample_rate)
    samples = wave.samples[:, begin:stop]
    if not samples.shape[1]:
        raise ValueError(f"{name} is {wave.seconds:.1f} s long and ends before its excerpt from {first:g} s; get the recording again.")
    return Waveform(samples, wave.sample_rate)


@dataclass(frozen=True)
class BenchmarkItem:
    """A question about a recording.

    choices: in the order of the list, empty for open questions; correct: index of the right one, None where it is not published.
    references: accepted answers or captions. are_listed: whether the choices stand in the prompt; else they serve scoring alone.
    categories: several values of one category are joined by "; ".
    """

    id: str
    recording: Recording
    question: str
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    correct: int | None = None
    categories: Mapping[str, str] = field(default_factory=dict)
    are_listed: bool = True


@dataclass(frozen=True)
class BenchmarkData:
    """The items of a benchmark's files, and a sentence for each entry that was left out."""

    items: Sequence[BenchmarkItem]
    problems: Sequence[str] = ()

    @property
    def missing(self) -> list[str]:
        """Ids of the items whose recording is not there."""
        return [item.id for item in self.items if item.recording.error]


class Benchmark(Protocol):
    """A published form. subsets: what may be chosen of it, the usual one first. rotations: orders in which choices are shown."""

    @property
    def name(self) -> str: ...

    @property
    def subsets(self) -> tuple[str, ...]: ...

    @property
    def rotations(self) -> int: ...

    def read(self, folder: Path, subset: str) -> BenchmarkData:
        """The items in the folder. Raises FileNotFoundError or ValueError where its list is missing or is none."""
        ...


CATEGORY_SEPARATOR = "; "


def joined(values: Sequence[object]) -> str:
    """The values of one category as one text."""
    return CATEGORY_SEPARATOR.join(str(value).strip() for value in values)


def choices_from_answers(items: Sequence[BenchmarkItem], most: int = 8) -> list[BenchmarkItem]:
    """Open questions with a few answers as questions with choices, which scoring uses and the prompt does not show.

    A question whose references are two to `most` different texts over all items becomes a choice among these, without the words that
    all begin or end with: "The flute plays the melody." and "The guitar plays the melody." leave flute and guitar, so that an answer
    in other words can be right. Other questions are left out.
    """
    answers: dict[str, dict[str, None]] = {}
    for item in (item for item in items if item.references and not item.choices):
        answers.setdefault(item.question, {})[item.references[0]] = None
    choices = {question: differing_words(list(texts)) for question, texts in answers.items() if 2 <= len(texts) <= most}
    return [_with_choices(item, choices[item.question]) for item in items if item.references and item.question in choices]


def differing_words(texts: Sequence[str]) -> dict[str, str]:
    """Text -> its words without those that all the texts begin or end with; the text itself where nothing would be left."""
    words = [text.split() for text in texts]
    first, last = _shared(words), _shared([row[::-1] for row in words])
    short = {text: " ".join(row[first : len(row) - last]) for text, row in zip(texts, words, strict=True)}
    return short if all(short.values()) and len(set(short.values())) == len(texts) else {text: text for text in texts}


def _shared(words: Sequence[Sequence[str]]) -> int:
    """How many first words all the rows share, which is less than any has."""
    count = 0
    while all(len(row) > count + 1 for row in words) and len({row[count] for row in words}) == 1:
        count += 1
    return count


def _with_choices(item: BenchmarkItem, texts: Mapping[str, str]) -> BenchmarkItem:
    choices = sorted(texts.values())
    index = choices.index(texts[item.references[0]])
    return replace(item, choices=tuple(choices), correct=index, are_listed=False)
