"""Captions of music in natural language: many sentence forms, synonyms, and omitted attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from llama.media.score import KEYS, Attributes

LEAD_WORDS: Mapping[str, tuple[str, ...]] = {
    "piano": ("piano", "grand piano", "acoustic piano"), "organ": ("church organ", "pipe organ", "organ"),
    "guitar": ("guitar", "nylon guitar", "classical guitar", "Spanish guitar"), "violin": ("violin", "fiddle", "solo violin"),
    "cello": ("cello", "solo cello", "deep cello"), "trumpet": ("trumpet", "brass trumpet", "bright trumpet"),
    "flute": ("flute", "airy flute", "wooden flute"), "saxophone": ("saxophone", "sax", "alto sax"),
    "clarinet": ("clarinet", "mellow clarinet", "woodwind clarinet"), "harp": ("harp", "plucked harp", "concert harp"),
    "marimba": ("marimba", "wooden mallets", "mallet percussion"), "synthesizer": ("synthesizer", "synth", "synth lead", "electronic lead"),
}
ACCOMPANIMENT_WORDS: Mapping[str, tuple[str, ...]] = {
    "piano": ("piano chords", "piano", "a soft piano", "keys"), "organ": ("hammond organ", "electric organ", "organ chords", "an organ"),
    "guitar": ("steel guitar chords", "strummed guitar", "acoustic guitar", "guitar chords"),
    "strings": ("strings", "a string section", "an orchestra of strings", "violins and violas"),
    "pad": ("a warm pad", "synth pads", "a soft pad", "electronic pads"),
}
STYLE_WORDS: Mapping[str, tuple[str, ...]] = {
    "ballad": ("ballad", "love song", "tender ballad", "lullaby"), "rock": ("rock song", "rock piece", "rock tune", "pop rock song"),
    "dance": ("dance track", "house track", "club track", "disco tune"), "waltz": ("waltz", "ballroom waltz", "Viennese waltz", "old waltz"),
    "swing": ("swing tune", "jazz piece", "swing number", "jazz tune"),
    "ambient": ("ambient piece", "atmospheric piece", "ambient soundscape", "floating meditation"),
}
STYLE_TAGS: Mapping[str, tuple[str, ...]] = {
    "ballad": ("ballad", "slow song style", "lullaby"), "rock": ("rock", "pop rock"), "dance": ("dance", "house", "disco", "electronic dance"),
    "waltz": ("waltz", "ballroom"), "swing": ("swing", "jazz"), "ambient": ("ambient", "atmospheric", "meditative"),
}
MODE_WORDS: Mapping[str, tuple[str, ...]] = {
    "major": ("happy", "bright", "cheerful", "joyful", "sunny", "uplifting", "warm", "optimistic", "merry", "hopeful"),
    "minor": ("sad", "dark", "melancholic", "gloomy", "sorrowful", "moody", "wistful", "mournful", "serious", "melancholy"),
}
NEUTRAL = ("piece", "song", "tune", "melody", "instrumental", "track", "piece of music", "composition")
TEMPO_WORDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (60, 72, ("very slow", "extremely slow", "largo")), (60, 86, ("slow", "unhurried", "adagio", "calm and slow")),
    (80, 108, ("moderately slow", "relaxed", "easygoing", "andante", "walking pace")),
    (96, 122, ("medium tempo", "mid tempo", "moderate", "steady")),
    (114, 142, ("upbeat", "lively", "allegro", "brisk", "energetic")), (136, 180, ("fast", "quick", "rapid", "up tempo")),
    (160, 180, ("very fast", "extremely fast", "presto", "racing")),
)
METRE_WORDS: Mapping[int, tuple[str, ...]] = {
    3: ("in three four time", "in 3/4", "in triple metre", "with three beats to the bar", "in waltz time"),
    4: ("in four four time", "in 4/4", "in common time", "with four beats to the bar"),
}
DRUM_WORDS: Mapping[bool, tuple[str, ...]] = {
    True: ("with drums", "with a drum beat", "and a drum kit", "with percussion", "and drums"),
    False: ("without drums", "with no drums", "no percussion", "without any percussion", "no drums"),
}
ONES = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
MENTION_RATES = {"lead": 0.85, "style": 0.7, "tempo": 0.7, "mode": 0.65, "accompaniment": 0.5, "drums": 0.5, "metre": 0.3, "key": 0.3}
MAX_WORDS = 24  # words


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def number_words(number: int) -> str:
    """An integer from 1 to 999 in words, without hyphens."""
    hundreds, rest = divmod(number, 100)
    tail = ONES[rest] if rest < 20 else f"{TENS[rest // 10]} {ONES[rest % 10]}".strip()
    return " ".join(part for part in (f"{ONES[hundreds]} hundred" if hundreds else "", tail) if part)


def tempo_adjective(rng: np.random.Generator, tempo: int) -> str:
    """A word for a tempo, such as "slow"."""
    return _pick(rng, [word for low, high, words in TEMPO_WORDS if low <= tempo <= high for word in words])


def tempo_number(rng: np.random.Generator, tempo: int) -> str:
    """A tempo as a number, such as "92 bpm"."""
    if rng.random() < 0.3:  # odd tempi are asked for too
        tempo += int(rng.integers(-1, 2))
    said = number_words(tempo) if rng.random() < 0.12 else str(tempo)
    return f"{said} {_pick(rng, ('bpm', 'bpm', 'beats per minute', 'beats a minute'))}"


class _Words:
    """The parts of one description; a part that is not mentioned is an empty string."""

    def __init__(self, rng: np.random.Generator, attributes: Attributes) -> None:
        said = {name: rng.random() < chance for name, chance in MENTION_RATES.items()}
        if not any(said.values()):
            said["lead"] = True
        self.rng = rng
        self.lead = _pick(rng, LEAD_WORDS[attributes.lead]) if said["lead"] else ""
        self.accompaniment = _pick(rng, ACCOMPANIMENT_WORDS[attributes.accompaniment]) if said["accompaniment"] else ""
        self.style = _pick(rng, STYLE_WORDS[attributes.style]) if said["style"] else ""
        self.tag = _pick(rng, STYLE_TAGS[attributes.style]) if said["style"] else ""
        self.mood = _pick(rng, MODE_WORDS[attributes.mode]) if said["mode"] else ""
        self.metre = _pick(rng, METRE_WORDS[attributes.metre]) if said["metre"] else ""
        self.drums = _pick(rng, DRUM_WORDS[attributes.drums]) if said["drums"] else ""
        self.pace = self.rate = ""
        if said["tempo"]:
            if rng.random() < 0.5:
                self.pace = tempo_adjective(rng, round(attributes.tempo))
            else:
                self.rate = tempo_number(rng, round(attributes.tempo))
        self.key = f"{KEYS[attributes.key]} {attributes.mode}" if said["key"] else ""
        if self.mood and not self.key and rng.random() < 0.2:
            self.mood, self.key = "", f"a {attributes.mode} key"

    @property
    def mentions(self) -> frozenset[str]:
        """Names of the mentioned attributes."""
        said = {
            "lead": self.lead, "accompaniment": self.accompaniment, "style": self.style, "mode": self.mood or self.key,
            "metre": self.metre, "drums": self.drums, "pace": self.pace, "tempo": self.rate,
            "key": self.key if not self.key.startswith("a ") else "",
        }
        return frozenset(name for name, words in said.items() if words)

    @property
    def noun(self) -> str:
        return self.style or _pick(self.rng, NEUTRAL)

    def subject(self) -> str:
        """An article, adjectives in either order, and a noun."""
        adjectives = [word for word in (self.pace, self.mood) if word]
        if self.rng.random() < 0.5:
            adjectives.reverse()
        words = " ".join([*adjectives, self.noun])
        return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"

    def details(self, with_lead: bool = True) -> list[str]:
        """Everything after the subject, in any order."""
        rng, parts = self.rng, []
        if with_lead and self.lead:
            parts.append(_pick(rng, ("for {}", "led by a {}", "with {} on the melody", "with a {} melody", "played by a {}", "on {}", "featuring {}")).format(self.lead))
        if self.accompaniment:
            parts.append(_pick(rng, ("over {}", "accompanied by {}", "with {} in the background", "backed by {}", "on top of {}")).format(self.accompaniment))
        if self.rate:
            parts.append(f"{_pick(rng, ('at', 'at', 'around', 'at a tempo of'))} {self.rate}")
        if self.key:
            parts.append(f"in {self.key}")
        parts += [part for part in (self.metre, self.drums) if part]
        return [parts[place] for place in rng.permutation(len(parts))]


def _plain(words: _Words) -> str:
    return " ".join([words.subject(), *words.details()])


def _commas(words: _Words) -> str:
    return ", ".join([words.subject(), *words.details()])


def _tags(words: _Words) -> str:
    parts = [words.tag, words.lead, words.accompaniment, words.pace, words.rate, words.mood, words.key, words.metre, words.drums]
    parts = [part for part in parts if part]
    separator = _pick(words.rng, (", ", ", ", " "))
    return separator.join(parts[index] for index in words.rng.permutation(len(parts)))


def _player(words: _Words) -> str:
    if not words.lead:
        return _plain(words)
    verb = _pick(words.rng, ("plays", "leads", "carries", "performs"))
    return " ".join([f"a {words.lead} {verb} {words.subject()}", *words.details(with_lead=False)])


def _sentences(words: _Words) -> str:
    parts = [words.subject()]
    if words.lead:
        parts.append(_pick(words.rng, ("the {} has the tune", "the {} plays the melody", "lead instrument {}", "melody on {}")).format(words.lead))
    return ". ".join([*parts, *words.details(with_lead=False)]) + "."


def _compound(words: _Words) -> str:
    adjectives = " ".join(part for part in (words.mood, words.pace, words.lead) if part)
    return " ".join(part for part in (adjectives, words.noun, *words.details(with_lead=False)) if part)


def _wish(words: _Words) -> str:
    opening = _pick(words.rng, ("play", "compose", "write", "i want", "create", "make", "give me", "music:"))
    return f"{opening} {_plain(words)}"


def _imagine(words: _Words) -> str:
    return f"this is {words.subject()}, {' and '.join(words.details())}" if words.details() else f"this is {words.subject()}"


def _leading(words: _Words) -> str:
    lead = f"{words.lead} first: " if words.lead else ""
    return lead + " ".join([*words.details(with_lead=False), words.subject()])


FORMS = (_plain, _plain, _commas, _tags, _tags, _player, _sentences, _compound, _compound, _wish)
HELD_OUT_FORMS = (_imagine, _leading)


def caption(rng: np.random.Generator, attributes: Attributes, held_out_template: bool = False) -> str:
    """Describe a piece in at most 24 words; what is left out is left to the composer.

    `held_out_template` uses sentence forms that no training caption has.
    """
    return caption_and_mentions(rng, attributes, held_out_template)[0]


def caption_and_mentions(
    rng: np.random.Generator, attributes: Attributes, held_out_template: bool = False
) -> tuple[str, frozenset[str]]:
    """A caption and the attributes that it speaks of; "tempo" only if it names a number, "pace" if it has a word for it."""
    forms = HELD_OUT_FORMS if held_out_template else FORMS
    while True:
        form, words = forms[int(rng.integers(len(forms)))], _Words(rng, attributes)
        text = form(words)
        if len(text.split()) <= MAX_WORDS:
            return (text[0].upper() + text[1:] if rng.random() < 0.5 else text), words.mentions
