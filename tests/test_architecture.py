"""The house stays as drawn: who may import whom, which other libraries each row may touch, and what nobody may do.

The table is the picture in README.md. A file imports from rows above it in this table and, within its row, from what
stands to its left. A new file is given its place here first.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "llama"

ROWS: dict[str, tuple[str, ...]] = {
    "values": ("config", "audio", "media", "dialogue", "notes", "note_codes", "midi"),
    "blocks": ("cache", "linear", "lora", "transformer", "spectrum", "pools", "adapters", "projector", "tokenizer", "knn", "sampler"),
    "neighbours": (
        "frozen", "encoders", "synthesis", "encodec_stream", "musicgen", "ensemble", "listening", "audioldm2", "note_codec", "decoders",
    ),
    "whole": ("losses", "mumu_llama", "published", "shards", "assembly", "folder", "overlay", "checkpoint", "quantize"),
    "uses": (
        "generation", "tickets", "heard", "batching", "performing", "studio", "player", "apart", "engine", "stages", "fields",
        "settings", "examples", "items", "songs", "manifests", "samples", "tables", "streams", "order", "rows", "data", "store", "features",
        "learner", "run_state", "snapshots", "pictures", "reports",
        "parallel", "updates", "validation", "preparation", "training", "metrics",
    ),  # fmt: skip
    "shells": ("flags", "__init__", "__main__"),
}

# The whole answers and is loaded by methods of its own, which open these doors upward when they are called; the command
# of checkpoint.py tells its errors as the other commands do.
DOORS = {
    ("mumu_llama", "respond", "generation"),
    ("mumu_llama", "stream", "generation"),
    ("mumu_llama", "from_pretrained", "checkpoint"),
    ("mumu_llama", "save_pretrained", "checkpoint"),
    ("checkpoint", "main", "flags"),
}

EVERYWHERE = {"numpy", "torch"}
LIBRARIES = {  # beside the standard library and EVERYWHERE
    "values": {"torchaudio", "soundfile", "av", "PIL"},
    "blocks": set(),
    "neighbours": {"transformers", "diffusers", "safetensors", "huggingface_hub", "PIL"},
    "whole": {"safetensors", "huggingface_hub", "torchao"},
    "uses": set(),
    "shells": set(),
}
OF_A_FILE = {
    "midi": {"mido"},
    "tokenizer": {"sentencepiece"},
    "knn": {"faiss"},
    "sampler": {"soundfile", "scipy"},
    "folder": {"faiss"},
    "checkpoint": {"transformers"},  # its way to find a component's json on disk or hub
    "settings": {"yaml"},
    "tables": {"datasets"},
    "streams": {"webdataset"},
    "store": {"safetensors"},
    "learner": {"fairscale"},  # activation checkpointing with offload
    "snapshots": {"safetensors", "filelock"},
    "pictures": {"matplotlib"},
    "reports": {"tqdm", "tensorboard"},
    "parallel": {"accelerate"},
    "preparation": {"timm"},
}

PLACES = {name: (row, column) for row, names in enumerate(ROWS.values()) for column, name in enumerate(names)}
FILES = sorted(path for path in PACKAGE.glob("*.py"))
SOURCES = sorted(
    path
    for folder in ("llama", "tests", "benchmarks", "recipes", "DataSet", "demo", "assets")
    for path in (ROOT / folder).rglob("*.py")
) + sorted(ROOT.glob("*.py"))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(node: ast.AST, function: str | None = None) -> Iterator[tuple[str, str | None]]:
    """(dotted name of what is imported, the function it happens in); what only type checkers see does not count."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, function) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = f"llama.{child.module or ''}".rstrip(".") if child.level else str(child.module)
            names = [f"{module}.{alias.name}" for alias in child.names] if module == "llama" else [module]
            yield from ((name, function) for name in names)
        else:
            inner = child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
            yield from imports(child, inner)


def inner_imports(path: Path) -> set[tuple[str, str | None]]:
    """(file of the package, function) that `path` imports."""
    parts = ((name.split("."), function) for name, function in imports(tree_of(path)))
    return {(name[1] if len(name) > 1 else "__init__", function) for name, function in parts if name[0] == "llama"}


def outer_imports(path: Path) -> set[str]:
    """Libraries that `path` imports, the standard one left out."""
    found = {name.split(".")[0] for name, _ in imports(tree_of(path))}
    return found - set(sys.stdlib_module_names) - {"llama"}


def row_of(path: Path) -> str:
    return list(ROWS)[PLACES[path.stem][0]]


def test_every_file_has_its_place() -> None:
    strangers = [path.name for path in FILES if path.stem not in PLACES]
    assert not strangers, f"give {strangers} a place in ROWS"
    assert not [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"], "the package is flat"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_arrows_point_down(path: Path) -> None:
    for target, function in inner_imports(path):
        if (path.stem, function, target) in DOORS:
            continue
        assert target in PLACES, f"{path.name} imports {target}, which is no file of the package"
        assert PLACES[target] < PLACES[path.stem], f"{path.name} may not import {target} ({function or 'at import'})"


def test_no_door_stands_open_unused() -> None:
    used = {(path.stem, function, target) for path in FILES for target, function in inner_imports(path)}
    assert used >= DOORS, f"remove {DOORS - used} from DOORS"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_other_libraries_keep_to_their_row(path: Path) -> None:
    allowed = EVERYWHERE | LIBRARIES[row_of(path)] | OF_A_FILE.get(path.stem, set())
    strange = outer_imports(path) - allowed
    assert not strange, f"{path.name} may not import {sorted(strange)}"


def test_gradio_lives_in_the_page_alone() -> None:
    users = {path.relative_to(ROOT).as_posix() for path in SOURCES if "gradio" in outer_imports(path)}
    assert users <= {f"demo/{name}.py" for name in ("layout", "style", "mount", "respond")}


def test_the_page_stands_outside() -> None:
    """Whoever trains, evaluates or answers does so without it."""
    inside = [path for folder in ("llama", "DataSet", "recipes") for path in (ROOT / folder).rglob("*.py")]
    assert inside and not [path.name for path in inside if outer_imports(path) & {"demo", "gradio_app"}]


def faults(path: Path) -> Iterator[str]:
    """What nobody may do: swallow every error, un-pickle, run code that came with weights."""
    for node in ast.walk(tree_of(path)):
        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{place} bare except"
        if isinstance(node, ast.ExceptHandler) and all(isinstance(one, ast.Pass) for one in node.body):
            if node.type is not None and ast.unparse(node.type) in ("Exception", "BaseException"):
                yield f"{place} swallows {ast.unparse(node.type)}"
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            if (node.arg, node.value.value) in (("trust_remote_code", True), ("weights_only", False)):
                yield f"{place} {node.arg}={node.value.value}"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("pickle.load", "pickle.loads", "pickle.Unpickler"):
            yield f"{place} {ast.unparse(node)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            if not any(word.arg == "weights_only" for word in node.keywords):
                yield f"{place} torch.load without weights_only=True"


def test_nobody_swallows_errors_or_runs_foreign_code() -> None:
    found = [fault for path in SOURCES for fault in faults(path)]
    assert not [fault for fault in found if not (fault.startswith("tests/") and "pickle" in fault)]  # a test may pickle its own


def test_nothing_is_left_undone() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X:")
    assert not [path.name for path in SOURCES for mark in marks if mark in path.read_text(encoding="utf-8")]


def test_importing_does_no_work() -> None:
    """No page, no plots, no second decoder, no threads and no output come with the package."""
    heavy = ("gradio", "diffusers", "matplotlib", "faiss", "av")
    code = f"import sys, threading, llama; print([m for m in {heavy!r} if m in sys.modules], threading.active_count())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[] 1", done.stdout + done.stderr


def test_the_page_imports_without_gradio() -> None:
    code = "import sys, gradio_app; print('gradio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("source", ["from llama.generation import stream", "import llama.generation", "from .generation import x"])
def test_the_check_sees_an_arrow_upward(source: str, tmp_path: Path) -> None:
    file = tmp_path / "cache.py"
    file.write_text(source)
    assert inner_imports(file) == {("generation", None)}


def test_the_check_sees_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "bad.py"
    file.write_text("try:\n    f(trust_remote_code=True)\nexcept:\n    torch.load('x')\n")
    assert len(list(faults(file))) == 3
