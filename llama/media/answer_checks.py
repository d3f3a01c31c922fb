"""Checks of the language model's answers: no sentence may refuse an instrument that the request does not name.

Asked for an instrument that it does not have, the model says "I have no kazoo, so I take the flute." It says so at other unknown
words, too, with an instrument of its own; such a sentence is left out.
"""

from __future__ import annotations

import re

BEGINNING = "I have no "
NO_INSTRUMENT = re.compile(r"I have no ([^.]*?), so I take the [^.]*\.\s*")


def without_unasked_instrument(text: str, request: str) -> str:
    """The answer without its first sentence, if that misses an instrument which the request does not name."""
    match = NO_INSTRUMENT.match(text)
    if match is None or _named(match[1], request):
        return text
    return text[match.end() :]


def may_be_unasked_instrument(text: str) -> bool:
    """Whether the beginning of an answer may become such a sentence, and has to wait for its end."""
    return BEGINNING.startswith(text[: len(BEGINNING)]) and "." not in text


def _named(instrument: str, request: str) -> bool:
    """Whether the request names the instrument, in the singular or the plural."""
    words = instrument.lower().removesuffix("s")
    return bool(words) and re.search(rf"\b{re.escape(words)}s?\b", request.lower()) is not None
