"""The architecture: which package may import which, which libraries each may use, and what no file may do.

PACKAGES is the picture in docs/architecture.md. A package imports from those above it in the table, and files of one package
import one another without a cycle.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCOPES = ("llama", "demo", "recipes", "DataSet", "benchmarks")

EVERYWHERE = {"numpy", "torch"}
# Package, or file of a package's root, from the lowest level to the highest: the libraries that it may import beside the
# standard library and EVERYWHERE.
PACKAGES: dict[str, set[str]] = {
    "llama.errors": set(),
    "llama.json_yaml": {"yaml"},
    "llama.console": set(),
    "llama.files": {"safetensors"},
    "llama.ranges": set(),
    "llama.config": set(),
    "llama.device": set(),
    "llama.memory": {"psutil"},
    "llama.weights": set(),
    "llama.component_config": set(),
    "llama.hf": {"transformers"},
    "llama.media": {"av", "matplotlib", "mido", "music21", "PIL", "pi_heif", "soundfile", "torchaudio",
                    "verovio"},
    "llama.dialogue": {"PIL"},
    "llama.modules": {"faiss", "sentencepiece"},
    "llama.encoders": {"PIL", "safetensors", "transformers"},
    "llama.decoders": {"diffusers", "scipy", "soundfile", "transformers"},
    "llama.mumu_model": set(),
    "llama.checkpoint": {"faiss", "huggingface_hub", "safetensors", "transformers"},
    "llama.generation": set(),
    "llama.edit_plans": set(),
    "llama.editing": set(),
    "llama.answers": set(),
    "llama.named_length": set(),
    "llama.responding": set(),
    "llama.mumu_llama": set(),
    "llama.data": {"datasets", "webdataset"},
    "llama.evaluation": {"bert_score", "filelock", "matplotlib", "nltk", "pyarrow", "rouge_score", "sacrebleu", "safetensors",
                         "transformers"},
    "llama.serving": {"PIL"},
    "llama.training": {"accelerate", "fairscale", "filelock", "safetensors", "timm", "tqdm", "yaml"},
    "llama.cli": set(),
    "llama.edit_flags": set(),
    "llama.exports": set(),
    "llama.__init__": set(),
    "llama.__main__": set(),
    "DataSet.synthesis": {"av", "filelock", "PIL", "safetensors", "tinysoundfont"},
    "DataSet.pipeline": {"av", "faiss", "filelock", "matplotlib", "nbclient", "nbformat", "PIL", "ray", "silero_vad", "soundfile",
                         "torchaudio", "transformers"},
    "demo.service": {"av", "filelock", "mido", "PIL", "soundfile"},
    "demo.page": {"gradio", "matplotlib", "PIL"},
    "demo.api": {"fastapi", "pydantic", "pydantic_core", "starlette"},
    "demo.server": {"fastapi", "gradio", "h11", "prometheus_client", "psutil", "pydantic", "starlette", "uvicorn"},
    "benchmarks": {"httpx", "PIL", "playwright", "safetensors", "soundfile", "transformers"},
    "recipes.nano.timed_loop": set(),
    "recipes.nano.rendering": {"av", "scipy", "soundfile"},
    "recipes.nano.audio_encoder": {"safetensors", "transformers"},
    "recipes.nano.vision_encoder": {"PIL", "safetensors", "transformers"},
    "recipes.nano.music_decoder": {"soundfile", "tinysoundfont", "tokenizers", "transformers"},
    "recipes.nano.language": {"safetensors", "sentencepiece", "soundfile"},
    "recipes.nano.evaluation": {"librosa", "matplotlib", "mir_eval", "PIL", "torchaudio"},
    "llama.evaluation.commands": set(),
    "recipes.nano.all": set(),
    "recipes.smoke": set(),
}
FORBIDDEN = {("demo.page", "demo.api"), ("demo.api", "demo.page")}  # neither knows the other
LEVELS = {name: level for level, name in enumerate(PACKAGES)}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for scope in SCOPES for path in sorted((ROOT / scope).rglob("*.py"))}
SOURCES = sorted([*MODULES.values(), *ROOT.glob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "assets").rglob("*.py")])


def package_of(module: str) -> str | None:
    """The entry of PACKAGES that a module belongs to; None for the docstring files between packages."""
    if module == "llama":
        return "llama.__init__"
    parts = module.split(".")
    return next((name for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in PACKAGES), None)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(node: ast.AST) -> Iterator[str]:
    """Dotted names that a file imports, also inside functions; imports for type checkers alone do not count."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, f"line {child.lineno}: import by the full name"
            names = [f"{child.module}.{alias.name}" for alias in child.names]
            yield from (name if name in MODULES else str(child.module) for name in names)
        else:
            yield from imports(child)


def inner_imports(path: Path) -> set[str]:
    """Modules of the project that `path` imports."""
    return {name for name in imports(tree_of(path)) if name in MODULES}


def outer_imports(path: Path) -> set[str]:
    """Libraries that `path` imports, without the standard one."""
    tops = {name.split(".")[0] for name in imports(tree_of(path))}
    return tops - set(sys.stdlib_module_names) - {*SCOPES, *(file.stem for file in ROOT.glob("*.py"))}


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_of_the_table_exists(name: str) -> None:
    assert name == "llama.__init__" or any(module == name or module.startswith(f"{name}.") for module in MODULES)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_library_of_the_table_is_used(name: str) -> None:
    used = set().union(*(outer_imports(path) for module, path in MODULES.items() if package_of(module) == name))
    assert PACKAGES[name] <= used, f"remove {sorted(PACKAGES[name] - used)} from {name}"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module: str) -> None:
    package = package_of(module)
    if package is None:
        assert not inner_imports(MODULES[module]), f"give {module} a line in PACKAGES"
        return
    for target in inner_imports(MODULES[module]):
        other = package_of(target)
        if other is None or other == package:
            continue
        assert LEVELS[other] < LEVELS[package] and (package, other) not in FORBIDDEN, f"{module} may not import {target}"


@pytest.mark.parametrize("module", MODULES)
def test_libraries_stay_in_their_packages(module: str) -> None:
    strange = outer_imports(MODULES[module]) - EVERYWHERE - PACKAGES.get(package_of(module) or "", set())
    assert not strange, f"{module} may not import {sorted(strange)}"


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Paths that lead back to their first module, one for each module that lies on one."""
    state: dict[str, int] = {}
    result: list[list[str]] = []

    def visit(module: str, path: list[str]) -> None:
        state[module] = 1
        for target in sorted(graph.get(module, ())):
            if state.get(target) == 1:
                result.append([*path[path.index(target) :], target])
            elif target not in state:
                visit(target, [*path, target])
        state[module] = 2

    for module in graph:
        if module not in state:
            visit(module, [module])
    return result


def test_no_import_cycles() -> None:
    assert not cycles({module: inner_imports(path) for module, path in MODULES.items()})


def test_a_cycle_is_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c", "a"]]


def test_gradio_is_used_by_the_page_alone() -> None:
    users = {path.relative_to(ROOT).as_posix() for path in SOURCES if "gradio" in outer_imports(path)}
    allowed = {"gradio_app.py", "demo/page/layout.py", "demo/page/theme.py", "demo/page/client_endpoint.py",
               "demo/page/edit_controls.py", "demo/server/app.py", "demo/server/gradio_patches.py",
               "demo/page/gradio_request.py", "tests/demo/server/test_gradio_patches.py"}  # fmt: skip
    assert users == allowed


def test_the_product_stands_without_the_page() -> None:
    inside = [path for scope in ("llama", "DataSet", "recipes") for path in (ROOT / scope).rglob("*.py")]
    assert inside and not [path.name for path in inside if outer_imports(path) & {"gradio_app"}]


def faults(path: Path) -> Iterator[str]:
    """What no file may do: swallow every error, un-pickle, run code that came with weights, import a private name."""
    for node in ast.walk(tree_of(path)):
        place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{place} bare except"
        if isinstance(node, ast.ExceptHandler) and all(isinstance(statement, ast.Pass) for statement in node.body):
            if node.type is not None and ast.unparse(node.type) in ("Exception", "BaseException"):
                yield f"{place} swallows {ast.unparse(node.type)}"
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            if (node.arg, node.value.value) in (("trust_remote_code", True), ("weights_only", False)):
                yield f"{place} {node.arg}={node.value.value}"
        if isinstance(node, ast.ImportFrom) and MODULES.keys() & {node.module} and not place.startswith("tests/"):
            yield from (f"{place} imports {alias.name}" for alias in node.names if re.match("_[^_]", alias.name))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("pickle.load", "pickle.loads", "pickle.Unpickler"):
            yield f"{place} {ast.unparse(node)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            if not any(word.arg == "weights_only" for word in node.keywords):
                yield f"{place} torch.load without weights_only=True"


def test_no_file_swallows_errors_or_runs_foreign_code() -> None:
    found = [fault for path in SOURCES for fault in faults(path)]
    assert not [fault for fault in found if not (fault.startswith("tests/") and "pickle" in fault)]  # a test may pickle its own


def test_no_work_is_left_open() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X:")
    assert not [path.name for path in SOURCES for mark in marks if mark in path.read_text(encoding="utf-8")]


def test_importing_does_no_work() -> None:
    """No page, no plots, no second decoder, no threads and no output come with the package."""
    heavy = ("gradio", "diffusers", "matplotlib", "faiss", "av")
    code = f"import sys, threading, llama; print([m for m in {heavy!r} if m in sys.modules], threading.active_count())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[] 1", done.stdout + done.stderr


@pytest.mark.parametrize("command", ["llama.__main__", "gradio_app", "train", "evaluate"])
def test_help_does_not_wait_for_torch(command: str) -> None:
    code = f"import sys, {command}; print({{'torch', 'gradio', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_check_sees_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    file = tmp_path / "bad.py"
    file.write_text("from llama.files import _partial\ntry:\n    f(trust_remote_code=True)\nexcept:\n    torch.load('x')\n")
    assert len(list(faults(file))) == 4


def test_the_check_sees_imports(tmp_path: Path) -> None:
    file = tmp_path / "upward.py"
    file.write_text("from llama import generation\nfrom llama.serving.engine import Engine\ndef f():\n    import llama.mumu_llama\n")
    assert inner_imports(file) == {"llama.generation", "llama.serving.engine", "llama.mumu_llama"}
    assert LEVELS["llama.serving"] > LEVELS["llama.generation"] > LEVELS["llama.decoders"]
    assert re.match(r"llama\.", next(iter(PACKAGES)))
