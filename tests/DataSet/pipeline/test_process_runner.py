"""Worker processes: the files of one process, and workers that die are replaced."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from pipeline_steps import LATER, SPEC, PipelineFolder, id_of, make_items, tree

from DataSet.pipeline.process_runner import visible_devices
from DataSet.pipeline.shard_task import ShardTask, WorkerDiedError
from DataSet.pipeline.step import Rejection
from DataSet.pipeline.worker_fault import WorkerFault
from llama.errors import COMMAND_ERRORS, InstallationError, sentence
from llama.files import WriteError


def test_processes_write_the_same_files(tmp_path: Path) -> None:
    behaviour = {"k3": "reject", "k4": "error", "k9": "transient", "k20": "error"}
    one, two = (PipelineFolder(tmp_path / name, make_items(40, **behaviour)) for name in ("one", "two"))
    for folder, options in ((one, {}), (two, {"runner": "processes", "workers": 2})):
        report = folder.run(**options)
        assert report.rules == {"ok": 36, "silent": 1, "error": 2, "transient": 1} and len(report.failures) == 3
        folder.run(LATER, [SPEC], **options)
    assert tree(one.root) == tree(two.root) and report.workers == 2


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3="kill-once"))
    report = folder.run(runner="processes", workers=2)
    assert report.rules == {"ok": 20} and sum("a worker process ended in shard" in line for line in folder.said) == 1
    assert {int(id_of(key), 16) % 4 for key, times in folder.times().items() if times > 1} <= {int(id_of("k3"), 16) % 4}


def test_an_item_that_ends_its_workers_is_recorded(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3="kill"))
    report = folder.run(runner="processes", workers=2, tries=2)
    assert report.rules == {"ok": 19, "transient": 1}
    assert folder.outcomes()[id_of("k3")] == Rejection("transient", "The worker process ended while it computed this item.")
    assert "(exit code -9)" in folder.said[-1]
    folder.add(make_items(20))  # mended
    assert folder.run(retry=True).rules == {"ok": 20}


def test_workers_that_die_while_they_load_stop_the_run(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20))
    with pytest.raises(WorkerDiedError, match="2 worker processes ended before they computed an item of shard 0"):
        folder.run(runner="processes", workers=2, tries=2, step={"load": "kill"})


def test_deaths_narrow_down_to_an_item() -> None:
    task = ShardTask(7)
    task.add_death(("a", "b"), 2)
    assert (task.batch_size, task.lost) == (1, set())
    task.add_death(("b",), 2)
    assert (task.lost, task.deaths) == ({"b"}, 0)
    with pytest.raises(WorkerDiedError, match="1 worker processes ended before .* shard 8"):
        ShardTask(8).add_death((), 1)


def test_each_worker_sees_its_own_gpus() -> None:
    assert visible_devices(1, 0, "3,4") is None and visible_devices(1, 2, None) == "2,3"
    assert visible_devices(1, 1, "5,GPU-abc,7") == "GPU-abc"
    with pytest.raises(ValueError, match="names 3 GPUs, and worker 2 would need number 4"):
        visible_devices(1, 2, "0,1,2")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a.wav"), ValueError), (ValueError("k1 is bad."), ValueError),
        (WriteError("a could not be written (No space left on device); make room."), OSError),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError),
        (ModuleNotFoundError("No module named 'x'", name="x"), InstallationError), (WorkerDiedError("They end."), WorkerDiedError),
    ],
)  # fmt: skip
def test_a_fault_of_a_worker_keeps_its_sentence(error: Exception, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        WorkerFault.of(error).throw()
    assert isinstance(caught.value, COMMAND_ERRORS) and sentence(caught.value) == sentence(error)


def test_a_fault_of_the_program_is_told_apart() -> None:
    for error in (KeyError("x"), ModuleNotFoundError("No module named 'DataSet.x'", name="DataSet.x")):
        with pytest.raises(RuntimeError, match=f"{type(error).__name__}: .*x") as caught:
            WorkerFault.of(error).throw()
        assert not isinstance(caught.value, COMMAND_ERRORS)
