"""Recipe: order of the steps, resumption, and data lists in the published forms."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from llama.data.json_lists import read_source
from llama.data.source import Source
from llama.media.score import Attributes
from llama.training.config import read_config
from recipes.nano import all as recipe
from recipes.nano.language.datasets import SHARES, Media, write_lists

PIECE = Attributes("flute", "piano", "waltz", 100, "major", 3, True, 2)
SEEN = {"place": "sea", "light": "day", "weather": "clear", "mood": "calm", "energy": "low"}
MEDIA = Media({"a.flac": PIECE}, {"b.flac": "speech"}, {"c.png": SEEN}, {})


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_stage_starts_from_the_last(number: int) -> None:
    config = read_config(recipe.CONFIG, number)
    before = {1: "start", 2: "stage1/last", 3: "stage2/last"}[number]
    assert config.model.path == f"{recipe.DEFAULT_WORK}/{before}" and config.output_dir == f"{recipe.DEFAULT_WORK}/stage{number}"
    assert {Path(source.file).stem for source in config.data[number]} >= set(SHARES), "every kind of turn is learned in every stage"


def test_step_names_are_unique() -> None:
    assert len({step.name for step in recipe.STEPS}) == len(recipe.STEPS)


def test_finished_steps_are_skipped_and_a_stopped_stage_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(command[1:]))
    for name in [step.name for step in recipe.STEPS if not step.name.startswith("stage")]:
        (tmp_path / "done").mkdir(exist_ok=True)
        (tmp_path / "done" / name).write_text("1.0\n")
    (tmp_path / "stage2" / "checkpoints").mkdir(parents=True)
    assert recipe.main(["--work", str(tmp_path), "--until", "stage2"]) == 0
    stages = [["train.py", "--stage", str(number), "--config", f"{tmp_path}/language.yaml"] for number in (1, 2)]
    assert ran == [stages[0], [*stages[1], "--resume"]]
    ran.clear()
    assert recipe.main(["--work", str(tmp_path)]) == 0 and [command[2] for command in ran] == ["3"]


def test_stopped_vision_encoders_resume_from_their_checkpoint() -> None:
    steps = [step for step in recipe.STEPS if step.module.endswith("vision_encoder.train") and not step.arguments.startswith("cache")]
    assert len(steps) == 2 and all(step.partial == f"{step.arguments.split()[1]}.pt" for step in steps)


def test_an_interrupted_step_may_save_before_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def save_and_stop(command: list[str], check: bool) -> None:
        signal.raise_signal(signal.SIGINT)
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", save_and_stop)
    before = signal.getsignal(signal.SIGINT)
    assert recipe.main(["--work", str(tmp_path)]) == 1 and signal.getsignal(signal.SIGINT) is before
    assert "vocabulary ended with 1; run this again" in capsys.readouterr().err


def test_a_step_that_fails_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(command: list[str], check: bool) -> None:
        raise subprocess.CalledProcessError(3, command)

    monkeypatch.setattr(subprocess, "run", fail)
    assert recipe.main(["--work", str(tmp_path)]) == 1
    assert "vocabulary ended with 3" in capsys.readouterr().err and not (tmp_path / "done").exists()


def test_train_reads_the_lists(tmp_path: Path) -> None:
    kinds = [kind for kind in SHARES if kind != "clip"]
    write_lists(tmp_path, MEDIA, dict.fromkeys(kinds, 30), held_out=False)
    said = {kind: read_source(Source("alpaca" if kind == "talk" else "instructions", str(tmp_path / f"{kind}.json")), 1) for kind in kinds}
    assert all(len(rows) in (29, 30) for rows in said.values())
    assert all(row.caption and "[AUD" not in row.answer for row in said["wish"])
    assert {row.audio.path.name for row in said["hear"]} <= {"a.flac", "b.flac"}
    assert all(row.image.path.name == "c.png" for row in said["picture"])
    assert json.loads((tmp_path / "captions.json").read_text()).keys() == {"a.flac"}
