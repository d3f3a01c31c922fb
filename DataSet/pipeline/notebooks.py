"""Runs the notebooks of DataSet/ and saves them with their outputs, so that they can be read without running.

    python -m DataSet.pipeline.notebooks                  # all four, in place
    python -m DataSet.pipeline.notebooks MUImage MUVideo

A run has the profile `small` and a temporary folder. What a notebook prints depends neither on the machine nor on that folder; cells
with the tag `timing` are the exception.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.console import CommandParser, run_command
from llama.errors import shorten
from llama.files import write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ("MUCaps", "MUEdit", "MUImage", "MUVideo")
PARAMETERS, TIMING = "parameters", "timing"  # tags of cells
TIMEOUT = 900  # seconds of a cell
IGNORED_WARNING = "ignore:IProgress not found"  # of tqdm, which names its own path: there are no widgets for its bars
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
EMBEDDED = re.compile(r"data:([\w/+.-]+);base64,[A-Za-z0-9+/=]*")


def run_notebook(path: Path, folder: Path, parameters: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> NotebookNode:
    """The notebook with the outputs of a run in `folder`, whose kernel has this Python. The file is not changed.

    parameters: values that are set after the cell with the tag `parameters`. environment: of the kernel, instead of this process's.
    Raises nbclient.exceptions.CellExecutionError for a cell that fails.
    """
    nbformat, nbclient = _libraries()
    notebook = nbformat.read(path, as_version=4)
    place = 1 + next((number for number, cell in enumerate(notebook.cells) if has_tag(cell, PARAMETERS)), -1)
    if not place:
        raise ValueError(f"{path} has no cell with the tag {PARAMETERS}; give one the tag.")
    lines = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    notebook.cells.insert(place, nbformat.v4.new_code_cell(lines))
    client = nbclient.NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(folder)}}, coalesce_streams=True,
        record_timing=False, extra_arguments=["--HistoryManager.enabled=False", "--IPKernelApp.log_level=ERROR"],
    )  # fmt: skip
    values = os.environ if environment is None else environment
    import_path = os.pathsep.join(filter(None, (str(ROOT), values.get("PYTHONPATH"))))
    client.execute(env={**values, "PYTHONPATH": import_path, "PYTHONWARNINGS": IGNORED_WARNING})
    del notebook.cells[place]
    return _cleaned(notebook)


def has_tag(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", ())


def stable_outputs(notebook: NotebookNode) -> list[tuple[str, list[dict[str, str]]]]:
    """What two runs share: for each code cell its source and its outputs by type, media replaced by their type.

    Outputs of cells with the tag `timing` are left out.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(cell.source, [] if has_tag(cell, TIMING) else [_texts(output) for output in cell.outputs]) for cell in cells]


def refresh(name: str) -> int:
    """Runs the notebook of that name and saves it with its outputs; returns its size in bytes."""
    nbformat, _ = _libraries()
    path = ROOT / "DataSet" / f"{name}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(f"There is no notebook {name}; choose of {', '.join(NOTEBOOKS)}.")
    with tempfile.TemporaryDirectory() as folder:
        environment = {key: value for key, value in os.environ.items() if key != "MUMU_PROFILE"}
        notebook = run_notebook(path, Path(folder), {"folder": name}, environment)
    write_text(path, nbformat.writes(notebook) + "\n")
    return path.stat().st_size


def _libraries() -> tuple[Any, Any]:
    try:
        import nbclient
        import nbformat
    except ImportError as error:
        raise ValueError(f'Notebooks are run by nbclient, which does not load ({error}); run: pip install ".[notebooks]"') from error
    return nbformat, nbclient


def _texts(output: NotebookNode) -> dict[str, str]:
    """Type -> text of an output; a picture counts by its type alone."""
    if output.output_type == "stream":
        return {output.name: output.text}
    if output.output_type == "error":
        return {"error": f"{output.ename}: {output.evalue}"}
    return {kind: "" if kind.startswith("image/") else EMBEDDED.sub(r"\1", text) for kind, text in output.data.items()}


def _cleaned(notebook: NotebookNode) -> NotebookNode:
    """Without what tells of the machine: versions, times, and numbers of executions beyond the order of the cells."""
    notebook.metadata = METADATA
    for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
        cell.metadata.pop("execution", None)
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
    return notebook


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one sentence on what was wrong."""
    return run_command(lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NOTEBOOKS)} (default: all)")
    return parser


def _run(options: argparse.Namespace) -> int:
    _, nbclient = _libraries()
    for name in options.names or NOTEBOOKS:
        try:
            print(f"{name}.ipynb: {refresh(name) / 1000:.0f} kB", flush=True)
        except nbclient.exceptions.CellExecutionError as error:
            print(error, file=sys.stderr)
            raise ValueError(f"{name}.ipynb fails in a cell ({shorten(error.ename)}: {shorten(error.evalue)}); it was not saved.") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
