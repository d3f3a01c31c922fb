"""Controls that tell hearing from guessing: another recording, silence, no recording, one fixed answer; and the prompt of choices.

A model that hears loses when the recording is another one. Guessing, and knowing what is usually right, lose nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from llama.evaluation.answer_file import Control
from llama.evaluation.benchmarks.base import BenchmarkItem
from llama.media.audio import Waveform

Entry = TypeVar("Entry")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PROMPT_VERSION = 1  # of the wording below; answers to another wording are another run


@dataclass(frozen=True)
class Question:
    """What is asked: an item under a control. choices: as shown, in that order; correct: index of the right one."""

    item: BenchmarkItem
    control: Control
    rotation: int
    text: str
    choices: tuple[str, ...]
    correct: int | None


def seed_of(seed: int, name: str) -> int:
    """A seed of its own for each item, the same in every run and whatever else is asked."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).digest()[:8], "big")


def draw(entries: Sequence[Entry], name: Callable[[Entry], str], limit: int | None, seed: int) -> list[Entry]:
    """`limit` entries drawn by the seed and their names, in the order of the list; a larger limit only adds to them. None: all."""
    if limit is None or limit >= len(entries):
        return list(entries)
    drawn = set(sorted(range(len(entries)), key=lambda place: seed_of(seed, name(entries[place])))[:limit])
    return [entry for place, entry in enumerate(entries) if place in drawn]


def make_questions(items: Iterable[BenchmarkItem], controls: Sequence[Control], rotations: int, seed: int) -> list[Question]:
    """Every item under every control, its choices in up to `rotations` orders that differ in where each choice stands."""
    return [
        Question(item, control, rotation, choice_prompt(item.question, choices) if item.are_listed else item.question, choices, correct)
        for item in items
        for rotation, (choices, correct) in enumerate(_orders(item, rotations, seed))
        for control in controls
    ]


def _orders(item: BenchmarkItem, rotations: int, seed: int) -> list[tuple[tuple[str, ...], int | None]]:
    """The choices, shuffled by the item's seed and then turned by one place for each rotation, and where the right one stands."""
    count = len(item.choices)
    if not count or not item.are_listed:
        return [(item.choices, item.correct)]
    first = np.random.default_rng(seed_of(seed, item.id)).permutation(count)
    orders = [np.roll(first, -rotation).tolist() for rotation in range(min(rotations, count))]
    return [(tuple(item.choices[i] for i in order), None if item.correct is None else order.index(item.correct)) for order in orders]


def choice_prompt(question: str, choices: Sequence[str]) -> str:
    """A question with its choices, lettered; the question alone without them."""
    if not choices:
        return question
    lines = [f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    return "\n".join([question, *lines, "Answer with the letter of the one choice that is right."])


def other_recordings(recordings: Iterable[str], seed: int) -> dict[str, str]:
    """For each recording the next one of a circle through all of them in seeded order: never itself, each one once.

    Raises ValueError where there is no other.
    """
    names = sorted(set(recordings))
    if len(names) < 2:
        raise ValueError(f"The control swapped needs two recordings or more; there is {len(names)}. Leave it out, or give a larger set.")
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    return dict(zip(order, [*order[1:], order[0]], strict=True))


def silence_like(wave: Waveform) -> Waveform:
    """Silence of the same length, channels and rate."""
    return Waveform(torch.zeros_like(wave.samples), wave.sample_rate)


def constant_answers(items: Sequence[BenchmarkItem]) -> Mapping[str, str]:
    """Item -> an answer that knows neither model nor recording.

    Of choices the first: as shown, by its letter, or of those that are not shown always the same one. Of open questions the first
    reference that the list has for another recording with the same question, or else with any question.
    """
    answers = {item.id: f"({LETTERS[0]})" if item.are_listed else min(item.choices) for item in items if item.choices}
    by_question: dict[str, list[BenchmarkItem]] = {}
    for item in (item for item in items if not item.choices and item.references):
        by_question.setdefault(item.question, []).append(item)
    everything = [item for group in by_question.values() for item in group]
    for item in (item for item in items if not item.choices):
        answers[item.id] = _reference_of_another(item, by_question.get(item.question, [])) or _reference_of_another(item, everything)
    return answers


def _reference_of_another(item: BenchmarkItem, group: Iterable[BenchmarkItem]) -> str:
    return next((other.references[0] for other in group if other.recording.id != item.recording.id), "")
