"""Generators of dialogues: questions about recordings, requests for music, edits, pictures and clips, small talk, refusals.

Every generator samples from `rng` and from the facts it gets, and returns a `Dialogue`. With `held_out` the wording of the
instruction comes from the patterns reserved for testing; the caller chooses the facts. Questions and edits are in hearing.py
and edits.py; the patterns in questions.py, requests.py, phrases.py, chatter.py and lore.py; typing habits in habits.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from DataSet.synthesis import chatter, foreign_requests, lore, phrases, questions, requests, synonyms
from DataSet.synthesis.dialogue import AUDIO_TOKENS, Dialogue, music, random_piece
from DataSet.synthesis.edits import edit
from DataSet.synthesis.hearing import NOT_MUSIC, describe, fact, hear, nothing
from DataSet.synthesis.impossible_requests import instrument_note
from DataSet.synthesis.request_parts import RequestParts, genre_note, name_genre, name_mood, name_use
from DataSet.synthesis.requests import an, capital, with_article
from DataSet.synthesis.wishes import (
    COMPOSERS,
    DAYS,
    GENRES,
    MOODS,
    OCCASIONS,
    PACES,
    SUBSTITUTES,
    WEATHER_OF_DAYS,
    apply_edit,
    complete_attributes,
    full_caption,
    music_for_clip,
    music_for_picture,
)
from DataSet.synthesis.wording import chance, choose, pick, say, select_split, spin
from llama.media.requests.new_length import read_new_length
from llama.media.score import LEADS, MODES, Attributes

__all__ = ["AUDIO_TOKENS", "NOT_MUSIC", "Dialogue", "clip", "describe", "edit", "fact", "full_caption", "hear", "impossible", "music", "nothing", "picture", "random_piece", "talk", "wish"]

PLACES = {"sea": "the sea", "mountain": "mountains", "forest": "a forest", "meadow": "a meadow", "desert": "a desert",
          "city": "a city", "party": "a party", "fire": "a fire", "pattern": "a pattern"}
LIGHTS = {"day": "by day", "sunset": "at sunset", "night": "at night"}
WEATHERS = {"clear": "", "rain": " in the rain", "fog": " in the fog", "snow": " in the snow"}


# -- music --------------------------------------------------------------------------------------------------------


def wish(rng: np.random.Generator, held_out: bool = False) -> Dialogue:
    """A request for music: by attributes, by an occasion, or in the form of the decoder's captions."""
    roll = rng.random()
    if roll < 0.11:
        return _occasion(rng, held_out)
    if roll < 0.14:
        piece, key = random_piece(rng), chance(rng, 0.5)
        return music(rng, full_caption(piece, key), piece if key else _default_piece(piece), "caption", key=True)
    if roll < 0.16:
        composer = choose(rng, tuple(COMPOSERS))
        return music(rng, pick(rng, phrases.LIKE_COMPOSER, held_out).replace("{composer}", composer), complete_attributes(COMPOSERS[composer]), "composer", key=True)
    if roll < 0.34:
        return _short(rng, held_out)
    if roll < 0.345:
        text = pick(rng, requests.SILENT, held_out)
        return music(rng, text, complete_attributes({"style": "ambient"}), "silence", key=True, note=lore.NO_SILENCE)
    if roll < 0.385 and not held_out:  # other languages have no frames to keep for testing
        text, piece = foreign_requests.foreign_request(rng)
        return music(rng, text, piece, "foreign", key=True)
    return _to_dialogue(rng, requests.sample_parts(rng, requests.shares(rng)), held_out)


def impossible(rng: np.random.Generator, held_out: bool = False) -> tuple[Dialogue, str]:
    """A request for an impossible tempo, instrument, metre or key, and the name of that attribute."""
    while True:
        parts = requests.sample_parts(rng, requests.shares(rng) | {"odd": 1.0})
        if parts.impossible:
            return _to_dialogue(rng, parts, held_out), parts.impossible


def _to_dialogue(rng: np.random.Generator, parts: RequestParts, held_out: bool) -> Dialogue:
    text_of_parts, fits = requests.phrase(rng, parts, held_out)
    if fits:
        text_of_parts = pick(rng, phrases.ASK, held_out).replace("{wish}", text_of_parts + (pick(rng, phrases.WHOM, held_out) if chance(rng, 0.08) else ""))
    elif chance(rng, 0.4):
        text_of_parts = choose(rng, ("Compose: ", "Music: ", "Make this: ", "Play: ", "Please make: ", "Song request: ", "Generate a song. ", "Give me a tune. ", "I need music. ", "Write something: ")) + text_of_parts
    text = with_article(capital(text_of_parts) if chance(rng, 0.7) else text_of_parts)
    note = parts.note
    if "length" in parts.words and note.startswith(lore.LENGTH) and (length := read_new_length(text)) is not None:
        text, note = length.rest, note.removeprefix(lore.LENGTH).strip()  # as the model gets it: the length is read before
    return music(rng, text, parts.piece, "wish", key=True, note=note)


def _default_piece(piece: Attributes) -> Attributes:
    """The piece in the default key, which is used when a request names none."""
    return apply_edit(piece, {"key": 0 if piece.mode == "major" else 9})


def _occasion(rng: np.random.Generator, held_out: bool) -> Dialogue:
    occasion = choose(rng, _OCCASIONS)
    request = dict(OCCASIONS[occasion])
    if chance(rng, 0.35):
        kind = choose(rng, _DAYS)
        occasion, request = f"{an(kind)} {choose(rng, DAYS)}", dict(WEATHER_OF_DAYS[kind])
    pattern = pick(rng, phrases.OCCASION, held_out)
    if pattern.startswith("{occasion}") and chance(rng, 0.6):
        occasion = occasion.removeprefix("a ").removeprefix("an ")  # "boss fight music"
    text = capital(pattern.replace("{occasion}", occasion))
    if chance(rng, 0.15):
        text, request = _with_addition(rng, text, request, held_out)
    return music(rng, text, complete_attributes(request), "occasion", key=True)


_OCCASIONS, _DAYS = tuple(OCCASIONS), tuple(WEATHER_OF_DAYS)


def _with_addition(rng: np.random.Generator, text: str, request: dict[str, Any], held_out: bool) -> tuple[str, dict[str, Any]]:
    """Adds a clause such as "with a violin": (text, request)."""
    clause, parts = requests.addition(rng, held_out)
    mark = "?" if text.endswith("?") else ""
    return f"{text.rstrip('.?!, ')}{choose(rng, (' ', ', ', '. ', ', but '))}{clause}{mark}", request | parts.wish


def _short(rng: np.random.Generator, held_out: bool) -> Dialogue:
    """One or two words, as people type them: "jazz", "something calm", "violin solo"."""
    text, parts = pick(rng, phrases.SHORT, held_out), RequestParts()
    if "{use}" in text:
        use = choose(rng, _OCCASIONS)
        name_use(parts, use)
        bare = use.removeprefix("a ").removeprefix("an ")
        text = text.replace("for {use}", f"for {use}").replace("{use}", bare)
    if "{mood}" in text:
        name_mood(parts, mood := choose(rng, tuple(MOODS)))
        text = text.replace("{mood}", mood)
    if "{pace}" in text:
        pace = choose(rng, tuple(PACES))
        parts.wish["tempo"] = PACES[pace]
        text = text.replace("{pace}", pace)
    if "{key}" in text:
        parts.wish["key"], parts.wish["mode"] = place, mode = int(rng.integers(12)), choose(rng, MODES)
        text = text.replace("{key}", synonyms.key(rng, place, mode))
    if "{style}" in text:
        name_genre(parts, name := choose(rng, tuple(GENRES)))
        text = text.replace("{style}", name)
    if "{lead}" in text:
        lead = choose(rng, tuple(SUBSTITUTES)) if chance(rng, 0.4) else choose(rng, tuple(LEADS))
        parts.note = instrument_note(rng, lead) if lead in SUBSTITUTES else ""
        parts.wish["lead"] = SUBSTITUTES.get(lead, lead)
        text = text.replace("{lead}", lead if lead in SUBSTITUTES else synonyms.lead(rng, lead))
    if "{drums}" in text:
        parts.wish["drums"] = False
        text = text.replace("{drums}", synonyms.drums(rng, False))
    piece, note = parts.piece, parts.note
    if parts.entry is not None and parts.entry.confidence != "exact":
        note = f"{note} {genre_note(rng, parts.genre, parts.entry, piece)}".strip()
    text = with_article(capital(text) if chance(rng, 0.6) else text)
    return music(rng, text, piece, "short", key=True, note=note)


# -- vision -------------------------------------------------------------------------------------------------------


def picture(rng: np.random.Generator, labels: Mapping[str, str], held_out: bool = False) -> Dialogue:
    """A question about a picture, or music for it."""
    if rng.random() < 0.3:
        return Dialogue(capital(pick(rng, phrases.LOOK, held_out)), f"It feels {labels['mood']}{_description(labels)}.", "look")
    return _for_sight(rng, capital(pick(rng, phrases.PICTURE, held_out)), music_for_picture(labels), "picture", held_out)


def _description(labels: Mapping[str, str]) -> str:
    """": a city by day in the rain"; labels that are missing are left out."""
    place = f": {PLACES[labels['place']]}" if "place" in labels else ""
    light = f" {LIGHTS[labels['light']]}" if "light" in labels else ""
    return place + light + (WEATHERS[labels["weather"]] if "weather" in labels else "")


def clip(rng: np.random.Generator, labels: Mapping[str, str], held_out: bool = False) -> Dialogue:
    """A question about a clip, or music for it."""
    if rng.random() < 0.3:
        pace = {"slow": "slowly", "medium": "at a medium pace", "fast": "fast"}[labels["motion"]]
        beat = "" if labels["pulse"] == "none" else f", with a pulse in {labels['pulse']}"
        answer = f"It moves {pace} {LIGHTS[labels['light']]}{beat}; it feels {labels['mood']}."
        return Dialogue(capital(pick(rng, phrases.WATCH, held_out)), answer, "watch")
    return _for_sight(rng, capital(pick(rng, phrases.CLIP, held_out)), music_for_clip(labels), "clip", held_out)


def _for_sight(rng: np.random.Generator, instruction: str, request: dict[str, Any], kind: str, held_out: bool) -> Dialogue:
    if chance(rng, 0.15):
        instruction, request = _with_addition(rng, instruction, request, held_out)
    return music(rng, instruction, complete_attributes(request), kind, key=True)


# -- talk ---------------------------------------------------------------------------------------------------------


def talk(rng: np.random.Generator, held_out: bool = False) -> Dialogue:
    """A dialogue without music: small talk, facts of music, refusals, and questions about missing media."""
    roll = rng.random()
    if roll < 0.34:
        return Dialogue(capital(chatter.off_topic(rng, held_out)), say(rng, lore.REFUSAL), "refusal")
    if roll < 0.40:
        return Dialogue(capital(chatter.unknown(rng, held_out)), say(rng, lore.UNKNOWN_ANSWERS), "unknown")
    if roll < 0.58:
        patterns, answer = choose(rng, lore.LORE)
        question = spin(rng, patterns[-1] if held_out else patterns[int(rng.random() * 2)])
        thing = re.fullmatch(r"What (?:is|are) (.+?)\??", question)
        if thing and chance(rng, 0.6) and not held_out:
            question = capital(say(rng, lore.LORE_FRAMES).replace("{thing}", thing.group(1)))
        return Dialogue(question, answer, "lore")
    if roll < 0.80:
        return _missing_media(rng, held_out)
    if roll < 0.83:
        return Dialogue(chatter.gibberish(rng), say(rng, lore.GIBBERISH_ANSWERS), "gibberish")
    texts, answers, kind = choose(rng, ((lore.GREETINGS, lore.GREETING_ANSWERS, "greeting"), (lore.THANKS, lore.THANKS_ANSWERS, "thanks"), (lore.ABILITIES, lore.ABILITY_ANSWERS, "abilities")))
    return Dialogue(pick(rng, texts, held_out), say(rng, answers), kind)


def _missing_media(rng: np.random.Generator, held_out: bool) -> Dialogue:
    if chance(rng, 0.04):
        return Dialogue("", lore.EMPTY, "empty")
    piece, medium = random_piece(rng), choose(rng, (0, 0, 0, 1, 2))
    if medium == 0:
        text = (hear if chance(rng, 0.6) else _edit_of_something)(rng, piece, held_out).instruction
        return Dialogue(text or "Describe it.", say(rng, phrases.NO_AUDIO), "missing")
    lists, answers = (((phrases.PICTURE, phrases.LOOK), phrases.NO_IMAGE), ((phrases.CLIP, phrases.WATCH), phrases.NO_VIDEO))[medium - 1]
    pool = [pattern for patterns in lists for pattern in select_split(patterns, held_out)]
    while not _MENTIONS_PICTURE.search(text := spin(rng, choose(rng, pool))):
        pass
    return Dialogue(capital(text), say(rng, answers), "missing")


_MENTIONS_PICTURE = re.compile(r"picture|image|photo|paint|draw|view|scene|pic\b|shot|clip|video|film|movie|footage|animation", re.I)
_MENTIONS_RECORDING = re.compile(r"\b(it|this|same|instead|again|faster|slower|quicker|remove|replace|change|swap|switch|version|recording|tempo|transpose)\b", re.I)


def _edit_of_something(rng: np.random.Generator, piece: Attributes, held_out: bool) -> Dialogue:
    """An edit whose wording refers to a recording: "a waltz" alone would be a request."""
    while not _MENTIONS_RECORDING.search((dialogue := edit(rng, piece, held_out)).instruction):
        pass
    return dialogue


def patterns() -> dict[str, tuple[str, ...]]:
    """Every list of patterns with a held-out part, by name."""
    talks = {"greetings": lore.GREETINGS, "thanks": lore.THANKS, "abilities": lore.ABILITIES}
    return {name: tuple(frames) for part in (questions.patterns(), requests.patterns(), phrases.patterns(), chatter.patterns(), talks) for name, frames in part.items()}
