"""Facts that a request names and that its piece has already: "with a flute" of a piece whose melody a flute plays.

Read only where the language model announces the piece as it is, to say what is so already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llama.media.captions import STYLE_NOUNS
from llama.media.requests.parts import SHORT_NAMES
from llama.media.requests.plain_text import plain
from llama.media.score import Score

MOOD_WORDS: Mapping[str, list[str]] = {
    "minor": ["sad", "gloomy", "dark", "melancholic", "melancholy", "minor"], "major": ["happy", "cheerful", "merry", "bright", "major"],
}  # fmt: skip


def named_facts(text: str, score: Score) -> dict[str, Any]:
    """Attributes that a text names by the values that the piece has: its mode, lead, accompaniment, style and metre."""
    words, attributes, facts = plain(text), score.attributes, dict[str, Any]()
    for part in ("lead", "accompaniment"):
        instrument = getattr(attributes, part)
        names = [instrument, *(short for short, name in SHORT_NAMES.items() if name == instrument)]
        if score.track(part) and instrument not in facts.values() and _names(words, names):
            facts[part] = instrument
    if _names(words, MOOD_WORDS[attributes.mode]):
        facts["mode"] = attributes.mode
    if _names(words, [attributes.style, *(noun for noun, style in STYLE_NOUNS.items() if style == attributes.style)]):
        facts["style"] = attributes.style
    if _names(words, [f"{attributes.metre}/4", "three four" if attributes.metre == 3 else "four four"]):
        facts["metre"] = attributes.metre
    return facts


def _names(text: str, names: list[str]) -> bool:
    return any(re.search(rf"(?<![\w/]){re.escape(name)}s?(?![\w/])", text) for name in names)
