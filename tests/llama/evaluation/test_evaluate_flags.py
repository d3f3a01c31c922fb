"""Flags that mean the same in every command of evaluate.py, and what their files say of the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import evaluate
from llama.cli import model_name
from llama.evaluation.commands.command_flags import systems_of

REQUIRED = {
    "answers": ["--form", "mmar", "--folder", "x"], "audio": ["--reference", "x", "--system", "a=x"], "choices": ["--answers", "x"],
    "editing": ["--folder", "x", "--system", "a=x"], "edits": [], "matching": ["--media", "x", "--system", "a=x"],
    "music": ["--form", "mucaps", "--folder", "x"], "paper": ["--folder", "x"], "probes": [], "symbolic": [], "text": ["--answers", "x"],
}  # fmt: skip


@pytest.mark.parametrize("command", REQUIRED)
def test_flags_of_one_name_take_the_same(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A seed from 0 on, a limit and a batch from 1 on, the same help of devices: the parser refuses others in one line."""
    arguments = [command, *REQUIRED[command], "--out", "x"]
    options = {name for name in ("--seed", "--limit", "--batch_size", "--device") if name in help_of(command, capsys)}
    for flag, wrong in (("--seed", "-1"), ("--seed", str(2**63)), ("--limit", "0"), ("--limit", "few"), ("--batch_size", "0")):
        if flag in options:
            with pytest.raises(SystemExit):
                evaluate.main([*arguments, flag, wrong])
            error = capsys.readouterr().err
            assert f"argument {flag}: " in error and "give " in error
    if "--limit" in options:
        assert "drawn by the seed; a larger N adds to them" in help_of(command, capsys)
    if "--device" in options:
        assert "cpu, cuda, cuda:1 ... or mps (default: cuda where there is one)" in help_of(command, capsys)


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        evaluate.main([command, "--help"])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("texts", "message"), [
    (["x"], "is not NAME=FOLDER"), (["=x"], "is not NAME=FOLDER"), (["a="], "is not NAME=FOLDER"), (["a=x", " a=y"], "names a twice"),
    (["silence=x"], "which is another row")])  # fmt: skip
def test_systems_that_cannot_be_told_apart(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        systems_of(texts, taken=("silence",))


def test_systems_may_have_signs_in_their_folders() -> None:
    assert systems_of(["a=x=1", "b=/y z"]) == {"a": "x=1", "b": "/y z"}


def test_the_name_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parse = evaluate.parser().parse_args
    for given, name in ((".", tmp_path.name), ("org/model", "model"), (f"{tmp_path}/", tmp_path.name)):
        assert model_name(parse(["symbolic", "--out", "x", "--model", given])) == name


def test_files_say_the_command_and_the_versions(tmp_path: Path) -> None:
    """Of a table that embedders make; the versions once were an empty object."""
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds/a.wav", np.zeros(8000), 8000)
    assert evaluate.main(["audio", "--reference", f"{tmp_path}/sounds", "--system", f"a={tmp_path}/sounds", "--out", str(tmp_path)]) == 0
    meta = json.loads((tmp_path / "audio.json").read_text())["meta"]
    assert meta["versions"]["numpy"] == np.__version__ and {"torch", "transformers"} < set(meta["versions"]) and meta["command"]
