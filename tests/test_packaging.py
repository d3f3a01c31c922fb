"""The house around the package: lists that agree, files that must be there, pages whose examples run."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "ckpts/README.md",
    "ckpts/nano/README.md",
    "tests/golden/README.md",
    "recipes/nano/README.md",
    "configs/README.md",
)


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
    """Whoever installs chooses where packages come from."""
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
    assert {name: str(one) for name, one in users.items()} == {name: str(tests[name]) for name in users}
    build = locked("requirements-build.txt")
    assert all(release(users[name]) == release(one) for name, one in build.items() if name in users)


@pytest.mark.parametrize("one", asked(*EXTRAS), ids=str)
def test_each_requirement_of_pyproject_is_a_range(one: Requirement) -> None:
    assert sorted(part.operator for part in one.specifier) == ["<", ">="], f"{one}: give the lowest and the first unmeasured version"


def test_requirements_of_pyproject_are_in_order() -> None:
    names = [one.name.lower() for one in asked()]
    assert names == sorted(names)


def test_users_install_no_test_tools() -> None:
    assert not {"pytest", "ruff", "mypy", "playwright"} & set(locked("requirements.txt"))


@pytest.mark.parametrize("name", [*PAGES, "LICENSE", "Makefile", ".ci/run", "assets/architecture.png", "assets/logo.svg"])
def test_required_files_exist(name: str) -> None:
    assert (ROOT / name).stat().st_size > 100


def test_ci_can_be_executed_and_runs_what_the_readme_says() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text() and "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r"src=\"([^\"]+)\"", text)
    local = [target for target in targets if "://" not in target]
    missing = [one for one in local if not (ROOT / page).parent.joinpath(one).exists()]
    assert not missing, f"{page} links to {missing}"


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", python_blocks("README.md"))
def test_python_in_the_readme_is_python(block: str) -> None:
    compile(block, "README.md", "exec")


def test_python_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block after block as one program, in a folder from which assets/ and ckpts/ are seen but not written to.

    Those that ask a server are left out: the tests of the page and of its API ask the same of one.
    """
    for name in ("assets", "ckpts"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = "\n".join(block for block in python_blocks("README.md") if "http://" not in block)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "piece.wav").is_file()


def readme_commands(start: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [line.split("#")[0].strip() for line in text.splitlines() if line.startswith(start)]


@pytest.mark.parametrize("command", readme_commands("python -m llama "))
def test_command_lines_in_the_readme_parse(command: str) -> None:
    import shlex

    from llama.__main__ import parser

    assert parser().parse_args(shlex.split(command)[3:]).model


@pytest.mark.parametrize("command", readme_commands("python gradio_app.py"))
def test_page_commands_in_the_readme_parse(command: str) -> None:
    import shlex

    import gradio_app

    assert gradio_app.parser().parse_args(shlex.split(command)[2:]).host == "127.0.0.1"


@pytest.mark.parametrize("command", [one for start in ("python train.py", "accelerate", "torchrun") for one in readme_commands(start)])
def test_training_commands_in_the_readme_are_understood(command: str) -> None:
    import shlex

    import train
    from llama.settings import read_config

    words = shlex.split(command)
    values = train.parser().parse_args(words[words.index("train.py") + 1 :])
    assert values.smoke or read_config(ROOT / values.config, values.stage, train.overrides(values)).data[values.stage]


def recipe_commands() -> list[str]:
    return re.findall(r"`(python -m recipes\.nano\.[^`]+)`", (ROOT / "recipes/nano/README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", recipe_commands())
def test_commands_of_the_recipe_are_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each up to the point where the script's own parser has read it."""
    name, *words = command.split()[2:]
    read: list[argparse.Namespace] = []
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *_: object) -> None:
        read.append(parse(self, words))
        raise KeyboardInterrupt

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    module = importlib.import_module(name)
    if "add_argument" in Path(module.__file__).read_text(encoding="utf-8"):
        with pytest.raises(KeyboardInterrupt):
            module.main()
        assert read


def test_the_recipe_names_every_script() -> None:
    scripts = {path.stem for path in (ROOT / "recipes/nano").glob("*.py") if "def main(" in path.read_text(encoding="utf-8")}
    assert scripts == {command.split()[2].removeprefix("recipes.nano.") for command in recipe_commands()}


@pytest.mark.parametrize("path", [ROOT / "assets" / name for name in ("architecture.png", "logo.svg")], ids=lambda path: path.name)
def test_pictures_are_small(path: Path) -> None:
    assert path.stat().st_size < 400_000
