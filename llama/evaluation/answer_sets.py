"""Answers grouped for scoring: by form and control, without those that could not be heard, and measured over recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llama.evaluation.answer_file import CONTROLS, Answer, Control
from llama.evaluation.statistics import (
    Statistic,
    bootstrap_interval,
    difference_interval,
    few_recordings,
    mean,
    wilson_interval,
)
from llama.evaluation.tables import Measurement

DIFFERENCE = "own minus swapped"


@dataclass(frozen=True)
class AnswerSet:
    """The answers of one form that can be scored, by control.

    unheard: recordings that could not be heard; left_out: answers about these; unusable: answers without what they are scored by.
    """

    form: str
    by_control: Mapping[Control, Sequence[Answer]]
    unheard: int = 0
    left_out: int = 0
    unusable: int = 0

    @property
    def own(self) -> Sequence[Answer]:
        return self.by_control["own"]

    def notes(self, lack: str) -> list[str]:
        """Sentences on what was left out, and on missing controls; `lack`: what unusable answers have not."""
        result = []
        if self.left_out:
            recordings, answers = _count(self.unheard, "recording"), _count(self.left_out, "answer")
            result.append(f"{recordings} could not be heard: {answers} left out, not counted as wrong.")
        if self.unusable:
            result.append(f"{_count(self.unusable, 'answer')} without {lack} left out.")
        result += few_recordings(len({answer.recording for answer in self.own}))
        if missing := [control for control in CONTROLS[1:4] if not self.by_control.get(control)]:
            result.append(f"No answers under {', '.join(missing)}: evaluate.py answers makes them with --controls.")
        return result


def answer_sets(answers: Sequence[Answer], is_usable: Callable[[Answer], bool], kind: str) -> list[AnswerSet]:
    """One set for each form. Raises ValueError where there is nothing to score, or only controls without the own recordings.

    kind: what usable answers are, for the message, such as "with references".
    """
    if not answers:
        raise ValueError("The file holds no answers; make them with evaluate.py answers.")
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(answer.form, []).append(answer)
    every = [_answer_set(form, group, is_usable) for form, group in groups.items()]
    sets = [one for one in every if any(one.by_control.values())]
    if not sets:
        raise ValueError(f"None of the {len(answers)} answers is {kind} and of a recording that could be heard; give another file.")
    for one in sets:
        if not one.by_control.get("own"):
            raise ValueError(f"The answers to {one.form} hold none under own, the recordings themselves; answer these, too.")
    return sets


def _answer_set(form: str, answers: Sequence[Answer], is_usable: Callable[[Answer], bool]) -> AnswerSet:
    heard = [answer for answer in answers if not answer.error]
    usable = [answer for answer in heard if is_usable(answer)]
    unheard = {answer.recording for answer in answers if answer.error}
    by_control = {control: [answer for answer in usable if answer.control == control] for control in CONTROLS}
    return AnswerSet(form, by_control, len(unheard), len(answers) - len(heard), len(heard) - len(usable))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# -- measurements -----------------------------------------------------------------------------------------------


def by_recording(answers: Sequence[Answer], values: Sequence[object] | np.ndarray) -> dict[str, np.ndarray]:
    """The values of each recording's answers, in order."""
    groups: dict[str, list[object]] = {}
    for answer, value in zip(answers, values, strict=True):
        groups.setdefault(answer.recording, []).append(value)
    return {recording: np.asarray(group) for recording, group in groups.items()}


def bootstrap_measurement(answers: Sequence[Answer], values: np.ndarray, statistic: Statistic = mean) -> Measurement:
    """A statistic of all answers' values [answers, ...], with its bootstrap interval over recordings."""
    return Measurement(statistic(values), len(answers), *bootstrap_interval(by_recording(answers, values), statistic))


def share_measurement(answers: Sequence[Answer], hits: Iterable[bool]) -> Measurement:
    """A share of answers with Wilson's interval of as many cases as there are recordings: questions on one are not independent."""
    values = np.array(list(hits), float)
    recordings = len({answer.recording for answer in answers})
    part = mean(values)
    low, high = wilson_interval(part * recordings if recordings else 0.0, recordings)
    return Measurement(part, len(values), low, high)


def difference_measurement(
    own: Sequence[Answer], own_values: np.ndarray, swapped: Sequence[Answer], swapped_values: np.ndarray, statistic: Statistic = mean
) -> Measurement:
    """Own minus swapped over the questions that have both, with the paired bootstrap interval over recordings."""
    places = {(answer.id, answer.rotation): place for place, answer in enumerate(swapped)}
    pairs = [(place, places[key]) for place, answer in enumerate(own) if (key := (answer.id, answer.rotation)) in places]
    if not pairs:
        return Measurement(float("nan"), 0)
    answers = [own[place] for place, _ in pairs]
    first, second = own_values[[place for place, _ in pairs]], swapped_values[[place for _, place in pairs]]
    interval = difference_interval(by_recording(answers, first), by_recording(answers, second), statistic)
    return Measurement(statistic(first) - statistic(second), len(pairs), *interval)


def headline(form: str, figure: str, difference: Measurement) -> str:
    """What own minus swapped says about hearing, in a sentence."""
    if not difference.n:
        return f"{form}: own minus swapped is not known, since no question was answered under both."
    value = f"{form}: own minus swapped is {difference.value:.3f} in {figure}"
    if difference.low is None or difference.high is None or np.isnan(difference.low):
        return f"{value}; too few recordings for an interval."
    value += f" (95 % interval {difference.low:.3f} to {difference.high:.3f})"
    if difference.low > 0:
        return f"{value}: the answers are better with the right recording."
    return f"{value}: by this figure the answers are no better with the right recording than with another one."
