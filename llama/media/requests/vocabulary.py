"""Words of requests for edits as regular expressions and values: numbers, parts, places in a piece, intervals, keys.

Every expression matches text in lower case. They are the terminal symbols of the grammar in `llama.media.requests`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llama.media.score import TRACKS

_WORDS = ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
          "twenty")  # fmt: skip
NUMBERS: Mapping[str, int] = {
    "a": 1, "an": 1, **{word: value for value, word in enumerate(_WORDS.split(), 1)},
    "twenty four": 24, "thirty": 30, "thirty two": 32, "forty": 40, "sixty": 60, "ninety": 90,
}  # fmt: skip
NUMBER = r"(?:\d{1,6}(?:\.\d{1,6})?|" + "|".join(sorted(NUMBERS, key=len, reverse=True)) + r")"
PIECE = (
    r"(?:it|this|that|the (?:whole |entire )?(?:piece|song|music|track|recording|thing)|the whole|everything|all(?: of it)?"
    r"|all the notes)"
)

PARTS: Mapping[str, str] = {
    r"drum(?:s| ?kit| part| track)?|percussion|beats?": "drums",
    r"bass(?: ?line| part| guitar)?": "bass",
    r"accompaniment|backing(?: chords)?|chordal part": "accompaniment",
    r"melody|tune|lead(?: melody| voice| line)?|theme": "lead",
}
HARMONY = r"chords?(?: progression)?|harmony|harmonies"
PART = r"(?:the |any |some |a |an |its |all (?:the )?)?(?:" + "|".join(PARTS) + r")"
PART_LIST = rf"{PART}(?:(?:,| and| or|, and) {PART})*"
KEPT = rf"(?:{PART}|(?:the |its )?(?:{HARMONY}))"
KEPT_LIST = rf"{KEPT}(?:(?:,| and|, and) {KEPT})*"

_ORDINALS: Mapping[str, int] = {"first": 0, "second": 1, "third": 2, "fourth": 3}
SPAN = (
    r"(?:(?:bars?|measures?) (?:number )?(?P<first>NUM)(?: ?(?:to|through|until|till|and|-) ?(?:bar |measure )?(?P<last>NUM))?"
    r"|(?:the )?(?P<end>first|last) (?P<count>NUM) (?:bars|measures)|the (?P<edge>first|last) (?:bar|measure)"
    r"|(?:the )?(?P<which>first|second|last|other) half|(?:the )?(?P<quarter>first|second|third|fourth|last) quarter)"
).replace("NUM", NUMBER)
VAGUE_SPAN = (
    r"(?:the )?(?:(?:first|second|third|fourth|last|middle|next|other) (?:part|section|verse|chorus|phrase|bit|third)"
    r"|a (?:part|section|verse|chorus|phrase)"  # and not "a bit", as in "a bit faster"
    r"|verse|chorus|refrain|bridge|intro(?:duction)?|outro|coda|beginning|start|opening|middle|ending|end|part [ab]|section [ab]"
    r"|[ab] section)"
)

INTERVALS: Mapping[str, int] = {
    r"(?:semitones?|half ?-?(?:steps?|tones?))": 1, r"(?:whole ?-?)?(?:steps?|tones?)": 2, r"octaves?": 12,
    "minor second": 1, "(?:major )?second": 2, "minor third": 3, "(?:major )?third": 4, "(?:perfect )?fourth": 5,
    "(?:tritone|augmented fourth|diminished fifth)": 6, "(?:perfect )?fifth": 7, "minor sixth": 8, "(?:major )?sixth": 9,
    "minor seventh": 10, "(?:major )?seventh": 11,
}  # fmt: skip
INTERVAL = rf"(?:{NUMBER} )?(?:" + "|".join(INTERVALS) + r")"

_NATURALS: Mapping[str, int] = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
KEY = r"[a-g](?: ?-?(?:sharp|flat)|#|b)?"
SECOND_UNITS = r"(?:seconds?|secs?|s|minutes?|mins?)"
LENGTH_UNITS = rf"(?:bars?|measures?|{SECOND_UNITS})"


def read_number(text: str) -> float:
    """The value of a number in figures or words."""
    return float(NUMBERS[text]) if text in NUMBERS else float(text)


def read_parts(text: str) -> tuple[str, ...]:
    """Parts that a list of them names, in the order of the score."""
    found = {part for pattern, part in PARTS.items() if re.search(rf"\b(?:{pattern})\b", text)}
    return tuple(part for part in TRACKS if part in found)


def names_harmony(text: str) -> bool:
    """Whether a list of what is kept or composed names the chords."""
    return bool(re.search(rf"\b(?:{HARMONY})\b", text))


def read_interval(text: str) -> int:
    """Semitones of an interval such as "a minor third" or "three semitones"."""
    match = re.match(rf"(?:({NUMBER}) )?(.*)", text)
    assert match, "the whole may be empty"
    sizes = [size for pattern, size in INTERVALS.items() if re.fullmatch(pattern, match[2])]
    return round(sizes[0] * (read_number(match[1]) if match[1] else 1))


def read_key(text: str) -> int:
    """Pitch class of a key's tonic, such as "b flat" or "f#"."""
    accidental = text[1:].strip(" -")
    return (_NATURALS[text[0]] + {"sharp": 1, "#": 1, "flat": -1, "b": -1}.get(accidental, 0)) % 12


def read_span(groups: Mapping[str, Any], bar_count: int) -> tuple[int, int]:
    """First and last bar, from 1, of a match of SPAN in a piece of so many bars."""
    if groups["first"]:
        first = int(read_number(groups["first"]))
        return first, int(read_number(groups["last"])) if groups["last"] else first
    if groups["end"] or groups["edge"]:
        count = int(read_number(groups["count"])) if groups["count"] else 1
        return (1, count) if (groups["end"] or groups["edge"]) == "first" else (max(1, bar_count - count + 1), bar_count)
    pieces, name = (2, groups["which"]) if groups["which"] else (4, groups["quarter"])
    index = _ORDINALS.get(name, pieces - 1)
    return bar_count * index // pieces + 1, max(bar_count * (index + 1) // pieces, bar_count * index // pieces + 1)
