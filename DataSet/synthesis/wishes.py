"""Meaning of a request: from some attributes, a picture's mood or a clip's motion to the complete attributes of a piece.

All functions are deterministic: equal requests give equal attributes, so that a small model can learn the rule and a test
can check it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from DataSet.synthesis import lexicon
from DataSet.synthesis.captions import DRUM_WORDS, METRE_WORDS, MODE_WORDS, STYLE_WORDS
from llama.media.score import KEYS, MODES, TEMPI, Attributes

Wish = Mapping[str, Any]  # some of the fields of Attributes
Avoided = Mapping[str, frozenset[Any]]  # name of a field -> values that it must not have
ALTERNATIVES: Mapping[str, tuple[Any, ...]] = {  # what stands in for a value that is not wanted: the first that is left
    "lead": ("piano", "guitar", "flute", "violin", "clarinet", "synthesizer"), "accompaniment": ("strings", "piano", "guitar", "pad", "organ"),
    "style": ("ballad", "rock", "ambient", "swing"), "mode": MODES, "metre": (4, 3), "drums": (False, True), "tempo": (108, 72, 140),
}

STYLE_HABITS: Mapping[str, Wish] = {  # what a style means when nothing else is said
    "ballad": {"lead": "piano", "accompaniment": "strings", "tempo": 72, "mode": "major", "metre": 4, "drums": False},
    "rock": {"lead": "guitar", "accompaniment": "organ", "tempo": 132, "mode": "minor", "metre": 4, "drums": True},
    "dance": {"lead": "synthesizer", "accompaniment": "pad", "tempo": 124, "mode": "major", "metre": 4, "drums": True},
    "waltz": {"lead": "violin", "accompaniment": "piano", "tempo": 108, "mode": "major", "metre": 3, "drums": False},
    "swing": {"lead": "saxophone", "accompaniment": "piano", "tempo": 140, "mode": "major", "metre": 4, "drums": True},
    "ambient": {"lead": "flute", "accompaniment": "pad", "tempo": 66, "mode": "major", "metre": 4, "drums": False},
}
LEAD_STYLE: Mapping[str, str] = {  # the style an instrument suggests by itself
    "piano": "ballad", "organ": "ballad", "guitar": "rock", "violin": "ballad", "cello": "ballad", "trumpet": "swing",
    "flute": "ambient", "saxophone": "swing", "clarinet": "swing", "harp": "ambient", "marimba": "dance", "synthesizer": "dance",
}
GENRES, MOODS = ({name: entry.wish for name, entry in lexicon.by_name(file).items()} for file in ("genres", "moods"))
STYLE_NAMES: Mapping[str, str] = {name: wish["style"] for name, wish in GENRES.items()}  # names people use -> the style that comes nearest
PACES: Mapping[str, int] = {name: entry.wish["tempo"] for name, entry in lexicon.by_name("tempi").items()}
OCCASIONS: Mapping[str, Wish] = {name: entry.wish for name, entry in lexicon.by_name("uses").items()}
SUBSTITUTES: Mapping[str, str] = {  # instruments that are not here -> the nearest that is
    name: entry.wish["lead"] for name, entry in lexicon.by_name("instruments").items()
}
WEATHER_OF_DAYS: Mapping[str, Wish] = {  # "a rainy sunday": the adjective decides
    **dict.fromkeys(("rainy", "lonely", "grey", "cold", "foggy", "heartbroken"), {"style": "ballad", "mode": "minor", "lead": "piano"}),
    **dict.fromkeys(("sunny", "colourful", "busy", "funny", "exciting", "crazy"), {"style": "dance", "lead": "marimba"}),
    **dict.fromkeys(("quiet", "calm", "slow", "lazy", "peaceful", "starry", "snowy"), {"style": "ambient", "lead": "harp"}),
    **dict.fromkeys(("wild", "stormy", "dangerous", "angry", "fast"), {"style": "rock", "mode": "minor", "lead": "guitar"}),
    **dict.fromkeys(("elegant", "royal", "old", "festive"), {"style": "waltz", "lead": "violin"}),
    **dict.fromkeys(("romantic", "tender", "warm", "nostalgic"), {"style": "ballad", "lead": "saxophone"}),
}
DAYS = ("sunday", "monday", "friday", "morning", "evening", "night", "day", "afternoon", "weekend", "summer", "autumn", "winter", "walk", "trip", "city",
        "village", "garden", "river", "dream", "dinner", "holiday", "street", "party", "film", "story", "memory", "landscape", "ride")
COMPOSERS: Mapping[str, Wish] = {
    "Mozart": {"style": "ballad", "lead": "piano", "tempo": 120}, "Bach": {"style": "ballad", "lead": "organ", "mode": "minor"},
    "Chopin": {"style": "waltz", "lead": "piano", "mode": "minor"}, "Vivaldi": {"style": "ballad", "lead": "violin", "tempo": 140},
    "Strauss": {"style": "waltz", "accompaniment": "strings", "tempo": 160}, "Satie": {"style": "ambient", "lead": "piano", "metre": 3},
    "Beethoven": {"style": "ballad", "lead": "piano", "mode": "minor", "tempo": 108}, "Duke Ellington": {"style": "swing", "lead": "clarinet"},
    "Louis Armstrong": {"style": "swing", "lead": "trumpet"}, "Debussy": {"style": "ambient", "lead": "harp"},
}
_ACCOMPANY = {"piano": "strings", "organ": "pad", "guitar": "piano", "strings": "piano", "pad": "organ"}
_PLACE_LEAD = {"sea": "harp", "mountain": "trumpet", "forest": "flute", "meadow": "violin", "desert": "clarinet",
               "city": "saxophone", "party": "synthesizer", "fire": "guitar", "pattern": "marimba"}
_PICTURE_TEMPO = {"low": 66, "middle": 100, "high": 136}
_MOTION_TEMPO = {"slow": 66, "medium": 104, "fast": 152}


ACCOMPANIMENT: Mapping[str, str] = {"piano": "piano chords", "organ": "organ chords", "guitar": "guitar chords",
                                   "strings": "strings", "pad": "a soft pad"}


def even_tempo(tempo: float) -> int:
    """The playable tempo at or just below, in beats a minute."""
    return max(TEMPI[0], min(TEMPI[-1], int(tempo) // 2 * 2))


def complete_attributes(wish: Wish, avoid: Avoided = MappingProxyType({})) -> Attributes:
    """Completes a request: a missing style from the other attributes, then the others from the style.

    avoid: values that an attribute must not have. They give way to the next best; what is wished for by name is never avoided.
    """
    style = wish.get("style") or _allowed("style", _style_of(wish), avoid)
    values = {**STYLE_HABITS[style], **{name: value for name, value in wish.items() if name != "key"}, "style": style}
    values |= {name: _allowed(name, values[name], avoid) for name in values if name not in wish}
    if "accompaniment" not in wish and values["accompaniment"] == values["lead"]:
        own = {"accompaniment": avoid.get("accompaniment", frozenset()) | {values["lead"]}}
        values["accompaniment"] = _allowed("accompaniment", _ACCOMPANY[values["lead"]], own)
    values["tempo"] = even_tempo(values["tempo"])
    key = wish.get("key", 0 if values["mode"] == "major" else 9)
    return Attributes(**values, key=key)


def _allowed(name: str, value: Any, avoid: Avoided) -> Any:
    """The value, or the first alternative to it that is not avoided. Raises ValueError where nothing is left."""
    if value not in avoid.get(name, ()):
        return value
    left = [other for other in ALTERNATIVES[name] if other not in avoid[name]]
    if not left:
        raise ValueError(f"A request avoids every {name}; leave one of {', '.join(map(str, ALTERNATIVES[name]))}.")
    return left[0]


def _style_of(wish: Wish) -> str:
    if wish.get("metre") == 3:
        return "waltz"
    if "tempo" in wish and wish["tempo"] < 90 and not wish.get("drums"):
        return "ballad"
    if "lead" in wish:
        return LEAD_STYLE[wish["lead"]]
    if wish.get("drums") or wish.get("tempo", 0) >= 120:
        return "rock" if wish.get("mode") == "minor" else "dance"
    return "ballad"


def music_for_picture(labels: Mapping[str, str]) -> dict[str, Any]:
    """Mood decides mode and style, energy tempo and drums, the place, where there is one, the lead."""
    mood, energy = labels["mood"], labels["energy"]
    styles = {"happy": "dance", "calm": "ambient", "sad": "ballad", "tense": "rock"}
    wish: dict[str, Any] = {"mode": "major" if mood in ("happy", "calm") else "minor", "style": styles[mood]}
    wish |= {"lead": _PLACE_LEAD[labels["place"]]} if "place" in labels else {}
    return {**wish, "tempo": _PICTURE_TEMPO[energy], "drums": energy == "high"}


def music_for_clip(labels: Mapping[str, str]) -> dict[str, Any]:
    """Motion decides tempo, light the mode, a pulse in threes the metre, a pulse in fours the drums, mood the lead."""
    motion, threes = labels["motion"], labels["pulse"] == "threes"
    style = "waltz" if threes else {"slow": "ambient", "medium": "ballad", "fast": "rock"}[motion]
    lead = {"happy": "trumpet", "calm": "flute", "sad": "cello", "tense": "guitar"}[labels["mood"]]
    return {"style": style, "tempo": _MOTION_TEMPO[motion], "mode": "minor" if labels["light"] == "night" else "major",
            "metre": 3 if threes else 4, "drums": labels["pulse"] == "fours", "lead": lead}


def apply_edit(source: Attributes, change: Wish) -> Attributes:
    """The source piece with a change; a tempo change is "faster": a difference in beats a minute, negative for slower."""
    values = {name: getattr(source, name) for name in ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums", "key")}
    values |= {name: value for name, value in change.items() if name != "faster"}
    values["tempo"] = even_tempo(values["tempo"] + change.get("faster", 0))
    return Attributes(**values)


def full_caption(piece: Attributes, key: bool = False) -> str:
    """The music decoder's caption of a piece; `key` adds the key."""
    mood, style = MODE_WORDS[piece.mode][0], STYLE_WORDS[piece.style][0]
    tonic = f" in {KEYS[piece.key]} {piece.mode}" if key else ""
    return (f"{'An' if mood[0] in 'aeiou' else 'A'} {mood} {style} for {piece.lead} over {ACCOMPANIMENT[piece.accompaniment]} "
            f"at {piece.tempo} bpm{tonic} {METRE_WORDS[piece.metre][1]} {DRUM_WORDS[piece.drums][0]}")
