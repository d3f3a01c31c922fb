"""Steps and items for tests of the data pipeline. They stand in a module of their own, since worker processes import them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from DataSet.pipeline.item import Item
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec, TransientError


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
