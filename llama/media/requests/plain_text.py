"""The text of a request as its grammar reads it: one line in lower case, and without the courtesies around a clause."""

from __future__ import annotations

import re

from llama.media.requests.typing_errors import correct_typing

POLITE = re.compile(
    r"^(?:please|pls|plz|quick(?=,)|now|then|also|just|ok(?:ay)?|hey|hi|hello|so|but|and|next|finally|first|instead|again"
    r"|(?:can|could|would|will) you(?: please)?|i(?: would|'d) (?:like|love|want)(?: you)?(?: to)?|i want(?: you)?(?: to)?"
    r"|tell me|do you know"
    r"|(?:make|do|create|try|play|give)(?: me)? (?:a|another) version(?: of (?:it|this|that))?(?= (?:at|in|with|without|on|for|as)\b)"
    r"|i need(?: you to)?|let(?:'s| us)|try to|go ahead and|you can|you should)\b[ ,]*"
)
POLITE_END = re.compile(r"[ ,]*\b(?:please|pls|plz|now|thanks|thank you|for me|then|instead|as well|too|if you can|somehow)$")
ORDINALS = dict(zip("2345678", ("second", "third", "fourth", "fifth", "sixth", "seventh", "octave"), strict=True))


def plain(text: str) -> str:
    """The text in lower case, with one kind of apostrophe and dash, single blanks, and without typing errors in words of edits."""
    text = re.sub(r"[\u2018\u2019]", "'", correct_typing(text.lower())).replace("\u2013", "-").replace("\u2014", ", ").replace('"', "")
    text = re.sub(r"\b([2-8])(?:nd|rd|th)\b", lambda found: ORDINALS[found[1]], text)
    text = re.sub(r"\bin an? (major|minor) key\b", r"in \1", text.replace("\u266f", " sharp").replace("\u266d", " flat"))
    return re.sub(r"\s+", " ", text).strip()


def without_courtesies(clause: str) -> list[str]:
    """A clause with fewer and fewer courtesies: "just" is one in "just remove the drums", and none in "just the drums"."""
    stages = [clause.strip(" ,")]
    while (shorter := POLITE_END.sub("", stages[-1]).strip(" ,")) != stages[-1]:
        stages.append(shorter)
    while (shorter := POLITE_END.sub("", POLITE.sub("", stages[-1])).strip(" ,")) != stages[-1]:
        stages.append(shorter)
    return stages
