"""What the notebook MUEdit shows: pairs, asked against measured values, the balance of operations, guards, levels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from math import log2
from typing import Any

import numpy as np

from DataSet.pipeline.audio_edits import OPERATIONS
from DataSet.pipeline.edit_choice import categories, chi_square, cross_table
from DataSet.pipeline.edit_figures import asked_against_measured, source_above_edit
from DataSet.pipeline.media_cards import Card, Figure, Gallery, sound_player
from DataSet.pipeline.notebook_tables import MarkdownView, table_view
from DataSet.pipeline.set_result import SetResult
from DataSet.pipeline.step import Rejection, StepInput
from llama.evaluation.tables import Measurement, Row, Table
from llama.media.audio import Waveform

SHOWN = ("pitch", "speed", "notes", "loop", "reverse")  # operations of the pictures, in their order
PLAYER_SECONDS = 4.0
LOST = ("direction", "number", "other_number", "term")  # guards that find an edit turned or lost


def pairs(result: SetResult, count: int = 3) -> Gallery:
    """A pair of each of the first operations: source above edit, the instruction, and two players."""
    cards = []
    for operation in SHOWN[:count]:
        found = [entry for entry in _entries(result) if entry.results["edit"]["operation"] == operation]
        for entry in sorted(found, key=_size, reverse=True)[:1]:
            source, target = (Waveform.read(result.media(entry, kind)) for kind in ("source", "audio"))
            players = "".join(f"<div style='flex:1'>{name}<br>{sound_player(wave, PLAYER_SECONDS)}</div>"
                              for name, wave in (("source", source), ("edit", target)))  # fmt: skip
            words = [entry.results["instruction"]["human"], entry.results["instruction"]["gpt"]]
            row = f"<div style='display:flex;gap:12px'>{players}</div>"
            cards.append(Card(f"{operation}: {entry.item.key}", [source_above_edit(source, target)], words, [row]))
    return Gallery(cards, width=700)


def measured(result: SetResult) -> Figure:
    """Asked against measured speed and pitch of the edits that change them."""
    points: dict[str, list[tuple[float, float]]] = {"speed": [], "cents": []}
    for entry in _entries(result):
        edit = entry.results["edit"]
        for name, neutral in (("speed", 1.0), ("cents", 0.0)):
            if edit["expected"].get(name, neutral) != neutral and name in edit["measured"]:
                points[name].append((edit["expected"][name], edit["measured"][name]))
    return Figure(asked_against_measured(points["speed"], points["cents"]))


def operations(result: SetResult) -> MarkdownView:
    """Pairs of each operation, how many were beyond a tolerance, and the median error of what was written."""
    found, beyond = defaultdict(list), Counter[str]()
    for item, outcomes in result.histories():
        outcome = outcomes.get("edit")
        if isinstance(outcome, Rejection):
            beyond[item.truth["operation"]] += 1
        elif outcome is not None:
            found[outcome["operation"]].append(outcome)
    rows = []
    for operation in OPERATIONS:
        edits = found[operation]
        errors = {
            "speed, %": [100 * abs(edit["measured"]["speed"] / edit["expected"]["speed"] - 1) for edit in edits if _has(edit, "speed")],
            "pitch, cents": [abs(edit["measured"]["cents"] - edit["expected"]["cents"]) for edit in edits if _has(edit, "cents")],
            "level, dB": [abs(edit["measured"]["level_db"] - edit["expected"]["level_db"]) for edit in edits],
        }
        cells = {name: Measurement(float(np.median(values)), len(values), digits=3) if values else None for name, values in errors.items()}
        rows.append(Row(operation, {"pairs": str(len(edits)), "rejected": str(beyond[operation]), **cells}))
    notes = ("Median error of the written files, by onsets and partials. A reversal is checked sample by sample, a loop by its rounds, notes by "
             "the score: what is beyond 1 %, 5 cents or 0.1 dB is rejected.",)  # fmt: skip
    return table_view(Table("Operations", ("pairs", "rejected", "speed, %", "pitch, cents", "level, dB"), tuple(rows), notes))


def balance(result: SetResult) -> MarkdownView:
    """How often each lead and style has each operation, and whether one predicts the other."""
    rows: list[tuple[str, str]] = []
    for item, outcomes in result.histories():
        if "edit" in outcomes:
            rows += [(category, item.truth["operation"]) for category in categories(item)]
    return table_view(*(_balance(kind, [row for row in rows if row[0].startswith(kind)]) for kind in ("style", "lead")))


def _balance(kind: str, rows: Sequence[tuple[str, str]]) -> Table:
    names, columns, counts = cross_table(rows)
    test = chi_square(counts)
    lines = [Row(name, {column: str(count) for column, count in zip(columns, row, strict=True)}) for name, row in zip(names, counts, strict=True)]
    note = (f"Chi-square {test.statistic:.1f} with {test.freedom} degrees of freedom, p {test.p:.2f}, Cramer's V {test.cramers_v:.2f}: a p near 0 "
            f"would mean that the {kind} tells the operation.")  # fmt: skip
    return Table(f"Operations by {kind}", tuple(columns), tuple(lines), (note,))


def lost_edits(result: SetResult) -> MarkdownView:
    """How often the writer lost the direction or the number of an edit, by operation."""
    texts, lost = Counter[str](), Counter[tuple[str, str]]()
    for entry in _entries(result):
        operation, outcome = entry.results["edit"]["operation"], entry.results["instruction"]
        texts[operation] += outcome["tries"]
        for refused in outcome["refused"]:
            lost[operation, refused["rule"] if refused["rule"] in LOST else "other faults"] += 1
    columns = ("texts", *LOST, "other faults")
    rows = [
        Row(operation, {"texts": str(texts[operation]), **{name: str(lost[operation, name]) for name in columns[1:]}})
        for operation in OPERATIONS if texts[operation]
    ]  # fmt: skip
    notes = ("Texts that the writer gave, and how many each guard refused: direction (faster for slower), number (lost, turned, another "
             "unit), other_number (one that was not given), term (a missing name).",)  # fmt: skip
    return table_view(Table("Edits that the writer lost", columns, tuple(rows), notes))


def levels(result: SetResult) -> MarkdownView:
    """Whether anything but the edit tells source and target apart: channels, rate, level, peak."""
    groups = defaultdict(list)
    for entry in _entries(result):
        groups[entry.results["edit"]["operation"]].append(entry.results["edit"])
    columns: dict[str, Callable[[Sequence[Mapping[str, Any]]], str]] = {
        "pairs": lambda edits: str(len(edits)),
        "same channels": lambda edits: str(sum(len(set(edit["measured"]["channels"])) == 1 for edit in edits)),
        "same rate": lambda edits: str(sum(len(set(edit["measured"]["sample_rate"])) == 1 for edit in edits)),
        "level off, dB (largest)": lambda edits: f"{max(abs(edit['measured']['level_db'] - edit['expected']['level_db']) for edit in edits):.3f}",
        "peak (highest)": lambda edits: f"{max(max(edit['measured']['peak']) for edit in edits):.2f}",
    }
    rows = [Row(operation, {name: cell(groups[operation]) for name, cell in columns.items()}) for operation in OPERATIONS if groups[operation]]
    note = "The level of an edit is its source's, but for the operation level, whose asked difference is taken out here."
    return table_view(Table("Source and target", tuple(columns), tuple(rows), (note,)))


def _size(entry: StepInput) -> float:
    """How large a change of speed or pitch is, so that a picture shows it."""
    expected = entry.results["edit"]["expected"]
    return abs(log2(expected.get("speed", 1.0))) + abs(expected.get("cents", 0.0)) / 1200


def _has(edit: Mapping[str, Any], name: str) -> bool:
    return name in edit["expected"] and name in edit["measured"]


def _entries(result: SetResult) -> list[StepInput]:
    return sorted(result.entries(), key=lambda entry: entry.item.id)
