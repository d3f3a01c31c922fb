"""Retired names stay out: modules and classes that were renamed to the field's standard terms.

docs/architecture.md and CONTRIBUTING.md say which terms are used instead.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for scope in ("llama", "demo", "recipes", "DataSet", "benchmarks", "tests") for path in (ROOT / scope).rglob("*.py")
) + sorted(ROOT.glob("*.py"))

MODULES = set(
    """
    api_access api_hearing api_job api_pcm api_pieces api_reply api_request api_stream api_types apart asked assembly batching card_html
    cards chunks contents door drawings ears ears_data ears_harmony ears_model ears_pools ensemble eyes eyes_photographs features
    fields flags folder frozen gallery growing heard items knn learner listening look manifests material mount note_codec note_codes
    noises overlay parallel performing pictures player preparation published referring refusals reports rows settings shards shares
    shown sights snapshots songs spectrum streams studio takes tickets updates voice words work
    """.split()
)
CLASSES = set(
    """
    Answering Apart Arrived Asked Band Busy Chooser Closing CodeModel Coming DelayedGrid Desk Distant Door Ending Ensemble Entry Fused
    Fusing Growing Hall Heard Hearing Kept Lanes Learner Lesson Line Listener Listening Manifest Origin Ordered
    Patient Performance PixelRecipe Reduction Refused Shares Snapshot Snapshots Sounding Span Stopped Streams Studio Teacher Team Ticket
    Updater Visit Wanted Words Work
    """.split()
)


def class_names(path: Path) -> Iterator[str]:
    """Names of classes that a file defines or imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_retired_class(path: Path) -> None:
    assert not CLASSES & set(class_names(path))


def test_no_retired_module() -> None:
    stems = {path.stem.removeprefix("test_"): path.relative_to(ROOT).as_posix() for path in SOURCES}
    assert not {name: stems[name] for name in MODULES & set(stems)}


def test_a_retired_name_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("from llama.serving.requests import Ticket\nclass Studio: ...\n")
    assert CLASSES & set(class_names(file)) == {"Ticket", "Studio"}
