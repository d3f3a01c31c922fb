"""Tables that all notebooks show: counts of each step, random items, speed, examples as training reads them, training, the data card.

A view is shown by a notebook as Markdown; `str` of it is the same text for a terminal.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from DataSet.pipeline.deduplication import read_pairs
from DataSet.pipeline.export import FOLDERS, SPLITS
from DataSet.pipeline.item import Item
from DataSet.pipeline.run_options import StepReport
from DataSet.pipeline.set_result import MILLION, SetResult, StepCount
from DataSet.pipeline.step import Outcome, Rejection
from DataSet.pipeline.training_check import STEPS, train_on
from llama.data.json_lists import read_source
from llama.data.source import Source
from llama.errors import shorten
from llama.evaluation.tables import Row, Table, markdown

LONGEST_CELL = 160  # characters
REJECTED_SHARE = 0.3  # of the random items, so that errors are seen


@dataclass(frozen=True)
class MarkdownView:
    """Markdown for a notebook."""

    text: str

    def _repr_markdown_(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return "Markdown"


def table_view(*tables: Table) -> MarkdownView:
    """Tables below one another."""
    return MarkdownView("\n".join(map(markdown, tables)))


def label(item: Item) -> str:
    """What tables call an item."""
    return f"{item.source}: {item.key}"


def count_table(counts: Sequence[StepCount]) -> Table:
    """How many items reached each step, how many it kept, and why it rejected the others."""
    rows = [
        Row(count.step, {"in": str(count.given), "kept": str(count.kept), "why not": _rules(count.rules)}) for count in counts
    ]
    return Table("Items at each step", ("in", "kept", "why not"), tuple(rows))


def counts(result: SetResult) -> MarkdownView:
    return table_view(count_table(result.counts()))


def random_items(result: SetResult, count: int = 10, seed: int = 0) -> MarkdownView:
    """Items drawn from all that the sources gave, about a third of them rejected ones."""
    histories = [(item, outcomes, _rejection(outcomes)) for item, outcomes in result.histories()]
    rejected = [row for row in histories if row[2] is not None]
    kept = [row for row in histories if row[2] is None]
    rng = random.Random(seed)
    wanted = min(len(rejected), max(round(count * REJECTED_SHARE), count - len(kept)))
    chosen = rng.sample(rejected, wanted) + rng.sample(kept, min(len(kept), count - wanted))
    rows = []
    for item, outcomes, rejection in sorted(chosen, key=lambda row: row[0].id):
        fate = _split(outcomes) if rejection is None else f"{rejection[0]}: {rejection[1].rule}"
        text = _words(outcomes) if rejection is None else rejection[1].why
        rows.append(Row(label(item), {"licence": item.licence, "fate": fate, "words, or why not": shorten(text, LONGEST_CELL)}))
    return table_view(Table(f"{len(rows)} random items", ("licence", "fate", "words, or why not"), tuple(rows)))


def duplicates(result: SetResult) -> MarkdownView:
    """What deduplication and the block list rejected, with the sentence that names the rule and the item that was kept."""
    return table_view(duplicate_table(result.histories()))


def duplicate_table(histories: Iterable[tuple[Item, Mapping[str, Outcome]]]) -> Table:
    rows = []
    for item, outcomes in histories:
        outcome = outcomes.get("duplicates")
        if isinstance(outcome, Rejection):
            rows.append(Row(label(item), {"rule": outcome.rule, "why": outcome.why}))
    return Table("Duplicates", ("rule", "why"), tuple(sorted(rows, key=lambda row: row.label)))


def guards(result: SetResult) -> MarkdownView:
    """Who wrote the instructions that were taken, and how often each guard refused the writer, with one of the texts."""
    writers: Counter[str] = Counter()
    refused: dict[str, list[str]] = defaultdict(list)
    for entry in result.entries():
        outcome = entry.results["instruction"]
        writers[outcome["writer"]] += 1
        for text in outcome["refused"]:
            refused[text["rule"]].append(text["text"])
    rows = [Row(writer, {"items": str(count)}) for writer, count in sorted(writers.items())]
    rules = [Row(rule, {"refused": str(len(texts)), "for example": shorten(min(texts), LONGEST_CELL)}) for rule, texts in sorted(refused.items())]
    return table_view(Table("Writers", ("items",), tuple(rows)), Table("Refused by the guards", ("refused", "for example"), tuple(rules)))


def nearest_pairs(result: SetResult, count: int = 12) -> MarkdownView:
    """The most similar pairs that deduplication compared: copies, and the nearest of those that are none."""
    names = {item.id: label(item) for item, _ in result.histories()}
    pairs = read_pairs(result.work_folder)
    nearest = [pair for pair in pairs if not pair.is_copy][: count // 3]
    copies = [pair for pair in pairs if pair.is_copy][: count - len(nearest)]
    rows = []
    for pair in [*copies, *nearest]:
        cells = {
            "and": names.get(pair.second, pair.second), "rule": pair.rule, "alike": f"{pair.similarity:.2f}",
            "shift, s": f"{pair.shift:.1f}" if pair.rule == "peaks" else None, "verdict": "copy" if pair.is_copy else "no copy",
        }  # fmt: skip
        rows.append(Row(names.get(pair.first, pair.first), cells))
    return table_view(Table("Nearest pairs", ("and", "rule", "alike", "shift, s", "verdict"), tuple(rows)))


def speed_table(reports: Sequence[StepReport]) -> Table:
    """Items a second of each step in this run, loading included, and the hours that a million would take on one such worker."""
    rows = []
    for report in reports:
        rate = report.items_per_second
        cells = {"computed": str(report.computed_items), "seconds": f"{report.seconds:.1f}"}
        if rate:
            cells |= {"items a second": f"{rate:.1f}", "hours for a million": f"{MILLION / rate / 3600:,.0f}"}
        rows.append(Row(report.name, cells))
    notes = ("A step that finds its results in the work folder computes nothing. Small runs count the loading of models in full.",)
    return Table("Items a second", ("computed", "seconds", "items a second", "hours for a million"), tuple(rows), notes)


def speed(result: SetResult) -> MarkdownView:
    return table_view(speed_table(result.reports))


def training_source(result: SetResult, split: str = "train") -> Source:
    """The exported list of a split as a source of training."""
    kind = result.form.input_kind
    media = result.export.folder / FOLDERS["audio" if kind == "text" else kind]
    return Source("instructions", str(result.export.list_path(result.form, split)), str(media))


def read_back(result: SetResult, count: int = 3) -> MarkdownView:
    """The first examples of the training list, as training reads them."""
    examples = read_source(training_source(result), stage=3)
    rows = []
    for example in [examples[index] for index in range(min(count, len(examples)))]:
        medium = next((kind for kind in FOLDERS if getattr(example, kind) is not None), "text alone")
        cells = {"task": example.task, "medium": medium, "instruction": example.instruction, "answer": example.answer}
        rows.append(Row(example.source, cells))
    note = f"The list has {len(examples)} examples."
    return table_view(Table("Read back by llama.data", ("task", "medium", "instruction", "answer"), tuple(rows), (note,)))


def training(result: SetResult, steps: int = STEPS) -> MarkdownView:
    """Trains on the exported list, and shows the loss of each step."""
    source = training_source(result)
    losses = train_on([{"form": source.form, "file": source.file, "media": source.media}], steps=steps)
    rows = [Row(str(number), {"loss": f"{loss:.2f}"}) for number, loss in enumerate(losses, 1)]
    return table_view(Table("Steps of train.py", ("loss",), tuple(rows)))


def card(result: SetResult) -> MarkdownView:
    """The data card, as it lies in the exported folder."""
    text = (result.export.folder / "README.md").read_text(encoding="utf-8")
    return MarkdownView(text.partition("\n")[2].strip())  # its title is the notebook's


def files(result: SetResult) -> Table:
    """What was written: splits and their items."""
    rows = [Row(split, {"items": str(result.export.items[split])}) for split in SPLITS]
    return Table("Exported", ("items",), tuple(rows))


def _rules(rules: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {rule}" for rule, count in sorted(rules.items(), key=lambda pair: (-pair[1], pair[0])))


def _rejection(outcomes: Mapping[str, Outcome]) -> tuple[str, Rejection] | None:
    return next(((step, outcome) for step, outcome in outcomes.items() if isinstance(outcome, Rejection)), None)


def _split(outcomes: Mapping[str, Any]) -> str:
    return str(outcomes["split"]["split"])


def _words(outcomes: Mapping[str, Any]) -> str:
    return str(outcomes["instruction"]["human"])
