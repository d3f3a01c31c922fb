"""What a request asks for: attributes with the words for them, values to avoid, and notes about what cannot be had.

What is named by itself (an instrument, a tempo, "minor") holds before what a word only implies: a genre before a mood before a use, but a
mood's major or minor before a genre's, so that a sad samba is sad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from DataSet.synthesis import impossible_requests, lexicon, lore, negations, synonyms
from DataSet.synthesis.captions import STYLE_WORDS
from DataSet.synthesis.wishes import GENRES, MOODS, OCCASIONS, PACES, complete_attributes, even_tempo
from DataSet.synthesis.wording import chance, choose, say
from llama.media.score import ACCOMPANIMENTS, LEADS, METRES, MODES, STYLES, TEMPI, Attributes

SONG_NOUNS = ("piece", "tune", "track", "song", "number", "thing", "music")
NOUN_ENDINGS = ("song", "music", "waltz", "ballad", "beat", "march", "dance", "carol", "rhyme", "sonata", "jig", "reel", "chant", "tune", "anthem", "rag", "lullaby", "hymn", "score", "suite", "standard")
_LEADS = tuple(LEADS)


@dataclass
class RequestParts:
    """The attributes of a request, and their wording by attribute.

    wish: named by themselves. implied: by a word for something else. avoid: values that must not be. words: attribute (of
    `requests.CLAUSES`, "mood", "pace", "style") -> value in words; extra: clauses without a value. note: sentences of the answer.
    """

    wish: dict[str, Any] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    note: str = ""
    implied: dict[str, Any] = field(default_factory=dict)
    avoid: dict[str, frozenset[Any]] = field(default_factory=dict)
    entry: lexicon.LexiconEntry | None = None  # of the genre, whose word the note must name unless it is exact
    genre: str = ""
    impossible: str = ""  # attribute with a value that is not here, and with another in its place: tempo, lead, metre, key

    @property
    def piece(self) -> Attributes:
        """The attributes that follow from the request."""
        return complete_attributes(self.meaning, self.avoid)

    @property
    def meaning(self) -> dict[str, Any]:
        """What is named and what is implied, without what is implied and is to be avoided."""
        implied = {name: value for name, value in self.implied.items() if value not in self.avoid.get(name, ())}
        return implied | self.wish


def sample_parts(rng: np.random.Generator, share: Mapping[str, float]) -> RequestParts:
    """Samples attributes, each with its probability, with values and wording."""
    parts = RequestParts()
    names = [name for name in share if name not in ("odd", "avoid") and chance(rng, share[name])]
    if "key" in names:
        names = [name for name in names if name != "mode"]
    for name in names:
        _SAMPLERS[name](rng, parts)
    if chance(rng, share.get("avoid", 0.0)):
        negations.add_negation(rng, parts)
    if chance(rng, share.get("odd", 0.0)):
        impossible_requests.add_impossible(rng, parts)
    _add_genre_note(rng, parts)
    return parts


def sample_one(rng: np.random.Generator, name: str) -> RequestParts:
    """A request of one attribute."""
    parts = RequestParts()
    _SAMPLERS[name](rng, parts)
    return parts


def name_mood(parts: RequestParts, mood: str) -> None:
    """A mood: a genre that is named holds before it, but for major and minor, which it decides."""
    parts.words["mood"] = mood
    parts.implied = parts.implied | MOODS[mood]


def name_genre(parts: RequestParts, name: str) -> None:
    parts.entry, parts.genre = lexicon.by_name("genres")[name], name
    mode = {key: value for key, value in parts.implied.items() if key == "mode" and "mood" in parts.words}
    parts.implied = parts.implied | GENRES[name] | mode


def name_use(parts: RequestParts, name: str) -> None:
    parts.words["use"] = name
    parts.implied = {**OCCASIONS[name], **parts.implied}


def _add_genre_note(rng: np.random.Generator, parts: RequestParts) -> None:
    """The sentence about a genre that the model does not play as such."""
    if parts.entry is not None and parts.entry.confidence != "exact" and "style" in parts.words:
        parts.note = f"{parts.note} {genre_note(rng, parts.genre, parts.entry, parts.piece)}".strip()


def genre_note(rng: np.random.Generator, name: str, entry: lexicon.LexiconEntry, piece: Attributes) -> str:
    pace = "slow " if piece.tempo < 84 else "fast " if piece.tempo >= 144 else ""
    nearest = f"{pace}{STYLE_WORDS[piece.style][0]}"
    article = "an" if nearest[0] in "aeiou" else "a"
    return say(rng, lore.NEAR_GENRE if entry.confidence == "near" else lore.NO_GENRE).replace("{wanted}", name).replace("{nearest}", f"{article} {nearest}")


# -- the attributes, one by one ------------------------------------------------------------------------------------


def _mood(rng: np.random.Generator, parts: RequestParts) -> None:
    name_mood(parts, choose(rng, _MOOD_NAMES))


def _style(rng: np.random.Generator, parts: RequestParts) -> None:
    if chance(rng, 0.3):
        style = choose(rng, STYLES)
        parts.words["style"] = choose(rng, synonyms.STYLE_NOUNS[style])
        parts.wish["style"] = style
        return
    name = choose(rng, _GENRE_NAMES)
    name_genre(parts, name)
    is_noun = name.split(" ")[-1].lower() in NOUN_ENDINGS
    parts.words["style"] = name if is_noun or chance(rng, 0.25) else f"{name} {choose(rng, SONG_NOUNS)}"


def _use(rng: np.random.Generator, parts: RequestParts) -> None:
    name_use(parts, choose(rng, _USE_NAMES))


def _pace(rng: np.random.Generator, parts: RequestParts) -> None:
    if "tempo" not in parts.words:
        parts.words["pace"] = pace = choose(rng, _PACE_NAMES)
        parts.wish["tempo"] = PACES[pace]


def _lead(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.wish["lead"] = value = choose(rng, _LEADS)
    parts.words["lead"] = synonyms.lead(rng, value)


def _accompaniment(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.wish["accompaniment"] = value = choose(rng, [name for name in ACCOMPANIMENTS if name != parts.wish.get("lead")])
    parts.words["accompaniment"] = synonyms.backing(rng, value)


def _tempo(rng: np.random.Generator, parts: RequestParts) -> None:
    if "pace" not in parts.words:
        number = int(rng.integers(TEMPI[0], TEMPI[-1] + 1))
        parts.words["tempo"], parts.wish["tempo"] = synonyms.beats(rng, number), even_tempo(number)


def _mode(rng: np.random.Generator, parts: RequestParts) -> None:
    if "mood" in parts.words and "mode" in MOODS[parts.words["mood"]]:  # a happy piece in minor would contradict itself
        return
    parts.wish["mode"] = value = choose(rng, MODES)
    parts.words["mode"] = value if chance(rng, 0.8) else choose(rng, synonyms.MODE_NAMES[value])


def _metre(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.wish["metre"] = value = choose(rng, METRES)
    parts.words["metre"] = choose(rng, synonyms.METRE_NAMES[value])


def _drums(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.wish["drums"] = value = chance(rng, 0.5)
    parts.words["with drums" if value else "without drums"] = synonyms.drums(rng, value)


def _key(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.wish["key"] = place = int(rng.integers(12))
    mode = choose(rng, MODES) if chance(rng, 0.85) else None
    if mode and "mood" in parts.words and MOODS[parts.words["mood"]].get("mode", mode) != mode:
        mode = MOODS[parts.words["mood"]]["mode"]
    if mode or "mode" not in parts.implied:
        parts.wish["mode"] = mode or parts.wish.get("mode", "major")
    parts.words["key"] = synonyms.key(rng, place, mode)


_MOOD_NAMES, _PACE_NAMES, _GENRE_NAMES, _USE_NAMES = tuple(MOODS), tuple(PACES), tuple(GENRES), tuple(OCCASIONS)
_SAMPLERS: Mapping[str, Callable[[np.random.Generator, RequestParts], None]] = {
    "use": _use, "mood": _mood, "style": _style, "pace": _pace, "lead": _lead, "accompaniment": _accompaniment, "tempo": _tempo, "mode": _mode, "metre": _metre,
    "drums": _drums, "key": _key,
}
