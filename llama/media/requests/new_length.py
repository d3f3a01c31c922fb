"""The length that a request for new music names: "20 seconds of happy piano", "a slow waltz, 16 bars", "a minute of swing".

The language weights of ckpts/nano do not know lengths, and their numbers bend the tempo and the mood of the answer: "energetic rock, 24
bars" became a sad piece at 60 bpm. The length is read by rule, and the model gets the request without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama.media.requests.vocabulary import LENGTH_UNITS, NUMBER, read_number

MAX_LENGTH = 1000  # characters of a request that is read
ABOUT = r"(?:(?:about|around|roughly|exactly|some|at least|at most|up to) )?"
COUNT = rf"(?P<count>(?!an?\b){NUMBER}|(?:half )?a(?= min)|one and a half)"
UNIT = rf"(?P<unit>{LENGTH_UNITS})\b"
CLOCK = r"(?P<minutes>\d{1,2}):(?P<seconds>[0-5]\d)(?: minutes| mins?)?\b"
LENGTH = rf"(?:{COUNT}[ -]?{UNIT}|{CLOCK})"
# A place of a length in a request, and what stands there without it. The first one that matches is the length.
PLACES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), rest)
    for pattern, rest in (
        (rf"\b{ABOUT}{LENGTH}(?:[ -]long)? of (?=\w)", ""),  # "20 seconds of happy piano"
        (rf"\b(?P<article>an?) {ABOUT}{LENGTH}(?:[ -]long)?,? (?=[a-z])", r"\g<article> "),  # "a 16-bar blues"
        (rf"^{ABOUT}{LENGTH}(?:[ -]long)?[,:]? (?=[a-z])", ""),  # "30 seconds, slow, on the piano"
        (  # "a slow waltz, 16 bars", "music for 2 minutes", "a march that lasts half a minute"
            rf"[,;]? *(?:\b(?:for|of|in|with|lasting|which is|that is|that lasts|which lasts|it should last|it should be|with a length of|"
            rf"make it|length:?) )?\b{ABOUT}{LENGTH}(?:[ -](?:long|in length|in total|altogether))?(?: please)?(?= *(?:[,;.!)]|$))",
            "",
        ),
    )
)
ONLY_VERBS = re.compile(r"(?:\W*\b(?:please|can|you|give|play|make|compose|write|create|take|me|us|it|now|for|of|in)\b)*\W*", re.IGNORECASE)
ARTICLES = {"a": 1.0, "half a": 0.5, "one and a half": 1.5}


@dataclass(frozen=True)
class NewLength:
    """Length of new music: seconds or bar_count, the other one is None. rest: the request without it."""

    rest: str
    seconds: float | None = None
    bar_count: int | None = None


def read_new_length(text: str) -> NewLength | None:
    """The length that a request for new music names; None for one that names none, or two, or nothing but a length."""
    if len(text) > MAX_LENGTH:
        return None
    found = [(match, rest) for pattern, rest in PLACES if (match := pattern.search(text))]
    if not found:
        return None
    match, replacement = found[0]
    rest = (text[: match.start()] + match.expand(replacement) + text[match.end() :]).strip(" ,;")
    rest = re.sub(r"\s+([,.;!])", r"\1", re.sub(r" {2,}", " ", rest))
    if ONLY_VERBS.fullmatch(rest) or any(pattern.search(rest) for pattern, _ in PLACES):
        return None
    return _length(match, rest)


def _length(match: re.Match[str], rest: str) -> NewLength | None:
    groups = {name: value.lower() for name, value in match.groupdict().items() if value is not None}
    if "minutes" in groups:
        return NewLength(rest, seconds=60.0 * int(groups["minutes"]) + int(groups["seconds"]))
    count = ARTICLES[groups["count"]] if groups["count"] in ARTICLES else read_number(groups["count"])
    if groups["unit"].startswith(("bar", "mea")):
        return NewLength(rest, bar_count=round(count)) if count >= 1 and float(count).is_integer() else None
    return NewLength(rest, seconds=count * (60.0 if groups["unit"].startswith("min") else 1.0)) if count > 0 else None
