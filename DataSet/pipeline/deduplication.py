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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from DataSet.pipeline.block_list import BlockList
from DataSet.pipeline.duplicate_index import aligned_pairs, similar_hashes
from DataSet.pipeline.fingerprints import PeakFingerprint, normalized_words
from DataSet.pipeline.item import Item
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from llama.errors import importing, require_fields, shorten
from llama.files import write_text
from llama.json_yaml import parse_json

if TYPE_CHECKING:
    from DataSet.pipeline.ledger import Ledger

STEP, VERSION = "duplicates", 1
PAIRS = "duplicate_pairs.jsonl"
RULES = {"sound": "the same samples", "picture": "the same pixels", "peaks": "the same music", "dhash": "the same picture or its mirror image",
         "words": "the same words", "embedding": "nearly the same embedding"}


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


@dataclass
class _Entries:
    """The items of a set, and after them the files of test folders, numbered: what is held of each in memory."""

    ids: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    blocked: dict[int, str] = field(default_factory=dict)  # number -> why
    exact: dict[str, list[int]] = field(default_factory=lambda: {"sound": [], "picture": []})  # 64 bits of each SHA-256, 0 for none
    picture_hashes: list[tuple[int, int]] = field(default_factory=list)  # (dHash, number), of the picture and of its mirror image
    words: list[int] = field(default_factory=list)

    def add(self, item_id: str, name: str, values: Mapping[str, Any], words: str, why_blocked: str | None) -> None:
        number = len(self.ids)
        self.ids.append(item_id)
        self.names.append(name)
        self.seconds.append(values["seconds"] or values.get("video_seconds") or 0.0)
        self.exact["sound"].append(_short(values["sha256"]))
        self.exact["picture"].append(_short(values["picture_sha256"]))
        self.picture_hashes += [(int(text, 16), number) for text in values["dhash"]]
        self.words.append(hash_words(words))
        if why_blocked:
            self.blocked[number] = why_blocked


def deduplicate(
    ledger: Ledger, after: Sequence[StepSpec], options: DuplicateOptions | None = None, block_list: BlockList | None = None,
    embeddings: Mapping[str, Sequence[float]] | None = None,
) -> DuplicateReport:
    """Finds the copies among the items that are ok in the steps `after`, writes the step, and FOLDER/duplicate_pairs.jsonl.

    A step that is written for the same inputs already is read. embeddings: item id -> vector of its sound, which needs the extra `knn`.
    """
    options = options or DuplicateOptions()
    spec = duplicate_spec(options, block_list, embeddings is not None)
    if ledger.is_finished(spec, after) and (ledger.folder / PAIRS).is_file():
        outcomes = dict(ledger.outcomes(spec))
        return DuplicateReport(outcomes, read_pairs(ledger.folder), count_rules(outcomes.values()))

    def inputs() -> Iterator[StepInput]:
        for shard in ledger.shards():
            yield from ledger.inputs(shard, after)

    report = find_duplicates(inputs, options, block_list, embeddings)
    write_text(ledger.folder / PAIRS, "".join(f"{json.dumps(asdict(pair))}\n" for pair in report.pairs))
    ledger.write_outcomes(spec, report.outcomes, after)
    return report


def duplicate_spec(options: DuplicateOptions | None = None, block_list: BlockList | None = None, embeddings: bool = False) -> StepSpec:
    """The spec of the step, by which later steps name it."""
    settings = {**vars(options or DuplicateOptions()), "block_list": block_list.digest if block_list else None, "embeddings": embeddings}
    return StepSpec(STEP, VERSION, settings)


def read_pairs(folder: Path) -> list[DuplicatePair]:
    """The pairs that `deduplicate` wrote into a work folder, the most similar first."""
    return [DuplicatePair(**parse_json(line)) for line in (folder / PAIRS).read_text(encoding="utf-8").splitlines()]


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
    options, entries = options or DuplicateOptions(), _Entries()
    for step_input in inputs():
        item = step_input.item
        reason = block_list.reason(item) if block_list else None
        entries.add(item.id, item.key, step_input.results["segment"], item.caption if options.words else "", reason)
    count = len(entries.ids)
    for file in block_list.files if block_list else ():
        entries.add(file.name, file.name, file.values, "", f"it is in the test folder {file.folder}")

    def fingerprints() -> Iterator[tuple[int, PeakFingerprint]]:
        everything = ((step_input.results["segment"]["peaks"] for step_input in inputs()),
                      (file.values["peaks"] for file in (block_list.files if block_list else ())))
        numbered = enumerate(text for part in everything for text in part)
        yield from ((number, PeakFingerprint.decode(text)) for number, text in numbered if text)

    pairs = [*_exact_pairs(entries), *_peak_pairs(fingerprints, options), *_picture_pairs(entries, options)]
    if embeddings is not None:
        pairs += _embedding_pairs(entries, embeddings, options)
    copies = [pair for pair in pairs if pair[4]]
    outcomes = _outcomes(entries, count, copies)
    named = [DuplicatePair(entries.ids[first], entries.ids[second], rule, round(similarity, 4), is_copy, round(shift, 3))
             for first, second, rule, similarity, is_copy, shift in pairs if first < count or second < count]
    return DuplicateReport(outcomes, sorted(named, key=lambda pair: (-pair.is_copy, -pair.similarity, pair.first, pair.second)),
                           count_rules(outcomes.values()))


# -- pairs: (first, second, rule, similarity, whether it is a copy, shift) ----------------------------------------------

_Pair = tuple[int, int, str, float, bool, float]


def _exact_pairs(entries: _Entries) -> Iterator[_Pair]:
    for rule, values in (*entries.exact.items(), ("words", entries.words)):
        numbers = np.array(values, np.uint64)
        order = np.argsort(numbers, kind="stable")
        for run in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
            if len(run) > 1 and numbers[run[0]]:
                yield from ((int(run[0]), int(other), rule, 1.0, True, 0.0) for other in run[1:])


def _peak_pairs(fingerprints: Callable[[], Iterator[tuple[int, PeakFingerprint]]], options: DuplicateOptions) -> Iterator[_Pair]:
    for first, second, found in aligned_pairs(fingerprints):
        is_copy = found.matches >= options.matches and found.share >= options.share
        yield first, second, "peaks", min(1.0, found.share), is_copy, found.shift


def _picture_pairs(entries: _Entries, options: DuplicateOptions) -> Iterator[_Pair]:
    if not entries.picture_hashes:
        return
    hashes, owners = (np.array(column, np.uint64) for column in zip(*entries.picture_hashes, strict=True))
    best: dict[tuple[int, int], int] = {}
    for row, other, bits in similar_hashes(hashes, options.bits):
        first, second = sorted((int(owners[row]), int(owners[other])))
        if first != second:
            best[first, second] = min(bits, best.get((first, second), bits))
    yield from ((first, second, "dhash", 1 - bits / 64, True, 0.0) for (first, second), bits in best.items())


def _embedding_pairs(entries: _Entries, embeddings: Mapping[str, Sequence[float]], options: DuplicateOptions) -> Iterator[_Pair]:
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


# -- groups -------------------------------------------------------------------------------------------------------------


def _outcomes(entries: _Entries, count: int, copies: Sequence[_Pair]) -> dict[str, Outcome]:
    """The longest of each group is kept, the first by id of equals; none of a group with an item of the block list."""
    group = _groups(len(entries.ids), copies)
    reasons = _reasons(entries, copies)
    outcomes: dict[str, Outcome] = {}
    for members in _members(group):
        items = [number for number in members if number < count]
        kept = min(items, key=lambda number: (-entries.seconds[number], entries.ids[number]), default=-1)
        is_blocked = any(number in entries.blocked for number in members)
        for number in items:
            if is_blocked:
                outcomes[entries.ids[number]] = Rejection("blocked", _why_blocked(entries, number, members, reasons))
            elif number == kept:
                outcomes[entries.ids[number]] = {"kept_of": sorted(entries.ids[other] for other in items if other != kept)}
            else:
                outcomes[entries.ids[number]] = Rejection("duplicate", _why_copy(entries, number, kept, reasons))
    return outcomes


def _groups(count: int, copies: Sequence[_Pair]) -> NDArray[np.int64]:
    """Number of an item -> the lowest number of its group (union and find)."""
    parent = np.arange(count)

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = int(parent[number])
        return number

    for first, second, *_ in copies:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return np.array([root(number) for number in range(count)])


def _members(group: NDArray[np.int64]) -> Iterator[list[int]]:
    order = np.argsort(group, kind="stable")
    if len(order):
        yield from (run.tolist() for run in np.split(order, np.flatnonzero(np.diff(group[order])) + 1))


def _reasons(entries: _Entries, copies: Sequence[_Pair]) -> dict[int, dict[int, _Pair]]:
    """Number -> the other item of each of its pairs -> the pair."""
    result: dict[int, dict[int, _Pair]] = {}
    for pair in copies:
        for number, other in (pair[:2], pair[1::-1]):
            result.setdefault(number, {}).setdefault(other, pair)
    return result


def _why_copy(entries: _Entries, number: int, kept: int, reasons: Mapping[int, Mapping[int, _Pair]]) -> str:
    pairs = reasons[number]
    other = kept if kept in pairs else max(pairs, key=lambda item: pairs[item][3])
    first, _, rule, similarity, _, shift = pairs[other]
    details = f", {similarity:.2f} alike" if similarity < 1 else ""
    seconds = shift if first == number else -shift
    details += f", {abs(seconds):.1f} s {'later' if seconds < 0 else 'earlier'}" if rule == "peaks" and abs(shift) >= 0.05 else ""
    chain = "" if other == kept else f", which is a copy of {_name(entries, kept)}"
    return f"{_name(entries, number)} has {RULES[rule]} as {_name(entries, other)} ({rule}{details}){chain}."


def _why_blocked(entries: _Entries, number: int, members: Sequence[int], reasons: Mapping[int, Mapping[int, _Pair]]) -> str:
    if number in entries.blocked:
        return f"{_name(entries, number)} is left out: {entries.blocked[number]}."
    listed = next((other for other in members if other in entries.blocked and other in reasons[number]), None)
    listed = next(other for other in members if other in entries.blocked) if listed is None else listed
    return f"{_why_copy(entries, number, listed, reasons)[:-1]}, which is left out: {entries.blocked[listed]}."


def _name(entries: _Entries, number: int) -> str:
    name = shorten(entries.names[number])
    return name if entries.ids[number] == entries.names[number] else f"{name} [{entries.ids[number]}]"


def _short(sha256: str | None) -> int:
    return int(sha256[:16], 16) | 1 if sha256 else 0


def hash_words(text: str) -> int:
    """64 bits of the normalised words of a text; 0 for fewer than five words, which many texts share by chance."""
    import hashlib

    words = normalized_words(text)
    return _short(hashlib.sha256(words.encode()).hexdigest()) if len(words.split()) >= 5 else 0


def item_groups(items: Iterable[Item]) -> Counter[str]:
    """Group -> number of its items."""
    return Counter(item.group for item in items)
