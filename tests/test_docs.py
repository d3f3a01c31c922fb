"""The documentation: links lead somewhere, the site builds, code runs, and commands are understood by their parsers."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SITE = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
PAGES = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", *SITE, "ckpts/README.md", "ckpts/nano/README.md", "tests/golden/README.md",
    "recipes/nano/README.md", "configs/README.md",
)  # fmt: skip
MANUAL = ("README.md", *SITE)  # the pages whose code and commands are run


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*PAGES, "LICENSE", "Makefile", "mkdocs.yml", ".ci/run", "assets/architecture.png", "assets/logo.svg"])
def test_required_files_exist(name: str) -> None:
    assert (ROOT / name).stat().st_size > 100


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def test_contributing_fits_a_screen() -> None:
    assert len(text_of("CONTRIBUTING.md").splitlines()) <= 50


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text() and "make test" in text_of("README.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(page)) + re.findall(r"src=\"([^\"]+)\"", text_of(page))
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (ROOT / page).parent.joinpath(target).exists()]
    assert not missing, f"{page} links to {missing}"


@pytest.mark.parametrize("page", PAGES)
def test_paths_in_the_text_exist(page: str) -> None:
    """Files of the code that a page names in backticks."""
    named = re.findall(r"`((?:llama|demo|recipes|DataSet|benchmarks|tests|configs)/[\w/.-]+)`", text_of(page))
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.parent.name for path in (tmp_path / "site").glob("*/index.html")}
    assert {Path(page).stem for page in SITE} - {"index"} <= built


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)


@pytest.mark.parametrize(("page", "block"), [(page, block) for page in MANUAL for block in python_blocks(page)])
def test_python_compiles(page: str, block: str) -> None:
    compile(block, page, "exec")


@pytest.mark.parametrize("page", [page for page in MANUAL if any("http://" not in block for block in python_blocks(page))])
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page as one program, in a folder with assets/ and ckpts/.

    Blocks that ask a server are left out: tests/demo/api and tests/demo/page send the same requests.
    """
    for name in ("assets", "ckpts"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    code = "\n".join(block for block in python_blocks(page) if "http://" not in block)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "piece.wav").is_file()


def commands(*starts: str) -> Iterator[str]:
    """Lines of the manual that begin so, without their comments, each once."""
    lines = [line.split("#")[0].strip() for page in MANUAL for line in text_of(page).splitlines()]
    yield from dict.fromkeys(line for line in lines if line.startswith(starts))


@pytest.mark.parametrize("command", commands("python -m llama "))
def test_command_lines_parse(command: str) -> None:
    from llama.__main__ import parser

    assert parser().parse_args(shlex.split(command)[3:]).model


@pytest.mark.parametrize("command", commands("python gradio_app.py"))
def test_page_commands_parse(command: str) -> None:
    import gradio_app

    assert gradio_app.parser().parse_args(shlex.split(command)[2:]).host == "127.0.0.1"


@pytest.mark.parametrize("command", commands("python -m llama.checkpoint "))
def test_checkpoint_commands_parse(command: str) -> None:
    from llama.checkpoint.__main__ import parser

    assert parser().parse_args(shlex.split(command)[3:]).command in ("convert", "verify")


@pytest.mark.parametrize("command", commands("python train.py", "accelerate", "torchrun"))
def test_training_commands_are_understood(command: str) -> None:
    import train
    from llama.training.config import read_config

    words = shlex.split(command)
    values = train.parser().parse_args(words[words.index("train.py") + 1 :])
    assert values.smoke or read_config(ROOT / values.config, values.stage, train.overrides(values)).data[values.stage]


@pytest.mark.parametrize("command", commands("python -m DataSet.pipeline "))
def test_pipeline_commands_parse(command: str) -> None:
    from DataSet.pipeline.__main__ import parser
    from DataSet.pipeline.config import load_config

    values = parser().parse_args(shlex.split(command)[3:])
    assert load_config(values.name, values.config and ROOT / values.config, values.profile).name == values.name


@pytest.mark.parametrize("command", [command for command in commands("python evaluate.py") if "--help" not in command])
def test_evaluation_commands_parse(command: str) -> None:
    import evaluate

    assert callable(evaluate.parser().parse_args(shlex.split(command)[2:]).run)


@pytest.mark.parametrize("command", [command for command in commands("python -m DataSet.", "python evaluate.py") if "--help" in command])
def test_help_commands_work(command: str) -> None:
    done = subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "usage" in done.stdout, done.stderr


@pytest.mark.parametrize("command", commands("python -m benchmarks."))
def test_benchmark_commands_exist(command: str) -> None:
    assert (ROOT / (command.split()[2].replace(".", "/") + ".py")).is_file()


@pytest.mark.parametrize("command", commands("make "))
def test_make_targets_exist(command: str) -> None:
    assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def recipe_commands() -> list[str]:
    return re.findall(r"`(python -m recipes\.nano\.[^`]+)`", text_of("recipes/nano/README.md"))


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
    folder = ROOT / "recipes/nano"
    scripts = {path for path in folder.rglob("*.py") if "def main(" in path.read_text(encoding="utf-8")}
    named = {command.split()[2].removeprefix("recipes.nano.") for command in recipe_commands()}
    assert named == {".".join(path.relative_to(folder).with_suffix("").parts) for path in scripts}


@pytest.mark.parametrize("path", [ROOT / "assets" / name for name in ("architecture.png", "logo.svg")], ids=lambda path: path.name)
def test_pictures_are_small(path: Path) -> None:
    assert path.stat().st_size < 400_000
