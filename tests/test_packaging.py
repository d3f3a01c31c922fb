"""Packaging: complete locks that agree with pyproject.toml, and a wheel that holds every package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_architecture import MODULES, SOURCES, outer_imports

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-build.txt")
EXTRAS = tuple(PROJECT["project"]["optional-dependencies"])


def locked(lock: str) -> dict[str, Requirement]:
    """Each requirement of that file by its normalised name. One package may have one line only."""
    lines = [line for line in (ROOT / lock).read_text(encoding="utf-8").splitlines() if line and not line.startswith(("#", " "))]
    found = [Requirement(line.removesuffix("\\")) for line in lines]
    named = {canonicalize_name(one.name): one for one in found}
    assert len(named) == len(found)
    return named


def release(one: Requirement) -> str:
    """The version of an exact requirement."""
    (only,) = one.specifier
    assert only.operator == "==" and "*" not in only.version, f"{one}: give one version"
    return only.version


def asked(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, but for the project's own name in an extra."""
    more = [line for extra in extras for line in PROJECT["project"]["optional-dependencies"][extra]]
    return [one for one in map(Requirement, [*PROJECT["project"]["dependencies"], *more]) if one.name != PROJECT["project"]["name"]]


@pytest.mark.parametrize("lock", LOCKS)
def test_each_lock_is_exact_and_has_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    for name, one in locked(lock).items():
        assert release(one)
        entry = text.split(f"\n{one.name}==", 1)[1]
        assert re.match(r"\S+( ; [^\n]+?)? \\\n    --hash=sha256:[0-9a-f]{64}", entry), f"{lock}: {name} has no hash"


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_place(lock: str) -> None:
    """No index, address or folder: the user chooses where packages come from."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert text.startswith("# ") and "make lock" in text.split("\n")[1]
    assert not re.findall(r"://|^--?[a-z]| @ |/tmp/|/home/|/root/", text, re.MULTILINE)


@pytest.mark.parametrize(("lock", "extras"), [("requirements.txt", ()), ("requirements-dev.txt", EXTRAS)])
def test_locks_hold_what_pyproject_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    held = locked(lock)
    for one in asked(*extras):
        version = release(held[canonicalize_name(one.name)])
        assert one.specifier.contains(version), f"{lock} has {one.name} {version}, pyproject.toml asks for {one}; run make lock"


def test_locks_hold_what_their_packages_ask_for() -> None:
    """The installed ones, which say what they need. The locks are installed without resolving anything."""
    held = locked("requirements-dev.txt")
    left_out = {canonicalize_name(name) for name in PROJECT["tool"]["uv"]["exclude-dependencies"]}
    assert not left_out & set(held)
    for name in held:
        try:
            needs = [Requirement(line) for line in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:  # for another system
            continue
        for need in needs:
            wanted = need.marker is None or need.marker.evaluate({"extra": ""})
            assert not wanted or canonicalize_name(need.name) in {*held, *left_out}, f"{name} needs {need}; run make lock"


def test_the_lock_for_tests_holds_that_of_users_in_the_same_versions() -> None:
    users, tests = locked("requirements.txt"), locked("requirements-dev.txt")
    assert {name: release(one) for name, one in users.items()} == {name: release(tests[name]) for name in users}
    build = locked("requirements-build.txt")
    assert all(release(users[name]) == release(one) for name, one in build.items() if name in users)


@pytest.mark.parametrize("one", asked(*EXTRAS), ids=str)
def test_each_requirement_of_pyproject_is_a_range(one: Requirement) -> None:
    assert sorted(part.operator for part in one.specifier) == ["<", ">="], f"{one}: give the lowest and the first unmeasured version"


def test_requirements_of_pyproject_are_in_order() -> None:
    names = [one.name.lower() for one in asked()]
    assert names == sorted(names)


def distribution_names(paths: Iterable[Path]) -> dict[str, set[str]]:
    """{the distributions that provide a library: the files that import it}, without the standard library and the project's own."""
    providers = metadata.packages_distributions()
    result: dict[str, set[str]] = {}
    for path in paths:
        for library in outer_imports(path):
            distributions = "|".join(sorted({canonicalize_name(name) for name in providers.get(library, [library])}))
            result.setdefault(distributions, set()).add(path.relative_to(ROOT).as_posix())
    return result


def undeclared(paths: Iterable[Path], *extras: str) -> dict[str, set[str]]:
    declared = {canonicalize_name(one.name) for one in asked(*extras)}
    return {names: files for names, files in distribution_names(paths).items() if not declared & set(names.split("|"))}


def test_every_import_of_the_product_is_declared() -> None:
    """What a user installs, without its extras, is not left to what other packages happen to need."""
    product = [path for name, path in MODULES.items() if name.startswith(("llama", "demo"))]
    assert not undeclared([*product, *ROOT.glob("*.py")], "knn", "train", "eval")
    optional = {  # imported where they are used, with a sentence if they are missing
        "bert-score", "datasets", "faiss-cpu", "nltk", "pyarrow", "rouge-score", "sacrebleu", "webdataset",
    }  # fmt: skip
    assert set(undeclared([*product, *ROOT.glob("*.py")])) == optional


def test_every_import_of_recipes_and_tests_is_declared() -> None:
    helpers = {canonicalize_name(path.stem) for path in (ROOT / "tests").rglob("*")} | {"tests"}
    assert not {names: files for names, files in undeclared(SOURCES, *EXTRAS).items() if names not in helpers}


def test_fairscale_is_imported_for_its_option_alone() -> None:
    """It comes as source only and is no longer maintained."""
    users = [name for name, path in MODULES.items() if "fairscale" in outer_imports(path)]
    assert users == ["llama.training.module"]
    code = "import sys, llama, train, llama.training.launch; print('fairscale' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("first", ["llama", "transformers, llama", "evaluate", "gradio_app", "train"])
def test_no_library_sends_statistics(first: str) -> None:
    """However the libraries are reached, also where the hub's is imported before our packages."""
    code = f"import {first}; from huggingface_hub import constants; import os; print(constants.HF_HUB_DISABLE_TELEMETRY)"
    environment = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize("first", ["demo", "gradio_app"])
def test_the_page_sends_no_statistics(first: str) -> None:
    code = f"import {first}, os; print(os.environ['GRADIO_ANALYTICS_ENABLED'])"
    environment = {name: value for name, value in os.environ.items() if name != "GRADIO_ANALYTICS_ENABLED"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "False", done.stderr


def test_users_install_no_test_tools() -> None:
    assert not {"pytest", "ruff", "mypy", "playwright"} & set(locked("requirements.txt"))


def test_the_wheel_holds_every_package_and_answers(tmp_path: Path) -> None:
    """Built from a copy, unpacked elsewhere, used without the checkout on the path."""
    copy, site = tmp_path / "project", tmp_path / "site"
    for name in ("llama", "demo"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    build = "import setuptools.build_meta as backend; print(backend.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(copy.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    sources = {path.relative_to(copy).as_posix() for name in ("llama", "demo") for path in (copy / name).rglob("*") if path.is_file()}
    assert sources <= {path.relative_to(site).as_posix() for path in site.rglob("*")}
    assert "demo/page/js/main.js" in sources and any(name.startswith("demo/page/css/") for name in sources)
    modules = [name.removesuffix(".py").replace("/", ".") for name in sources if name.endswith(".py") and "__" not in name]
    imports = f"import importlib, llama; [importlib.import_module(name) for name in {modules!r}]"
    code = f"{imports}; assert llama.__file__.startswith({str(site)!r})"
    command = [sys.executable, "-m", "llama", "What is a waltz?", "--model", str(ROOT / "ckpts/nano")]
    for arguments in ([sys.executable, "-c", code], command):
        done = subprocess.run(
            arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
