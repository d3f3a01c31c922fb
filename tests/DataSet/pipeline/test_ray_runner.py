"""Ray: a run whose driver is killed goes on without computing finished shards again, and ends with the files of one process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pipeline_steps import PipelineFolder, computed, id_of, make_items, tree

from DataSet.pipeline.ray_runner import AttemptNote
from DataSet.pipeline.shard_task import ShardTask, WorkerDiedError

ROOT = Path(__file__).parents[3]
BEHAVIOUR = {"k3": "reject", "k4": "error"}
DRIVER = """
import sys
from functools import partial
from pathlib import Path
from pipeline_steps import SPEC, CountingStep
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.runner import RunOptions, run_step

if __name__ == "__main__":
    with Ledger.open(sys.argv[1]) as ledger:
        step = partial(CountingStep, Path(sys.argv[2]), seconds=float(sys.argv[3]))
        print(run_step(ledger, step, SPEC, (), RunOptions("ray", 2, batch_size=2, wait=0.0)))
"""


def start(folder: PipelineFolder, seconds: float) -> subprocess.Popen[str]:
    """A driver process; the home is its own, since Ray writes a file there."""
    script = folder.root.with_name("driver.py")
    script.write_text(DRIVER, encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "HOME": str(script.parent), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(script), str(folder.root), str(folder.counted), str(seconds)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str], family: list[psutil.Process]) -> None:
    """Waits until Ray's own processes have followed their driver; ends those that have not."""
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(family, timeout=20)
    for other in left:
        other.kill()
    psutil.wait_procs(left)


@pytest.mark.slow
def test_a_killed_driver_goes_on_to_the_files_of_one_process(tmp_path: Path) -> None:
    items = make_items(40, **BEHAVIOUR)
    local = PipelineFolder(tmp_path / "local", items)
    local.run()
    folder = PipelineFolder(tmp_path / "ray", items)
    process = start(folder, 0.4)
    end = time.monotonic() + 300
    while len(list(folder.path(0).parent.glob("part-*"))) < 2:
        assert process.poll() is None and time.monotonic() < end, process.communicate(timeout=10)[0]
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    finish(process, family)
    done = {int(path.stem[-5:]) for path in folder.path(0).parent.glob("part-*")}
    first = computed(folder.counted)
    assert 2 <= len(done) < 8

    process = start(folder, 0.0)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and "count: 38 ok, 1 error, 1 silent" in said, said
    assert "items, less than 0.01 hours on 2 workers (0 GPUs)" in said
    assert tree(folder.root) == tree(local.root) and not list(folder.root.rglob(".attempt-*"))
    again = {name for name in computed(folder.counted) - first if name in first}
    assert not [name for name in computed(folder.counted) - first if int(name, 16) % 8 in done]
    assert len({int(name, 16) % 8 for name in again}) <= 2  # the shards in work, one an actor


def test_a_note_tells_the_next_actor_of_the_death_of_the_last(tmp_path: Path) -> None:
    note = AttemptNote(tmp_path / ".attempt-00007.json", "run")
    assert note.task(7, 2) == ShardTask(7)
    note.write(ShardTask(7), (id_of("k1"), id_of("k2")))
    assert note.task(7, 2) == ShardTask(7, 1, True)
    note.write(note.task(7, 2), (id_of("k2"),))
    assert note.task(7, 2) == ShardTask(7, 0, True, {id_of("k2")})
    assert AttemptNote(note.path, "later run").task(7, 2) == ShardTask(7)
    note.write(ShardTask(7, 1), ())
    with pytest.raises(WorkerDiedError, match="2 worker processes ended before they computed an item of shard 7"):
        note.task(7, 2)
