"""The table of texts: metrics of the answers to open questions under every control, beside a fixed answer and swapped ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from llama.evaluation.answer_file import Answer
from llama.evaluation.answer_sets import (
    DIFFERENCE,
    AnswerSet,
    answer_sets,
    bootstrap_measurement,
    difference_measurement,
    headline,
    share_measurement,
)
from llama.evaluation.published_metrics import SUFFIX, TEXT_FAULTS, bleu_u_of_characters, rouge_l_recall
from llama.evaluation.statistics import Statistic, mean
from llama.evaluation.tables import Measurement, Row, Table
from llama.evaluation.text_baselines import CONSTANT_NOTE, SWAPPED_NOTE, constant_answers, shifted_answers
from llama.evaluation.text_metrics import CorpusBleu, Metric, bleu_u, meteor, rouge_l

if TYPE_CHECKING:
    from llama.evaluation.bertscore import BertScorer

BLEU, B_U, EMPTY = "BLEU", "B-U", "empty"
BERTSCORE, BERTSCORE_PUBLISHED = "BERTScore F1", f"BERTScore{SUFFIX}"
NOT_MEASURED = "not measured: give --bert FOLDER"
Cells = dict[str, Measurement | str | None]
Values = dict[str, np.ndarray]  # of a column: [answers, ...]


@dataclass(frozen=True)
class TextMetrics:
    """What to measure. wordnet: for METEOR's synonyms; bert: for BERTScore; published: the faulty variants, too."""

    published: bool = False
    wordnet: Any = None
    bert: BertScorer | None = None

    @property
    def meteor_name(self) -> str:
        return "METEOR without synonyms" if self.wordnet is None else "METEOR"

    @property
    def of_answers(self) -> dict[str, Metric]:
        """Metrics of one answer, by column."""
        metrics: dict[str, Metric] = {
            B_U: bleu_u,
            self.meteor_name: partial(meteor, wordnet=self.wordnet),
            "ROUGE-L F1": rouge_l,
        }
        if self.published:
            metrics |= {f"B-U{SUFFIX}": bleu_u_of_characters, f"ROUGE-L{SUFFIX}": rouge_l_recall}
        return metrics

    @property
    def columns(self) -> list[str]:
        names = [BLEU, *self.of_answers, BERTSCORE, *([BERTSCORE_PUBLISHED] if self.published else [])]
        return [*(name for name in names if SUFFIX not in name), *(name for name in names if SUFFIX in name), EMPTY]


def text_tables(answers: Sequence[Answer], metrics: TextMetrics) -> list[Table]:
    """One table for each form. Raises ValueError where no answer has references."""
    groups = answer_sets(answers, lambda answer: bool(answer.references), "to an open question with references")
    return [_table(group, metrics) for group in groups]


def _table(group: AnswerSet, metrics: TextMetrics) -> Table:
    answers_of_rows, baseline_notes = _with_baselines(group)
    bleu = CorpusBleu()
    statistics: dict[str, Statistic] = {BLEU: bleu.score}
    values = {label: _values(answers, metrics, bleu) for label, answers in answers_of_rows.items() if answers}
    rows = [Row(label, _cells(answers, values.get(label, {}), metrics, statistics)) for label, answers in answers_of_rows.items()]
    difference = _difference(answers_of_rows, values, metrics, statistics)
    main = difference.get(B_U)
    notes = [headline(group.form, B_U, main)] if isinstance(main, Measurement) else []
    notes += [*group.notes("references"), *baseline_notes, *_explanations(group, metrics, bleu)]
    return Table(f"{group.form}: answers against references", metrics.columns, [*rows, Row(DIFFERENCE, difference)], notes)


def _with_baselines(group: AnswerSet) -> tuple[dict[str, Sequence[Answer]], list[str]]:
    """The answers of every row: of the controls, the best fixed answers, and for lack of swapped ones answers about other recordings."""
    rows: dict[str, Sequence[Answer]] = dict(group.by_control.items())
    label = "best constant" if rows["constant"] else "constant"
    rows[label] = constant_answers(group.own)
    notes = [f"{label}: {CONSTANT_NOTE}"]
    if not rows["swapped"] and (shifted := shifted_answers(group.own)):
        rows["swapped"] = shifted
        notes.append(SWAPPED_NOTE)
    return rows, notes


def _values(answers: Sequence[Answer], metrics: TextMetrics, bleu: CorpusBleu) -> Values:
    """The values of every column that is measured."""
    result = {
        name: np.array([metric(answer.answer, answer.references) for answer in answers]) for name, metric in metrics.of_answers.items()
    }
    result[BLEU] = np.array([bleu.counts(answer.answer, answer.references) for answer in answers])
    if metrics.bert is not None:
        scores = metrics.bert.score([answer.answer for answer in answers], [answer.references for answer in answers])
        result[BERTSCORE] = np.array(scores.f1)
        if metrics.published:
            result[BERTSCORE_PUBLISHED] = np.array(scores.recall)
    return result


def _cells(answers: Sequence[Answer], values: Values, metrics: TextMetrics, statistics: Mapping[str, Statistic]) -> Cells:
    if not answers:
        return {BLEU: "no answers"}
    cells: Cells = {name: bootstrap_measurement(answers, column, statistics.get(name, mean)) for name, column in values.items()}
    cells[EMPTY] = share_measurement(answers, [not answer.answer.strip() for answer in answers])
    return _complete(cells, metrics)


def _difference(
    rows: Mapping[str, Sequence[Answer]], values: Mapping[str, Values], metrics: TextMetrics, statistics: Mapping[str, Statistic]
) -> Cells:
    own, swapped = rows["own"], rows["swapped"]
    if not swapped:
        return {BLEU: "no answers under swapped"}
    cells: Cells = {
        name: difference_measurement(own, values["own"][name], swapped, values["swapped"][name], statistics.get(name, mean))
        for name in values["own"]
    }
    return _complete(cells, metrics)


def _complete(cells: Cells, metrics: TextMetrics) -> Cells:
    return {name: cells.get(name, NOT_MEASURED if name in (BERTSCORE, BERTSCORE_PUBLISHED) else None) for name in metrics.columns}


def _explanations(group: AnswerSet, metrics: TextMetrics, bleu: CorpusBleu) -> list[str]:
    counts = {len(answer.references) for answer in group.own}
    signature = bleu.signature(counts.pop() if len(counts) == 1 else None)
    result = [
        "Intervals are 95 %, by bootstrap over recordings; n counts answers. Empty answers score 0. Of several references the best counts, "
        "but for BLEU, which counts matches with any.",
        f"BLEU: sacrebleu {signature}, divided by 100. B-U: BLEU of each answer on lower-case words, weights 0.25, smoothing method 1. "
        "ROUGE-L with stems.",
    ]
    if any(answer.choices for answer in group.own):
        result.append("Some of these questions have choices: evaluate.py choices tells whether they are answered rightly.")
    if metrics.bert is not None:
        result.append(f"BERTScore: {metrics.bert.description}, without rescaling.")
    if metrics.published:
        result += [f"{name} {fault}." for name, fault in TEXT_FAULTS.items() if name in metrics.columns]
    return result


