"""Wishes that cannot be had, and the sentence that names the user's own word and says what is done in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from DataSet.synthesis import lexicon, lore, synonyms
from DataSet.synthesis.wishes import SUBSTITUTES, even_tempo
from DataSet.synthesis.wording import chance, choose, say, spin
from llama.media.score import KEYS, MODES, TEMPI

if TYPE_CHECKING:
    from DataSet.synthesis.request_parts import RequestParts

SINGING = ("with {lyrics|vocals|a singer|a voice|singing|words|a choir|a male singer|a female voice|a rap}", "sung by {a choir|a woman|a man|a famous singer|a child}", "that {I can sing|someone sings|has a chorus with words}", "with {a verse|lyrics} about {love|dogs|summer|my mother|you}", "a cappella", "with backing vocals", "{and a|with a} choir singing {aah|ooh|la la}", "{sing it|please sing|with your voice}")
ORCHESTRAS = ("for {a full|a whole|a big|a symphony|an 80-piece|a hundred-piece} orchestra", "with {a full|a huge|a big|a symphony} orchestra", "for {two|three|five|ten|a hundred} {violins|guitars|pianos|trumpets|players}", "for a brass band", "with {every|all} instruments{| at once| you have}", "played by a whole {band|orchestra}")
ENSEMBLES = ("string quartet", "brass quintet", "wind band", "string trio", "piano trio", "saxophone quartet", "wind quintet", "jazz trio", "big orchestra", "mandolin orchestra", "string orchestra", "rock band", "marching band", "barbershop quartet")
ALONE = ("{only|just} {drums|percussion}", "{drums|percussion} {only|alone|and nothing else}", "a drum solo")
SOLO = ("and nothing else", "{solo, |}no accompaniment", "unaccompanied", "without any chords", "no bass", "all alone", "melody only")
ADJECTIVES = ("bass", "old", "Scottish", "electric", "tiny", "golden", "wild", "solo", "wooden", "distorted", "Irish", "broken")
STRANGE = tuple(  # words that say nothing about music
    "purple crunchy quantum wooden cubic rectangular salty frozen invisible edible liquid organic digital triangular fluffy sticky expensive vegan legal "
    "magnetic plastic sour spicy metallic foldable portable waterproof sugar-free nuclear political alphabetical seasonal tropical left-handed striped polka-dotted "
    "transparent upside-down three-legged homemade ceramic woollen bilingual taxable Victorian postmodern rhetorical".split()
)
ONSETS, VOWELS, CODAS = "b bl br d dr f fl g gl gr h j k kl l m n p pl pr qu r s sk sl sn sp st t tr v w z zw".split(), "a e i o u oo ea".split(), "b ff g k ll m mp n nk p r rt sh t x zz".split()


def made_up_word(rng: np.random.Generator) -> str:
    """A word that nobody knows, such as "snazzy" might be if it did not exist."""
    syllables = [choose(rng, ONSETS) + choose(rng, VOWELS) for _ in range(choose(rng, (1, 2, 2)))]
    return "".join(syllables) + choose(rng, CODAS) + choose(rng, ("", "y", "ish", "ic", "ous", "al"))


def add_impossible(rng: np.random.Generator, parts: RequestParts) -> None:
    """Adds one wish that cannot be had, and its note."""
    choose(rng, _SAMPLERS)(rng, parts)


def impossible_tempo(rng: np.random.Generator) -> tuple[int, str]:
    """A tempo outside the range, and the note about it."""
    if chance(rng, 0.55):
        number, notes = int(choose(rng, (190, 200, 210, 220, 240, 250, 300, 350, 400, 450, 500, 600, 666, 750, 800, 900, 999, 1000, 1500, 2000, 3000, 5000, 10000, 100000))), lore.TOO_FAST
    else:
        number, notes = int(rng.integers(0, TEMPI[0] - 1)), lore.TOO_SLOW
    return number, say(rng, notes).replace("{wanted}", str(number)).replace("{tempo}", str(even_tempo(number)))


def instrument_note(rng: np.random.Generator, wanted: str) -> str:
    """The sentence about an instrument that is not here."""
    return say(rng, lore.NO_INSTRUMENT).replace("{wanted}", wanted).replace("{lead}", SUBSTITUTES[wanted])


def _tempo(rng: np.random.Generator, parts: RequestParts) -> None:
    number, parts.note = impossible_tempo(rng)
    parts.impossible = "tempo"
    parts.words.pop("pace", None)
    parts.words["tempo"], parts.wish["tempo"] = synonyms.beats(rng, number), even_tempo(number)


def _lead(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.words["lead"] = name = choose(rng, tuple(SUBSTITUTES))
    parts.wish["lead"] = SUBSTITUTES[name]
    if chance(rng, 0.15):
        parts.words["lead"] = f"{choose(rng, ADJECTIVES)} {name}"
    parts.note, parts.impossible = instrument_note(rng, name), "lead"
    if parts.wish.get("accompaniment") == parts.wish["lead"]:
        del parts.wish["accompaniment"], parts.words["accompaniment"]


def _metre(rng: np.random.Generator, parts: RequestParts) -> None:
    name = choose(rng, synonyms.UNKNOWN_METRES) if chance(rng, 0.6) else f"{int(rng.integers(5, 40))}/{choose(rng, (2, 4, 8, 16, 13, 7))}"
    parts.words["metre"], parts.wish["metre"] = name, 3 if name in synonyms.IN_THREE else 4
    parts.note, parts.impossible = metre_note(rng, name), "metre"


def metre_note(rng: np.random.Generator, wanted: str) -> str:
    return say(rng, lore.NO_METRE).replace("{wanted}", wanted).replace("{metre}", "3" if wanted in synonyms.IN_THREE else "4")


def _length(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.words["length"], possible = synonyms.length(rng)
    parts.note = lore.LENGTH if possible else lore.TOO_LONG


def _key(rng: np.random.Generator, parts: RequestParts) -> None:
    name, mode = choose(rng, tuple(synonyms.UNKNOWN_KEYS)), choose(rng, MODES)
    for other in ("mode", "mood"):
        parts.words.pop(other, None)
    parts.wish["key"], parts.wish["mode"], parts.words["key"] = synonyms.UNKNOWN_KEYS[name], mode, f"{name} {mode}"
    parts.note, parts.impossible = lore.NO_KEY.format(wanted=name, key=KEYS[parts.wish["key"]]), "key"


def _scale(rng: np.random.Generator, parts: RequestParts) -> None:
    """A mode other than major and minor, with or without its tonic."""
    modes = lexicon.table("keys")["modes"]
    mode = choose(rng, MODES)
    name = choose(rng, modes[mode])
    for other in ("mode", "mood", "key"):
        parts.words.pop(other, None)
    parts.wish["mode"] = mode
    tonic = ""
    if chance(rng, 0.6):
        parts.wish["key"] = place = int(rng.integers(12))
        tonic = f"{synonyms.key(rng, place, None)} "
    parts.words["mode" if not tonic else "key"] = f"{tonic}{name}"
    parts.note = say(rng, lore.NO_MODE).replace("{wanted}", name).replace("{mode}", mode)


def _voice(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.extra.append(words := say(rng, SINGING))
    named = next((name for name in ("choir", "lyrics", "vocals", "singer", "voice", "rap", "a cappella") if name in words), "singing")
    parts.note = say(rng, lore.NO_VOICE).replace("{wanted}", named)


def _orchestra(rng: np.random.Generator, parts: RequestParts) -> None:
    for name in ("lead", "accompaniment"):
        parts.words.pop(name, None)
        parts.wish.pop(name, None)
    parts.wish["accompaniment"] = "strings"
    if chance(rng, 0.5):
        parts.extra.append(say(rng, ORCHESTRAS))
        parts.note = lore.NO_ORCHESTRA
    else:
        parts.words["lead"] = name = choose(rng, ENSEMBLES)
        parts.note = say(rng, lore.NO_ENSEMBLE).replace("{wanted}", name)


def _drums_alone(rng: np.random.Generator, parts: RequestParts) -> None:
    for name in ("with drums", "without drums"):
        parts.words.pop(name, None)
    parts.extra.append(words := spin(rng, choose(rng, ALONE)))
    parts.wish["drums"] = True
    parts.note = say(rng, lore.NOT_ALONE).replace("{wanted}", words)


def _solo(rng: np.random.Generator, parts: RequestParts) -> None:
    for name in ("with drums", "without drums", "accompaniment"):
        parts.words.pop(name, None)
    parts.wish.pop("accompaniment", None)
    parts.wish["drums"] = False
    parts.extra.append(spin(rng, choose(rng, SOLO)))
    parts.note = say(rng, lore.NOT_SOLO)


def _strange(rng: np.random.Generator, parts: RequestParts) -> None:
    """A word that was not understood is said, in place of a mood."""
    word = choose(rng, STRANGE) if chance(rng, 0.4) else made_up_word(rng)
    if "mood" in parts.words:
        parts.extra.append(choose(rng, (f"and {word}", f"but {word}", f", {word}")))
    else:
        parts.words["mood"] = word
    parts.note = say(rng, lore.UNKNOWN_WORD).replace("{wanted}", word)


_SAMPLERS = (_tempo, _tempo, _tempo, _lead, _lead, _lead, _lead, _metre, _metre, _length, _key, _scale, _voice, _orchestra, _drums_alone, _solo, _strange, _strange)
