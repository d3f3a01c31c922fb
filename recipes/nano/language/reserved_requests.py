"""Requests that training must not contain: those of the probe of typed requests, so that the probe measures.

Short requests such as "jazz" come from any generator of requests; this leaves out exactly the texts that are measured.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

TYPED_REQUESTS = Path(__file__).parents[1] / "evaluation" / "typed_requests.json"


@cache
def _reserved_texts() -> frozenset[str]:
    return frozenset(_plain(row["text"]) for row in json.loads(TYPED_REQUESTS.read_text(encoding="utf-8")))


def _plain(text: str) -> str:
    """The words, numbers and accidentals in small letters, without other marks."""
    return " ".join(re.findall(r"[^\W_]+|[#♭♯/]", text.lower()))


def is_reserved(text: str) -> bool:
    """Whether a text is one of the measured requests, whatever its capitals and marks."""
    return _plain(text) in _reserved_texts()
