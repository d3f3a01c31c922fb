"""Pipeline of MUEdit: recordings, edits of each of them, and instructions that ask for the edit.

Two ledgers lie in the work folder. recordings/: sources, segments, filters, duplicates and captions, as of MUCaps. pairs/: an item for
each edit of a recording that is left, with its group; the edit, the caption of what it became, the instruction and the split. So no
recording is decoded, filtered or captioned twice, and each pair is a pure function of its item.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from DataSet.pipeline.captioners import CaptionStep
from DataSet.pipeline.config import ROOT, PipelineConfig
from DataSet.pipeline.deduplication import read_pairs
from DataSet.pipeline.edit_choice import EditSettings, choose_edits
from DataSet.pipeline.edit_step import EditStep, TargetStep, left_out, pair_item
from DataSet.pipeline.export import FORMS, MUEDIT
from DataSet.pipeline.instructions import InstructionStep
from DataSet.pipeline.item import Item
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.run_options import RunOptions
from DataSet.pipeline.set_pipeline import (
    BatchStep,
    SetStep,
    SplitStep,
    add_sources,
    export_entries,
    in_repository,
    origin_of,
    run_steps,
    set_steps,
    silent,
)
from DataSet.pipeline.set_result import SetResult, StepCount, rejections
from DataSet.pipeline.shard_store import ShardStore
from DataSet.pipeline.splits import LinkedGroups, group_of, links_of_copies
from DataSet.pipeline.step import Outcome, Rejection, StepSpec
from DataSet.synthesis.made_folder import ORIGIN
from DataSet.synthesis.made_set import SyntheticPiece, composed_pieces

RECORDINGS, PAIRS = "recordings", "pairs"
RECORDING_STEPS = 4  # segment, filter, duplicates, music_caption


@dataclass(frozen=True)
class EditSetResult(SetResult):
    """A finished run of MUEdit: `store` and `steps` are those of the pairs, the others of the recordings that they are made of."""

    recordings: ShardStore | None = None
    recording_steps: Sequence[StepSpec] = ()

    def histories(self) -> Iterator[tuple[Item, dict[str, Outcome]]]:
        """Every recording that was rejected, and every pair, with its outcomes by step."""
        for item, outcomes in self._recordings().histories(self.recording_steps):
            if any(isinstance(outcome, Rejection) for outcome in outcomes.values()):
                yield item, outcomes
        yield from super().histories()

    def counts(self) -> list[StepCount]:
        """Counts of the recordings' steps, then of the pairs'."""
        first = replace(self, store=self._recordings(), steps=self.recording_steps)
        recordings = SetResult.counts(first)
        pairs = SetResult.counts(replace(self, rejected_rows=()))[1:]
        return recordings + [replace(count, step=f"{count.step} of pairs") for count in pairs]

    def _recordings(self) -> ShardStore:
        assert self.recordings is not None
        return self.recordings


def run_muedit(config: PipelineConfig, folder: str | Path | None = None, options: RunOptions | None = None) -> EditSetResult:
    """Runs all steps in `folder`, exports the set to `folder`/MUEdit, and returns what was done; as `set_pipeline.run_set` does."""
    if config.music_captions.kind == "truth":
        raise ValueError("The captioner truth knows a recording, not what an edit makes of it; give MUEdit one that hears its target.")
    folder = Path(folder or ROOT / "runs" / config.name).expanduser().resolve()
    options = replace(options or RunOptions(log=silent), max_broken=config.max_broken)
    with Ledger.open(folder / RECORDINGS, config.items_per_shard, origin_of(config), options.log) as recordings:
        recording_steps = set_steps(config, FORMS["MUCaps"], recordings.folder)[:RECORDING_STEPS]
        steps = pair_steps(config, folder / PAIRS)  # before the sources are read: a missing list or prompt is told at once
        rows = add_sources(config, FORMS["MUCaps"], recordings, options.log)
        first, reports = run_steps(recording_steps, recordings, options)
        with Ledger.open(folder / PAIRS, config.items_per_shard, origin_of(config), options.log) as pairs:
            add_pairs(recordings, first, pairs, config.edits)
            specs, more = run_steps(steps, pairs, options)
            export = export_entries(config, MUEDIT, pairs, specs, folder / MUEDIT.name, rejections(recordings.store, first), first)
            return EditSetResult(MUEDIT, config, pairs.folder, pairs.store, specs, (*reports, *more), export, tuple(rows),
                                 recordings.store, first)  # fmt: skip


def pair_steps(config: PipelineConfig, folder: Path) -> list[SetStep]:
    """The steps of the pairs in their order."""
    captioner = replace(config.music_captions, model=in_repository(config.music_captions.model))
    words = replace(config.words, model=in_repository(config.words.model))
    return [
        BatchStep(partial(EditStep, folder)), BatchStep(partial(TargetStep, folder)),
        BatchStep(partial(CaptionStep, captioner, folder, "audio")),
        BatchStep(partial(InstructionStep, words, "muedit")), SplitStep(config.split, has_copies=False),
    ]  # fmt: skip


def add_pairs(recordings: Ledger, steps: Sequence[StepSpec], pairs: Ledger, settings: EditSettings) -> None:
    """Adds a pair for each edit of each recording that passed `steps`. Edits that were chosen in an earlier run stay as they are.

    Pairs of recordings that passed then and do not now, as with a new block list, are marked, so that their edit is rejected.
    Raises ValueError where no recording is left.
    """
    scores, items, segments = _Scores(), dict[str, Item](), dict[str, str]()
    for shard in recordings.shards():
        for entry in recordings.inputs(shard, steps):
            items[entry.item.id] = replace(scores.known(entry.item), caption=entry.results["music_caption"]["text"])
            segments[entry.item.id] = f"../{RECORDINGS}/{entry.results['segment']['audio']}"
    if not items:
        raise ValueError("No recording passed the filters, so there is nothing to edit; see rejections.jsonl, or give other sources.")
    chosen: dict[str, list[str]] = {}
    gone = {row.entry.item.id: row.rejection.why for row in rejections(recordings.store, steps)}
    pairs.add_items([left_out(pair, gone[pair.truth["parent"]]) for pair in pairs.items() if pair.truth["parent"] in gone])
    for pair in pairs.items():
        chosen.setdefault(pair.truth["parent"], []).append(f"{pair.truth['operation']} {pair.truth['change']}".strip())
    groups = LinkedGroups(links_of_copies(recordings.items(), read_pairs(recordings.folder)))
    edits = choose_edits(items.values(), settings, chosen)
    pairs.add_items(
        pair_item(replace(item, group=groups.first_of(group_of(item))), variant, segments[name])
        for name, item in items.items() for variant in edits[name]
    )  # fmt: skip


class _Scores:
    """The scores of composed pieces, by the folder of their made set."""

    def __init__(self) -> None:
        self._sets: dict[Path, dict[str, SyntheticPiece]] = {}

    def known(self, item: Item) -> Item:
        """The item whose truth says how its score is written, where it is a piece of a made set and no segment of it."""
        path = Path(item.media.get("audio", ""))
        folder = path.parent.parent
        if item.start is not None or item.end is not None or not (folder / ORIGIN).is_file():
            return item
        if folder not in self._sets:
            self._sets[folder] = composed_pieces(folder)
        piece = self._sets[folder].get(f"audios/{path.name}")
        return item if piece is None else replace(item, truth={**item.truth, "seconds": piece.seconds, "seed": list(piece.seed)})
