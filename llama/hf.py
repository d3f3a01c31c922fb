"""Small helpers around transformers: quiet loading, exact precision, and checks of what was loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers.utils import logging as transformers_logging


@contextmanager
def suppress_hf_logging() -> Iterator[None]:
    """Without transformers' progress bars and loading reports: what matters of them is raised as an error here."""
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
    """Frozen parts compute in the type of their weights, whatever what trains beside them computes in."""
    return torch.autocast(torch.device(device).type, enabled=False)


def check_report(kind: str, argument: str, report: Mapping[str, Any], unused: re.Pattern[str]) -> None:
    """Refuse what a library would fill at random, apart from names that `unused` finds. Raises ValueError."""
    if other := sorted(key for key, *_ in report["mismatched_keys"]):
        raise ValueError(f"The {kind} weights hold {other[0]} in another shape than their config says; name the folder "
                         f"of the component they belong to with {argument}.")
    if needed := sorted(key for key in report["missing_keys"] if not unused.search(key)):
        more = f" and {len(needed) - 1} more" if len(needed) > 1 else ""
        raise ValueError(f"The {kind} weights lack {needed[0]}{more}; give the complete component with {argument}.")


def check_unexpected(kind: str, argument: str, report: Mapping[str, Any], unused: re.Pattern[str] | None = None) -> None:
    """Refuse weights that the component has no place for, apart from names that `unused` finds. Raises ValueError."""
    if extra := sorted(key for key in report["unexpected_keys"] if unused is None or not unused.search(key)):
        raise ValueError(f"The {kind} weights hold {extra[0]}, which this component does not have; name the folder of "
                         f"the component they belong to with {argument}.")
