"""Groups of copies: which item of each stands for the others, and the sentence that says why another does not.

Of the copies that are about as long as the longest, a file without loss comes first, then one that is clipped less, then the longest:
an mp3 is longer than its original by the silence that its coder adds, and so is no better.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DataSet.pipeline.fingerprints import normalized_words
from DataSet.pipeline.item import Item
from DataSet.pipeline.step import Outcome, Rejection
from llama.errors import shorten

RULES = {"sound": "the same samples", "picture": "the same pixels", "peaks": "the same music", "dhash": "the same picture or its mirror image",
         "words": "the same words", "embedding": "nearly the same embedding"}
WHOLE = 0.9  # of the longest copy's length: a shorter one is a part, which a whole recording with loss is better than
LOSSLESS = frozenset({".wav", ".flac", ".aiff", ".caf", ".au", ".w64", ".rf64", ".wv", ".ape", ".tta", ".dsf",
                      ".png", ".bmp", ".tiff", ".tif", ".ppm"})  # an .m4a may hold either, and counts as lossy
LEAST_WORDS = 5  # of a text that is compared: shorter ones are alike by chance

NumberedPair = tuple[int, int, str, float, bool, float]  # first, second, rule, similarity, whether it is a copy, shift in seconds


@dataclass
class Entries:
    """The items of a set, and after them the files of test folders, numbered: what is held of each in memory, some 400 bytes."""

    ids: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)  # files with loss that the item is of; share of clipped samples
    blocked: dict[int, str] = field(default_factory=dict)  # number -> why
    exact: dict[str, list[int]] = field(default_factory=lambda: {"sound": [], "picture": []})  # 64 bits of each SHA-256, 0 for none
    picture_hashes: list[tuple[int, int]] = field(default_factory=list)  # (dHash, number), of the picture and of its mirror image
    words: list[int] = field(default_factory=list)

    def add_item(self, item: Item, values: Mapping[str, Any], words: str = "", why_blocked: str | None = None) -> None:
        """Adds an item with its values of SegmentStep. words: its text, where items of one text are copies."""
        if why_blocked:
            self.blocked[len(self.ids)] = why_blocked
        self._add(item.id, item.key, values, words, (lossy_files(item, values), values.get("clipped") or 0.0))

    def add_test_file(self, name: str, folder: str, values: Mapping[str, Any]) -> None:
        """Adds a file of a test folder, whose copies are blocked."""
        self.blocked[len(self.ids)] = f"it is in the test folder {folder}"
        self._add(name, name, values, "", (0, 0.0))

    def _add(self, item_id: str, name: str, values: Mapping[str, Any], words: str, losses: tuple[int, float]) -> None:
        number = len(self.ids)
        self.ids.append(item_id)
        self.names.append(name)
        self.seconds.append(values["seconds"] or values.get("video_seconds") or 0.0)
        self.losses.append(losses)
        self.exact["sound"].append(_short(values["sha256"]))
        self.exact["picture"].append(_short(values["picture_sha256"]))
        self.picture_hashes += [(int(text, 16), number) for text in values["dhash"]]
        self.words.append(_hash_words(words))


def lossy_files(item: Item, values: Mapping[str, Any]) -> int:
    """How many of the files that the segment was made of are coded with loss, by their suffixes."""
    used = [item.media.get(kind) or item.media.get("video", "") for kind in ("audio", "image", "video") if values.get(kind)]
    return sum(Path(path).suffix.lower() not in LOSSLESS for path in used)


def group_outcomes(entries: Entries, count: int, copies: Sequence[NumberedPair]) -> dict[str, Outcome]:
    """The outcome of the first `count` entries: one item of each group is kept; none of a group with an item of the block list."""
    group = _groups(len(entries.ids), copies)
    reasons = _reasons(copies)
    outcomes: dict[str, Outcome] = {}
    for members in _members(group):
        items = [number for number in members if number < count]
        kept = _best(entries, items)
        is_blocked = any(number in entries.blocked for number in members)
        for number in items:
            if is_blocked:
                outcomes[entries.ids[number]] = Rejection("blocked", _why_blocked(entries, number, members, reasons))
            elif number == kept:
                outcomes[entries.ids[number]] = {"kept_of": sorted(entries.ids[other] for other in items if other != kept)}
            else:
                outcomes[entries.ids[number]] = Rejection("duplicate", _why_copy(entries, number, kept, reasons))
    return outcomes


def _best(entries: Entries, items: Sequence[int]) -> int:
    """The item that stands for its copies: see above; the first by id of equals. -1 for none."""
    longest = max((entries.seconds[number] for number in items), default=0.0)
    whole = [number for number in items if entries.seconds[number] >= WHOLE * longest]
    return min(whole, key=lambda number: (*entries.losses[number], -entries.seconds[number], entries.ids[number]), default=-1)


def _groups(count: int, copies: Sequence[NumberedPair]) -> NDArray[np.int64]:
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


def _reasons(copies: Sequence[NumberedPair]) -> dict[int, dict[int, NumberedPair]]:
    """Number -> the other item of each of its pairs -> the pair."""
    result: dict[int, dict[int, NumberedPair]] = {}
    for pair in copies:
        for number, other in (pair[:2], pair[1::-1]):
            result.setdefault(number, {}).setdefault(other, pair)
    return result


def _why_copy(entries: Entries, number: int, kept: int, reasons: Mapping[int, Mapping[int, NumberedPair]]) -> str:
    pairs = reasons[number]
    other = kept if kept in pairs else max(pairs, key=lambda item: pairs[item][3])
    first, _, rule, similarity, _, shift = pairs[other]
    details = f", {similarity:.2f} alike" if similarity < 1 else ""
    seconds = shift if first == number else -shift
    details += f", {abs(seconds):.1f} s {'later' if seconds < 0 else 'earlier'}" if rule == "peaks" and abs(shift) >= 0.05 else ""
    chain = "" if other == kept else f", which is a copy of {_name(entries, kept)}"
    return f"{_name(entries, number)} has {RULES[rule]} as {_name(entries, other)} ({rule}{details}){chain}."


def _why_blocked(entries: Entries, number: int, members: Sequence[int], reasons: Mapping[int, Mapping[int, NumberedPair]]) -> str:
    if number in entries.blocked:
        return f"{_name(entries, number)} is left out: {entries.blocked[number]}."
    listed = next((other for other in members if other in entries.blocked and other in reasons[number]), None)
    listed = next(other for other in members if other in entries.blocked) if listed is None else listed
    return f"{_why_copy(entries, number, listed, reasons)[:-1]}, which is left out: {entries.blocked[listed]}."


def _name(entries: Entries, number: int) -> str:
    name = shorten(entries.names[number])
    return name if entries.ids[number] == entries.names[number] else f"{name} [{entries.ids[number]}]"


def _short(sha256: str | None) -> int:
    return int(sha256[:16], 16) | 1 if sha256 else 0


def _hash_words(text: str) -> int:
    """64 bits of the normalised words of a text; 0 for fewer than LEAST_WORDS."""
    words = normalized_words(text)
    return _short(hashlib.sha256(words.encode()).hexdigest()) if len(words.split()) >= LEAST_WORDS else 0
