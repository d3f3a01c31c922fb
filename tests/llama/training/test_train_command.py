"""train.py as it is run: killed at any moment, resumed, shared out over processes, sharded, and told nonsense."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from training_helpers import (
    ROOT,
    SAVE_EVERY,
    STEPS,
    Ground,
    Launcher,
    Rejected,
    Started,
    checkpoints,
    distance,
    same,
    steps,
    stopped_at,
    weights,
)

from llama.training.run_checkpoints import RunCheckpoints

pytest_plugins = ("training_helpers",)

ALL = list(range(1, STEPS + 1))
# Gradients that are zero in theory (a bias that a softmax or a norm takes out again) are rounding in practice, which Adam
# makes into whole steps of the learning rate. Where the sums are added up in another order, as with more processes, only a
# small rate without the pools' biases shows that all the rest is equal.
SHARED = {"lr": 1e-4, "freeze": ("adapters.audio.pools",)}


@pytest.fixture(scope="module")
def whole(ground: Ground, launch: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run that nobody disturbed, with all its checkpoints."""
    out = tmp_path_factory.mktemp("whole") / "run"
    launch(ground.flags(out), out).finish()
    return out


@pytest.fixture(scope="module")
def pair(ground: Ground, launch: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of two processes, started by torchrun itself."""
    out = tmp_path_factory.mktemp("pair") / "run"
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "train.py", *ground.flags(out, **SHARED)]
    alike = {**os.environ, "OMP_NUM_THREADS": "1"}  # as in the other runs: with more threads sums are added up in another order
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=alike, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The newest weights are in") == 1
    return out


def at_random(run: Started) -> None:
    """Waits for a moment that was drawn: past the first checkpoint, well before the end."""
    draw = random.SystemRandom()
    step, delay = draw.randint(SAVE_EVERY + 1, STEPS - 3), draw.uniform(0, 0.05)
    print(f"the kill comes {delay:.3f} s after step {step}")
    run.reach(step)
    time.sleep(delay)


# -- one process --------------------------------------------------------------------------------------------------


def test_killed_and_resumed_is_never_having_stopped(ground: Ground, launch: Launcher, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = launch(ground.flags(out), out)
    at_random(run)
    run.kill()
    assert checkpoints(out) and checkpoints(out)[-1] < STEPS
    launch([*ground.flags(out), "--resume"], out).finish()
    assert same(weights(out), weights(whole)) and steps(out) == ALL == steps(whole)
    ends = [load_file(folder / f"checkpoints/step-{STEPS:06d}/optimizer.safetensors") for folder in (out, whole)]
    assert same(*ends)
    assert distance(weights(out), load_file(whole / f"checkpoints/step-{SAVE_EVERY:06d}/weights.safetensors")) > 1e-4


def test_asked_to_end_it_keeps_what_it_has(ground: Ground, launch: Launcher, whole: Path, tmp_path: Path, refused: Rejected) -> None:
    """SIGTERM, as a scheduler sends it; and while the run goes on, no other takes its folder."""
    out = tmp_path / "run"
    run = launch(ground.flags(out), out)
    run.reach(1)
    (process,) = run.processes
    os.kill(process.pid, signal.SIGSTOP)  # it waits, so that it cannot come to its end meanwhile
    assert "Another run writes to" in refused([*ground.flags(out), "--resume"])
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGCONT)
    run.finish()
    (last, *_) = reversed(checkpoints(out))
    assert last < STEPS and steps(out) == list(range(1, last + 1))
    assert f"Stopped as asked after step {last}; --resume goes on from there." in run.said()
    launch([*ground.flags(out), "--resume"], out).finish()
    assert same(weights(out), weights(whole)) and steps(out) == ALL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_together_with_its_workers_it_keeps_what_it_has(
    ground: Ground, launch: Launcher, tmp_path: Path, number: signal.Signals
) -> None:
    """The signal goes to the whole group, as from a terminal or a scheduler, while the step under way still has more to
    read than is read ahead: the workers must outlast it, and then leave."""
    out = tmp_path / "run"
    flags = ground.flags(out, workers=1, batch_size=1, accumulation=8)
    run = launch(flags, out, leader=True)
    run.reach(1)
    (process,) = run.processes
    workers = children(process.pid)
    os.kill(process.pid, signal.SIGSTOP)  # the workers have it first, and the run has not come to its end meanwhile
    os.killpg(process.pid, number)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGCONT)
    run.finish()
    (last, *_) = reversed(checkpoints(out))
    assert last < STEPS and steps(out) == list(range(1, last + 1)) and "Traceback" not in run.said()
    await_end(workers)
    launch([*flags, "--resume"], out, leader=True).finish()
    assert checkpoints(out)[-1] == STEPS and steps(out) == ALL


def test_workers_leave_when_the_run_is_killed(ground: Ground, launch: Launcher, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = launch(ground.flags(out, workers=1), out, leader=True)
    run.reach(1)
    (process,) = run.processes
    workers = children(process.pid)
    run.kill()
    await_end(workers)


def children(pid: int) -> list[int]:
    found = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    assert found, "it has no workers"
    return found


def await_end(workers: list[int]) -> None:
    """Without a run they look around every five seconds."""
    end = time.monotonic() + 30
    while alive := [one for one in workers if Path(f"/proc/{one}").exists()]:
        assert time.monotonic() < end, alive
        time.sleep(0.1)


def test_a_full_disk_loses_nothing(ground: Ground, launch: Launcher, whole: Path, tmp_path: Path) -> None:
    out = stopped_at(whole, SAVE_EVERY, tmp_path / "run")
    run = launch([*ground.flags(out), "--resume"], out, file_limit=100_000)
    assert run.codes() == [1]
    (said,) = [line for line in run.said().splitlines() if line.startswith("train.py: ")]
    assert f"step-{2 * SAVE_EVERY:06d} could not be written" in said and "make room" in said and "Traceback" not in run.said()
    assert checkpoints(out) == [SAVE_EVERY] and RunCheckpoints(out).newest().step == SAVE_EVERY
    launch([*ground.flags(out), "--resume"], out).finish()
    assert same(weights(out), weights(whole)) and steps(out) == ALL


# -- many processes -----------------------------------------------------------------------------------------------


def test_two_processes_are_one_that_accumulates(ground: Ground, launch: Launcher, pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    launch(ground.flags(out, accumulation=2, **SHARED), out).finish()
    assert distance(weights(out), weights(pair)) < 1e-5
    first = load_file(pair / f"checkpoints/step-{SAVE_EVERY:06d}/weights.safetensors")
    assert distance(weights(pair), first) > 1e-4


def test_two_killed_and_resumed(ground: Ground, launch: Launcher, pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = launch(ground.flags(out, **SHARED), out, world=2)
    at_random(run)
    run.kill()
    assert checkpoints(out) and checkpoints(out)[-1] < STEPS
    launch([*ground.flags(out, **SHARED), "--resume"], out, world=2).finish()
    assert distance(weights(out), weights(pair)) < 1e-6 and steps(out) == ALL


def test_sharded_it_learns_the_same(ground: Ground, launch: Launcher, pair: Path, tmp_path: Path) -> None:
    """Parameters split over two processes (FSDP2); one of them is asked to end, both do, and the run is resumed."""
    out = tmp_path / "run"
    run = launch(ground.flags(out, fsdp=True, **SHARED), out, world=2)
    run.reach(SAVE_EVERY)
    os.kill(run.processes[1].pid, signal.SIGTERM)
    run.finish()
    assert checkpoints(out)[-1] < STEPS and run.said().count("Stopped as asked after step") == 1
    launch([*ground.flags(out, fsdp=True, **SHARED), "--resume"], out, world=2).finish()
    assert distance(weights(out), weights(pair)) < 1e-5 and steps(out) == ALL


# -- what cannot be trained ---------------------------------------------------------------------------------------


def edited(flags: list[str], old: str, new: str) -> list[str]:
    file = Path(flags[-1])
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    return flags


def left(out: Path) -> list[str]:
    """What a refused run leaves in its output folder, beside the lock."""
    return sorted(place.name for place in out.iterdir() if place.name != ".lock") if out.exists() else []


@pytest.mark.parametrize(("old", "new", "says"), [
    ("batch_size:", "batchsize:", "the key 'batchsize' is unknown; the nearest right one is 'batch_size'."),
    ("batch_size: 2", "batch_size: two", "batch_size is 'two'; give a whole number."),
    ("min_lr: 0.0", "min_lr: 1.0", "min_lr 1.0 is above lr 0.001"),
    ("preset: ours", "preset: mine", "The preset 'mine' is unknown; choose"),
    ("device: cpu", "device: tpu", "device 'tpu' is unknown to training; use cpu, cuda or mps"),
    ("/base", "/nowhere", "nowhere"),
    ("MusicQA.json", "MusicQ.json", "There is no list of examples"),
    ("freeze: []", "freeze: [adapters.smell]", "freeze names 'adapters.smell', which the model does not have"),
    ("holdout: 0.0", "holdout: 0.000001", "leaves none of"),
])  # fmt: skip
def test_wrong_settings_are_a_sentence(ground: Ground, tmp_path: Path, refused: Rejected, old: str, new: str, says: str) -> None:
    assert says in refused(edited(ground.flags(tmp_path / "run"), old, new))
    assert left(tmp_path / "run") == []


@pytest.mark.parametrize(("flags", "says"), [
    (["--stage", "4", "--config", "configs/nano.yaml"], "There is no stage 4"),
    (["--stage", "1"], "--config is missing; say for instance"),
    (["--config", "configs/nano.yaml"], "--stage is missing; say for instance"),
    (["--stage", "1", "--config", "nowhere.yaml"], "There is no configuration nowhere.yaml"),
    (["--stage", "1", "--config", "configs/nano.yaml", "--songs", "music"], "stage 1 of this configuration has no songs"),
])  # fmt: skip
def test_wrong_flags_are_a_sentence(flags: list[str], says: str, refused: Rejected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert says in refused(flags)


def test_an_empty_manifest(ground: Ground, tmp_path: Path, refused: Rejected) -> None:
    (tmp_path / "none.json").write_text("[]")
    flags = edited(ground.flags(tmp_path / "run"), str(ground.made / "MusicQA.json"), str(tmp_path / "none.json"))
    assert "none.json holds no examples" in refused(flags) and left(tmp_path / "run") == []


def test_media_that_are_not_there(ground: Ground, tmp_path: Path, refused: Rejected) -> None:
    out = tmp_path / "run"
    source = dataclasses.replace(ground.sources((("musicqa", "MusicQA", "audios", 1),))[0], media=str(tmp_path / "gone"))
    said = refused(ground.flags(out, data={3: (source,)}))
    assert "heard_0000" in said and "gone" in said and checkpoints(out) == []


def test_a_folder_that_holds_a_run(ground: Ground, whole: Path, tmp_path: Path, refused: Rejected) -> None:
    """Neither begun anew over it, nor resumed as something else; what it holds stays as it is."""
    out = stopped_at(whole, SAVE_EVERY, tmp_path / "run")
    before = {place: place.read_bytes() for place in out.rglob("*") if place.is_file()}
    assert "holds checkpoints of a run up to step 2; go on with --resume" in refused(ground.flags(out))
    assert "holds a run of stage 3, which stage 2 cannot resume" in refused([*ground.flags(out, 2), "--resume"])
    assert "was begun with seed 0, this run has 1" in refused([*ground.flags(out), "--resume", "--seed", "1"])
    assert "processes 2, this run has 4" in refused([*ground.flags(out, accumulation=2), "--resume"])
    assert "window 4, this run has 8" in refused([*ground.flags(out, window=8), "--resume"])
    frozen = ground.flags(out, freeze=("llama.norm",))
    assert "llama.norm.weight is in the checkpoint but does not train now" in refused([*frozen, "--resume"])
    assert {place: place.read_bytes() for place in out.rglob("*") if place.is_file()} == before


def test_nothing_to_resume(ground: Ground, tmp_path: Path, refused: Rejected) -> None:
    assert "holds no checkpoint to resume; leave --resume out" in refused([*ground.flags(tmp_path / "run"), "--resume"])
    assert left(tmp_path / "run") == []


def test_weights_over_a_model_of_another_size(ground: Ground, whole: Path, tmp_path: Path, refused: Rejected) -> None:
    shutil.copytree(whole / "last", tmp_path / "last")
    origin = tmp_path / "last/origin.json"
    origin.write_text(origin.read_text().replace(str(ground.base), str(ROOT / "ckpts/nano")))
    said = refused([*ground.flags(tmp_path / "run"), "--model", str(tmp_path / "last")])
    assert "a checkpoint of another size" in said and left(tmp_path / "run") == []


def test_two_processes_are_refused_once(ground: Ground, launch: Launcher, whole: Path, tmp_path: Path) -> None:
    """The sentence comes from one of them, and the other does not wait for ever."""
    run = launch(ground.flags(stopped_at(whole, SAVE_EVERY, tmp_path / "run")), tmp_path / "run", world=2)
    assert 0 not in run.codes() and run.said().count("go on with --resume") == 1
