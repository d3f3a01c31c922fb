"""Questions about a recording with their answers: facts, yes or no, comparisons, descriptions; and about non-music."""

from __future__ import annotations

import numpy as np

from DataSet.synthesis import lore, questions, synonyms
from DataSet.synthesis.captions import STYLE_WORDS
from DataSet.synthesis.dialogue import ATTRIBUTE_VALUES, Dialogue, random_piece
from DataSet.synthesis.edits import edit
from DataSet.synthesis.requests import an, capital, with_article
from DataSet.synthesis.wishes import ACCOMPANIMENT
from DataSet.synthesis.wording import chance, choose, pick, say, spin
from llama.media.score import KEYS, MODES, Attributes

COUNT = {3: "three", 4: "four"}
NOT_MUSIC = ("noise", "silence", "speech")  # kinds of recordings without music
FEELINGS = {("major", True): "bright and lively", ("major", False): "warm and calm",
            ("minor", True): "dark and driven", ("minor", False): "sad and quiet"}
DANCES = {"ballad": "a slow dance, cheek to cheek", "rock": "rock and roll", "dance": "disco, as in a club", "waltz": "a waltz", "swing": "swing, or a jive",
          "ambient": "nothing much: it is for sitting still"}
PURPOSES = {"ballad": "a quiet evening or a love scene", "rock": "a road trip or a chase", "dance": "a party or a workout", "waltz": "a ball or a carousel",
            "swing": "a bar or a street parade", "ambient": "falling asleep, yoga or studying"}


def fact(rng: np.random.Generator, name: str, piece: Attributes) -> str:
    """A sentence that states one attribute, with the value as early as possible. Raises ValueError for an unknown name."""
    noun = STYLE_WORDS[piece.style][0]
    match name:
        case "lead":
            return say(rng, (f"The {piece.lead} {{plays|has|carries}} the melody.", f"{capital(an(piece.lead))} {{leads|plays the melody}}."))
        case "accompaniment":
            return f"{capital(ACCOMPANIMENT[piece.accompaniment])} in the background."
        case "tempo":
            return spin(rng, f"About {piece.tempo} {{beats per minute|bpm}}.")
        case "mode":
            return say(rng, (f"{capital(piece.mode)}.", f"It is in {piece.mode}."))
        case "metre":
            return f"{piece.metre}/4, {COUNT[piece.metre]} beats in a bar."
        case "drums":
            return spin(rng, "Yes, {there are|I hear} drums." if piece.drums else "No, {there are no|I hear no} drums.")
        case "style":
            return spin(rng, f"{{It is a|A}}{'n' if noun[0] == 'a' else ''} {noun}.")
        case "key":
            return f"{KEYS[piece.key]} {piece.mode}."
        case "instruments":
            return capital(f"{an(piece.lead)} over {ACCOMPANIMENT[piece.accompaniment]}, {'with' if piece.drums else 'without'} drums.")
        case "feeling":
            return f"It feels {FEELINGS[piece.mode, piece.tempo >= 108]}."
        case "pace":
            return f"About {piece.tempo} beats per minute, which is {'slow' if piece.tempo < 86 else 'fast' if piece.tempo > 124 else 'medium'}."
        case "dance":
            return f"{capital(DANCES[piece.style])}. It is {an(noun)} in {piece.metre}/4."
        case "purpose":
            return f"For {PURPOSES[piece.style]}: it is {an(noun)}."
    raise ValueError(f"There is no fact called {name!r}.")


def describe(piece: Attributes) -> str:
    style, drums = STYLE_WORDS[piece.style][0], "with" if piece.drums else "without"
    return (f"{capital(an(style))} in {KEYS[piece.key]} {piece.mode}: {an(piece.lead)} over {ACCOMPANIMENT[piece.accompaniment]}, "
            f"{drums} drums, about {piece.tempo} beats per minute in {piece.metre}/4.")


def hear(rng: np.random.Generator, piece: Attributes, held_out: bool = False) -> Dialogue:
    """A question about a recording, answered from its attributes."""
    roll = rng.random()
    if roll < 0.48:
        name = choose(rng, _ATTRIBUTES)
        return Dialogue(questions.question(rng, name, held_out), fact(rng, name, piece), name)
    if roll < 0.64:
        return _several_attributes(rng, piece, held_out)
    if roll < 0.74:
        return Dialogue("" if roll > 0.72 else pick(rng, questions.DESCRIBE, held_out), describe(piece), "describe")
    if roll < 0.87:
        return (_confirm if chance(rng, 0.7) else _compare)(rng, piece, held_out)
    for limit, name, wording in _OTHER_KINDS:
        if roll < limit:
            return Dialogue(pick(rng, wording, held_out), fact(rng, name, piece), name)
    if roll < 0.985:
        return Dialogue(pick(rng, questions.SOURCE, held_out), f"{lore.NO_NAME} {describe(piece)}", "source")
    return Dialogue(pick(rng, questions.IS_MUSIC, held_out), f"It is music. {describe(piece)}", "is music")


_ATTRIBUTES = tuple(questions.QUESTIONS)
_INSTRUMENTS = tuple(pattern + "?" for pattern in questions.INSTRUMENTS)
_OTHER_KINDS = ((0.90, "feeling", questions.FEELING), (0.92, "instruments", _INSTRUMENTS), (0.94, "pace", questions.PACE), (0.955, "dance", questions.DANCE), (0.97, "purpose", questions.PURPOSE))


def _several_attributes(rng: np.random.Generator, piece: Attributes, held_out: bool) -> Dialogue:
    """One question about two to four attributes, answered in order."""
    count = choose(rng, (2, 2, 2, 3, 3, 4))
    pool = [*_ATTRIBUTES, "instruments"]
    names = [pool[index] for index in rng.permutation(len(pool))[:count]]
    if "instruments" in names:  # includes these
        names = [name for name in names if name not in ("lead", "accompaniment", "drums")]
        names = names if len(names) > 1 else ["instruments", "tempo"]
    if chance(rng, 0.5):
        text = questions.several(rng, names, held_out)
    else:  # one question after the other
        question_parts = [_keyword_question(rng, name, held_out) for name in names]
        link = choose(rng, ("? ", ", and ", "? And ", " and ", ", ", " & "))
        text = link.join([question_parts[0], *(part if link == "? " else part[:1].lower() + part[1:] for part in question_parts[1:])]) + "?"
    return Dialogue(text, " ".join(fact(rng, name, piece) for name in names), "several")


def _keyword_question(rng: np.random.Generator, name: str, held_out: bool) -> str:
    text = pick(rng, questions.INSTRUMENTS, held_out) if name == "instruments" else pick(rng, questions.QUESTIONS[name], held_out)
    return text.rstrip(".?!")


def _confirm(rng: np.random.Generator, piece: Attributes, held_out: bool) -> Dialogue:
    """A yes or no question; the answer states the true value."""
    name = choose(rng, tuple(questions.YES_NO))
    value = getattr(piece, name) if chance(rng, 0.5) else choose(rng, ATTRIBUTE_VALUES[name])
    true, noun = value == getattr(piece, name), STYLE_WORDS[piece.style][0]
    if name == "key":
        mode = piece.mode if chance(rng, 0.7) else choose(rng, MODES)
        claim, true = synonyms.key(rng, value, mode), true and mode == piece.mode
    else:
        claim = {"lead": lambda: choose(rng, ("a ", "a ", "the ", "")) + synonyms.lead(rng, value), "mode": lambda: choose(rng, synonyms.MODE_NAMES[value]), "style": lambda: an(choose(rng, synonyms.STYLE_NOUNS[value])),
                 "metre": lambda: choose(rng, synonyms.METRE_NAMES[value]), "accompaniment": lambda: synonyms.backing(rng, value)}[name]()
    plain = {"lead": f"the {piece.lead} plays the melody", "mode": f"it is in {piece.mode}", "style": f"it is {an(noun)}", "metre": f"it is in {piece.metre}/4",
             "key": f"it is in {KEYS[piece.key]} {piece.mode}", "accompaniment": f"{ACCOMPANIMENT[piece.accompaniment]} in the background"}
    text = with_article(capital(pick(rng, questions.YES_NO[name], held_out).replace("{asked}", claim)))
    return Dialogue(text, f"{'Yes' if true else 'No'}, {plain[name]}.", f"confirm {name}")


def _compare(rng: np.random.Generator, piece: Attributes, held_out: bool) -> Dialogue:
    """A comparison of the tempo with a number; the answer states the tempo first, so that the verdict can depend on it."""
    faster = chance(rng, 0.5)
    number = int(choose(rng, range(60, 185, 5))) if chance(rng, 0.7) else int(rng.integers(50, 200))
    text = pick(rng, questions.COMPARE, held_out).replace("{than}", choose(rng, questions.FASTER if faster else questions.SLOWER)).replace("{number}", synonyms.number(rng, number))
    true = piece.tempo >= number if faster else piece.tempo <= number
    return Dialogue(capital(text), f"About {piece.tempo} beats per minute, so {'yes' if true else 'no'}.", "compare")


def nothing(rng: np.random.Generator, kind: str, held_out: bool = False) -> Dialogue:
    """A question or edit about a recording without music; the answer names its kind (of NOT_MUSIC)."""
    piece = random_piece(rng)
    if chance(rng, 0.2):
        return Dialogue(edit(rng, piece, held_out).instruction, lore.NOTHING_TO_CHANGE[kind], "nothing to change")
    text = pick(rng, questions.IS_MUSIC, held_out) if chance(rng, 0.2) else hear(rng, piece, held_out).instruction
    return Dialogue(text, say(rng, lore.NOTHING[kind]), "nothing to hear")
