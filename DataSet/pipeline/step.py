"""Step of the pipeline: a function of a batch of items whose results the ledger keeps.

A step is named by a digest of all that its results depend on, so that results of another prompt or model never mix.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from DataSet.pipeline.item import Item

DIGEST_LENGTH = 12  # hex digits


@dataclass(frozen=True)
class StepSpec:
    """Name of a step and what its results depend on.

    version: of the step's code. settings: JSON values such as the model, its revision, its dtype, the digest of the prompt file, the
    decoding options.
    """

    name: str
    version: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        text = json.dumps([self.name, self.version, self.settings], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.digest}"


@dataclass(frozen=True)
class StepInput:
    """An item and the results of the steps before: name of the step -> its values."""

    item: Item
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """Seed of everything that is drawn for this item; the same in every run."""
        return int(self.item.id, 16) % 2**63


@dataclass(frozen=True)
class Rejection:
    """Why an item goes no further. rule: what found it, such as silent, duplicate or error; why: one sentence."""

    rule: str
    why: str


Outcome = Mapping[str, Any] | Rejection


class TransientError(RuntimeError):
    """A failure that may pass: out of memory, a server's 5xx, a lost worker. The batch is tried again."""


class Step(Protocol):
    """Function of a batch. It may raise one of `llama.errors.USER_ERRORS` for an item it cannot use, or TransientError."""

    spec: StepSpec

    def __call__(self, batch: Sequence[StepInput]) -> Sequence[Outcome]:
        """One outcome for each input, in their order."""
        ...


StepFactory = Callable[[], Step]  # picklable: a worker process calls it once, and loads its model there
