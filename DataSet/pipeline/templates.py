"""Requests and answers from frames of the project's own: the writer that needs no model, and what stands in where a model's text is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from DataSet.pipeline.quantities import number_value
from DataSet.synthesis import phrases
from DataSet.synthesis.captions import ONES, STYLE_WORDS, number_words
from DataSet.synthesis.requests import an, capital
from DataSet.synthesis.synonyms import BACKING_NAMES
from DataSet.synthesis.wishes import ACCOMPANIMENT
from DataSet.synthesis.wording import chance, choose, say, spin
from llama.errors import quoted
from llama.media.score import KEYS

MIN_WORDS = 4  # of a request; a shorter draw of the shared frames is drawn again
TAGS = 3  # at most, that a request names

Rng = np.random.Generator
_SLOPPY = re.compile(r"^(?:what (?:would|should|does) .* sound|how .* sound like)\W*$", re.I)  # as people type, but no model for a writer

MUSIC_REQUESTS = (
    "{Generate|Compose|Create|Write|Make|Produce} {music|a piece of music|a track} {that fits|for|from|after} this description: {caption}",
    "{Please compose|Please write|Please make|I would like|I need|I want to hear} {music|a piece|a track} like this: {caption}",
    "{Can|Could} you {play|make|compose|write} this for me? {caption}", "{Turn|Make} these words into music: {caption}",
    "{Let me hear|Play me} what these words describe: {caption}", "This is the music that I {want|need|am looking for}: {caption}",
)
MUSIC_ANSWERS = (
    "Here is {music|a piece of music|a track|the music} {as you described it|that fits your words|for your description|after your words}: {caption}",
    "Here is {what you asked for|the piece that you asked for|the music that you want}: {caption}",
)
SIGHT_ANSWERS = (
    "Here is {music|a piece of music|the music} for {the|your} {sight}: {caption} {What I see|What is shown|What it goes with}: {vision}",
    "Here is {music|a piece of music} that {fits|suits|goes with} {the|your} {sight}. {vision} {So|This is why} {I play|you hear} this: {caption}",
    "Here is {music|what I hear} for {the|your} {sight}: {caption}",
)
SIGHTS = {"image": "{picture|image}", "video": "{clip|video}"}
_IT, _MUSIC = "{it|this|this recording|the recording|the music|the track|this piece}", "{this recording|the recording|the music|the track|this piece}"
_SPEED, _ITS = "{times its speed|times the speed|times its original speed|times the original tempo}", "{its|the} {speed|tempo|original speed}"
# Kind of edit -> (phrase of the request, phrase of the answer). {n}: the number with its unit.
EDITS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "faster": ((f"{{speed|hurry}} {_IT} up to {{n}}", f"make {_IT} faster, {{at|so that it plays at|so that it goes at}} {{n}}", f"play {_IT} faster, at {{n}}", f"accelerate {_MUSIC} to {{n}}"),
               ("sped up to {n}", "played faster, at {n}", "made faster, now at {n}", "accelerated to {n}")),
    "slower": ((f"slow {_IT} down to {{n}}", f"make {_IT} slower, {{at|so that it plays at|so that it goes at}} {{n}}", f"play {_IT} slower, at {{n}}"),
               ("slowed down to {n}", "played slower, at {n}", "made slower, now at {n}")),
    "higher": (("raise the pitch by {n}", f"raise the pitch of {_MUSIC} by {{n}}", f"transpose {_IT} up by {{n}}", f"shift the pitch of {_MUSIC} up by {{n}}", f"pitch {_IT} up by {{n}}"),
               ("transposed up by {n}", "pitched up by {n}", "with its pitch raised by {n}", "{n} higher in pitch")),
    "lower": (("lower the pitch by {n}", f"lower the pitch of {_MUSIC} by {{n}}", f"transpose {_IT} down by {{n}}", f"shift the pitch of {_MUSIC} down by {{n}}", f"pitch {_IT} down by {{n}}"),
              ("transposed down by {n}", "pitched down by {n}", "with its pitch lowered by {n}", "{n} lower in pitch")),
    "louder": ((f"make {_IT} louder by {{n}}", f"raise the {{volume|level}} of {_MUSIC} by {{n}}"), ("made louder by {n}", "{n} louder than before")),
    "softer": ((f"make {_IT} softer by {{n}}", f"lower the {{volume|level}} of {_MUSIC} by {{n}}"), ("made softer by {n}", "{n} softer than before")),
    "reversed": ((f"reverse {_MUSIC}", f"play {_IT} backwards", f"turn {_MUSIC} round, so that it plays backwards"), ("played backwards", "reversed", "in reverse, from its end to its beginning")),
    "looped": ((f"loop {_IT} so that it plays {{n}}", f"repeat {_MUSIC}, {{n}} in all"), ("looped, {n} in all", "repeated, so that it plays {n}")),
    "with drums": (("add drums", f"add drums to {_MUSIC}", f"play {_IT} with drums", "bring in drums"), ("with drums", "now with drums", "with drums added")),
    "without drums": (("remove the drums", f"remove the drums from {_MUSIC}", f"play {_IT} without drums", "take out the drums"), ("without drums", "now without drums")),
    "tempo": ((f"play {_IT} at {{n}}", "set the tempo to {n}", f"make {_IT} go at {{n}}"), ("at {n}", "now at {n}", "with a tempo of {n}")),
    "metre": ((f"play {_IT} in {{n}}", "change the metre to {n}"), ("in {n}", "now in {n}")),
    "key": ((f"play {_IT} in {{n}}", f"move {_IT} to {{n}}"), ("in {n}", "now in {n}", "moved to {n}")),
    "lead": (("let {n} play the melody", "play the melody on {n}", "give the melody to {n}"), ("with {n} on the melody", "with the melody on {n}")),
    "accompaniment": (("put {n} in the background", "accompany the melody with {n}"), ("with {n} in the background", "over {n}")),
    "style": ((f"turn {_IT} into {{n}}", f"play {_IT} as {{n}}", f"make {_IT} {{n}}"), ("as {n}", "turned into {n}")),
}
EDIT_REQUESTS = ("{edit}.", "{edit}{, please|}.", "Please {lower}.", "{Can|Could|Would} you {lower}?", "I {want|would like} you to {lower}.", "{Now|For this one}, {lower}.", "{Your task|The task|My wish}: {lower}.")
EDIT_ANSWERS = ("Here is {the recording|the music|your recording|the edited music|the piece}, {edit}.", "Here is {the recording|the music|your recording|the piece} {edit}.")


# -- music from words, for pictures and for clips -----------------------------------------------------------------


def music_request(rng: Rng, facts: Mapping[str, str]) -> str:
    """A request for the music of a caption."""
    return say(rng, MUSIC_REQUESTS).replace("{caption}", facts["caption"])


def music_answer(rng: Rng, facts: Mapping[str, str]) -> str:
    return say(rng, MUSIC_ANSWERS).replace("{caption}", facts["caption"])


def sight_request(rng: Rng, facts: Mapping[str, str], medium: str) -> str:
    """A request for music for a picture or clip; half of those with tags name some."""
    frames = phrases.PICTURE if medium == "image" else phrases.CLIP
    while len((text := say(rng, frames)).split()) < MIN_WORDS or _SLOPPY.search(text):
        pass
    tags = [tag.strip() for tag in facts.get("tags", "").split(",") if tag.strip()]
    if tags and chance(rng, 0.5):
        named = [tags[index] for index in sorted(rng.permutation(len(tags))[:TAGS])]
        text = f"{as_sentence(text)} {spin(rng, '{Think of|What I have in mind:|I think of}')} {' and '.join([*filter(None, [', '.join(named[:-1])]), named[-1]])}."
    return as_sentence(text)


def sight_answer(rng: Rng, facts: Mapping[str, str], medium: str) -> str:
    text = say(rng, SIGHT_ANSWERS).replace("{sight}", spin(rng, SIGHTS[medium]))
    return text.replace("{caption}", facts["caption"]).replace("{vision}", facts["vision_caption"])


def as_sentence(text: str) -> str:
    """A request with a capital and a mark at its end: a question mark behind a question."""
    text = capital(text.strip(" ,"))
    if text[-1:] in ".?!":
        return text
    questions = ("can", "could", "would", "what", "which", "how", "may", "might", "is", "does", "if")
    return f"{text}{'?' if text.lower().split()[0] in questions else '.'}"


# -- edits --------------------------------------------------------------------------------------------------------


def edit_request(rng: Rng, asked: Mapping[str, Any]) -> str:
    """What one tells a model to do with a recording: every direction and number of `asked` once."""
    edit = " and ".join(_clauses(rng, asked, 0))
    frame = say(rng, EDIT_REQUESTS)
    return capital(frame.replace("{edit}", edit).replace("{lower}", edit))


def edit_answer(rng: Rng, asked: Mapping[str, Any]) -> str:
    return say(rng, EDIT_ANSWERS).replace("{edit}", " and ".join(_clauses(rng, asked, 1)))


def edit_summary(asked: Mapping[str, Any]) -> str:
    """The edit in fixed words, for a writer's prompt: "slowed down to 0.7 times its speed and transposed up by 200 cents"."""
    return " and ".join(_clauses(np.random.default_rng(0), asked, 1, plain=True))


def _clauses(rng: Rng, asked: Mapping[str, Any], form: int, plain: bool = False) -> list[str]:
    clauses: list[str] = []
    for name, value in asked.items():
        if value is None or (name == "mode" and asked.get("key") is not None) or (found := _words(rng, name, value, asked, plain)) is None:
            continue
        kind, number = found
        frame = EDITS[kind][form][0] if plain else choose(rng, EDITS[kind][form])
        frame = frame.replace(_IT, "it").replace(_MUSIC, "it") if clauses else frame  # named once
        clauses.append(spin(rng, frame.replace("{n}", "\0")).replace("\0", number))
    return clauses


def _words(rng: Rng, name: str, value: Any, asked: Mapping[str, Any], plain: bool) -> tuple[str, str] | None:
    """The key of EDITS and the value in words; None for a field that changes nothing."""
    match name:
        case "speed":
            return None if value == 1 else ("faster" if value > 1 else "slower", f"{_factor(rng, value, plain)} {'times its speed' if plain else spin(rng, _SPEED)}")
        case "cents" | "semitones":
            cents = value * (100 if name == "semitones" else 1)
            return None if cents == 0 else ("higher" if cents > 0 else "lower", _interval(rng, abs(cents), plain))
        case "level_db":
            return None if value == 0 else ("louder" if value > 0 else "softer", f"{abs(value):g} {'dB' if plain else spin(rng, '{dB|decibels}')}")
        case "reverse":
            return ("reversed", "") if value else None
        case "loop":
            return ("looped", f"{number_words(value) if value < len(ONES) and not plain and chance(rng, 0.5) else value} times") if value > 1 else None
        case "drums":
            return ("with drums" if value else "without drums", "")
        case "tempo":
            return "tempo", f"{value:g} {'bpm' if plain else spin(rng, '{bpm|beats per minute}')}"
        case "metre":
            return "metre", f"{value}/4"
        case "key":
            return "key", f"{KEYS[value]} {asked.get('mode') or ''}".strip()
        case "mode":
            return "key", f"a {value} key"
        case "lead":
            return "lead", an(value)
        case "accompaniment":
            return "accompaniment", ACCOMPANIMENT.get(value, value) if plain or value not in BACKING_NAMES else ACCOMPANIMENT[value]
        case "style":
            return "style", an(STYLE_WORDS[value][0] if value in STYLE_WORDS else value)
    raise ValueError(f"An edit asks for {quoted(name)}, for which there are no words.")


def _factor(rng: Rng, value: float, plain: bool) -> str:
    """"1.5", or "one and a half" where that is what it is."""
    spoken = f"{ONES[int(value)]} and a half" if value % 1 == 0.5 and 1 <= value < 10 else ONES[int(value)] if value % 1 == 0 and 1 < value < 10 else ""
    if spoken and not plain and chance(rng, 0.3) and number_value(spoken) == value:
        return spoken
    return f"{value:g}"


def _interval(rng: Rng, cents: float, plain: bool) -> str:
    """"200 cents", "2 semitones", "two semitones"."""
    if plain or cents % 100 or chance(rng, 0.5):
        return f"{cents:g} cents"
    count = int(cents // 100)
    said = number_words(count) if chance(rng, 0.5) else str(count)
    return f"{said} semitone{'' if count == 1 else 's'}"


Template = Callable[[Rng], str]


def templates(form: str, facts: Mapping[str, str], asked: Mapping[str, Any]) -> Sequence[Template]:
    """The writers of the human's and the model's turn of an item of a set. Raises ValueError for an unknown set."""
    match form:
        case "mucaps":
            return (lambda rng: music_request(rng, facts)), (lambda rng: music_answer(rng, facts))
        case "muimage" | "muvideo":
            medium = "image" if form == "muimage" else "video"
            return (lambda rng: sight_request(rng, facts, medium)), (lambda rng: sight_answer(rng, facts, medium))
        case "muedit":
            return (lambda rng: edit_request(rng, asked)), (lambda rng: edit_answer(rng, asked))
    raise ValueError(f"There is no set {quoted(form)}.")
