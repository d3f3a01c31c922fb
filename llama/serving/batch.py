"""Protocol of a continuous batch, and the isolation of the requests that fail in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from llama.serving.request import OUT_OF_MEMORY

One = TypeVar("One")


class Batch(Protocol[One]):
    """Members that take steps together, as in `Words` and `Band`."""

    @property
    def members(self) -> list[One]: ...

    def step(self) -> dict[One, Exception]: ...

    def attempt(self, member: One) -> None: ...


def step_and_isolate(group: Batch[One]) -> dict[One, Exception]:
    """One step of a group, if anybody is in it: who fails by it, and is to leave."""
    if not group.members:
        return {}
    try:
        return group.step()
    except Exception as error:
        return find_failing(group.members, group.attempt, error)


def find_failing(rows: Sequence[One], attempt: Callable[[One], None], error: Exception) -> dict[One, Exception]:
    """Who is to blame for an error of a step of all: those who fail alone, too; if none does, who came last.

    Memory that does not suffice for all would suffice for each, so the last to come has asked for too much.
    """
    found: dict[One, Exception] = {}
    if not isinstance(error, OUT_OF_MEMORY):
        for row in rows:
            try:
                attempt(row)
            except Exception as own:  # handed to the request that it belongs to
                found[row] = own
    return found or {rows[-1]: error}
