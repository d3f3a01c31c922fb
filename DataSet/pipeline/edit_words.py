"""Words of an edit: which directions a text names, and what an instruction about an edit must say.

The fields of `asked` in the results of the "edit" step, each optional:
    speed: factor of the SPEED, above 1 is faster.   cents or semitones: of the pitch, above 0 is higher.   level_db: above 0 is louder.
    reverse: true.   loop: how many times it plays.   drums: true or false.   tempo: beats a minute.
    lead, accompaniment, style, mode: a name.   metre: 3 or 4.   key: pitch class, with or without mode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from DataSet.pipeline.quantities import CENTS, COUNT, LEVEL, PLAIN, SPEED, TEMPO, Quantity
from DataSet.synthesis.captions import STYLE_WORDS
from DataSet.synthesis.wishes import ACCOMPANIMENT
from llama.errors import comma_list, quoted
from llama.media.score import KEYS

OPPOSITES = {"faster": "slower", "higher": "lower", "louder": "softer", "with drums": "without drums"}
OPPOSITES |= {second: first for first, second in OPPOSITES.items()}
ASKED = ("speed", "cents", "semitones", "level_db", "reverse", "loop", "drums", "tempo", "lead", "accompaniment", "style", "mode", "metre", "key")
_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("speed", "cents", "semitones", "level_db", "tempo"), (int, float)), **dict.fromkeys(("reverse", "drums"), bool),
    **dict.fromkeys(("loop", "metre", "key"), int), **dict.fromkeys(("lead", "accompaniment", "style", "mode"), str),
}  # fmt: skip
_TYPE_WORDS = {(int, float): "give a number", bool: "give true or false", int: "give a whole number", str: "give a name"}
_NOUNS = {
    "speed": "speed|speeds|speeding|sped|tempo|pace|bpm|slow|slowed|slowing|hurry",
    "pitch": "pitch|pitched|key|tuning|tuned|transpose|transposed|transposing|shift|shifted|notes?|semitones?|cents?|tones?|octaves?|register",
    "level": "volume|level|loudness|gain|db|decibels?|turn|turned",
}
_NOUN_OF = {re.compile(rf"(?:{words})", re.I): name for name, words in _NOUNS.items()}
_UP = re.compile(r"(?:up|upwards?|raise[sd]?|raising|increas(?:e|ed|es|ing)|boost(?:ed|s|ing)?|higher|lift(?:ed|s)?|sharpen(?:ed)?|push(?:ed)?|more)", re.I)
_DOWN = re.compile(r"(?:down|downwards?|lower(?:ed|s|ing)?|decreas(?:e|ed|es|ing)|reduc(?:e|ed|es|ing)|drop(?:ped|s|ping)?|cut|deeper|flatten(?:ed)?|less)", re.I)
_RESULT = {("speed", True): "faster", ("speed", False): "slower", ("pitch", True): "higher", ("pitch", False): "lower",
           ("level", True): "louder", ("level", False): "softer"}  # fmt: skip
_DRUMS = r"(?:drums?|drumming|drummers?|percussion|beat|groove)\b"
_ADDED = r"with|add|added|bring in|brought in|put in|put|include[sd]?|insert|mix in|throw in|lay down|give it|give me|want|needs?|lacks?|miss|enable|switch on|turn on"
_REMOVED = (r"without|no|zero|minus|remove[sd]?|drop(?:ped)?|mute[sd]?|take out|taken out|take away|leave out|left out|delete[sd]?|cut|kill|lose|strip out|turn off|"
            r"switch off|get rid of|skip|erase[sd]?|silence[sd]?|banish|(?:do not|don't) (?:want|need)")  # fmt: skip
_COMPARATIVES = {
    "faster": r"faster|quicker|quicken(?:ed)?|accelerat\w+|speed(?:ed)? up|sped|hurr(?:y|ied)|brisker|livelier",
    "slower": r"slower|more slowly|decelerat\w+|slowed|slow (?:it|this|that|them|down|the (?:recording|music|track|song|piece|tune))",
    "higher": r"sharper", "lower": r"flatter",
    "louder": r"louder|amplif\w+", "softer": r"softer|quieter|attenuat\w+",
    "with drums": rf"(?<!n't )(?<!not )(?:{_ADDED}) (?!no |zero |any )(?:(?:some|a|an|the|added|back) )*{_DRUMS}",
    "without drums": rf"(?:{_REMOVED}) (?:(?:any|all|a|the|more|these|those) )*{_DRUMS}|{_DRUMS} (?:have to go|gone|away|off)",
    "reversed": r"revers\w+|backwards?|from (?:its |the )?end to (?:its |the )?(?:beginning|start)",
    "looped": r"loop\w*|repeat\w*|plays? \w+ times|in a row|over again",
}  # fmt: skip
_PATTERNS = {name: re.compile(rf"\b(?:{words})\b", re.I) for name, words in _COMPARATIVES.items()}
_NEGATED = re.compile(r"\b(?:not|never|don't|do not|isn't|is not|rather than|instead of)\W+(?:\w+\W+){0,2}"
                      r"(?:faster|slower|quicker|higher|lower|louder|softer|up|down|revers\w+)\b", re.I)  # fmt: skip
_BREAKS = {",", ";", ".", "and", "but", "then", "while"}
REACH = 4  # words between "up" and what goes up


@dataclass(frozen=True)
class EditFacts:
    """What a text about an edit must keep: directions, quantities, and names of which one of each group must occur."""

    directions: tuple[str, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    terms: tuple[tuple[str, ...], ...] = ()


@lru_cache(maxsize=4096)
def directions(text: str) -> frozenset[str]:
    """The directions that a text names: faster, lower, with drums, reversed ... What goes up is the nearest of speed, pitch and level."""
    found = {name for name, pattern in _PATTERNS.items() if pattern.search(text)}
    tokens = re.findall(r"[\w'#]+|[,;.](?!\d)", text.lower())
    for index, token in enumerate(tokens):
        upwards = True if _UP.fullmatch(token) else False if _DOWN.fullmatch(token) else None
        if upwards is not None and (noun := _subject(tokens, index)):
            found.add(_RESULT[noun, upwards])
    return frozenset(found)


def _subject(tokens: Sequence[str], index: int) -> str | None:
    """What goes up or down at `index`, the nearest noun in its clause: behind a verb ("raise the pitch"), before an adverb ("speed it up").

    Bare "higher" is pitch.
    """
    later, earlier = _until_break(tokens[index + 1 : index + 1 + REACH]), _until_break(tokens[max(0, index - REACH) : index][::-1])
    for candidate in (earlier, later) if tokens[index] in ("up", "down", "upwards", "downwards") else (later, earlier):
        for token in candidate:
            if name := next((name for pattern, name in _NOUN_OF.items() if pattern.fullmatch(token)), None):
                return name
    return "pitch" if tokens[index] in ("higher", "lower", "deeper") else None


def _until_break(tokens: Sequence[str]) -> list[str]:
    end = next((place for place, token in enumerate(tokens) if token in _BREAKS), len(tokens))
    return list(tokens[:end])


def negates_direction(text: str) -> bool:
    """Whether a direction stands behind a "not": what such a text asks for is unclear."""
    return _NEGATED.search(text) is not None


def edit_facts(asked: Mapping[str, Any]) -> EditFacts:
    """What a text must say of the edit that was asked for. Raises ValueError for a field that is unknown, and for an edit of nothing."""
    if unknown := sorted(set(asked) - set(ASKED)):
        raise ValueError(f"An edit asks for {quoted(unknown[0])}; it may ask for {comma_list(ASKED)}.")
    for name, value in asked.items():
        if value is not None and (not isinstance(value, _TYPES[name]) or (isinstance(value, bool) and _TYPES[name] is not bool)):
            raise ValueError(f"An edit asks for {name} {quoted(value)}; {_TYPE_WORDS[_TYPES[name]]}.")
    parts = [_part(name, value, asked) for name, value in asked.items() if value is not None]
    facts = EditFacts(*(tuple(item for part in parts for item in getattr(part, name)) for name in ("directions", "quantities", "terms")))
    if facts == EditFacts():
        raise ValueError(f"An edit asks for no change ({quoted(dict(asked))}); give one of {comma_list(ASKED)}.")
    return facts


def _part(name: str, value: Any, asked: Mapping[str, Any]) -> EditFacts:
    match name:
        case "speed" if value > 0:
            return EditFacts() if value == 1 else EditFacts(("faster" if value > 1 else "slower",), (Quantity(value, SPEED),))
        case "cents" | "semitones":
            cents = value * (100 if name == "semitones" else 1)
            return EditFacts() if cents == 0 else EditFacts(("higher" if cents > 0 else "lower",), (Quantity(abs(cents), CENTS),))
        case "level_db":
            return EditFacts() if value == 0 else EditFacts(("louder" if value > 0 else "softer",), (Quantity(abs(value), LEVEL),))
        case "reverse":
            return EditFacts(("reversed",)) if value else EditFacts()
        case "loop":
            return EditFacts(("looped",), (Quantity(value, COUNT),)) if value > 1 else EditFacts()
        case "drums":
            return EditFacts(("with drums" if value else "without drums",))
        case "tempo":
            return EditFacts((), (Quantity(value, TEMPO),))
        case "metre":
            return EditFacts((), (Quantity(value / 4, PLAIN),))
        case "key" if 0 <= value < len(KEYS):
            return EditFacts(terms=((f"{KEYS[value]} {asked.get('mode') or ''}".strip(),),))
        case "mode" | "lead":
            return EditFacts(terms=((str(value),),))
        case "style":
            return EditFacts(terms=((value, *STYLE_WORDS.get(value, ())),))
        case "accompaniment":
            return EditFacts(terms=((value, ACCOMPANIMENT.get(value, value)),))
    raise ValueError(f"An edit asks for {name} {quoted(value)}; a factor of the speed is above 0, a key a pitch class from 0 to 11.")
