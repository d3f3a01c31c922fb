"""Answers without hearing, made from what is there: one fixed answer a question, and answers that are about another recording.

The published metrics give both nearly the score of published models, so they stand in every table of texts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from llama.evaluation.answer_file import Answer
from llama.evaluation.text_metrics import bleu_u

CANDIDATES = 10  # reference texts of a question that are tried as its constant answer, the most frequent first
JUDGES = 40  # answers of a question that they are tried on
CONSTANT_NOTE = (
    f"one fixed answer a question, chosen among the references to it (the {CANDIDATES} most frequent) by its B-U on the others; "
    "never a reference that the answered recording alone has. Questions on one recording alone get none."
)
SWAPPED_NOTE = "swapped: the file holds none, so each answer is scored on the next recording with the same question."


def constant_answers(own: Sequence[Answer]) -> list[Answer]:
    """One fixed answer a question text, from its references; questions that only one recording has get none."""
    result = []
    for group in _by_question(own):
        ranked = _ranked_references(group)
        for answer in group:
            text = next((text for text, recordings in ranked if recordings != {answer.recording}), None)
            if text is not None:
                result.append(replace(answer, control="constant", answer=text))
    return result


def shifted_answers(own: Sequence[Answer]) -> list[Answer]:
    """Each answer given to the next recording with the same question; questions that only one recording has get none."""
    result = []
    for group in _by_question(own):
        first = {answer.recording: answer for answer in reversed(group)}
        order = sorted(first)
        following = dict(zip(order, order[1:] + order[:1], strict=True))
        for answer in group if len(order) > 1 else ():
            result.append(replace(answer, control="swapped", answer=first[following[answer.recording]].answer))
    return result


def _by_question(answers: Sequence[Answer]) -> list[list[Answer]]:
    groups: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        groups[answer.question.strip()].append(answer)
    return list(groups.values())


def _ranked_references(group: Sequence[Answer]) -> list[tuple[str, set[str]]]:
    """References to a question with the recordings that have them, the best constant answer first."""
    recordings: dict[str, set[str]] = defaultdict(set)
    for answer in group:
        for text in answer.references:
            recordings[text].add(answer.recording)
    if len(group) < 2:
        return []
    counts = Counter({text: len(own) for text, own in recordings.items()})
    candidates = [text for text, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CANDIDATES]]
    judges = group[:: max(1, len(group) // JUDGES)]

    def quality(text: str) -> float:
        scores = [bleu_u(text, answer.references) for answer in judges if recordings[text] != {answer.recording}]
        return sum(scores) / len(scores) if scores else 0.0

    return [(text, recordings[text]) for text in sorted(candidates, key=quality, reverse=True)]
