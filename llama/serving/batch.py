"""Protocol of a continuous batch, and the isolation of the members that fail in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from llama.serving.request import OUT_OF_MEMORY

SequenceT = TypeVar("SequenceT")


class Batch(Protocol[SequenceT]):
    """Sequences that are decoded together, one position a step, such as a `TextBatch` or a decoder's `CodeBatch`."""

    members: list[SequenceT]

    def step(self) -> dict[SequenceT, Exception]:
        """One step of all members; returns the errors of single members. Raises where the whole step failed and nothing changed."""
        ...

    def probe_step(self, member: SequenceT) -> None:
        """The next step of one member alone, without its effect: raises what that member would raise."""
        ...


def step_and_isolate(batch: Batch[SequenceT]) -> dict[SequenceT, Exception]:
    """One step of a batch, if it has members. Returns the members that failed, which the caller must remove."""
    if not batch.members:
        return {}
    try:
        return batch.step()
    except Exception as error:
        return find_failing(batch.members, batch.probe_step, error)


def find_failing(
    members: Sequence[SequenceT], probe_step: Callable[[SequenceT], None], error: Exception
) -> dict[SequenceT, Exception]:
    """After a failed batch step, finds the members that also fail alone; if none does, blames the newest one.

    Out of memory is always blamed on the newest: memory that is too small for all is large enough for each alone.
    """
    failed: dict[SequenceT, Exception] = {}
    if not isinstance(error, OUT_OF_MEMORY):
        for member in members:
            try:
                probe_step(member)
            except Exception as member_error:  # fail only this member
                failed[member] = member_error
    return failed or {members[-1]: error}
