"""The paper's five tables (arXiv 2412.06660): which measurements each takes, and published values beside them.

Legend: a part is one table with the folder of its set; quoted rows are of other code and, where they say so, of other recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from llama.evaluation.published_metrics import SUFFIX
from llama.evaluation.tables import Row, Table

NOT_FOUND = "The paper's own values are in no source that could be read."


@dataclass(frozen=True)
class Part:
    """One table of the paper. folder: of its set in the data folder; form: of `evaluate.py answers` or `music`."""

    name: str
    title: str
    folder: str
    form: str
    quoted: Mapping[str, Mapping[str, str]]
    notes: Sequence[str] = ()


def _understanding(b_u: str, meteor: str, rouge_l: str, bert: str) -> dict[str, str]:
    return {f"B-U{SUFFIX}": b_u, "METEOR": meteor, f"ROUGE-L{SUFFIX}": rouge_l, f"BERTScore{SUFFIX}": bert}


FILM_COMPOSER = "M2UGen on the set of FilmComposer, as two summaries of that paper quote it: KL 1.569, FAD 0.306, ImageBind 0.114."
DIFF_V2M = (
    "MuMu-LLaMA on the mixed set of Diff-V2M, as two summaries quote it: FAD 2.84, KL 1.25, density 0.107, coverage 0.090, ImageBind 0.145."
)
PARTS = (
    Part(
        "understanding", "Music understanding (MusicQA)", "musicqa", "musicqa",
        {
            "LTU (published, other code)": _understanding("0.242", "0.274", "0.326", "0.887"),
            "LLaMA-Adapter (published, other code)": _understanding("0.273", "0.334", "0.413", "0.895"),
            "MU-LLaMA (published, other code)": _understanding("0.306", "0.385", "0.466", "0.901"),
        },
        ("Published values are those of MU-LLaMA's README. Their code counts BLEU over characters and takes recall for ROUGE-L and "
         "BERTScore, so they compare with the columns named after it alone.",),
    ),
    Part("text_to_music", "Text to music (MUCaps)", "mucaps", "mucaps", {}, (NOT_FOUND,)),
    Part("image_to_music", "Image to music (MUImage)", "muimage", "muimage", {}, (NOT_FOUND, FILM_COMPOSER)),
    Part("video_to_music", "Video to music (MUVideo)", "muvideo", "muvideo", {}, (NOT_FOUND, DIFF_V2M)),
    Part("editing", "Music editing (MUEdit)", "muedit", "muedit", {}, (NOT_FOUND, "No evaluator of the published edits was released.")),
)  # fmt: skip


def paper_tables(part: Part, measured: Sequence[Table]) -> list[Table]:
    """The measured tables under the title of the paper's, with the quoted rows in the first; one that says that nothing was measured."""
    if not measured:
        note = f"Not measured: the data folder has no {part.folder}."
        return [with_quoted(Table(part.title, (), (), (note,)), part)]
    titled = [replace(table, title=f"{part.title}: {table.title}") for table in measured]
    return [with_quoted(titled[0], part), *titled[1:]]


def with_quoted(table: Table, part: Part) -> Table:
    """The table with a row for each published value, and columns for those that it lacks."""
    columns = [*table.columns, *dict.fromkeys(name for cells in part.quoted.values() for name in cells if name not in table.columns)]
    rows = [*table.rows, *(Row(label, cells) for label, cells in part.quoted.items())]
    return replace(table, columns=columns, rows=rows, notes=(*table.notes, *part.notes))
