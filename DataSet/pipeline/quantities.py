"""Numbers with their units as people write them: "1.5x", "one and a half times", "200 cents", "two semitones", "half the speed".

Equal quantities compare equal however they are written: pitch in cents, speed as a factor OF THE SPEED. A factor of the time is
another unit, so that "0.67 of the time" never passes for 0.67 times the speed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from math import isclose

from DataSet.synthesis.captions import ONES, TENS

SPEED, TIME, CENTS, LEVEL, TEMPO, COUNT, PLAIN = "speed", "time", "cents", "dB", "bpm", "times", ""
_UNITS = {name: value for value, name in enumerate(ONES) if name}
_TENS = {name: 10 * value for value, name in enumerate(TENS) if name}
_NUMBER_WORD = "|".join([*sorted([*_UNITS, *_TENS], key=len, reverse=True), "zero", "hundred", "half", "point"])
_SPOKEN = rf"(?:a hundred|(?:{_NUMBER_WORD}))(?:(?:[ -]|(?<=hundred) and | and a )(?:{_NUMBER_WORD})){{0,7}}"  # bounded, as digits are: a text may repeat itself
_DIGITS = r"\d{1,15}(?:[.,]\d{1,15})?(?:/\d{1,15})?"
_VALUE = rf"(?:{_DIGITS}|{_SPOKEN})"
_SPEED_NOUN = r"(?:speed|tempo|pace|rate)"
_OF_SPEED = rf"(?:\s+(?:of\s+)?(?:the|its|that|this|their)?\s*(?:original|normal|former|usual|present|current|own|old|first)?\s*{_SPEED_NOUN})"
_OF_TIME = r"(?:\s+(?:of\s+)?(?:the|its|their)?\s*(?:original|former)?\s*(?:time|duration|length|as long|longer|shorter)\b)"
_AS_FAST = r"(?:\s+(?:as\s+(?:fast|quick|quickly|slow|slowly)|faster|slower|quicker))"


@dataclass(frozen=True)
class Quantity:
    """A value, without its sign, and its unit: a factor of the speed or the time, cents, dB, bpm, how many times, or none."""

    value: float
    unit: str

    def equals(self, other: Quantity) -> bool:
        return self.unit == other.unit and isclose(self.value, other.value, rel_tol=1e-3, abs_tol=1e-6)

    def __str__(self) -> str:
        unit = {SPEED: " times the speed", TIME: " times the time", COUNT: " times"}.get(self.unit, f" {self.unit}")
        return f"{self.value:g}{unit}".strip()


# Longest first: what one pattern has read is not read again. `scale` turns the number into the unit.
_PATTERNS: tuple[tuple[str, str, float], ...] = (
    (rf"(?P<n>{_VALUE})\s*(?:x|times|-?fold)?\s*{_OF_TIME}", TIME, 1),
    (rf"(?P<n>{_VALUE})\s*(?:%|percent|per cent){_OF_TIME}", TIME, 0.01),
    (rf"(?P<n>{_VALUE})\s*(?:%|percent|per cent)(?:{_OF_SPEED}|\s+as\s+(?:fast|quick))", SPEED, 0.01),
    (rf"(?P<n>{_VALUE})\s*(?:%|percent|per cent)\s+(?:faster|quicker)", "faster by", 0.01),
    (rf"(?P<n>{_VALUE})\s*(?:%|percent|per cent)\s+slower", "slower by", 0.01),
    (rf"\b(?:slow\w*|down|reduc\w*|decreas\w*|lower\w*|drop\w*|cut)\b[^,;.]{{0,40}}?\bby\s+(?P<n>{_VALUE})\s*(?:%|percent|per cent)", "slower by", 0.01),
    (rf"\b(?:up|faster|rais\w*|increas\w*|accelerat\w*|boost\w*)\b[^,;.]{{0,40}}?\bby\s+(?P<n>{_VALUE})\s*(?:%|percent|per cent)", "faster by", 0.01),
    (rf"(?P<n>{_VALUE})\s*(?:%|percent|per cent)", SPEED, 0.01),
    (rf"(?P<n>{_VALUE})\s*-?\s*cents?\b", CENTS, 1),
    (rf"(?P<n>{_VALUE})\s*-?\s*(?:semi-?tones?|half[ -](?:tones?|steps?))\b", CENTS, 100),
    (rf"(?P<n>{_VALUE})\s*-?\s*(?:whole[ -](?:tones?|steps?)|tones?\b)", CENTS, 200),
    (rf"(?P<n>{_VALUE})\s*-?\s*octaves?\b", CENTS, 1200),
    (rf"(?P<n>{_VALUE})\s*-?\s*(?:db|decibels?)\b", LEVEL, 1),
    (rf"(?P<n>{_VALUE})\s*-?\s*(?:bpm|beats (?:per|a) minute)\b", TEMPO, 1),
    (rf"(?P<n>{_VALUE})\s*(?:x\b|×|-?fold\b|times?)(?:{_OF_SPEED}|{_AS_FAST})", SPEED, 1),
    (rf"(?P<n>{_VALUE})\s*(?:x\b|×)", SPEED, 1),
    (rf"(?P<n>half){_OF_SPEED}", SPEED, 1), (r"(?P<n>half)\s+as\s+(?:fast|quick)", SPEED, 1),
    (rf"factor\s+(?:of\s+)?(?P<n>{_VALUE})", SPEED, 1),
    (rf"(?P<n>{_VALUE})\s*times?\b", COUNT, 1),
    (rf"(?P<n>{_DIGITS})", PLAIN, 1),
    (rf"\b(?P<n>{_SPOKEN})\b", PLAIN, 1),
)  # fmt: skip
_FIXED: tuple[tuple[str, Quantity], ...] = (
    (rf"\b(?:twice|double|doubled?|twofold)(?:{_OF_SPEED}|\s+as\s+(?:fast|quick)\w*)", Quantity(2, SPEED)),
    (r"\b(?:twice|two times)\s+as\s+(?:slow\w*|long)", Quantity(0.5, SPEED)),
    (r"\ba (?:semi-?tone|half[ -](?:tone|step))\b", Quantity(100, CENTS)), (r"\ba (?:whole[ -])?(?:tone|step)\b", Quantity(200, CENTS)),
    (r"\ban octave\b", Quantity(1200, CENTS)), (r"\bonce\b", Quantity(1, COUNT)), (r"\btwice\b", Quantity(2, COUNT)), (r"\bthrice\b", Quantity(3, COUNT)),
)
_COMPILED = [(re.compile(pattern, re.I), quantity) for pattern, quantity in _FIXED]
_COMPILED_UNITS = [(re.compile(rf"(?<![\w.,/])(?<!\d[ ])(?:{pattern})" if pattern.startswith("(?P<n>") else pattern, re.I), unit, scale)
                   for pattern, unit, scale in _PATTERNS]
_ANY_NUMBER = re.compile(rf"\d|\b(?:{_NUMBER_WORD}|once|twice|thrice|doubled?|twofold|an? (?:whole|half|tone|step|semi-?tone|octave|hundred))\b", re.I)
_PRONOUNS = {"one", "half"}  # "a faster one", "the second half": no numbers where they have no unit


def number_value(text: str) -> float | None:
    """The value of digits or of a spoken number such as "one and a half" or "two hundred and fifty"; None for another text."""
    text = text.strip().lower().replace(",", ".")
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    if "/" in text:
        over, _, under = text.partition("/")
        return float(over) / float(under) if under.isdigit() and float(under) else None
    return _spoken_value(re.split(r"[ -]+", text))


def _spoken_value(words: list[str]) -> float | None:
    if "point" in words:
        before, after = words[: words.index("point")], words[words.index("point") + 1 :]
        digits = [_UNITS.get(word, 0 if word == "zero" else None) for word in after]
        whole = _spoken_value(before) if before else 0.0
        if whole is None or not digits or None in digits:
            return None
        return whole + float("0." + "".join(map(str, digits)))
    total = 0.0
    for word in words:
        if word in ("and", "a"):
            total = 1.0 if word == "a" and not total and "hundred" in words else total
        elif word == "hundred":
            total = max(total, 1) * 100
        elif word == "half":
            total += 0.5
        elif word in _UNITS or word in _TENS or word == "zero":
            total += _UNITS.get(word, _TENS.get(word, 0))
        else:
            return None
    return total


@lru_cache(maxsize=4096)
def quantities(text: str) -> tuple[Quantity, ...]:
    """All quantities that a text names, in no particular order; each stretch of the text counts once."""
    if not _ANY_NUMBER.search(text):
        return ()
    found: list[Quantity] = []
    for pattern, fixed in _COMPILED:
        text, count = pattern.subn(" ; ", text)
        found += [fixed] * count
    for pattern, unit, scale in _COMPILED_UNITS:
        text = pattern.sub(lambda match, unit=unit, scale=scale: _taken(match, unit, scale, found), text)  # type: ignore[misc]
    return tuple(found)


def _taken(match: re.Match[str], unit: str, scale: float, found: list[Quantity]) -> str:
    """Adds what a match says to `found`; what stands in its place, so that it is not read again."""
    if unit == PLAIN and match["n"].strip().lower() in _PRONOUNS:
        return match[0]
    value = number_value(match["n"])
    if value is None:
        return match[0]
    if unit in ("faster by", "slower by"):
        found.append(Quantity(1 + value * scale if unit == "faster by" else 1 - value * scale, SPEED))
    else:
        found.append(Quantity(value * scale, unit))
    return " ; "
