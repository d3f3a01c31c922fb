"""Controls and prompts: another recording is never the own one, choices stand in every place, constants know nothing."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from llama.evaluation.answer_file import CONTROLS
from llama.evaluation.benchmarks.base import BenchmarkItem, Recording
from llama.evaluation.controls import choice_prompt, constant_answers, make_questions, other_recordings, silence_like
from llama.media.audio import Waveform

CHOICES = ("Drums", "A guitar", "A kazoo", "Silence")


def item(number: int, recording: str, question: str = "Which?", answer: str = "x", choices: tuple[str, ...] = ()) -> BenchmarkItem:
    return BenchmarkItem(f"q{number}", Recording(recording), question, (answer,), choices, 0 if choices else None)


@pytest.mark.parametrize("count", [2, 3, 50])
def test_each_recording_gets_another_and_each_is_given_once(count: int) -> None:
    names = [f"r{index}" for index in range(count)]
    for seed in range(20):
        others = other_recordings([*names, *names], seed)
        assert set(others) == set(others.values()) == set(names) and all(name != other for name, other in others.items())
        assert others == other_recordings(reversed(names), seed)
    assert count < 50 or other_recordings(names, 0) != other_recordings(names, 1)


def test_one_recording_cannot_be_swapped() -> None:
    with pytest.raises(ValueError, match="needs two recordings or more; there is 1"):
        other_recordings(["a", "a"], 0)


def test_the_right_choice_stands_in_every_place_once() -> None:
    questions = make_questions([item(index, "r", choices=CHOICES) for index in range(40)], ["own"], 4, seed=3)
    places = Counter((question.item.id, question.correct) for question in questions)
    assert len(questions) == 160 and set(places.values()) == {1}
    assert all(question.choices[question.correct or 0] == "Drums" and set(question.choices) == set(CHOICES) for question in questions)
    first = Counter(question.correct for question in questions if question.rotation == 0)
    assert len(first) == 4 and min(first.values()) >= 4  # one order, too, favours no place


def test_orders_do_not_depend_on_what_else_is_asked() -> None:
    items = [item(index, "r", choices=CHOICES) for index in range(5)]
    assert make_questions(items, ["own"], 2, 1)[6:8] == make_questions(items[3:4], ["own"], 2, 1)
    assert make_questions(items, ["own"], 2, 1) != make_questions(items, ["own"], 2, 2)


def test_two_choices_have_two_orders_and_open_questions_one() -> None:
    assert len(make_questions([item(1, "r", choices=("x", "y"))], ["own"], 4, 0)) == 2
    assert len(make_questions([item(1, "r")], CONTROLS, 4, 0)) == 5


def test_the_prompt_letters_the_choices() -> None:
    prompt = "Which?\n(A) Drums\n(B) Bass\nAnswer with the letter of the one choice that is right."
    assert choice_prompt("Which?", ("Drums", "Bass")) == prompt
    assert choice_prompt("Which?", ()) == "Which?"


def test_silence_has_the_length_of_the_recording() -> None:
    silence = silence_like(Waveform(torch.ones(2, 700), 44100))
    assert silence.samples.shape == (2, 700) and silence.sample_rate == 44100 and not silence.samples.any()


def test_a_constant_answer_is_never_of_the_own_recording() -> None:
    items = [item(1, "a", answer="of a"), item(2, "b", answer="of b"), item(3, "b", answer="of b, again"), item(4, "c", "Why?", "of c"),
             item(5, "d", choices=CHOICES)]  # fmt: skip
    assert constant_answers(items) == {"q1": "of b", "q2": "of a", "q3": "of a", "q4": "of a", "q5": "(A)"}
