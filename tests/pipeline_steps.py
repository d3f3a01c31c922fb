"""Steps, items and work folders for tests of the data pipeline; in a module of their own, since worker processes import them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from DataSet.pipeline.item import Item
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.runner import RunOptions, StepReport, run_step
from DataSet.pipeline.shard_file import shard_path
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec, TransientError

SPEC, LATER = StepSpec("count", 1), StepSpec("later", 1)


def make_items(count: int, first: int = 0, **behaviour: str) -> list[Item]:
    """Items of keys k0, k1 ...; behaviour: key -> what CountingStep does with that item."""
    keys = [f"k{number}" for number in range(first, first + count)]
    return [Item("test", key, {"audio": f"{key}.wav"}, truth={"does": behaviour.get(key, "")}) for key in keys]


class CountingStep:
    """Appends the id of each item that it computes to a file, and does what the item's truth says."""

    def __init__(self, computed: Path, name: str = "count", seconds: float = 0.0, load: str = "", **settings: Any) -> None:
        self.spec = StepSpec(name, 1, settings)
        self._computed, self._seconds = computed, seconds
        if load == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if load:
            raise FileNotFoundError(2, "No such file or directory", load)

    def __call__(self, batch: Sequence[StepInput]) -> Sequence[Outcome]:
        with self._computed.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{value.item.id}\n" for value in batch))
        time.sleep(self._seconds)
        return [self._outcome(value) for value in batch]

    def _outcome(self, value: StepInput) -> Outcome:
        does = value.item.truth["does"]
        mark = self._computed.with_name(f"{self._computed.name}.{value.item.key}")
        if does.endswith("-once"):
            if mark.exists():
                does = ""
            mark.touch()
        match does.removesuffix("-once"):
            case "reject":
                return Rejection("silent", f"{value.item.key} is silent.")
            case "error":
                raise ValueError(f"{value.item.key} cannot be read.")
            case "transient":
                raise TransientError(f"{value.item.key} has to wait.")
            case "memory":
                raise MemoryError
            case "fault":
                raise ZeroDivisionError("a fault of the program")
            case "end":
                raise EOFError("a fault of the program: the end of a file")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "interrupt":
                raise KeyboardInterrupt
            case "strange":
                return {"value": {1, 2}}
        earlier = sum(result["value"] for result in value.results.values())
        return {"key": value.item.key, "value": value.seed % 1000 + earlier}


def computed(file: Path) -> Counter[str]:
    """How often each item was computed: id -> times."""
    return Counter(file.read_text(encoding="utf-8").split()) if file.exists() else Counter()


def tree(folder: Path) -> dict[str, bytes]:
    """The files below a folder, without hidden ones."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def id_of(key: str) -> str:
    return Item("test", key, {}).id


class PipelineFolder:
    """A work folder with the file in which its steps count, and the lines of the log."""

    def __init__(self, root: Path, items: Sequence[Item], items_per_shard: int = 5) -> None:
        self.root, self.counted, self.said = root / "folder", root / "computed", list[str]()
        self.add(items, items_per_shard)

    def add(self, items: Sequence[Item], items_per_shard: int | None = None) -> None:
        with Ledger.open(self.root, items_per_shard, log=self.said.append) as ledger:
            ledger.add_items(items)

    def options(self, **options: Any) -> RunOptions:
        return RunOptions(**{"log": self.said.append, "wait": 0.0, "batch_size": 2, **options})

    def run(self, spec: StepSpec = SPEC, after: Sequence[StepSpec] = (), step: dict[str, Any] | None = None, **options: Any) -> StepReport:
        factory = partial(CountingStep, self.counted, spec.name, **(step or spec.settings))
        with Ledger.open(self.root, log=self.said.append) as ledger:
            return run_step(ledger, factory, spec, after, self.options(**options))

    def outcomes(self, spec: StepSpec = SPEC) -> dict[str, Outcome]:
        with Ledger.open(self.root) as ledger:
            return dict(ledger.outcomes(spec))

    def path(self, shard: int, spec: StepSpec = SPEC) -> Path:
        return shard_path(self.root / "steps" / spec.folder, shard)

    def times(self) -> dict[str, int]:
        """Key of the item -> how often it was computed."""
        keys = {item.id: item.key for item in make_items(200)}
        return {keys[name]: count for name, count in computed(self.counted).items()}
