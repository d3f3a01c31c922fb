"""Deduplication: groups of exact and near copies over a whole set; one of each group is kept, and the outcome says which and why.

    report = deduplicate(ledger, after=[segment.spec, filter.spec], block_list=block_list)

It writes the step "duplicates": {"kept_of": ids of the copies that it stands for} or a Rejection of the rule "duplicate" or "blocked".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DataSet.pipeline.block_list import BlockList
from DataSet.pipeline.duplicate_groups import Entries, NumberedPair, group_outcomes
from DataSet.pipeline.duplicate_index import aligned_pairs, similar_hashes
from DataSet.pipeline.fingerprints import PeakFingerprint
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from llama.errors import importing, require_fields
from llama.files import write_text
from llama.json_yaml import parse_json

if TYPE_CHECKING:
    from DataSet.pipeline.ledger import Ledger

STEP, VERSION = "duplicates", 2
PAIRS = "duplicate_pairs.jsonl"


@dataclass(frozen=True)
class DuplicateOptions:
    """What counts as a copy. matches, share: pairs of spectral peaks that two recordings share at one shift, and what part of the poorer
    one's they are while both sound (different pieces of the made set: at most 17 and 0.08; copies as mp3 of half the level: 142 and
    0.36 or more). bits: of 64 by which two pictures may differ. words: whether items of one source text are copies. cosine: of embeddings.
    """

    matches: int = 20
    share: float = 0.15
    bits: int = 6
    words: bool = False
    cosine: float = 0.98

    def __post_init__(self) -> None:
        require_fields(self, ("matches",), lambda value: value >= 1, "a whole number from 1")
        require_fields(self, ("share", "cosine"), lambda value: 0 < value <= 1, "a share above 0, up to 1")
        require_fields(self, ("bits",), lambda value: 0 <= value <= 16, "0 to 16 bits")


@dataclass(frozen=True)
class DuplicatePair:
    """Two items that were compared. similarity: 0 to 1; shift: seconds, of peaks. is_copy: False for the nearest of those that are none.

    A file of a local test folder stands under its folder's name and its own.
    """

    first: str
    second: str
    rule: str
    similarity: float
    is_copy: bool
    shift: float = 0.0


@dataclass(frozen=True)
class DuplicateReport:
    """What was found. counts: rule -> items that are rejected by it; blocked ones by the list or folder."""

    outcomes: Mapping[str, Outcome]
    pairs: Sequence[DuplicatePair]
    counts: Mapping[str, int] = field(default_factory=dict)


def deduplicate(
    ledger: Ledger, after: Sequence[StepSpec], options: DuplicateOptions | None = None, block_list: BlockList | None = None,
    embeddings: Mapping[str, Sequence[float]] | None = None,
) -> DuplicateReport:
    """Finds the copies among the items that are ok in the steps `after`, writes the step, and FOLDER/duplicate_pairs.jsonl.

    A step that is written for the same inputs already is read. embeddings: item id -> vector of its sound, which needs the extra `knn`.
    """
    options = options or DuplicateOptions()
    spec = duplicate_spec(options, block_list, embeddings is not None)
    if ledger.is_finished(spec, after) and _step_of_pairs(ledger.folder) == spec.folder:
        outcomes = dict(ledger.outcomes(spec))
        return DuplicateReport(outcomes, read_pairs(ledger.folder), count_rules(outcomes.values()))

    def inputs() -> Iterator[StepInput]:
        for shard in ledger.shards():
            yield from ledger.inputs(shard, after)

    report = find_duplicates(inputs, options, block_list, embeddings)
    (ledger.folder / PAIRS).unlink(missing_ok=True)  # of other inputs: if the run is stopped here, they are not taken for those of these
    ledger.write_outcomes(spec, report.outcomes, after)
    lines = [{"step": spec.folder}, *map(asdict, report.pairs)]
    write_text(ledger.folder / PAIRS, "".join(f"{json.dumps(line)}\n" for line in lines))
    return report


def duplicate_spec(options: DuplicateOptions | None = None, block_list: BlockList | None = None, embeddings: bool = False) -> StepSpec:
    """The spec of the step, by which later steps name it."""
    settings = {**vars(options or DuplicateOptions()), "block_list": block_list.digest if block_list else None, "embeddings": embeddings}
    return StepSpec(STEP, VERSION, settings)


def read_pairs(folder: Path) -> list[DuplicatePair]:
    """The pairs that the last `deduplicate` wrote into a work folder, the most similar first; below a line that names its step."""
    return [DuplicatePair(**parse_json(line)) for line in (folder / PAIRS).read_text(encoding="utf-8").splitlines()[1:]]


def _step_of_pairs(folder: Path) -> str | None:
    """The folder of the step that the pairs are of; None without them. Splits read them, so those of other options must not be taken."""
    if not (folder / PAIRS).is_file():
        return None
    with (folder / PAIRS).open(encoding="utf-8") as stream:
        return parse_json(stream.readline()).get("step")


def count_rules(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Rule -> items rejected by it."""
    return dict(Counter(outcome.rule for outcome in outcomes if isinstance(outcome, Rejection)))


def find_duplicates(
    inputs: Callable[[], Iterable[StepInput]], options: DuplicateOptions | None = None, block_list: BlockList | None = None,
    embeddings: Mapping[str, Sequence[float]] | None = None,
) -> DuplicateReport:
    """The outcome of every input, which has the results of SegmentStep, and the pairs that were compared.

    inputs is called once a pass, so that fingerprints need not stay in memory: an item takes some 400 bytes, and the keys of a pass 400 MB.
    """
    options, entries = options or DuplicateOptions(), Entries()
    for step_input in inputs():
        item = step_input.item
        reason = block_list.reason(item) if block_list else None
        entries.add_item(item, step_input.results["segment"], item.caption if options.words else "", reason)
    count = len(entries.ids)
    for file in block_list.files if block_list else ():
        entries.add_test_file(file.name, file.folder, file.values)

    def fingerprints() -> Iterator[tuple[int, PeakFingerprint]]:
        everything = ((step_input.results["segment"]["peaks"] for step_input in inputs()),
                      (file.values["peaks"] for file in (block_list.files if block_list else ())))
        numbered = enumerate(text for part in everything for text in part)
        yield from ((number, PeakFingerprint.decode(text)) for number, text in numbered if text)

    pairs = [*_exact_pairs(entries), *_peak_pairs(fingerprints, options), *_picture_pairs(entries, options)]
    if embeddings is not None:
        pairs += _embedding_pairs(entries, embeddings, options)
    copies = [pair for pair in pairs if pair[4]]
    outcomes = group_outcomes(entries, count, copies)
    named = [DuplicatePair(entries.ids[first], entries.ids[second], rule, round(similarity, 4), is_copy, round(shift, 3))
             for first, second, rule, similarity, is_copy, shift in pairs if first < count or second < count]
    return DuplicateReport(outcomes, sorted(named, key=lambda pair: (-pair.is_copy, -pair.similarity, pair.first, pair.second)),
                           count_rules(outcomes.values()))


# -- pairs --------------------------------------------------------------------------------------------------------------


def _exact_pairs(entries: Entries) -> Iterator[NumberedPair]:
    for rule, values in (*entries.exact.items(), ("words", entries.words)):
        numbers = np.array(values, np.uint64)
        order = np.argsort(numbers, kind="stable")
        for run in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
            if len(run) > 1 and numbers[run[0]]:
                yield from ((int(run[0]), int(other), rule, 1.0, True, 0.0) for other in run[1:])


def _peak_pairs(fingerprints: Callable[[], Iterator[tuple[int, PeakFingerprint]]], options: DuplicateOptions) -> Iterator[NumberedPair]:
    for first, second, found in aligned_pairs(fingerprints):
        is_copy = found.matches >= options.matches and found.share >= options.share
        yield first, second, "peaks", min(1.0, found.share), is_copy, found.shift


def _picture_pairs(entries: Entries, options: DuplicateOptions) -> Iterator[NumberedPair]:
    if not entries.picture_hashes:
        return
    hashes, owners = (np.array(column, np.uint64) for column in zip(*entries.picture_hashes, strict=True))
    best: dict[tuple[int, int], int] = {}
    for row, other, bits in similar_hashes(hashes, options.bits):
        first, second = sorted((int(owners[row]), int(owners[other])))
        if first != second:
            best[first, second] = min(bits, best.get((first, second), bits))
    yield from ((first, second, "dhash", 1 - bits / 64, True, 0.0) for (first, second), bits in best.items())


def _embedding_pairs(entries: Entries, embeddings: Mapping[str, Sequence[float]], options: DuplicateOptions) -> Iterator[NumberedPair]:
    with importing("faiss", "knn"):
        import faiss
    numbers = [number for number, item_id in enumerate(entries.ids) if item_id in embeddings]
    if not numbers:
        return
    vectors = np.array([embeddings[entries.ids[number]] for number in numbers], np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    limits, cosines, others = index.range_search(vectors, options.cosine)
    for row, number in enumerate(numbers):
        for place in range(limits[row], limits[row + 1]):
            if others[place] > row:
                yield number, numbers[others[place]], "embedding", float(cosines[place]), True, 0.0
