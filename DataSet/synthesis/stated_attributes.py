"""Attributes that a text states: a reader of captions and answers in the words of the made set.

The probes and the data sets' tables both compare what a caption says with what the composer was given.
"""

from __future__ import annotations

import re
from typing import Any

from DataSet.synthesis.captions import STYLE_WORDS
from DataSet.synthesis.wishes import ACCOMPANIMENT
from llama.media.score import KEYS, LEADS, MODES

TEMPO_TOLERANCE = 0.04  # of the tempo


def _first(names: dict[str, Any], text: str) -> Any:
    """The value of the name that occurs first in `text`; of several at one position the longest."""
    matches = [(text.lower().find(name.lower()), -len(name), value) for name, value in names.items() if name.lower() in text.lower()]
    return min(matches, key=lambda hit: hit[:2])[2] if matches else None


def parse_answer(name: str, text: str) -> Any:
    """The value of an attribute that an answer states, or None."""
    number = re.search(r"(\d+) (?:bpm|beats)", text)
    metre = re.search(r"([34])/4", text)
    drums = re.search(r"\b(yes|no|with drums|without drums)\b", text.lower())
    return {
        "lead": lambda: _first({lead: lead for lead in LEADS}, text),
        "accompaniment": lambda: _first({words: value for value, words in ACCOMPANIMENT.items()}, text),
        "style": lambda: _first({words[0]: style for style, words in STYLE_WORDS.items()}, text),
        "tempo": lambda: int(number.group(1)) if number else None,
        "mode": lambda: _first({"major": "major", "minor": "minor", "happy": "major", "sad": "minor"}, text),
        "metre": lambda: int(metre.group(1)) if metre else None,
        "drums": lambda: drums.group(1) in ("yes", "with drums") if drums else None,
        "key": lambda: _first({f"{key} {mode}": place for place, key in enumerate(KEYS) for mode in MODES}, text),
    }[name]()


def attribute_matches(name: str, answer: Any, truth: Any) -> bool:
    """Whether a value equals the truth; tempi may differ by 4 %."""
    if name == "tempo":
        return answer is not None and abs(answer - truth) <= TEMPO_TOLERANCE * truth
    return bool(answer == truth)
