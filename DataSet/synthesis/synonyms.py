"""Synonyms of attribute values as people type them: instruments, styles, metres, keys, tempi."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from DataSet.synthesis import lexicon
from DataSet.synthesis.captions import number_words
from DataSet.synthesis.wording import chance, choose, spin

LEAD_NAMES: Mapping[str, tuple[str, ...]] = {
    "piano": ("piano", "piano", "grand piano", "acoustic piano", "upright piano", "concert piano", "old piano", "soft piano", "pianoforte"),
    "organ": ("organ", "church organ", "pipe organ", "cathedral organ", "chapel organ"),
    "guitar": ("guitar", "guitar", "nylon guitar", "classical guitar", "Spanish guitar", "acoustic guitar", "nylon-string guitar", "fingerpicked guitar", "gtr"),
    "violin": ("violin", "violin", "fiddle", "solo violin", "singing violin", "gypsy violin"),
    "cello": ("cello", "cello", "solo cello", "deep cello", "violoncello", "warm cello"),
    "trumpet": ("trumpet", "trumpet", "brass trumpet", "bright trumpet", "muted trumpet", "jazz trumpet", "horn"),
    "flute": ("flute", "flute", "airy flute", "wooden flute", "transverse flute", "silver flute", "breathy flute"),
    "saxophone": ("saxophone", "sax", "sax", "alto sax", "tenor sax", "tenor saxophone", "smoky sax", "alto saxophone"),
    "clarinet": ("clarinet", "clarinet", "mellow clarinet", "woodwind clarinet", "bass clarinet", "klezmer clarinet"),
    "harp": ("harp", "harp", "plucked harp", "concert harp", "celtic harp", "angelic harp"),
    "marimba": ("marimba", "marimba", "wooden mallets", "mallets", "mallet instrument", "wooden bars"),
    "synthesizer": ("synthesizer", "synth", "synth", "synth lead", "electronic lead", "synthesiser", "keyboard synth", "analog synth", "retro synth"),
}
BACKING_NAMES: Mapping[str, tuple[str, ...]] = {
    "piano": ("piano chords", "a piano", "piano", "soft piano chords", "keys", "piano backing", "a gentle piano", "block chords on the piano"),
    "organ": ("organ chords", "a hammond organ", "an organ", "hammond", "a hammond", "organ backing", "an electric organ"),
    "guitar": ("guitar chords", "a strummed guitar", "an acoustic guitar", "strummed chords", "steel guitar chords", "strumming", "a rhythm guitar", "guitar strumming"),
    "strings": ("strings", "a string section", "an orchestra of strings", "violins and violas", "string chords", "lush strings", "a string orchestra", "a string quartet"),
    "pad": ("a soft pad", "synth pads", "a warm pad", "pads", "electronic pads", "a synth pad", "a pad", "a floating pad", "synth chords"),
}
STYLE_NOUNS: Mapping[str, tuple[str, ...]] = {  # nouns with what they need after an article
    "ballad": ("ballad", "love song", "tender ballad", "slow song", "slow dance", "romantic song", "serenade"),
    "rock": ("rock song", "rock piece", "rock tune", "pop rock song", "rock track", "rock number", "rock anthem", "rocker"),
    "dance": ("dance track", "house track", "club track", "disco tune", "dance tune", "dancefloor hit", "electronic track", "party song", "EDM track", "club banger"),
    "waltz": ("waltz", "ballroom waltz", "Viennese waltz", "old waltz", "little waltz", "concert waltz"),
    "swing": ("swing tune", "jazz piece", "swing number", "jazz tune", "jazz standard", "big band number", "jazz song", "swing piece", "jazz number"),
    "ambient": ("ambient piece", "atmospheric piece", "ambient soundscape", "floating meditation", "ambient track", "drone piece", "chillout track", "spa track", "soundscape"),
}
METRE_NAMES: Mapping[int, tuple[str, ...]] = {
    3: ("3/4", "3/4", "three four", "three-four", "three four time", "triple metre", "triple time", "waltz time", "3/4 time", "three", "three quarter time", "triple meter"),
    4: ("4/4", "4/4", "four four", "four-four", "four four time", "common time", "4/4 time", "four", "quadruple metre", "quadruple time"),
}
KEY_NAMES: Mapping[int, tuple[str, ...]] = {int(place): tuple(names) for place, names in lexicon.table("keys")["keys"].items()}
COMPACT_KEYS: Mapping[int, tuple[str, ...]] = {int(place): tuple(names) for place, names in lexicon.table("keys")["compact"].items()}
KEY_SUFFIXES: Mapping[str, tuple[str, ...]] = {mode: tuple(names) for mode, names in lexicon.table("keys")["suffixes"].items()}
MODE_NAMES: Mapping[str, tuple[str, ...]] = {"major": ("major", "major", "maj", "Major", "dur"), "minor": ("minor", "minor", "min", "Minor", "moll")}
DRUM_NAMES = ("drums", "drums", "percussion", "a drum beat", "a drum kit", "a drummer", "a beat", "a drum track", "a drum set", "drumming", "drums and cymbals", "a steady beat")
BPM = ("bpm", "bpm", "BPM", "beats per minute", "beats a minute", "beats/min", "b.p.m.")
UNKNOWN_METRES = ("5/4", "7/8", "17/13", "11/8", "13/16", "7/4", "5/8", "six eight", "9/8", "12/8", "6/8", "2/4", "2/2", "seven eight", "five four", "1/1", "4/3", "99/4", "10/4", "15/16", "8/8", "three and a half four", "pi/4", "0/4")
IN_THREE = ("6/8", "9/8", "12/8", "six eight", "3/8")
UNKNOWN_KEYS: Mapping[str, int] = {"H": 11, "Z": 0, "Q": 0, "X": 0, "J": 0, "P": 0, "T": 0, "K": 0, "W": 0, "N": 0}


def lead(rng: np.random.Generator, value: str) -> str:
    return choose(rng, LEAD_NAMES[value])


def backing(rng: np.random.Generator, value: str) -> str:
    return choose(rng, BACKING_NAMES[value])


def key(rng: np.random.Generator, index: int, mode: str | None) -> str:
    """As musicians write it: "E flat minor", "Ebm", "c# minor", "D"."""
    if mode and chance(rng, 0.2):
        return choose(rng, COMPACT_KEYS[index]) + choose(rng, ("m", "m", "min") if mode == "minor" else ("maj", " maj"))
    tonic = choose(rng, KEY_NAMES[index]) if chance(rng, 0.6) else KEY_NAMES[index][0]
    if mode is None:
        return capital(tonic)  # "a" alone would be an article
    said = tonic + (choose(rng, KEY_SUFFIXES[mode]) if chance(rng, 0.5) else f" {mode}")
    return said.lower() if chance(rng, 0.12) else said


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def number(rng: np.random.Generator, value: int) -> str:
    """In digits, or in words with or without "and" and a hyphen."""
    if value > 999 or not chance(rng, 0.15):
        return str(value)
    words = number_words(value) or "zero"
    if value > 100 and value % 100 and chance(rng, 0.5):
        words = words.replace(" hundred ", " hundred and ")
    if value > 100 and value < 200 and chance(rng, 0.2):
        words = words.replace("one hundred", "a hundred")
    return words


def beats(rng: np.random.Generator, value: int) -> str:
    """A tempo with its unit: "92 bpm", "one hundred beats per minute", "92bpm"."""
    said, unit = number(rng, value), choose(rng, BPM)
    return said + ("" if unit == "bpm" and said.isdigit() and chance(rng, 0.2) else " ") + unit


def drums(rng: np.random.Generator, present: bool) -> str:
    """A noun phrase for having drums; the caller says "with" or "without"."""
    said = choose(rng, DRUM_NAMES)
    return said if present else said.removeprefix("a ")


def length(rng: np.random.Generator) -> tuple[str, bool]:
    """A length in words, and whether it can be played at all."""
    possible = chance(rng, 0.35)
    if possible:
        return spin(rng, "{10|15|20|30|45|thirty|twenty|60} {seconds|sec}") if chance(rng, 0.7) else spin(rng, "{a|one|two} minute{| and a half}"), True
    return spin(rng, "{{10|ten|24|3|two|5|100|a hundred|twelve|48|half a dozen} {hours|days|weeks|years}|{two|three|500|a thousand|90|sixty} {hours|minutes}|{an hour|a whole day|a year|forever|an eternity|all night|a century}}"), False
