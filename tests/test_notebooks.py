"""The notebooks of DataSet/: they run offline, and their committed outputs are those of a fresh run.

`python -m DataSet.pipeline.notebooks` runs them and saves their outputs.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from DataSet.pipeline.notebooks import NOTEBOOKS, PARAMETERS, TIMING, has_tag, run_notebook, stable_outputs

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 400_000
MOST_LINES = 12
HEADINGS = ["Parameters", "Run", "Counts", "Ten items", "Speed", "Pictures", "Checks", "Reading back", "Two steps of training", "Data card"]
TABLES = {  # title -> the least number of rows
    "all": {"Items at each step": 6, "10 random items": 10, "Items a second": 6, "Read back by llama.data": 3, "Steps of train.py": 2,
            "Splits": 3, "Licences": 2, "Left out": 3, "Steps": 5, "Writers": 2, "Refused by the guards": 3},
    "MUCaps": {"Facts in captions": 4, "Duplicates": 5, "Nearest pairs": 8, "Filters on the same recordings": 3,
               "Where the sequential form and ours differ": 3},
    "MUEdit": {"Operations": 7, "Operations by style": 4, "Operations by lead": 6, "Source and target": 7, "Edits that the writer lost": 6,
               "Duplicates": 4},
    "MUImage": {"Pairing of pictures and music": 2, "Captions": 2, "Duplicates": 4},
    "MUVideo": {"Motion and onset strength": 2, "Pace of the clip (rows) and tempo of its music (columns)": 4, "Unusual clips": 4,
                "Duplicates": 2},
}  # fmt: skip
PLANTED = {  # rules that must be seen, each of a planted file
    "MUCaps": ("clipped", "constant", "not music", "silent", "too short", "unreadable", "duplicate", "blocked"),
    "MUEdit": ("clipped", "constant", "not music", "silent", "too short", "unreadable", "duplicate", "blocked"),
    "MUImage": ("grey", "too small", "no sound", "unreadable", "duplicate", "blocked"),
    "MUVideo": ("too short", "unreadable", "duplicate", "blocked"),
}
# Python in which a name is looked up, or an address of another machine is called, fails; so do the processes that it starts.
GUARD = """
import socket
def _refused(*arguments, **options):
    raise OSError("a test allows no network")
_connect = socket.socket.connect
def _local(self, address):
    is_local = self.family == getattr(socket, "AF_UNIX", None) or str(address[0]).startswith("127.") or address[0] == "::1"
    return _connect(self, address) if is_local else _refused()
socket.socket.connect = _local
socket.getaddrinfo = socket.gethostbyname = _refused
"""
MACHINE = re.compile(
    r"(?<![\w.:/])/(?:home|root|work|tmp|usr|var|opt|mnt|Users|private)/|[A-Z]:\\|\.venv|site-packages|\bx86_64\b|\bLinux\b"
)


def read(name: str) -> NotebookNode:
    return nbformat.read(ROOT / "DataSet" / f"{name}.ipynb", as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown_tables(notebook: NotebookNode) -> dict[str, list[str]]:
    """Title -> rows of every table in the outputs."""
    tables: dict[str, list[str]] = {}
    for cell in code_cells(notebook):
        for output in cell.outputs:
            title = ""
            for line in output.get("data", {}).get("text/markdown", "").splitlines():
                if line.startswith("### "):
                    title = line.removeprefix("### ")
                    tables[title] = []
                elif line.startswith("| ") and title:
                    tables[title].append(line)
    return {title: rows[1:] for title, rows in tables.items()}  # without the line of columns


def texts(notebook: NotebookNode) -> Iterator[str]:
    """The outputs without media, the metadata, and the sources."""
    yield from (cell.source for cell in notebook.cells)
    yield str(notebook.metadata)
    yield from (text for _, outputs in stable_outputs(notebook) for output in outputs for text in output.values())


@pytest.fixture(scope="module", params=NOTEBOOKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_notebook_is_small_and_has_its_outputs(name: str) -> None:
    assert (ROOT / "DataSet" / f"{name}.ipynb").stat().st_size <= MOST_BYTES
    silent = {PARAMETERS}
    shown = [cell for cell in code_cells(read(name)) if not (silent & set(cell.metadata.get("tags", ())))]
    without = [cell.source for cell in shown if not cell.outputs]
    assert all("import" in source for source in without), without


def test_cells_are_short_and_define_nothing(name: str) -> None:
    for cell in code_cells(read(name)):
        assert len(cell.source.splitlines()) <= MOST_LINES
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, kinds)], cell.source


def test_all_notebooks_have_one_skeleton(name: str) -> None:
    notebook = read(name)
    lines = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    assert lines[0] == f"# {name}"
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == HEADINGS
    assert any("licence" in line for line in lines) and sum(has_tag(cell, PARAMETERS) for cell in notebook.cells) == 1


def test_outputs_tell_nothing_of_the_machine(name: str) -> None:
    assert not [text[:300] for text in texts(read(name)) if MACHINE.search(text)]


def test_every_table_has_rows(name: str) -> None:
    tables = markdown_tables(read(name))
    for title, least in (TABLES["all"] | TABLES[name]).items():
        assert len(tables.get(title, [])) >= least, (title, tables.get(title))
    for rule in PLANTED.get(name, ()):
        assert any(f"| {rule} |" in row for row in tables["Left out"]), rule


def test_ruff_lints_the_cells() -> None:
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", *(f"DataSet/{name}.ipynb" for name in NOTEBOOKS)]
    done = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of processes that reach no network."""
    folder = tmp_path_factory.mktemp("guard")
    (folder / "sitecustomize.py").write_text(GUARD)
    left_out = ("MUMU_PROFILE", "PYTHONPATH")
    return {**{key: value for key, value in os.environ.items() if key not in left_out}, "PYTHONPATH": str(folder)}


def test_the_guard_refuses_the_network(guarded: dict[str, str]) -> None:
    code = "import socket\nsocket.create_connection(('{}', 80), timeout=1)"
    for host in ("192.0.2.1", "example.org"):
        done = subprocess.run([sys.executable, "-c", code.format(host)], env=guarded, capture_output=True, text=True, check=False)
        assert "a test allows no network" in done.stderr


@pytest.mark.slow
def test_a_fresh_run_has_the_committed_outputs(name: str, guarded: dict[str, str], tmp_path: Path) -> None:
    committed, fresh = read(name), run_notebook(ROOT / "DataSet" / f"{name}.ipynb", tmp_path, {"folder": "set"}, guarded)
    assert not [output for cell in code_cells(fresh) for output in cell.outputs if output.output_type == "error"]
    assert not [output.text for cell in code_cells(fresh) for output in cell.outputs if output.get("name") == "stderr"]
    assert not [text[:300] for text in texts(fresh) if MACHINE.search(text) or str(tmp_path) in text]
    for (source, expected), (_, found) in zip(stable_outputs(committed), stable_outputs(fresh), strict=True):
        assert found == expected, source
    timings = [cell for cell in code_cells(fresh) if has_tag(cell, TIMING)]
    assert timings and all(cell.outputs for cell in timings)
    sizes = [len(nbformat.writes(notebook)) for notebook in (committed, fresh)]
    assert abs(sizes[0] - sizes[1]) < 0.1 * sizes[0] and sizes[1] <= MOST_BYTES
