"""Shard store: reads and writes the shard files of a work folder. It has no lock and can be pickled, so that workers use it.

FOLDER/items/part-00007.jsonl holds the items of shard 7, FOLDER/steps/NAME-DIGEST/part-00007.jsonl what the step gave for them, one
line an item: `{"id", "inputs", "ok": {...}}` or `{"id", "inputs", "rule", "why"}`. `inputs` is a digest of the item and of the
results that the step was given with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from DataSet.pipeline.item import Item
from DataSet.pipeline.shard_file import (
    DamagedShardError,
    canonical,
    digest,
    json_line,
    keep_former,
    read_shard_file,
    write_shard_file,
)
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from llama.files import write_json
from llama.json_yaml import read_json

ITEMS, STEPS, SPEC = "items", "steps", "spec.json"


@dataclass(frozen=True)
class Record:
    """An outcome with the digest of the inputs that it is of."""

    inputs: str
    outcome: Outcome


@dataclass(frozen=True)
class StepShard:
    """The records of one shard file of a step: id of the item -> record.

    inputs: digest of all inputs of the shard; for a step that needs the whole set at once, of the whole set.
    """

    inputs: str
    records: Mapping[str, Record] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardStore:
    """The shard files below `folder`. Item and results of an item are in the shard of its id modulo `shard_count`."""

    folder: Path
    shard_count: int

    def shard_of(self, item_id: str) -> int:
        return int(item_id, 16) % self.shard_count

    def step_folder(self, spec: StepSpec) -> Path:
        return self.folder / STEPS / spec.folder

    # -- items --------------------------------------------------------------------------------------------------------

    def read_items(self, shard: int) -> dict[str, Item]:
        """The items of a shard by id. Raises ValueError if its file is missing or damaged."""
        try:
            content = read_shard_file(self.folder / ITEMS, shard, self.shard_count)
        except DamagedShardError as error:
            raise ValueError(f"{error}; add the items again.") from error
        if content is None:
            raise ValueError(f"The items of shard {shard} are missing in {self.folder / ITEMS}; add the items again.")
        return {values["id"]: Item.from_json(values) for values in map(json.loads, content.lines)}

    def write_items(self, shard: int, items: Mapping[str, Item]) -> None:
        lines = [json_line(items[name].as_json()) for name in sorted(items)]
        write_shard_file(self.folder / ITEMS, shard, self.shard_count, {"step": ITEMS}, lines)

    # -- steps --------------------------------------------------------------------------------------------------------

    def prepare_step(self, spec: StepSpec) -> None:
        """Makes the folder of a step, with a file beside its shards that says what its results depend on."""
        path = self.step_folder(spec) / SPEC
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_json(path, _spec_values(spec))
        elif canonical(read_json(path, f"restore it, or move {path.parent} away")) != canonical(_spec_values(spec)):
            raise ValueError(f"{path} is of another step than {spec.folder}; move {path.parent} away.")

    def read_step(self, spec: StepSpec, shard: int) -> StepShard | None:
        """What a step gave for a shard; None before it ran there. Raises DamagedShardError."""
        content = read_shard_file(self.step_folder(spec), shard, self.shard_count)
        if content is None:
            return None
        if content.header.get("step") != spec.folder:
            raise DamagedShardError(f"{self.step_folder(spec)} holds shard {shard} of another step")
        return StepShard(content.header["inputs"], dict(map(_parse_record, content.lines)))

    def write_step(self, spec: StepSpec, shard: int, content: StepShard) -> None:
        """Writes what a step gave for a shard. A former file whose results are not all in the new one is kept beside."""
        try:
            former = self.read_step(spec, shard)
            loses = former is not None and any(content.records.get(name) != value for name, value in former.records.items())
        except DamagedShardError:
            loses = True
        if loses:
            keep_former(self.step_folder(spec), shard)
        lines = [_record_line(name, content.records[name]) for name in sorted(content.records)]
        values = {"step": spec.folder, "inputs": content.inputs}
        write_shard_file(self.step_folder(spec), shard, self.shard_count, values, lines)

    def finished_step(self, spec: StepSpec, shard: int) -> StepShard:
        """What a step gave for a shard. Raises ValueError if it has not run there, or its file is damaged."""
        try:
            content = self.read_step(spec, shard)
        except DamagedShardError as error:
            raise ValueError(f"{error}; run the step {spec.name} again.") from error
        if content is None:
            raise ValueError(f"The step {spec.name} has no results for shard {shard} in {self.step_folder(spec)}; run it first.")
        return content

    def inputs(self, shard: int, after: Sequence[StepSpec] = ()) -> list[StepInput]:
        """Items of the shard that no step of `after` rejected, in order of their ids, with the results of these steps.

        `after` has every step that rejects items, in any order. Raises ValueError if one has not run, or not on all items.
        """
        earlier = {spec.name: self.finished_step(spec, shard).records for spec in after}
        assert len(earlier) == len(after), "two earlier steps of one name"
        inputs = []
        for name, item in sorted(self.read_items(shard).items()):
            results: dict[str, Mapping[str, Any]] = {}
            records = {step: found.get(name) for step, found in earlier.items()}
            if any(record is not None and isinstance(record.outcome, Rejection) for record in records.values()):
                continue
            for step, record in records.items():
                if record is None or isinstance(record.outcome, Rejection):
                    raise ValueError(f"The step {step} has no result for item {name} ({item.key}); run it again, after the steps before it.")
                results[step] = record.outcome
            inputs.append(StepInput(item, results))
        return inputs

    def histories(self, specs: Sequence[StepSpec]) -> Iterator[tuple[Item, dict[str, Outcome]]]:
        """Every item with its outcomes of these steps by name, one shard in memory at a time.

        An item has no outcome in the steps after the one that rejected it. Raises ValueError if a step has not run on all shards.
        """
        for shard in range(self.shard_count):
            steps = {spec.name: self.finished_step(spec, shard).records for spec in specs}
            for name, item in self.read_items(shard).items():
                yield item, {step: records[name].outcome for step, records in steps.items() if name in records}


def digest_of_input(value: StepInput) -> str:
    return digest(canonical([value.item.as_json(), value.results]))


def digest_of_inputs(digests: Mapping[str, str]) -> str:
    """Digest of the inputs of a shard or set from those of its items: id -> digest."""
    return digest(canonical(digests))


def _spec_values(spec: StepSpec) -> dict[str, Any]:
    return {"name": spec.name, "version": spec.version, "settings": dict(spec.settings)}


def _parse_record(line: str) -> tuple[str, Record]:
    values = json.loads(line)
    outcome = values["ok"] if "ok" in values else Rejection(values["rule"], values["why"])
    return values["id"], Record(values["inputs"], outcome)


def _record_line(name: str, record: Record) -> str:
    outcome = record.outcome
    values = {"rule": outcome.rule, "why": outcome.why} if isinstance(outcome, Rejection) else {"ok": outcome}
    return json_line({"id": name, "inputs": record.inputs, **values})
