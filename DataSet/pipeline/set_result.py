"""Result of a run of a set's pipeline: what every step did, and what the work folder holds, read when it is asked for.

Tables for people are in notebook_tables.py; here are their numbers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from DataSet.pipeline.config import PipelineConfig
from DataSet.pipeline.export import ExportResult, RejectedItem, SetForm
from DataSet.pipeline.item import Item
from DataSet.pipeline.run_options import StepReport
from DataSet.pipeline.shard_store import ShardStore
from DataSet.pipeline.source_row import RejectedRow
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec

MILLION = 1_000_000


@dataclass(frozen=True)
class StepCount:
    """What a step did with the items that reached it. rules: rule of a rejection -> number of items."""

    step: str
    given: int
    kept: int
    rules: Mapping[str, int]


@dataclass(frozen=True)
class SetResult:
    """A finished run. store: the shard files of the work folder; steps: in the order in which they ran; reports: of this run;
    rejected_rows: of the sources that give no item."""

    form: SetForm
    config: PipelineConfig
    work_folder: Path
    store: ShardStore
    steps: Sequence[StepSpec]
    reports: Sequence[StepReport]
    export: ExportResult
    rejected_rows: Sequence[RejectedRow] = ()

    def histories(self) -> Iterator[tuple[Item, dict[str, Outcome]]]:
        """Every item with its outcomes by step; none in the steps after the one that rejected it."""
        return self.store.histories(self.steps)

    def entries(self) -> Iterator[StepInput]:
        """The items of the set with the results of all steps, by their ids in each shard."""
        for shard in range(self.store.shard_count):
            yield from self.store.inputs(shard, self.steps)

    def counts(self) -> list[StepCount]:
        """One count for the rows of the sources, and one a step."""
        items = sum(len(self.store.read_items(shard)) for shard in range(self.store.shard_count))
        rows = Counter(row.rejection.rule for row in self.rejected_rows)
        counts = [StepCount("sources", items + rows.total(), items, dict(rows))]
        for spec in self.steps:
            rules: Counter[str] = Counter()
            for shard in range(self.store.shard_count):
                outcomes = (record.outcome for record in self.store.finished_step(spec, shard).records.values())
                rules.update(outcome.rule if isinstance(outcome, Rejection) else "" for outcome in outcomes)
            kept = rules.pop("", 0)
            counts.append(StepCount(spec.name, kept + rules.total(), kept, dict(rules)))
        return counts

    def media(self, entry: StepInput, kind: str) -> Path:
        """The file that the segment step wrote for an item."""
        return self.work_folder / str(entry.results["segment"][kind])


def rejections(store: ShardStore, steps: Sequence[StepSpec]) -> list[RejectedItem]:
    """The items that a step rejected."""
    rejected = []
    for item, outcomes in store.histories(steps):
        last = list(outcomes)[-1] if outcomes else None
        if last is not None and isinstance(found := outcomes[last], Rejection):
            rejected.append(RejectedItem(last, StepInput(item), found))
    return rejected


class Stopwatch:
    """Seconds of the steps that are no `run_step`, as a report."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def report(self, name: str, outcomes: Mapping[str, Outcome], computed: bool) -> StepReport:
        rules: Counter[str] = Counter(outcome.rule if isinstance(outcome, Rejection) else "ok" for outcome in outcomes.values())
        done = len(outcomes) if computed else 0
        return StepReport(name, dict(rules), done, len(outcomes) - done, int(computed), int(not computed), time.perf_counter() - self._start)
