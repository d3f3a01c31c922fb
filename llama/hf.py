"""Helpers for loading with transformers: logging, precision, and checks of the loading report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from llama.errors import is_installation_error, shorten
from llama.weights import ComponentError


@contextmanager
def suppress_hf_logging() -> Iterator[None]:
    """Disables transformers' progress bars and loading reports; `check_report` raises errors for what matters in them."""
    bars, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def no_autocast(device: torch.device | str) -> torch.autocast:
    """Disables autocast on a device, so that frozen parts compute in the dtype of their weights during training."""
    return torch.autocast(torch.device(device).type, enabled=False)


@contextmanager
def library_errors(what: str, path: str | Path, advice: str) -> Iterator[None]:
    """Turns any error of a library that reads `path` into one sentence with `advice`, its cause attached.

    Damaged files make the libraries raise nearly any kind. FileNotFoundError for the system's errors, otherwise ValueError;
    a ComponentError passes, and so does a library that does not load, which is no fault of the file.
    """
    try:
        yield
    except Exception as error:
        if is_installation_error(error) or isinstance(error, ComponentError):
            raise
        lines = str(error).strip().splitlines()
        reason = shorten(lines[0], 200).rstrip(".:") if lines else type(error).__name__
        kind = FileNotFoundError if isinstance(error, OSError) else ValueError
        raise kind(f"Cannot load {what} from {path} ({reason}); {advice}.") from error


def check_report(kind: str, argument: str, report: Mapping[str, Any], unused: re.Pattern[str]) -> None:
    """Raises ValueError for missing weights, which transformers would initialise at random, except those that `unused` matches."""
    if other := sorted(key for key, *_ in report["mismatched_keys"]):
        raise ComponentError(f"The {kind} weights hold {other[0]} in another shape than their config says; name the folder "
                         f"of the component they belong to with {argument}.")
    if needed := sorted(key for key in report["missing_keys"] if not unused.search(key)):
        more = f" and {len(needed) - 1} more" if len(needed) > 1 else ""
        raise ComponentError(f"The {kind} weights lack {needed[0]}{more}; give the complete component with {argument}.")


def check_unexpected(kind: str, argument: str, report: Mapping[str, Any], unused: re.Pattern[str] | None = None) -> None:
    """Raises ValueError for weights that the component does not have, except those that `unused` matches."""
    if extra := sorted(key for key in report["unexpected_keys"] if unused is None or not unused.search(key)):
        raise ComponentError(f"The {kind} weights hold {extra[0]}, which this component does not have; name the folder of "
                         f"the component they belong to with {argument}.")
