"""The control that every table rests on: the embedded model's answers are right with the own recording, and at chance with another."""

from __future__ import annotations

import numpy as np
import pytest

import evaluate
from DataSet.synthesis.made_set import LISTENING_LEADS, listening_set
from llama.evaluation.answer_file import CONTROLS, Answer, read_answers
from llama.evaluation.answer_sets import difference_measurement, share_measurement
from llama.evaluation.choices import parse_choice

PIECES = 20  # each lead five times
CHANCE = 1 / len(LISTENING_LEADS)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Answer]]:
    """The embedded model's answers to "Which instrument plays the melody?", by control."""
    folder = tmp_path_factory.mktemp("listening")
    listening_set(folder / "set", PIECES, seed=5, log=lambda line: None)
    arguments = ["--folder", str(folder / "set"), "--out", str(folder / "out"), "--choices_from_answers", "--max_tokens", "8"]
    assert evaluate.main(["answers", "--form", "musicqa", *arguments]) == 0
    result: dict[str, list[Answer]] = {}
    for answer in read_answers(folder / "out"):
        result.setdefault(answer.control, []).append(answer)
    return result


def hits(answers: list[Answer]) -> np.ndarray:
    return np.array([float(parse_choice(answer.answer, answer.choices) == answer.correct) for answer in answers])


def test_all_questions_were_asked_under_every_control(answers: dict[str, list[Answer]]) -> None:
    assert {control: len(group) for control, group in answers.items()} == dict.fromkeys(CONTROLS, PIECES)
    assert not any(answer.error for group in answers.values() for answer in group)
    assert set(answers["own"][0].choices) == set(LISTENING_LEADS)


def test_another_recording_falls_to_chance(answers: dict[str, list[Answer]]) -> None:
    swapped = share_measurement(answers["swapped"], hits(answers["swapped"]))
    assert swapped.low is not None and swapped.high is not None and swapped.low <= CHANCE <= swapped.high, swapped


def test_the_own_recording_beats_another_clearly(answers: dict[str, list[Answer]]) -> None:
    own, swapped = answers["own"], answers["swapped"]
    difference = difference_measurement(own, hits(own), swapped, hits(swapped))
    assert difference.n == PIECES and difference.low is not None and difference.low > 0, difference
    low = share_measurement(own, hits(own)).low
    assert low is not None and low > CHANCE


@pytest.mark.parametrize("control", ["silence", "none", "constant"])
def test_answers_without_a_recording_are_no_better_than_chance(control: str, answers: dict[str, list[Answer]]) -> None:
    low = share_measurement(answers[control], hits(answers[control])).low
    assert low is not None and low <= CHANCE
