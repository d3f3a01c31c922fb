"""Attributes that a text states: a reader of captions and answers in the words of the made set.

The probes and the data sets' tables both compare what a caption says with what the composer was given.
"""

from __future__ import annotations

import re
from typing import Any

from DataSet.synthesis.captions import DRUM_WORDS, METRE_WORDS, MODE_WORDS, STYLE_WORDS
from DataSet.synthesis.wishes import ACCOMPANIMENT
from llama.media.score import KEYS, LEADS, MODES, Attributes

TEMPO_TOLERANCE = 0.04  # of the tempo


def _first(names: dict[str, Any], text: str) -> Any:
    """The value of the name that occurs first in `text`; of several at one position the longest."""
    matches = [(text.lower().find(name.lower()), -len(name), value) for name, value in names.items() if name.lower() in text.lower()]
    return min(matches, key=lambda hit: hit[:2])[2] if matches else None


_MOOD = {words[0]: mode for mode, words in MODE_WORDS.items()}
_STYLE = {words[0]: style for style, words in STYLE_WORDS.items()}
_BACKING = {words: name for name, words in ACCOMPANIMENT.items()}
_METRE = {words[1]: metre for metre, words in METRE_WORDS.items()}
_DRUMS = {words[0]: drums for drums, words in DRUM_WORDS.items()}
_CAPTION = re.compile(
    rf"\b[Aa]n? (?P<mood>{'|'.join(_MOOD)}) (?P<style>{'|'.join(_STYLE)}) for (?P<lead>{'|'.join(LEADS)}) over (?P<backing>{'|'.join(_BACKING)}) "
    rf"at (?P<tempo>\d+) bpm(?: in (?P<key>{'|'.join(sorted(KEYS, key=len, reverse=True))}) (?P<mode>{'|'.join(MODES)}))? (?P<metre>{'|'.join(_METRE)}) (?P<drums>{'|'.join(_DRUMS)})\b"
)


def read_caption(text: str) -> Attributes | None:
    """The piece that an answer announces, by the grammar of `wishes.full_caption`; None without such a sentence, or with one that contradicts itself.

    The key is C major or A minor where the sentence names none, as in a request without one.
    """
    match = _CAPTION.search(text)
    if match is None or match["mode"] not in (None, _MOOD[match["mood"]]):
        return None
    mode = _MOOD[match["mood"]]
    key = KEYS.index(match["key"]) if match["key"] else 0 if mode == "major" else 9
    return Attributes(match["lead"], _BACKING[match["backing"]], _STYLE[match["style"]], int(match["tempo"]), mode, _METRE[match["metre"]], _DRUMS[match["drums"]], key)


def parse_answer(name: str, text: str) -> Any:
    """The value of an attribute that an answer states, or None. An announced piece counts, and not the sentence about a wish before it."""
    text = match.group() if (match := _CAPTION.search(text)) else text
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
