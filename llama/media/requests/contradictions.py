"""Words that contradict each other in one request: "faster and slower". Neither is carried out, and the reply says so."""

from __future__ import annotations

import re

OPPOSITES: tuple[tuple[str, str], ...] = (
    (r"faster|quicker|speed(?: it)? up", r"slower|slow(?: it)? down"), (r"louder", r"softer|quieter"),
    (r"longer", r"shorter"), (r"higher", r"lower|deeper"), (r"happier|merrier|more cheerful", r"sadder|gloomier|more melancholic"),
    (r"brighter", r"darker"), (r"calmer", r"livelier|wilder"),
)  # fmt: skip
BOTH_MODES = re.compile(r"\b(major) (?:and|as well as|&|plus) (?:in )?(minor)\b|\b(minor) (?:and|as well as|&|plus) (?:in )?(major)\b")
NEGATED = r"(?<!not )(?<!no )(?<!never )(?<!n't )(?<!nor )(?<!than )"
OF_PARTS = re.compile(r"\b(?:the|its) \w+ (?:a bit |much )?(?:louder|softer|quieter)\b")  # each part has a loudness of its own
ASKED = re.compile(r"\b(?:differences?|differ|between|about|what|which|how|why|explain|compare|versus)\b")  # both are spoken of
PLACED = re.compile(r"\b(?:half|halves|part|parts|section|verse|chorus|bars?|then|first|second|beginning|start|end|and back|before)\b")


def find_contradiction(text: str) -> str | None:
    """The two words of a plain request (lower case) that contradict each other; None for a request of one mind.

    Words for different places or for one after the other contradict nothing here.
    """
    if PLACED.search(text) or ASKED.search(text):
        return None
    for first, second in OPPOSITES:
        one, other = (re.search(rf"{NEGATED}\b(?:{words})\b", text) for words in (first, second))
        if one and other and not (one[0] == "louder" and OF_PARTS.search(text)):
            words = sorted((one, other), key=lambda match: match.start())
            return f"'{words[0][0]}' and '{words[1][0]}'"
    if match := BOTH_MODES.search(text):
        return f"'{match[1] or match[3]}' and '{match[2] or match[4]}'"
    return None
