"""What a request does not want: "no strings", "not sad", "anything but piano", "not in 4/4".

Half of them name what would have come by itself, so that the words matter. What is wished for by name is never forbidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from DataSet.synthesis import synonyms
from DataSet.synthesis.wishes import MOODS
from DataSet.synthesis.wording import chance, choose, spin
from llama.media.score import ACCOMPANIMENTS, LEADS, STYLES

if TYPE_CHECKING:
    from DataSet.synthesis.request_parts import RequestParts

WITHOUT = ("no {v}", "without {|any |a }{v}", "but no {v}", "{please|pls} no {v}", "don't use {|the |any }{v}", "{leave out|skip|not} the {v}", "{anything|everything} but {|the |a }{v}", "not {on|with} {a|the} {v}", "{minus|except} {|the }{v}", "I {hate|don't like|can't stand} the {v}", "zero {v}", "-{v}")
NOT_MOOD = ("not {|too |so |at all }{v}", "{nothing|never} {v}", "don't make it {|too }{v}", "but not {v}", "no {v} {stuff|music|song}", "it {shouldn't|should not|must not} {be|sound} {v}", "anything but {v}", "less {v} please")
NOT_STYLE = ("not {|a }{v}", "but not {|a }{v}", "{anything|everything} but {|a }{v}", "no {v}{| please}", "{please|pls} not {|a }{v}", "I don't {want|like} {v}")
NOT_METRE = ("not in {v}", "but not in {v}", "{anything|everything} but {v}", "no {v}", "don't {count|play} it in {v}")
STYLE_NAMES: Mapping[str, tuple[str, ...]] = {
    "ballad": ("ballad", "love song", "slow song"), "rock": ("rock", "rock song", "rock music"), "dance": ("dance", "disco", "house music", "dance music", "club music"),
    "waltz": ("waltz", "ballroom waltz"), "swing": ("swing", "jazz", "big band"), "ambient": ("ambient", "soundscape", "ambient music"),
}
PLAYERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {  # word -> attribute -> values that it means
    **{name: {"lead": (name,)} for name in LEADS}, "fiddle": {"lead": ("violin",)}, "sax": {"lead": ("saxophone",)}, "brass": {"lead": ("trumpet",)},
    "woodwinds": {"lead": ("flute", "clarinet")}, "keyboards": {"lead": ("piano", "organ", "synthesizer"), "accompaniment": ("piano", "organ", "pad")},
    **{name: {"lead": (name,), "accompaniment": (name,)} for name in ("piano", "organ", "guitar")},
    **{name: {"lead": ("synthesizer",), "accompaniment": ("pad",)} for name in ("synthesizer", "synth", "synths", "electronics")},
    "strings": {"accompaniment": ("strings",)}, "string section": {"accompaniment": ("strings",)}, "pads": {"accompaniment": ("pad",)}, "pad": {"accompaniment": ("pad",)},
}
_HAPPY_OR_SAD = {mode: tuple(name for name, wish in MOODS.items() if wish == {"mode": mode}) for mode in ("major", "minor")}


def add_negation(rng: np.random.Generator, parts: RequestParts) -> None:
    """Adds one clause about what must not be; nothing where the request names its opposite already."""
    choose(rng, (_player, _player, _player, _mood, _style, _metre))(rng, parts)


def forbid(parts: RequestParts, forbidden: Mapping[str, tuple[Any, ...]]) -> bool:
    """Forbids values, unless the request names one of them, or everything would be forbidden."""
    if any(parts.wish.get(name) in values for name, values in forbidden.items()):
        return False
    for name, values in forbidden.items():
        parts.avoid[name] = parts.avoid.get(name, frozenset()) | frozenset(values)
    return True


def _player(rng: np.random.Generator, parts: RequestParts) -> None:
    piece = parts.piece
    own = [word for word, forbidden in PLAYERS.items() if piece.lead in forbidden.get("lead", ()) or piece.accompaniment in forbidden.get("accompaniment", ())]
    word = choose(rng, own) if own and chance(rng, 0.65) else choose(rng, tuple(PLAYERS))
    if set(PLAYERS[word]) & set(parts.words):  # "a piano piece without piano chords" forbids only what it does not name
        names = set(PLAYERS[word]) - set(parts.words)
        if not names or word not in ACCOMPANIMENTS and word != "strings" or "accompaniment" not in names:
            return
        word, forbidden = choose(rng, synonyms.BACKING_NAMES[word]).removeprefix("a ").removeprefix("an "), {"accompaniment": PLAYERS[word]["accompaniment"]}
    else:
        forbidden = dict(PLAYERS[word])
    if forbid(parts, forbidden):
        parts.extra.append(_clause(rng, WITHOUT, word))


def _mood(rng: np.random.Generator, parts: RequestParts) -> None:
    """"Not sad" is a wish for major: a mood is turned into its opposite."""
    if {"mood", "mode", "key"} & set(parts.words):
        return
    mode = choose(rng, ("major", "minor"))
    if forbid(parts, {"mode": (mode,)}):
        parts.extra.append(_clause(rng, NOT_MOOD, choose(rng, _HAPPY_OR_SAD[mode])))


def _style(rng: np.random.Generator, parts: RequestParts) -> None:
    if "style" in parts.words:
        return
    style = parts.piece.style if chance(rng, 0.6) else choose(rng, STYLES)
    if style == "waltz" and parts.wish.get("metre") == 3:
        return
    if forbid(parts, {"style": (style,)}):
        parts.extra.append(_clause(rng, NOT_STYLE, choose(rng, STYLE_NAMES[style])))


def _metre(rng: np.random.Generator, parts: RequestParts) -> None:
    if {"metre", "style"} & set(parts.words):
        return
    metre = choose(rng, (3, 4))
    if forbid(parts, {"metre": (metre,)}):
        parts.extra.append(_clause(rng, NOT_METRE, choose(rng, synonyms.METRE_NAMES[metre])))


def _clause(rng: np.random.Generator, patterns: tuple[str, ...], word: str) -> str:
    return spin(rng, choose(rng, patterns)).replace("{v}", word)
