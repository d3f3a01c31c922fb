"""Helpers of the training tests: a tiny model on disk, a small data set, one feature cache, and runs in separate processes.

These are forked from a server that has imported everything, because imports take most of a short run's time.

PYTEST_DONT_REWRITE: test files import this by name, and pytest as a plugin, for its fixtures.
"""

from __future__ import annotations

import csv
import dataclasses
import multiprocessing
import multiprocessing.forkserver
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import train
from DataSet.synthesis.made_set import make_set
from llama.data.collate import collate
from llama.data.examples import Example
from llama.data.source import Source
from llama.data.tokenization import tokenize_example
from llama.training.config import ModelSettings, TrainConfig, to_yaml
from llama.training.distributed import make_accelerator
from llama.training.launch import build_trainer
from llama.training.module import TrainingBatch
from llama.training.run_checkpoints import RunCheckpoints
from llama.training.trainer import Trainer
from recipes.smoke import tiny_model

ROOT = Path(__file__).resolve().parent.parent
STEPS, SAVE_EVERY = 6, 2
CAPTIONS = (("captions", "MUCaps", "audios", 1), ("captions", "COCO", "images", 1), ("captions", "MUVideo_captions", "videos", 1))
MUSIC = (("captions_to_music", "MUCaps", "audios", 1),)
MIXED = (*MUSIC, ("musicqa", "MusicQA", "audios", 1), ("instructions", "MUEditInstructions", "audios", 4),
         ("instructions", "MUImageInstructions", "images", 4), ("instructions", "MUVideoInstructions", "videos", 4),
         ("alpaca", "alpaca", "", 1))  # fmt: skip
WARM = ("train", "accelerate", "timm", "transformers", "llama", "tqdm")  # packages that the server imports beforehand
PATIENCE = 120  # seconds for what takes two on a free machine


@dataclass(frozen=True)
class Ground:
    """A folder with base/ (a tiny model of ours), made/ (a small set) and cache/ (features of both, shared by all tests)."""

    folder: Path

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def made(self) -> Path:
        return self.folder / "made"

    def sources(self, table: Sequence[tuple[str, str, str, float]]) -> tuple[Source, ...]:
        return tuple(
            Source(form, str(self.made / f"{name}.json"), str(self.made / media), times=float(times))  # type: ignore[arg-type]
            for form, name, media, times in table
        )

    def config(self, output_dir: Path, **changes: Any) -> TrainConfig:
        data = {1: self.sources(CAPTIONS), 2: self.sources(MUSIC), 3: self.sources(MIXED)}
        settings = TrainConfig(
            model=ModelSettings(path=str(self.base)), data=data, output_dir=str(output_dir), cache_dir=str(self.folder / "cache"),
            device="cpu", max_steps=STEPS, batch_size=2, max_tokens=160, lr=1e-3, warmup_steps=1, condition_padding="silence",
            condition_weight=0.03, validate_every=0, examples=0, save_every=SAVE_EVERY, keep=9, log_every=1, tensorboard=False,
        )  # fmt: skip
        return dataclasses.replace(settings, **changes)

    def flags(self, output_dir: Path, stage: int = 3, **changes: Any) -> list[str]:
        """Of train.py, with the configuration written beside the output folder."""
        file = output_dir.with_name(f"{output_dir.name}.yaml")
        file.write_text(to_yaml(self.config(output_dir, **changes)), encoding="utf-8")
        return ["--stage", str(stage), "--config", str(file)]

    def run(self, output_dir: Path, stage: int = 3, **changes: Any) -> Trainer:
        """A run that is set up in this process, its first step still to come."""
        config = self.config(output_dir, **changes)
        return build_trainer(config, stage, make_accelerator(config.precision, config.device), RunCheckpoints(output_dir, config.keep))


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    found = Ground(tmp_path_factory.mktemp("ground"))
    tiny_model(0).save_pretrained(found.base)
    make_set(found.made, 4, 0, log=lambda *_: None)
    return found


def lesson_of(run: Trainer, examples: Sequence[Example]) -> TrainingBatch:
    """One micro-batch of exactly these examples."""
    reader = run.train_step.features.reader
    rows = [tokenize_example(run.tokenizer, one, run.config.max_tokens) for one in examples]
    media = [{kind: reader(one) for kind in ("audio", "image", "video") if (one := getattr(row.example, kind))} for row in rows]
    return run.train_step.prepare(collate(rows, media, run.tokenizer.eos))


# -- what a run leaves --------------------------------------------------------------------------------------------


def weights(output_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(output_dir / "last/weights.safetensors")


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def distance(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest difference of any number."""
    assert ours.keys() == theirs.keys()
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in ours)


def table(output_dir: Path) -> list[dict[str, str]]:
    """Rows of log.csv; a run under way may not have begun it yet."""
    file = output_dir / "log.csv"
    return list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []


def steps(output_dir: Path) -> list[int]:
    return [int(row["step"]) for row in table(output_dir)]


def checkpoints(output_dir: Path) -> list[int]:
    return RunCheckpoints(output_dir).steps()


def stopped_at(run: Path, step: int, target: Path) -> Path:
    """A copy of a run as it was when a kill came after its checkpoint of `step`."""
    shutil.copytree(run, target)
    for one in checkpoints(target):
        if one > step:
            shutil.rmtree(target / f"checkpoints/step-{one:06d}")
    for name in ("weights.safetensors", "origin.json"):
        shutil.copy(target / f"checkpoints/step-{step:06d}" / name, target / "last" / name)
    return target


# -- processes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Started:
    """The processes of one command, as torchrun would have started them, each with a file for all that it says."""

    processes: list[Any]
    logs: list[Path]
    output_dir: Path

    def reach(self, step: int) -> None:
        """Waits until that step's row is in log.csv."""
        end = time.monotonic() + PATIENCE
        while len(found := steps(self.output_dir)) == 0 or found[-1] < step:
            assert time.monotonic() < end and any(one.is_alive() for one in self.processes), self.said()
            time.sleep(0.002)

    def kill(self) -> None:
        """All at once, as a machine that goes down does; none may have ended by itself."""
        for one in self.processes:
            one.kill()
        assert self.codes() == [-signal.SIGKILL] * len(self.processes), self.said()

    def codes(self) -> list[int]:
        for one in self.processes:
            one.join(PATIENCE)
        return [one.exitcode for one in self.processes]

    def finish(self) -> None:
        assert self.codes() == [0] * len(self.processes), self.said()

    def said(self) -> str:
        return "\n".join(log.read_text() for log in self.logs if log.exists())


class Launcher:
    """Starts train.py in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[Started]()

    @cached_property
    def server(self) -> Any:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(sorted(name for name in sys.modules if name.split(".")[0] in WARM))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
            patch.setenv("OMP_NUM_THREADS", "1")
            multiprocessing.forkserver.ensure_running()
        return context

    def __call__(
        self, flags: Sequence[str], output_dir: Path, world: int = 1, file_limit: int | None = None, leader: bool = False
    ) -> Started:
        """leader: each process leads a group of its own and may have processes of its own, as the loader's workers."""
        number, port, processes, logs = len(self.started), free_port(), [], []
        for rank in range(world):
            logs.append(self.folder / f"{number}-{rank}.txt")
            places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
            environment = {name: str(value) for name, value in places.items()} | {"MASTER_ADDR": "127.0.0.1"}
            arguments = (list(flags), environment if world > 1 else {}, logs[-1], file_limit, leader)
            processes.append(self.server.Process(target=command, args=arguments, daemon=not leader))
            processes[-1].start()
        self.started.append(Started(processes, logs, output_dir))
        return self.started[-1]

    def close(self) -> None:
        for process in (process for one in self.started for process in one.processes):
            process.kill()


def command(flags: list[str], environment: dict[str, str], log: Path, file_limit: int | None, leader: bool) -> None:
    """In a process of its own: what `python train.py FLAGS` does."""
    os.environ.update(environment)
    place = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(place, 1)
    os.dup2(place, 2)
    torch.set_num_threads(1)
    if leader:
        os.setpgid(0, 0)
        multiprocessing.set_start_method("fork", force=True)  # as a command on Linux has it, not as the server that forked this
    if file_limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    sys.exit(train.main(flags))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="session")
def launch(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    result = Launcher(tmp_path_factory.mktemp("said"))
    yield result
    result.close()


Rejected = Callable[[Sequence[str]], str]


@pytest.fixture()
def refused(capsys: pytest.CaptureFixture[str]) -> Rejected:
    """Runs train.py's command in this process, which must end with exit code 1 and one line; that line."""

    def told(flags: Sequence[str]) -> str:
        capsys.readouterr()
        assert train.main(flags) == 1
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if not line.startswith("step ")]
        assert len(lines) == 1 and lines[0].startswith("train.py: ") and not said.out, said.err + said.out
        return lines[0].removeprefix("train.py: ")

    return told
