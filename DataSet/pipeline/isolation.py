"""Calls of a function of a batch in which one item's fault costs no other item its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from DataSet.pipeline.step import TransientError
from llama.errors import USER_ERRORS, sentence

Value = TypeVar("Value")
Result = TypeVar("Result")


class ModelError(OSError):
    """The model of a step does not load, or its server has no address, no key, or is not there: no item's fault, so it ends the run."""


@contextmanager
def loading() -> Iterator[None]:
    """Turns a user's error inside into a ModelError with its sentence; among errors of items every item would be rejected for it."""
    try:
        yield
    except USER_ERRORS as error:
        raise ModelError(sentence(error)) from error


def call_isolated(function: Callable[[Sequence[Value]], Sequence[Result]], values: Sequence[Value]) -> list[Result | Exception]:
    """The results of `function(values)`, or in the place of a value that it cannot take the error that it raised for that one.

    A batch that fails is halved until the fault stands alone, or until it fits the memory. Raises TransientError where a
    single value does not fit; other errors that are no user's pass.
    """
    if not values:
        return []
    try:
        return list(function(values))
    except (*USER_ERRORS, torch.OutOfMemoryError) as error:
        if len(values) == 1:
            if isinstance(error, torch.OutOfMemoryError):
                raise TransientError("The device has not enough memory for one item; give a larger one, or stop what else runs there.") from error
            return [error]
    middle = len(values) // 2
    return call_isolated(function, values[:middle]) + call_isolated(function, values[middle:])
