"""Splits by group: all that comes from one video, artist, album, author or composer's seed stays on one side, never a clip alone.

    write_splits(ledger, after=[..., duplicates], options=SplitOptions(validation=0.1, test=0.1), pairs=report.pairs)

A group's side follows from its name and the seed alone, so it is the same in every set and stays when items are added. Groups that share
a copy are one group, since what is left of the copy's group would else lie on the other side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from DataSet.pipeline.deduplication import DuplicatePair
from DataSet.pipeline.item import Item
from DataSet.pipeline.step import Outcome, StepSpec
from llama.errors import require_fields

if TYPE_CHECKING:
    from DataSet.pipeline.ledger import Ledger

Split = Literal["train", "validation", "test"]
STEP, VERSION = "split", 1


@dataclass(frozen=True)
class SplitOptions:
    """validation, test: shares of the groups, from 0 to below 1 together; the rest is for training. seed: of the draw."""

    validation: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require_fields(self, ("validation", "test"), lambda value: 0 <= value < 1, "a share from 0 to below 1")
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation:g} and test {self.test:g} leave nothing to train on; give less.")


def split_of(group: str, options: SplitOptions) -> Split:
    """The side of a group: a number from 0 to 1 by the SHA-256 of seed and name, the test share at its lower end."""
    digest = hashlib.sha256(f"{options.seed}\0{group}".encode("utf-8", "surrogatepass")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if position < options.test else "validation" if position < options.test + options.validation else "train"


def group_of(item: Item) -> str:
    """The item's group; an item that its source puts into none is one by itself, with the other segments of its recording."""
    return item.group or f"{item.source} {item.key}"


class LinkedGroups:
    """Groups of which some are joined: a group -> the first by name of those it is joined with."""

    def __init__(self, links: Iterable[tuple[str, str]] = ()) -> None:
        self._parent: dict[str, str] = {}
        for first, second in links:
            low, high = sorted((self.first_of(first), self.first_of(second)))
            if low != high:
                self._parent[high] = low

    def first_of(self, group: str) -> str:
        path = []
        while (parent := self._parent.get(group)) is not None:
            path.append(group)
            group = parent
        self._parent.update(dict.fromkeys(path, group))
        return group

    def __len__(self) -> int:
        """Groups that are joined with another and are not the first."""
        return len(self._parent)


def split_items(items: Iterable[Item], options: SplitOptions, groups: LinkedGroups | None = None) -> Iterator[tuple[str, dict[str, str]]]:
    """(id, {"split", "group"}) of each item."""
    groups = groups or LinkedGroups()
    for item in items:
        group = groups.first_of(group_of(item))
        yield item.id, {"split": split_of(group, options), "group": group}


def links_of_copies(items: Iterable[Item], pairs: Sequence[DuplicatePair]) -> list[tuple[str, str]]:
    """The groups of each two items that are copies; files of test folders have none."""
    needed = {name for pair in pairs if pair.is_copy for name in (pair.first, pair.second)}
    groups = {item.id: group_of(item) for item in items if item.id in needed}
    found = {(groups[pair.first], groups[pair.second]) for pair in pairs if pair.is_copy and pair.first in groups and pair.second in groups}
    return sorted(link for link in found if link[0] != link[1])


def split_spec(options: SplitOptions, links: Sequence[tuple[str, str]] = ()) -> StepSpec:
    """The spec of the step, by which later steps name it."""
    joined = hashlib.sha256("\n".join("\0".join(link) for link in links).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return StepSpec(STEP, VERSION, {**vars(options), "links": joined})


def write_splits(
    ledger: Ledger, after: Sequence[StepSpec], options: SplitOptions | None = None, pairs: Sequence[DuplicatePair] = ()
) -> StepSpec:
    """Writes the step "split" for the items that are ok in the steps `after`, unless it is there for the same inputs; returns its spec."""
    options = options or SplitOptions()
    links = links_of_copies(ledger.items(), pairs)
    spec = split_spec(options, links)
    if not ledger.is_finished(spec, after):
        items = (step_input.item for shard in ledger.shards() for step_input in ledger.inputs(shard, after))
        outcomes: Mapping[str, Outcome] = dict(split_items(items, options, LinkedGroups(links)))
        ledger.write_outcomes(spec, outcomes, after)
    return spec
