"""Ledger of a work folder: the items of a data set in shards, and what every step gave for them, so that a stopped run goes on.

Exactly once: a step's outcome is a pure function of its inputs, its shard file is renamed into place, and what is whole is skipped.
A shard is fixed by the item's id alone, never by its order. Nothing is deleted: a former version of a shard file is kept beside.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from DataSet.pipeline.item import Item
from DataSet.pipeline.shard_file import DamagedShardError, canonical, json_line, keep_former, read_shard_file
from DataSet.pipeline.shard_store import ITEMS, Record, ShardStore, StepShard, digest_of_input, digest_of_inputs
from DataSet.pipeline.step import Outcome, StepInput, StepSpec
from llama.errors import PATH_LENGTH, shorten
from llama.files import write_json
from llama.json_yaml import read_table

LEDGER, LOCK = "ledger.json", ".lock"
FORMAT = 1
MOST_DIFFERENCES = 4  # of a configuration, that a refusal names
ITEMS_PER_SHARD = 256
BUCKET_ITEMS, MOST_BUCKETS = 20_000, 128  # items that are sorted in memory at once; temporary files that are open at once
Log = Callable[[str], None]


@dataclass
class Ledger:
    """A work folder that this process has locked; open it with `Ledger.open` in a `with` block.

    items_per_shard: for a folder without items. log: takes a sentence about each file that had to be made again.
    """

    folder: Path
    items_per_shard: int
    origin: Mapping[str, Any]
    log: Log
    _shard_count: int | None
    _lock: ExitStack = field(repr=False)

    @classmethod
    def open(
        cls, folder: str | Path, items_per_shard: int | None = None, origin: Mapping[str, Any] | None = None, log: Log = print
    ) -> Self:
        """Locks the folder, which is made if it is missing.

        items_per_shard: about how many items share a file, 256 unless given; it is fixed with the first items. origin: JSON values
        that say what the folder is for, such as the set and its sources; a folder of another origin is refused.
        Raises ValueError if another run has the folder, or it was begun otherwise; OSError where it cannot be written.
        """
        if items_per_shard is not None and items_per_shard < 1:
            raise ValueError(f"items_per_shard is {items_per_shard}; give a whole number from 1.")
        folder = Path(folder).expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder)
        try:
            values = read_table(folder / LEDGER, "move the folder away") if (folder / LEDGER).exists() else {}
            _check_origin(folder, values, items_per_shard, origin)
            chosen = values.get("items_per_shard", items_per_shard or ITEMS_PER_SHARD)
            return cls(folder, chosen, values.get("origin", origin or {}), log, values.get("shards"), lock)
        except BaseException:
            lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets another run have the folder."""
        self._lock.close()

    @property
    def store(self) -> ShardStore:
        """The shard files, for workers. Raises ValueError in a folder without items."""
        if self._shard_count is None:
            raise ValueError(f"{self.folder} has no items yet; add some first.")
        return ShardStore(self.folder, self._shard_count)

    def shards(self) -> range:
        return range(self._shard_count or 0)

    # -- items --------------------------------------------------------------------------------------------------------

    def add_items(self, items: Iterable[Item]) -> int:
        """Adds items and returns how many are new. One whose id is there already replaces it, so that its inputs are the newest.

        The items are read once and need no more memory than 20,000 of them, or a 128th.
        """
        with tempfile.TemporaryFile("w+", dir=self.folder, encoding="ascii") as spool:
            count = 0
            for item in items:
                spool.write(json_line(item.as_json()) + "\n")
                count += 1
            if not count:
                return 0
            if self._shard_count is None:
                self._fix_shards(max(1, math.ceil(count / self.items_per_shard)))
            spool.seek(0)
            return self._distribute(spool, count)

    def items(self) -> Iterator[Item]:
        """All items, shard by shard, in order of their ids there."""
        for shard in self.shards():
            yield from self.store.read_items(shard).values()

    def _fix_shards(self, shard_count: int) -> None:
        values = {"format": FORMAT, "shards": shard_count, "items_per_shard": self.items_per_shard, "origin": dict(self.origin)}
        write_json(self.folder / LEDGER, values)
        self._shard_count = shard_count

    def _distribute(self, spool: IO[str], count: int) -> int:
        store = self.store
        bucket_count = min(math.ceil(count / BUCKET_ITEMS), MOST_BUCKETS, store.shard_count)
        (self.folder / ITEMS).mkdir(exist_ok=True)
        with ExitStack() as stack:
            buckets = [spool]
            if bucket_count > 1:
                buckets = [stack.enter_context(tempfile.TemporaryFile("w+", dir=self.folder, encoding="ascii")) for _ in range(bucket_count)]
                for line in spool:
                    buckets[store.shard_of(json.loads(line)["id"]) % bucket_count].write(line)
            new = 0
            for index, bucket in enumerate(buckets):
                bucket.seek(0)
                new += self._merge(bucket, range(index, store.shard_count, bucket_count))
            return new

    def _merge(self, lines: Iterable[str], shards: Iterable[int]) -> int:
        """Adds the items of some lines to their shards; a shard without a file gets one, so that a missing file is seen later."""
        by_shard: dict[int, dict[str, Item]] = {shard: {} for shard in shards}
        for values in map(json.loads, lines):
            by_shard[self.store.shard_of(values["id"])][values["id"]] = Item.from_json(values)
        new = 0
        for shard, items in by_shard.items():
            there = self._items_there(shard)
            new += len(items.keys() - (there or {}).keys())
            merged = {**(there or {}), **items}
            if there is None or any(there.get(name) != item for name, item in items.items()):
                self.store.write_items(shard, merged)
        return new

    def _items_there(self, shard: int) -> dict[str, Item] | None:
        try:
            return self.store.read_items(shard) if read_shard_file(self.folder / ITEMS, shard, self.store.shard_count) else None
        except DamagedShardError as error:
            self.log(f"{error}; it is written again with the items that are added now, and kept beside.")
            keep_former(self.folder / ITEMS, shard)
            return None

    # -- steps --------------------------------------------------------------------------------------------------------

    def inputs(self, shard: int, after: Sequence[StepSpec] = ()) -> list[StepInput]:
        """Items of the shard that are ok in every step of `after`, with their results; see `ShardStore.inputs`."""
        return self.store.inputs(shard, after)

    def outcomes(self, spec: StepSpec) -> Iterator[tuple[str, Outcome]]:
        """Id and outcome of every item that the step was given, shard by shard. Raises ValueError if it has not run on all shards."""
        for shard in self.shards():
            for name, record in self.store.finished_step(spec, shard).records.items():
                yield name, record.outcome

    def histories(self, specs: Sequence[StepSpec]) -> Iterator[tuple[Item, dict[str, Outcome]]]:
        """Every item with its outcomes of these steps; see `ShardStore.histories`, which needs no lock."""
        return self.store.histories(specs) if self.shards() else iter(())

    def is_finished(self, spec: StepSpec, after: Sequence[StepSpec] = ()) -> bool:
        """Whether `write_outcomes` has written the step for exactly these inputs."""
        whole = digest_of_inputs({str(shard): digest_of_inputs(self._digests(shard, after)) for shard in self.shards()})
        try:
            contents = [self.store.read_step(spec, shard) for shard in self.shards()]
        except DamagedShardError as error:
            self.log(f"{error}; the step {spec.name} is made again.")
            return False
        return all(content is not None and content.inputs == whole for content in contents)

    def write_outcomes(self, spec: StepSpec, outcomes: Mapping[str, Outcome], after: Sequence[StepSpec] = ()) -> None:
        """Writes the outcomes of a step that needs the whole set at once: id -> outcome, exactly one for each input.

        An outcome may depend on all items, so a new item makes `is_finished` false. Raises ValueError for another set of ids.
        """
        digests = {shard: self._digests(shard, after) for shard in self.shards()}
        expected = {name for values in digests.values() for name in values}
        if expected != outcomes.keys():
            odd = next(iter(sorted(expected ^ outcomes.keys())))
            words = "gives no outcome for" if odd in expected else "gives an outcome that is not asked for, of"
            raise ValueError(f"The step {spec.name} {words} item {odd}; it has {len(expected)} inputs and {len(outcomes)} outcomes.")
        whole = digest_of_inputs({str(shard): digest_of_inputs(values) for shard, values in digests.items()})
        self.store.prepare_step(spec)
        for shard, values in digests.items():
            records = {name: Record(inputs, outcomes[name]) for name, inputs in values.items()}
            self.store.write_step(spec, shard, StepShard(whole, records))

    def _digests(self, shard: int, after: Sequence[StepSpec]) -> dict[str, str]:
        return {value.item.id: digest_of_input(value) for value in self.inputs(shard, after)}


def _locked(folder: Path) -> ExitStack:
    """The lock of a folder, which the system releases when the process ends in any way. Raises ValueError if another has it."""
    from filelock import FileLock, Timeout

    stack = ExitStack()
    try:
        stack.enter_context(FileLock(folder / LOCK, timeout=0))
    except Timeout as error:
        raise ValueError(f"Another run works in {folder}; wait until it has ended, or give another folder.") from error
    return stack


def _check_origin(folder: Path, values: Mapping[str, Any], items_per_shard: int | None, origin: Mapping[str, Any] | None) -> None:
    if not values:
        return
    if values.get("format") != FORMAT or not isinstance(values.get("shards"), int):
        raise ValueError(f"{folder / LEDGER} is of another version of the pipeline; give another folder.")
    if items_per_shard not in (None, values["items_per_shard"]):
        raise ValueError(f"{folder} was begun with {values['items_per_shard']} items a shard, not {items_per_shard}; give that number, or another folder.")
    if origin is None or canonical(origin) == canonical(values["origin"]):
        return
    found = list(_differences("", values["origin"], json.loads(canonical(origin))))
    rest = f"; and {len(found) - MOST_DIFFERENCES} more" if len(found) > MOST_DIFFERENCES else ""
    raise ValueError(f"{folder} was made with another configuration: {'; '.join(found[:MOST_DIFFERENCES])}{rest}; give another folder.")


def _differences(name: str, former: Any, now: Any) -> Iterator[str]:
    """A phrase for each value that differs, by its keys, such as "sources number 1: media was 'a', and is 'b' now"."""
    if isinstance(former, dict) and isinstance(now, dict):
        for key in sorted({*former, *now}):
            yield from _differences(f"{name}: {key}" if name else key, former.get(key), now.get(key))
    elif isinstance(former, list) and isinstance(now, list):
        for number, (one, other) in enumerate(zip(former, now, strict=False), 1):
            yield from _differences(f"{name} number {number}", one, other)
        if len(former) != len(now):
            yield f"{name} were {len(former)}, and are {len(now)} now"
    elif former != now:
        yield f"{name} was {shorten(repr(former), PATH_LENGTH)}, and is {shorten(repr(now), PATH_LENGTH)} now"
