"""Runs that are interrupted, stopped or killed go on to the same end: nothing is half-written, nothing finished is computed again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipeline_steps import LATER, SPEC, PipelineFolder, computed, id_of, make_items, tree

ROOT = Path(__file__).parents[3]


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    folder = PipelineFolder(tmp_path, make_items(20, k3="interrupt"))
    with pytest.raises(KeyboardInterrupt):
        folder.run()
    assert folder.said[-1] == "count: interrupted; its finished shards stay, and the same command goes on."
    failed = int(id_of("k3"), 16) % 4
    assert not list(folder.root.rglob(".partial-*")) and len(list(folder.path(0).parent.glob("part-*"))) == failed
    folder.add(make_items(20))
    folder.run()
    assert {int(id_of(key), 16) % 4 for key, times in folder.times().items() if times > 1} <= {failed}


CALLS: list[tuple[Any, str]] = [
    (os, "replace"), (os, "link"), (os, "fsync"), (os, "mkdir"), (Path, "write_bytes"), (Path, "write_text"), (Path, "unlink")
]  # fmt: skip


def run_killed(root: Path, moment: int) -> bool:
    """Runs both steps in a forked process that ends at the given moment: before a call that writes, or within it.

    Returns whether it ended there; with False it came to its end.
    """
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    count = 0

    def step_on() -> None:
        nonlocal count
        count += 1
        if count == moment:
            os._exit(9)

    def killing(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            step_on()
            if name.startswith("write_"):  # a part of it
                Path.open(arguments[0], "wb").write(bytes(3))
                step_on()
            return function(*arguments, **options)

        return call

    for owner, name in CALLS:
        setattr(owner, name, killing(getattr(owner, name), name))
    status = 1
    try:
        run_both(root)
        status = 0
    finally:
        os._exit(status)


def results(root: Path) -> dict[str, bytes]:
    """The files of a work folder without former versions of shard files, which an interruption may add."""
    return {name: data for name, data in tree(root / "folder").items() if "superseded" not in name}


def run_both(root: Path) -> None:
    folder = PipelineFolder(root, make_items(9, k3="reject", k5="error-once"), 5)
    folder.run(max_broken=1)
    folder.run(LATER, [SPEC])
    folder.add(make_items(10, k3="reject", k5="error-once", k9="reject"))
    folder.run(max_broken=1, retry=True)
    folder.run(LATER, [SPEC])


def test_killed_at_every_write_a_run_goes_on_to_the_same_end(tmp_path: Path) -> None:
    run_both(tmp_path / "whole")
    whole, times = results(tmp_path / "whole"), computed(tmp_path / "whole" / "computed")
    moment = 0
    while True:
        moment += 1
        root = tmp_path / str(moment)
        if not run_killed(root, moment):
            break
        for path in root.rglob("part-*"):  # whole, or not there
            assert path.read_bytes().count(b'"count"') == 1, (moment, path)
        run_both(root)
        assert results(root) == whole, moment
        twice = computed(root / "computed") - times  # of the shard in work
        assert len({int(name, 16) % 2 for name in twice}) <= 1 and set(twice.values()) <= {1}, (moment, twice)
    assert moment > 60 and results(root) == whole


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_leaves_nothing_half_written(tmp_path: Path, number: signal.Signals) -> None:
    folder = PipelineFolder(tmp_path, make_items(40))
    code = f"""
from functools import partial
from pathlib import Path
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.runner import RunOptions, run_step
from llama.console import run_command
from pipeline_steps import CountingStep
from DataSet.pipeline.step import StepSpec

def main():
    with Ledger.open({str(folder.root)!r}) as ledger:
        run_step(ledger, partial(CountingStep, Path({str(folder.counted)!r}), seconds=0.1), StepSpec("count", 1), (),
                 RunOptions("processes", 2, batch_size=1))
    return 0

if __name__ == "__main__":
    raise SystemExit(run_command(main))
"""
    (tmp_path / "main.py").write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(tmp_path / "main.py")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: folder.path(1).exists() or folder.path(2).exists(), process)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[number], said
    assert "Traceback" not in said and ("the same command goes on" in said) == (number != signal.SIGKILL), said
    wait_for(lambda: not running_with(str(tmp_path)))
    assert number == signal.SIGKILL or not list(folder.root.rglob(".partial-*"))
    done = {int(path.stem[-5:]) for path in folder.path(0).parent.glob("part-*")}
    counted = computed(folder.counted)
    report = folder.run()
    assert report.rules == {"ok": 40} and report.skipped_items == sum(int(item.id, 16) % 8 in done for item in make_items(40)) > 0
    assert not [name for name in computed(folder.counted) - counted if int(name, 16) % 8 in done]


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end and (process is None or process.poll() is None)
        time.sleep(0.02)


def running_with(text: str) -> list[str]:
    """Processes, other than this one, whose open files or arguments name `text`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
            files = [os.readlink(file) for file in (folder / "fd").iterdir()]
        except OSError:  # it has ended
            continue
        if int(folder.name) != os.getpid() and (text in words or any(text in file for file in files)):
            found.append(folder.name)
    return found
