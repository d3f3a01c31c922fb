"""`evaluate.py paper`: the tables of what is there, what is missing said, published values beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from DataSet.synthesis.made_set import make_set
from evaluate import main, parser
from llama.evaluation.commands.paper import measuring_commands
from llama.evaluation.paper_tables import PARTS, paper_tables
from llama.evaluation.tables import Measurement, Row, Table


def test_quoted_rows_stand_in_their_own_columns() -> None:
    measured = Table("musicqa", ("B-U", "B-U (published code)"), [Row("own", {"B-U": Measurement(0.1, 5)})])
    table = paper_tables(PARTS[0], [measured])[0]
    assert table.title == "Music understanding (MusicQA): musicqa" and table.columns[:2] == ["B-U", "B-U (published code)"]
    quoted = {row.label: row.cells for row in table.rows}["MU-LLaMA (published, other code)"]
    assert quoted["B-U (published code)"] == "0.306" and "B-U" not in quoted and quoted["METEOR"] == "0.385"


def test_a_part_without_its_set_says_so() -> None:
    table = paper_tables(PARTS[1], [])[0]
    assert "Not measured: the data folder has no mucaps." in table.notes and not table.rows


@pytest.mark.parametrize(("captions", "flags"), [({}, 0), ({"a.wav": "A song."}, 1)])
def test_lists_without_captions_take_the_whole_reference(captions: dict[str, str], flags: int, tmp_path: Path) -> None:
    out = tmp_path / PARTS[2].name / "music"
    out.mkdir(parents=True)
    (out / "captions.json").write_text(json.dumps(captions))
    values = parser().parse_args(["paper", "--folder", "x", "--out", str(tmp_path)])
    arguments = [arguments for arguments, _ in measuring_commands(PARTS[2], tmp_path, values) if arguments[0] == "audio"][0]
    assert arguments.count("--captions") == arguments.count("--reference_names") == flags


def test_two_parts_of_five(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_set(tmp_path / "made", 4, 0, log=lambda line: None)
    (tmp_path / "data").mkdir()
    for name in ("musicqa", "muimage"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "made")
    arguments = ["--folder", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--limit", "2", "--seconds", "2"]
    assert main(["paper", *arguments, "--device", "cpu"]) == 0
    tables = {table["title"]: table for table in json.loads((tmp_path / "out/paper.json").read_text())["tables"]}
    assert [title.partition(":")[0] for title in tables if not tables[title]["rows"]] == [PARTS[1].title, PARTS[3].title, PARTS[4].title]
    answers = {row["label"]: row["cells"] for row in tables["Music understanding (MusicQA): musicqa: answers against references"]["rows"]}
    assert answers["own"]["B-U"]["n"] == 2 and {"swapped", "silence", "none", "constant", "own minus swapped"} <= set(answers)
    assert answers["LTU (published, other code)"]["B-U (published code)"] == "0.242"
    music = next(table for title, table in tables.items() if title.startswith(f"{PARTS[2].title}: Music with"))
    assert {"nano", "silence", "chance"} <= {row["label"] for row in music["rows"]}
    assert (tmp_path / "out/paper.png").stat().st_size > 1000 and "### Video to music" in capsys.readouterr().out


def test_a_folder_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "--folder", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_a_folder_of_other_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data" / "MUCap").mkdir(parents=True)
    assert main(["paper", "--folder", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 2
    assert "has none of the folders musicqa, mucaps, muimage, muvideo, muedit; name a folder" in capsys.readouterr().err
