"""Checkpoints of a run: one run a folder, whole or not there."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from llama.checkpoint import delta as overlay
from llama.checkpoint.builder import State
from llama.checkpoint.delta import BaseReference, is_delta, read_base_reference
from llama.config import MuMuConfig
from llama.training import run_checkpoints
from llama.training.run_checkpoints import RunCheckpoint, RunCheckpoints, RunLock
from llama.training.run_state import gather_random

ROOT = Path(__file__).resolve().parents[3]
ORIGIN = BaseReference({"model": "ckpts/nano"}, MuMuConfig.tiny(), 1, "ours")


def checkpoint_at(step: int, size: int = 8) -> RunCheckpoint:
    values = torch.full((size,), float(step))
    return RunCheckpoint(step, {"a": values}, {"exp_avg.a": values, "step.a": torch.tensor(float(step))}, gather_random(),
                    {"seed": 3}, ORIGIN)  # fmt: skip


# -- one run a folder ---------------------------------------------------------------------------------------------

HOLD = """
    import os, sys, time
    from llama.training.run_checkpoints import RunLock
    with RunLock(sys.argv[1]):
        child = os.fork()  # a worker of the loader inherits what is open
        if child == 0:
            time.sleep(60)
        print(child, flush=True)
        time.sleep(60)
"""


def test_a_second_run_refuses_and_a_killed_one_frees_the_folder(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    worker = int(holder.stdout.readline())
    try:
        with pytest.raises(ValueError, match="Another run writes to .*--output_dir"), RunLock(tmp_path):
            pass
        holder.kill()
        assert holder.wait() == -signal.SIGKILL
        with RunLock(tmp_path):
            pass
        with RunLock(tmp_path):  # left, it can be entered again
            pass
    finally:
        holder.kill()
        os.kill(worker, signal.SIGKILL)


# -- on disk ------------------------------------------------------------------------------------------------------


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    runs = RunCheckpoints(tmp_path)
    assert runs.newest() is None and runs.steps() == []
    runs.check_fresh()
    saved = checkpoint_at(200)
    assert runs.save(saved) == tmp_path / "checkpoints" / "step-000200"
    found = runs.newest()
    assert found.step == 200 and found.progress == {"seed": 3, "step": 200} and found.base.step == 200
    for ours, theirs in ((saved.weights, found.weights), (saved.optimizer, found.optimizer), (saved.random, found.random)):
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(load_file(tmp_path / "last/weights.safetensors")["a"], saved.weights["a"])
    assert read_base_reference(tmp_path / "last").step == 200
    assert is_delta(tmp_path / "checkpoints/step-000200"), "each checkpoint can be loaded as a model"
    with pytest.raises(ValueError, match="up to step 200.*--resume"):
        runs.check_fresh()


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    runs = RunCheckpoints(tmp_path, keep=2)
    for step in (1, 2, 3):
        runs.save(checkpoint_at(step))
    assert runs.steps() == [2, 3]
    (tmp_path / "checkpoints/step-000003/weights.safetensors").write_bytes(b"damaged")
    runs.save(checkpoint_at(4))
    assert runs.steps() == [2, 4], "a damaged one is none of the two that are kept"
    RunCheckpoints(tmp_path, keep=9).save(checkpoint_at(5))
    assert runs.steps() == [2, 4, 5]
    RunCheckpoints(tmp_path, keep=1).save(checkpoint_at(6))
    assert runs.steps() == [6]
    with pytest.raises(ValueError, match="keep is 0"):
        RunCheckpoints(tmp_path, keep=0)


def test_the_same_step_again_replaces(tmp_path: Path) -> None:
    runs = RunCheckpoints(tmp_path)
    runs.save(checkpoint_at(1))
    runs.save(checkpoint_at(1, size=3))
    assert runs.newest().weights["a"].shape == (3,)
    assert [place.name for place in runs.folder.iterdir()] == ["step-000001"]


def damage_inside(file: Path) -> None:
    """Changes a value without changing the length or the syntax."""
    content = file.read_bytes()
    changed = content.replace(b'"stage": 1', b'"stage": 2').replace(b'"seed": 3', b'"seed": 4')
    file.write_bytes(changed if changed != content else content[:-1] + bytes([content[-1] ^ 1]))
    assert file.stat().st_size == len(content) and file.read_bytes() != content


@pytest.mark.parametrize("file", run_checkpoints.FILES)
@pytest.mark.parametrize("damage", ["missing", "cut", "inside"])
def test_damaged_ones_are_named_and_left_out(tmp_path: Path, file: str, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    runs = RunCheckpoints(tmp_path)
    runs.save(checkpoint_at(1))
    place = runs.save(checkpoint_at(2)) / file
    if damage == "missing":
        place.unlink()
    elif damage == "inside":
        damage_inside(place)
    else:
        place.write_bytes(place.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        assert runs.newest().step == 1
    assert "step-000002 is left out" in caplog.text and file in caplog.text
    assert "the checkpoint of step 1 is used instead." in caplog.text
    shutil.rmtree(tmp_path / "checkpoints/step-000001")
    assert runs.newest() is None


def test_what_a_killed_run_left_is_tidied(tmp_path: Path) -> None:
    runs = RunCheckpoints(tmp_path)
    runs.save(checkpoint_at(1))
    runs.save(checkpoint_at(2))
    shutil.copytree(runs.folder / "step-000002", runs.folder / ".step-000003.partial-99999")
    (runs.last / ".partial-99999-weights.safetensors").write_bytes(b"half")
    origin = json.loads((runs.last / "origin.json").read_text())
    (runs.last / "origin.json").write_text(json.dumps(origin | {"step": 1}))  # killed before `last` was refreshed
    (runs.last / "weights.safetensors").write_bytes((runs.folder / "step-000001/weights.safetensors").read_bytes())
    runs.clean_up()
    assert sorted(place.name for place in runs.folder.iterdir()) == ["step-000001", "step-000002"]
    assert sorted(place.name for place in runs.last.iterdir()) == ["origin.json", "weights.safetensors"]
    assert read_base_reference(runs.last).step == 2 and load_file(runs.last / "weights.safetensors")["a"][0] == 2


def test_the_last_weights_are_never_taken_from_damaged_ones(tmp_path: Path) -> None:
    runs = RunCheckpoints(tmp_path)
    runs.save(checkpoint_at(1))
    shutil.copytree(runs.last, tmp_path / "before")
    damage_inside(runs.save(checkpoint_at(2)) / "weights.safetensors")
    shutil.rmtree(runs.last)
    (tmp_path / "before").rename(runs.last)  # as after a kill between the checkpoint and `last`
    runs.clean_up()
    assert read_base_reference(runs.last).step == 1 and load_file(runs.last / "weights.safetensors")["a"][0] == 1


def test_a_checkpoint_of_an_earlier_version_has_no_checksums(tmp_path: Path) -> None:
    runs = RunCheckpoints(tmp_path)
    state = runs.save(checkpoint_at(1)) / "state.json"
    values = json.loads(state.read_text())
    assert set(values.pop("sha256")) == set(run_checkpoints.FILES)
    state.write_text(json.dumps(values))
    assert runs.newest().progress == {"seed": 3, "step": 1}


def test_tidying_reads_no_more_than_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing where `last` is the newest, else the newest weights: an optimizer may be larger than all the rest."""
    runs, opened = RunCheckpoints(tmp_path), list[str]()
    runs.save(checkpoint_at(1))
    runs.save(checkpoint_at(2))

    def noted(path: Path) -> State:
        opened.append(f"{path.parent.name}/{path.name}")
        return load_file(path)

    for room in (run_checkpoints, overlay):
        monkeypatch.setattr(room, "read_safetensors", noted)
    runs.clean_up()
    assert opened == []
    (runs.save(checkpoint_at(3)) / "optimizer.safetensors").write_bytes(b"damaged")  # so `last` is newer than the newest
    runs.clean_up()
    assert opened == ["step-000002/weights.safetensors"]
    assert read_base_reference(runs.last).step == 2 and load_file(runs.last / "weights.safetensors")["a"][0] == 2
    assert runs.newest().step == 2 and "step-000002/optimizer.safetensors" in opened


@pytest.mark.parametrize("step", range(12))
def test_killed_between_any_two_moves(tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped as by SIGKILL at every rename, replace and removal of a save: the newest is the old one or the new one."""
    runs = RunCheckpoints(tmp_path, keep=1)
    runs.save(checkpoint_at(1))
    left = [step]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **words: Any) -> Any:
            if left[0] <= 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*arguments, **words)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(os, "replace", counted(os.replace))
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
        try:
            runs.save(checkpoint_at(2))
        except KeyboardInterrupt:
            pass
    found = runs.newest()
    assert found is not None and found.weights["a"][0] == found.step
    runs.clean_up()
    assert runs.newest().step == found.step == read_base_reference(runs.last).step
    assert not list(runs.folder.glob(".*"))


FULL = """
    import resource, signal, sys, torch
    sys.path[:0] = ["tests", "tests/llama/training"]
    from test_run_checkpoints import checkpoint_at
    from llama.training.run_checkpoints import RunCheckpoints
    runs = RunCheckpoints(sys.argv[1])
    if sys.argv[2] == "limit":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    runs.save(checkpoint_at(1, 1000))
    try:
        runs.save(checkpoint_at(2, 300_000))
    except OSError as error:
        print(error)
"""


def fill(folder: Path, how: str) -> None:
    """A save that the disk does not take tells so, and leaves what was there and nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(folder), how], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert str(folder / "checkpoints/step-000002") in done.stdout and "make room" in done.stdout, done.stdout
    assert "step 1 is the last one kept" in done.stdout and done.stdout.count("\n") == 1
    assert RunCheckpoints(folder).newest().step == 1 and read_base_reference(folder / "last").step == 1
    assert [place.name for place in (folder / "checkpoints").iterdir()] == ["step-000001"]
    assert sorted(place.name for place in (folder / "last").iterdir()) == ["origin.json", "weights.safetensors"]


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    fill(tmp_path, "limit")


def test_a_full_disk(tmp_path: Path) -> None:
    """1 MB of room, and checkpoints of 1.2 MB a file."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small file system may be mounted here ({mounted.stderr.strip()})")
    try:
        fill(tmp_path, "disk")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
