"""The tables of choices: accuracy by our parser and by the benchmark's own rule, under every control and by category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import NamedTuple

import numpy as np

from llama.evaluation.answer_file import Answer
from llama.evaluation.answer_sets import (
    DIFFERENCE,
    AnswerSet,
    answer_sets,
    difference_measurement,
    headline,
    share_measurement,
)
from llama.evaluation.choices import parse_choice
from llama.evaluation.official_choices import OFFICIAL_RULES, OfficialRule
from llama.evaluation.statistics import majority
from llama.evaluation.tables import Measurement, Row, Table

ACCURACY, UNANSWERED, CHANCE, MAJORITY = "accuracy", "unanswered", "chance", "majority"
MAX_CATEGORIES = 40  # rows of a table, the most frequent ones
SEPARATOR = "; "  # of several values of one category
Cells = dict[str, Measurement | str | None]


class Judged(NamedTuple):
    """What our parser says of answers, [answers] each."""

    answers: Sequence[Answer]
    correct: np.ndarray
    unanswered: np.ndarray


def choice_tables(answers: Sequence[Answer]) -> list[Table]:
    """For each form a table of controls and, where its questions have categories, one of these.

    Raises ValueError where no answer is to a question with choices whose right one is known.
    """
    groups = answer_sets(answers, lambda answer: answer.correct is not None, "to a question with choices whose right one is known")
    return [table for group in groups for table in _tables(group)]


def _tables(group: AnswerSet) -> list[Table]:
    group, constant_notes = _with_constant(group)
    rule = OFFICIAL_RULES.get(group.form)
    judged = {control: _judge(answers) for control, answers in group.by_control.items()}
    rows = [Row(control, _cells(one, rule)) for control, one in judged.items()]
    own, swapped = judged["own"], judged["swapped"]
    difference = _difference(own, swapped, rule)
    main = difference[ACCURACY]
    notes = [headline(group.form, ACCURACY, main)] if isinstance(main, Measurement) else []
    notes += [*group.notes("a known right choice"), *constant_notes, *_explanations(group, rule)]
    tables = [Table(f"{group.form}: choices", _columns(rule), [*rows, Row(DIFFERENCE, difference)], notes)]
    return [*tables, *_category_tables(group.form, own, swapped)]


def _judge(answers: Sequence[Answer]) -> Judged:
    chosen = [parse_choice(answer.answer, answer.choices) for answer in answers]
    correct = np.array([choice == answer.correct for choice, answer in zip(chosen, answers, strict=True)], float)
    return Judged(answers, correct, np.array([choice is None for choice in chosen], float))


def _columns(rule: OfficialRule | None) -> list[str]:
    official = [f"{ACCURACY} ({rule.name})", f"{UNANSWERED} ({rule.name})"] if rule else []
    return [ACCURACY, UNANSWERED, *official, CHANCE, MAJORITY]


def _cells(judged: Judged, rule: OfficialRule | None) -> Cells:
    answers = judged.answers
    if not answers:
        return {ACCURACY: "no answers"}
    cells: Cells = {
        ACCURACY: share_measurement(answers, judged.correct == 1),
        UNANSWERED: share_measurement(answers, judged.unanswered == 1),
        CHANCE: Measurement(chance_level(answers), len(answers)),
        MAJORITY: Measurement(majority_level(answers), len(answers)),
    }
    if rule:
        verdicts = [rule.judge(answer.answer, answer.choices, right(answer)) for answer in answers]
        accuracy = share_measurement(answers, [verdict.is_correct for verdict in verdicts])
        unanswered = share_measurement(answers, [not verdict.is_answered for verdict in verdicts])
        cells |= {f"{ACCURACY} ({rule.name})": accuracy, f"{UNANSWERED} ({rule.name})": unanswered}
    return cells


def _difference(own: Judged, swapped: Judged, rule: OfficialRule | None) -> Cells:
    if not swapped.answers:
        return {ACCURACY: "no answers under swapped"}
    cells: Cells = {
        ACCURACY: difference_measurement(own.answers, own.correct, swapped.answers, swapped.correct),
        UNANSWERED: difference_measurement(own.answers, own.unanswered, swapped.answers, swapped.unanswered),
    }
    if rule:
        cells[f"{ACCURACY} ({rule.name})"] = _official_difference(own.answers, swapped.answers, rule)
    return cells


def _official_difference(own: Sequence[Answer], swapped: Sequence[Answer], rule: OfficialRule) -> Measurement:
    def hits(answers: Sequence[Answer]) -> np.ndarray:
        return np.array([rule.judge(answer.answer, answer.choices, right(answer)).is_correct for answer in answers], float)

    return difference_measurement(own, hits(own), swapped, hits(swapped))


# -- what no hearing reaches ------------------------------------------------------------------------------------


def chance_level(answers: Sequence[Answer]) -> float:
    """Accuracy of drawing one of the shown choices."""
    return float(np.mean([1 / len(answer.choices) for answer in answers]))


def majority_level(answers: Sequence[Answer]) -> float:
    """Accuracy of always giving the commonest right letter or the commonest right text, whichever is better."""
    return max(majority([right(answer) for answer in answers]), majority([_right_text(answer) for answer in answers]))


def right(answer: Answer) -> int:
    """The index of the right choice, of an answer that has one."""
    assert answer.correct is not None
    return answer.correct


def _right_text(answer: Answer) -> str:
    return answer.choices[right(answer)].strip().lower()


def _with_constant(group: AnswerSet) -> tuple[AnswerSet, list[str]]:
    """The set with one answer to all questions where the file has no constant ones: the commonest right letter or text."""
    if group.by_control["constant"]:
        return group, []
    index, letters = Counter(map(right, group.own)).most_common(1)[0]
    text, texts = Counter(map(_right_text, group.own)).most_common(1)[0]
    fixed = text if texts > letters else f"({ascii_uppercase[index]})"
    constant = [replace(answer, control="constant", answer=fixed) for answer in group.own]
    note = f"constant: \"{fixed}\" to every question, the commonest right {'text' if texts > letters else 'letter'}."
    return replace(group, by_control={**group.by_control, "constant": constant}), [note]


# -- notes and categories ---------------------------------------------------------------------------------------


def _explanations(group: AnswerSet, rule: OfficialRule | None) -> list[str]:
    asked = Counter(answer.id for answer in group.own)
    orders = {answer.id: len(answer.choices) for answer in group.own}
    rotations = len({answer.rotation for answer in group.own})
    result = [
        "Intervals are 95 %, Wilson's for as many cases as there are recordings, and of the difference by paired bootstrap over "
        "recordings; n counts answers. Unanswered ones, which name no choice or several, are wrong."
    ]
    if rotations > 1:
        partly = sum(count < min(rotations, orders[name]) for name, count in asked.items())
        lacking = f"; {partly} question{' lacks' if partly == 1 else 's lack'} some." if partly else "."
        result.append(f"Means over {rotations} rotations of the choices{lacking}")
    result.append(rule.note if rule else f"No official rule of {group.form} is known here; accuracy is by our parser.")
    return result


def _category_tables(form: str, own: Judged, swapped: Judged) -> list[Table]:
    values = Counter(value for answer in own.answers for value in _categories(answer))
    if not values:
        return []
    shown = sorted(value for value, _ in values.most_common(MAX_CATEGORIES))
    rows = [Row(f"{name}: {value}", _category_cells(own, swapped, (name, value))) for name, value in shown]
    notes = [f"The {MAX_CATEGORIES} most frequent of {len(values)} categories."] if len(values) > MAX_CATEGORIES else []
    columns = [ACCURACY, "accuracy, swapped", DIFFERENCE, UNANSWERED, CHANCE, MAJORITY]
    return [Table(f"{form}: choices by category", columns, rows, notes)]


def _categories(answer: Answer) -> list[tuple[str, str]]:
    return [(name, part) for name, value in answer.categories.items() for part in dict.fromkeys(value.split(SEPARATOR)) if part.strip()]


def _category_cells(own: Judged, swapped: Judged, category: tuple[str, str]) -> Cells:
    own, swapped = _of_category(own, category), _of_category(swapped, category)
    cells = _cells(own, None)
    cells["accuracy, swapped"] = _cells(swapped, None)[ACCURACY]
    cells[DIFFERENCE] = _difference(own, swapped, None)[ACCURACY]
    return cells


def _of_category(judged: Judged, category: tuple[str, str]) -> Judged:
    places = [place for place, answer in enumerate(judged.answers) if category in _categories(answer)]
    return Judged([judged.answers[place] for place in places], judged.correct[places], judged.unanswered[places])
