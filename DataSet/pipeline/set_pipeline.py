"""Pipeline of a set: sources, segments, filters, duplicates, captions, instructions, splits and export, on a ledger.

The three sets differ in the medium that their music is made for. A run that was stopped goes on; a finished one computes nothing again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

from DataSet.pipeline.advice import CaptionCount, empty_splits, faulty_words, unused_captions
from DataSet.pipeline.block_list import BlockList
from DataSet.pipeline.captioners import CaptionStep
from DataSet.pipeline.config import ROOT, LeakSettings, PipelineConfig
from DataSet.pipeline.data_card import data_card
from DataSet.pipeline.deduplication import DuplicateOptions, deduplicate, duplicate_spec, read_pairs
from DataSet.pipeline.export import FORMS, ExportResult, RejectedItem, SetForm, export_set
from DataSet.pipeline.filters import FilterStep
from DataSet.pipeline.fingerprinted_files import fingerprint_folders
from DataSet.pipeline.instructions import InstructionStep
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.planted import plant_test_set
from DataSet.pipeline.run_options import RunOptions, StepReport
from DataSet.pipeline.runner import run_step
from DataSet.pipeline.segments import SegmentStep
from DataSet.pipeline.set_result import SetResult, Stopwatch, rejections
from DataSet.pipeline.source_row import REJECTED_ROWS, RejectedRow, accepted, write_rejected
from DataSet.pipeline.splits import SplitOptions, links_of_copies, split_spec, write_splits
from DataSet.pipeline.step import Step, StepInput, StepSpec
from llama.data.formats import unknown

Name = TypeVar("Name", str, str | None)

SOURCES = "sources"  # folder of made and planted files in the work folder
HEAVY = ("peaks", "dhash")  # results of the segment step that only deduplication reads: kept out of memory at the export


class SetStep(Protocol):
    """A step of a set. `spec` is that of the last run, if it depends on results."""

    spec: StepSpec

    def run(self, ledger: Ledger, after: Sequence[StepSpec], options: RunOptions) -> StepReport:
        """Computes what is missing. after: the specs of all earlier steps."""
        ...


class BatchStep:
    """A step that is run item by item. It is made once to learn its spec; that instance runs where no other process needs one."""

    def __init__(self, make: Callable[[], Step]) -> None:
        self._make, self._instance = make, make()
        self.spec = self._instance.spec

    def run(self, ledger: Ledger, after: Sequence[StepSpec], options: RunOptions) -> StepReport:
        instance, make = self._instance, self._make
        return run_step(ledger, (lambda: instance) if options.runner == "local" else make, self.spec, after, options)


class DuplicateStep:
    """Deduplication and the block list, which need the whole set at once."""

    def __init__(self, options: DuplicateOptions, block_list: BlockList) -> None:
        self._options, self._block_list = options, block_list
        self.spec = duplicate_spec(options, block_list)

    def run(self, ledger: Ledger, after: Sequence[StepSpec], options: RunOptions) -> StepReport:
        watch, is_new = Stopwatch(), not ledger.is_finished(self.spec, after)
        outcomes = deduplicate(ledger, after, self._options, self._block_list).outcomes
        return watch.report(self.spec.name, outcomes, is_new)


class SplitStep:
    """Splits by group; groups that share a copy are one, so its spec depends on the copies that were found.

    has_copies: whether DuplicateStep ran on the ledger; the groups of MUEdit's pairs join the copies of their recordings already.
    """

    def __init__(self, options: SplitOptions, has_copies: bool = True) -> None:
        self._options, self._has_copies = options, has_copies
        self.spec = split_spec(options)

    def run(self, ledger: Ledger, after: Sequence[StepSpec], options: RunOptions) -> StepReport:
        watch, pairs = Stopwatch(), read_pairs(ledger.folder) if self._has_copies else []
        is_new = not ledger.is_finished(split_spec(self._options, links_of_copies(ledger.items(), pairs)), after)
        self.spec = write_splits(ledger, after, self._options, pairs)
        return watch.report(self.spec.name, dict(ledger.outcomes(self.spec)), is_new)


def run_set(config: PipelineConfig, folder: str | Path | None = None, options: RunOptions | None = None) -> SetResult:
    """Runs all steps in `folder`, exports the set to `folder`/NAME, and returns what was done.

    folder: runs/NAME of the repository unless given. options: one process and no log unless given.
    Raises ValueError or FileNotFoundError in one sentence: for sources and models that are not there, a folder of another
    configuration, more broken items than allowed.
    """
    if config.name not in FORMS:
        raise ValueError(unknown("set", config.name, tuple(FORMS)))
    form, folder = FORMS[config.name], Path(folder or ROOT / "runs" / config.name).expanduser().resolve()
    options = replace(options or RunOptions(log=silent), max_broken=config.max_broken)
    with Ledger.open(folder, config.items_per_shard, origin_of(config), options.log) as ledger:
        steps = set_steps(config, form, folder)  # first: a missing list or model is told before sources are read
        rows = add_sources(config, form, ledger, options.log)
        done, reports = run_steps(steps, ledger, options)
        export = export_entries(config, form, ledger, done)
        return SetResult(form, config, folder, ledger.store, done, reports, export, tuple(rows))


def run_steps(steps: Sequence[SetStep], ledger: Ledger, options: RunOptions) -> tuple[tuple[StepSpec, ...], tuple[StepReport, ...]]:
    """Runs steps one after another; returns their specs and their reports, which are logged as they come."""
    reports: list[StepReport] = []
    done: list[StepSpec] = []
    for step in steps:
        reports.append(step.run(ledger, tuple(done), options))
        done.append(step.spec)
        options.log(str(reports[-1]))
    return tuple(done), tuple(reports)


def set_steps(config: PipelineConfig, form: SetForm, folder: Path) -> list[SetStep]:
    """The steps of a set in their order."""
    kind = form.kind
    limits = replace(config.filter, music_model=in_repository(config.filter.music_model))
    steps: list[SetStep] = [
        BatchStep(partial(SegmentStep, folder, kind, config.sample_rate, config.segment)),
        BatchStep(partial(FilterStep, folder, limits)),
        DuplicateStep(config.duplicates, block_list(config.leaks, form, folder)),
        BatchStep(partial(CaptionStep, replace(config.music_captions, model=in_repository(config.music_captions.model)), folder, "audio")),
    ]
    if config.vision_captions is not None:
        captioner = replace(config.vision_captions, model=in_repository(config.vision_captions.model))
        steps.append(BatchStep(partial(CaptionStep, captioner, folder, kind)))
    words = replace(config.words, model=in_repository(config.words.model))
    return [*steps, BatchStep(partial(InstructionStep, words, form.name.lower())), SplitStep(config.split)]


def block_list(leaks: LeakSettings, form: SetForm, folder: Path) -> BlockList:
    """The lists and the fingerprints of test folders. Raises ValueError for a list that is missing and may not be."""
    folders = [ROOT / name for name in leaks.test_folders]
    if leaks.planted:
        folders.append(plant_test_set(folder / SOURCES, form.kind))
    files = fingerprint_folders(folders, folder)
    found = BlockList.read(ROOT / leaks.folder if leaks.folder else None, leaks.lists, files)
    found.require(leaks.allow_missing)
    return found


def in_repository(name: Name) -> Name:
    """The path of a model that lies in the repository; other names as they are."""
    return str(ROOT / name) if name and (ROOT / name).exists() else name


def add_sources(config: PipelineConfig, form: SetForm, ledger: Ledger, log: Callable[[str], None]) -> list[RejectedRow]:
    """Adds the rows of all sources to the ledger; returns those that give no item."""
    rejected: list[RejectedRow] = []
    folder = ledger.folder / SOURCES
    rows = chain.from_iterable(source.rows(form.kind, folder, ROOT, log) for source in config.sources)
    captions = CaptionCount()
    ledger.add_items(accepted(captions.counted(rows), rejected))  # of all sources at once: the first items fix the number of shards
    write_rejected(ledger.folder, rejected)
    for line in filter(None, (faulty_words(config), unused_captions(config, captions.count))):
        log(line)
    if not ledger.shards():
        advice = f"{len(rejected)} rows are rejected, see {ledger.folder / REJECTED_ROWS}" if rejected else f"put {form.kind} files where they look"
        raise ValueError(f"The sources of {config.name} give no item; {advice}.")
    return rejected


def export_entries(
    config: PipelineConfig, form: SetForm, ledger: Ledger, steps: Sequence[StepSpec], folder: Path | None = None,
    rejected_before: Sequence[RejectedItem] = (), steps_before: Sequence[StepSpec] = (),
) -> ExportResult:  # fmt: skip
    """Writes what all steps kept, with its data card, into `folder`, the ledger's folder for the set unless given.

    rejected_before, steps_before: of another ledger, whose items gave those of this one.
    """
    entries = [_light(entry) for shard in ledger.shards() for entry in ledger.inputs(shard, steps)]
    rejected = [*rejected_before, *rejections(ledger.store, steps)]
    steps = (*steps_before, *steps)
    card = data_card(form, config.profile, entries, rejected, steps)
    export = export_set(folder or ledger.folder / form.name, form, ledger.folder, entries, rejected, steps, card, config.items_per_shard)
    if line := empty_splits(export.items, config.split):
        ledger.log(line)
    return export


def _light(entry: StepInput) -> StepInput:
    """The entry without what only deduplication reads."""
    segment = {name: value for name, value in entry.results["segment"].items() if name not in HEAVY}
    return StepInput(entry.item, {**entry.results, "segment": segment})


def origin_of(config: PipelineConfig) -> dict[str, Any]:
    """What a work folder is for: a folder of another set or of other sources is refused."""
    return {"set": config.name, "sources": [dataclasses.asdict(source) for source in config.sources]}


def silent(line: str) -> None:
    """Takes a line of the log."""
