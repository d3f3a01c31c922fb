"""Tables: Markdown, JSON and a picture of the same figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from llama.evaluation.tables import (
    Measurement,
    Row,
    Table,
    cell_text,
    library_versions,
    markdown,
    panels,
    table_from_json,
    table_to_json,
    write_tables,
)  # fmt: skip

TABLE = Table(
    "Understanding",
    ("B-U", "BERTScore F1"),
    (
        Row("own", {"B-U": Measurement(0.25, 12, 0.2, 0.31), "BERTScore F1": "not measured: give --bert FOLDER"}),
        Row("swapped | $x", {"B-U": Measurement(0.1, 12)}),
        Row("own minus swapped", {"B-U": Measurement(-0.15, 12, -0.2, -0.1), "BERTScore F1": None}),
    ),
    ("2 recordings could not be heard.",),
)


def test_markdown_shows_value_interval_and_cases() -> None:
    lines = markdown(TABLE).splitlines()
    assert lines[0] == "### Understanding" and lines[2] == "|  | B-U | BERTScore F1 |"
    assert lines[4] == "| own | 0.250 (0.200 to 0.310, n 12) | not measured: give --bert FOLDER |"
    assert lines[5] == "| swapped \\| $x | 0.100 (n 12) |  |"  # a bar inside a cell would be a column
    assert lines[-1] == "2 recordings could not be heard."
    assert all(line.replace("\\|", "").count("|") == 4 for line in lines[2:7])
    assert cell_text(Measurement(math.nan, 0)) == "not measured (n 0)"
    assert cell_text(Measurement(1.25, 3, math.nan, math.nan, digits=1)) == "1.2 (n 3)"


def test_json_gives_the_table_back() -> None:
    assert table_from_json(json.loads(json.dumps(table_to_json(TABLE)))) == TABLE
    strange = Table("t", ("a",), (Row("r", {"a": Measurement(math.nan, 0, None, math.inf)}),))
    cell = table_from_json(json.loads(json.dumps(table_to_json(strange), allow_nan=False))).rows[0].cells["a"]
    assert isinstance(cell, Measurement) and math.isnan(cell.value) and cell.high is None


def test_three_files_are_written(tmp_path: Path) -> None:
    text = write_tables(tmp_path / "new", "text", [TABLE, TABLE], {"versions": library_versions("numpy", "no-such-package")})
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["text.json", "text.md", "text.png"]
    assert (tmp_path / "new/text.md").read_text(encoding="utf-8") == text
    values = json.loads((tmp_path / "new/text.json").read_text(encoding="utf-8"))
    assert [table_from_json(table) for table in values["tables"]] == [TABLE, TABLE]
    assert values["meta"]["versions"] == {"numpy": np.__version__, "no-such-package": "not installed"}


def test_the_picture_has_bars(tmp_path: Path) -> None:
    """Longer bars have more coloured pixels; a table without a figure says so."""
    colours = {}
    for value in (0.2, 0.9):
        table = Table("t", ("a",), (Row("one", {"a": Measurement(value, 5)}), Row("full", {"a": Measurement(1.0, 5)})))
        write_tables(tmp_path, "bars", [table], {})
        pixels = np.asarray(Image.open(tmp_path / "bars.png").convert("RGB")).astype(int)
        colours[value] = int(((pixels[..., 2] - pixels[..., 1]) > 40).sum())
    assert colours[0.9] > 1.3 * colours[0.2] > 0
    write_tables(tmp_path, "empty", [Table("t", ("a",), (Row("one", {"a": "not measured"}),))], {})
    assert np.asarray(Image.open(tmp_path / "empty.png").convert("L")).std() > 1


def test_the_picture_says_what_the_table_says() -> None:
    """A quoted number has a bar of its own kind; "not measured" stands where the table says so alone."""
    cells = {"own": Measurement(2.5, 3, digits=1), "quoted": "39.70", "short": "not reported: n = 8 of 40", "none": None,
             "few": Measurement(math.nan, 0), "odd": "nan"}  # fmt: skip
    panel = panels(Table("t", ("a",), [Row(label, {"a": cell}) for label, cell in cells.items()]))[0]
    assert not panels(Table("t", ("scored",), [Row("own", {"scored": "3"})]))  # counts and quotations alone need no chart
    found = {bar.label: (bar.value, bar.text, bar.is_quoted) for bar in panel.bars}
    assert found == {
        "own": (2.5, "2.5", False), "quoted": (39.7, "39.70", True), "short": (None, "not reported", False), "none": (None, "", False),
        "few": (None, "not measured", False), "odd": (None, "nan", False),
    }  # fmt: skip
