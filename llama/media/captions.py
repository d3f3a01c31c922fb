"""Captions of the music decoder, read and written: the attributes that an answer of the embedded model states, in its fixed form.

"A sad waltz for organ over guitar chords at 160 bpm in C minor in 3/4 without drums": nothing else is read as a caption.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from llama.media.score import KEYS, LEADS, MODES, TEMPI, TRACKS, Attributes, nearest_tempo
from llama.media.spelling import key_name

TEMPO_TOLERANCE = 0.04  # of the tempo: what is nearer was not asked to change, only heard a little wrong
STATED = ("lead", "accompaniment", "tempo", "mode", "style", "metre")  # attributes of an answer's caption that are taken as asked
MOODS: Mapping[str, str] = {"happy": "major", "sad": "minor"}
STYLE_NOUNS: Mapping[str, str] = {
    "ballad": "ballad", "rock song": "rock", "dance track": "dance", "waltz": "waltz", "swing tune": "swing", "ambient piece": "ambient",
}
ACCOMPANIMENT_NOUNS: Mapping[str, str] = {
    "piano chords": "piano", "organ chords": "organ", "guitar chords": "guitar", "strings": "strings", "a soft pad": "pad",
}

# Names of keys -> pitch class and mode: as the model was trained to write them, and as musicians do.
KEY_NAMES: Mapping[str, tuple[int, str]] = {
    name: (key, mode) for key, tonic in enumerate(KEYS) for mode in MODES for name in (f"{tonic} {mode}", key_name(key, mode))
}


def _one_of(names: Iterable[str]) -> str:
    return "(" + "|".join(sorted(names, key=len, reverse=True)) + ")"


CAPTION = re.compile(
    rf"\b{_one_of(MOODS)} {_one_of(STYLE_NOUNS)} for {_one_of(LEADS)} over {_one_of(ACCOMPANIMENT_NOUNS)} at (\d{{2,3}}) bpm"
    rf"(?: in {_one_of(KEY_NAMES)})? in ([34])/4 (with|without) drums"
)


def read_caption(text: str, key: int) -> Attributes | None:
    """The attributes of the caption in a text; None if there is none. key: the pitch class where the caption names no key."""
    match = CAPTION.search(text)
    if match is None or int(match[5]) not in TEMPI:
        return None
    mood, style, lead, accompaniment, tempo, key_words, metre, drums = match.groups()
    key, mode = KEY_NAMES[key_words] if key_words else (key, MOODS[mood])
    return Attributes(
        lead=lead, accompaniment=ACCOMPANIMENT_NOUNS[accompaniment], style=STYLE_NOUNS[style], tempo=int(tempo),
        mode=mode, metre=int(metre), drums=drums == "with", key=key,
    )  # fmt: skip


def write_caption(attributes: Attributes, parts: Collection[str] = TRACKS) -> str:
    """The caption of a piece with these attributes, which `read_caption` reads back where a caption can hold its tempo.

    parts: those that are heard; without melody or chords the caption names what is left, for people alone.
    """
    mood = next(mood for mood, mode in MOODS.items() if mode == attributes.mode)
    style = next(noun for noun, style in STYLE_NOUNS.items() if style == attributes.style)
    chords = next(noun for noun, name in ACCOMPANIMENT_NOUNS.items() if name == attributes.accompaniment)
    article = "An" if mood[0] in "aeiou" else "A"
    key, drums = key_name(attributes.key, attributes.mode), "with" if attributes.drums else "without"
    return (
        f"{article} {mood} {style} for {_players(attributes, chords, parts)} at {attributes.tempo:g} bpm in {key} "
        f"in {attributes.metre}/4 {drums} drums"
    )


def _players(attributes: Attributes, chords: str, parts: Collection[str]) -> str:
    """The instruments of a caption, without those of parts that are not heard."""
    if {"lead", "accompaniment"} <= {*parts}:
        return f"{attributes.lead} over {chords}"
    heard = [words for part, words in (("lead", attributes.lead), ("accompaniment", chords), ("bass", "bass")) if part in parts]
    return f"{' and '.join(heard) or 'drums'} alone" if len(heard) < 2 and not (heard and attributes.drums) else " and ".join(heard)


def stated_changes(attributes: Attributes, text: str, heard: Attributes | None = None) -> dict[str, Any] | None:
    """What a text changes in a piece, by attribute; None if it announces no piece.

    heard: what the model hears the piece as, where it is known. A change is then what differs from that: of 7 chorales and songs
    that were read from files, the model took each for another style, metre or tempo than the file's. A tempo changes in proportion.
    The key is left out, and drums are: the model hears keys a little wrong, and turns the drums round at any mention of them
    (20 of 20 pieces). Both are read by `llama.media.requests` alone.
    """
    stated = read_caption(text, attributes.key)
    if stated is None:
        return None
    heard = heard or attributes
    changes = {name: getattr(stated, name) for name in STATED if getattr(stated, name) != getattr(heard, name)}
    if abs(stated.tempo - heard.tempo) <= TEMPO_TOLERANCE * heard.tempo:
        changes.pop("tempo", None)
    if "tempo" in changes and heard.tempo != attributes.tempo:
        changes["tempo"] = nearest_tempo(attributes.tempo * stated.tempo / heard.tempo)
    return {name: value for name, value in changes.items() if value != getattr(attributes, name)}
