"""Data card of a set: what is in it, under which licences, how it was split and made, and what was left out and why.

It has no date and no path, so that the same set has the same card.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from DataSet.pipeline.export import SPLITS, RejectedItem, SetForm, list_name
from DataSet.pipeline.step import StepInput, StepSpec
from llama.evaluation.tables import Row, Table, markdown

DESCRIPTIONS = {
    "text": "Music with captions, and requests for music in words.",
    "audio": "Recordings with edits of them, and instructions that ask for the edit.",
    "image": "Pictures with music, and requests for music that fits a picture.",
    "video": "Clips with music, and requests for music that fits a clip.",
}


def data_card(
    form: SetForm, profile: str, entries: Sequence[StepInput], rejected: Sequence[RejectedItem], steps: Sequence[StepSpec]
) -> str:
    """The card in Markdown."""
    parts = [
        f"# {form.name}\n\n{DESCRIPTIONS[form.input_kind]} Made by `DataSet/pipeline` with the profile `{profile}`.\n",
        *(markdown(table) for table in (split_table(entries), licence_table(entries), rejection_table(rejected), step_table(steps))),
        _files(form, entries),
    ]
    return "\n".join(parts)


def split_table(entries: Sequence[StepInput]) -> Table:
    """Items, groups and hours of each split."""
    rows = []
    for split in SPLITS:
        part = [entry for entry in entries if entry.results["split"]["split"] == split]
        groups = {entry.results["split"]["group"] for entry in part}
        rows.append(Row(split, {"items": str(len(part)), "groups": str(len(groups)), "hours": hours(part)}))
    note = "A group (a recording with all its parts, a clip with its frames and its music) lies in one split alone."
    return Table("Splits", ("items", "groups", "hours"), tuple(rows), (note,))


def licence_table(entries: Sequence[StepInput]) -> Table:
    """Items and hours by licence and source."""
    groups = defaultdict(list)
    for entry in entries:
        groups[entry.item.licence, entry.item.source].append(entry)
    rows = [Row(licence, {"source": source, "items": str(len(part)), "hours": hours(part)}) for (licence, source), part in sorted(groups.items())]
    return Table("Licences", ("source", "items", "hours"), tuple(rows), ("ledger.jsonl names the source and licence of each item.",))


def rejection_table(rejected: Sequence[RejectedItem]) -> Table:
    """Items that were left out by step and rule, with the first of their sentences."""
    groups: dict[tuple[str, str], list[RejectedItem]] = defaultdict(list)
    for row in rejected:
        groups[row.step, row.rejection.rule].append(row)
    rows = [
        Row(step, {"rule": rule, "items": str(len(part)), "for example": min(part, key=lambda row: row.entry.item.id).rejection.why})
        for (step, rule), part in sorted(groups.items())
    ]
    return Table("Left out", ("rule", "items", "for example"), tuple(rows), ("rejections.jsonl names all; nothing was deleted.",))


def step_table(steps: Iterable[StepSpec]) -> Table:
    """The steps and what their results depend on."""
    rows = [Row(spec.name, {"version": str(spec.version), "made with": _maker(spec.settings)}) for spec in steps]
    return Table("Steps", ("version", "made with"), tuple(rows), ("steps.json has all settings, and the digest of each step that ledger.jsonl names.",))


def hours(entries: Sequence[StepInput]) -> str:
    return f"{sum(entry.results['segment']['seconds'] or 0.0 for entry in entries) / 3600:.3f}"


def _maker(settings: Mapping[str, Any]) -> str:
    """The model or writer of a step, and its prompt."""
    words = [str(settings[name]) for name in ("kind", "writer", "model") if settings.get(name)]
    prompt = settings.get("prompt")
    return ", ".join([*words, f"prompt {prompt['name']} version {prompt['version']}"] if prompt else words)


def _files(form: SetForm, entries: Sequence[StepInput]) -> str:
    counts = Counter(entry.results["split"]["split"] for entry in entries)
    lists = [f"`{list_name(form, split, 'Instructions')}`" for split in SPLITS if counts[split]]
    return (
        f"### Files\n\nLists in the published form: {', '.join(lists)}. The same as tar shards in `shards/SPLIT`. "
        f"`ledger.jsonl` says where each of the {len(entries)} items comes from.\n"
    )
