"""What people say to the model and what it should say back: hearing, wishing, editing, seeing, small talk, refusals.

Every generator draws from `rng` and from the facts it is given, and returns a `Dialogue`. With `held_out` the wording
of the instruction comes from the part of the phrases that training never sees; the facts are the caller's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from DataSet import lore, phrases
from DataSet.captions import LEAD_WORDS, METRE_WORDS, NEUTRAL, STYLE_WORDS, number_words
from DataSet.phrases import pick, say, spin
from DataSet.wishes import (
    ACCOMPANIMENT,
    COMPOSERS,
    DAYS,
    MOODS,
    OCCASIONS,
    PACES,
    STYLE_NAMES,
    SUBSTITUTES,
    WEATHER_OF_DAYS,
    complete,
    edited,
    even_tempo,
    full_caption,
    music_for_clip,
    music_for_picture,
)
from llama.notes import ACCOMPANIMENTS, KEYS, LEADS, MODES, STYLES, TEMPI, Attributes

MARKS = "".join(f"[AUD{index}]" for index in range(8))
COUNT = {3: "three", 4: "four"}
FEELINGS = {("major", True): "bright and lively", ("major", False): "warm and calm",
            ("minor", True): "dark and driven", ("minor", False): "sad and quiet"}
WHOLE_NAMES = ("ballad", "waltz", "lullaby", "love song", "folk song", "slow song", "hymn")
PLACES = {"sea": "the sea", "mountain": "mountains", "forest": "a forest", "meadow": "a meadow", "desert": "a desert",
          "city": "a city", "party": "a party", "fire": "a fire", "pattern": "a pattern"}
LIGHTS = {"day": "by day", "sunset": "at sunset", "night": "at night"}
WEATHERS = {"clear": "", "rain": " in the rain", "fog": " in the fog", "snow": " in the snow"}


@dataclass(frozen=True)
class Dialogue:
    """`kind` names the generator's case; `caption` is what the music decoder should be told, None for words alone."""

    instruction: str
    answer: str
    kind: str
    caption: str | None = None
    piece: Attributes | None = None


def an(words: str) -> str:
    return f"{'an' if words[0].lower() in 'aeio' else 'a'} {words}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- hearing ------------------------------------------------------------------------------------------------------


def fact(rng: np.random.Generator, name: str, piece: Attributes) -> str:
    """One heard fact as a sentence, the fact itself as early as English allows."""
    noun = STYLE_WORDS[piece.style][0]
    return {
        "lead": lambda: say(rng, (f"The {piece.lead} {{plays|has|carries}} the melody.", f"{capital(an(piece.lead))} {{leads|plays the melody}}.")),
        "accompaniment": lambda: f"{capital(ACCOMPANIMENT[piece.accompaniment])} in the background.",
        "tempo": lambda: spin(rng, f"About {piece.tempo} {{beats per minute|bpm}}."),
        "mode": lambda: say(rng, (f"{capital(piece.mode)}.", f"It is in {piece.mode}.")),
        "metre": lambda: f"{piece.metre}/4, {COUNT[piece.metre]} beats in a bar.",
        "drums": lambda: spin(rng, "Yes, {there are|I hear} drums." if piece.drums else "No, {there are no|I hear no} drums."),
        "style": lambda: spin(rng, f"{{It is a|A}}{'n' if noun[0] == 'a' else ''} {noun}."),
        "key": lambda: f"{KEYS[piece.key]} {piece.mode}.",
        "instruments": lambda: capital(f"{an(piece.lead)} over {ACCOMPANIMENT[piece.accompaniment]}, {'with' if piece.drums else 'without'} drums."),
        "feeling": lambda: f"It feels {FEELINGS[piece.mode, piece.tempo >= 108]}.",
    }[name]()


def describe(piece: Attributes) -> str:
    style, drums = STYLE_WORDS[piece.style][0], "with" if piece.drums else "without"
    return (f"{capital(an(style))} in {KEYS[piece.key]} {piece.mode}: {an(piece.lead)} over {ACCOMPANIMENT[piece.accompaniment]}, "
            f"{drums} drums, about {piece.tempo} beats per minute in {piece.metre}/4.")


_SHORT = {"tempo": "{how fast is it|what is the tempo|at what bpm}", "mode": "{is it major or minor|is it in major or minor}",
          "metre": "{what metre is it in|is it in 3/4 or 4/4}", "drums": "{are there drums|do you hear drums}",
          "style": "{what style is it|which genre is it}", "key": "{what key is it in|which key is it}"}


def hear(rng: np.random.Generator, piece: Attributes, held_out: bool = False) -> Dialogue:
    """A question about a recording, answered from its attributes."""
    roll = rng.random()
    if roll < 0.56:
        name = str(rng.choice(list(phrases.QUESTIONS)))
        return Dialogue(phrases.question(rng, name, held_out), fact(rng, name, piece), name)
    if roll < 0.70:
        return _several(rng, piece, held_out)
    if roll < 0.84:
        question = "" if roll > 0.80 else pick(rng, phrases.DESCRIBE, held_out)
        return Dialogue(question, describe(piece), "describe")
    if roll < 0.90:
        return Dialogue(pick(rng, phrases.FEELING, held_out), fact(rng, "feeling", piece), "feeling")
    if roll < 0.93:
        return Dialogue(pick(rng, phrases.INSTRUMENTS, held_out) + "?", fact(rng, "instruments", piece), "instruments")
    return _confirm(rng, piece)


def _several(rng: np.random.Generator, piece: Attributes, held_out: bool) -> Dialogue:
    names = [str(name) for name in rng.choice(list(_SHORT), int(rng.integers(1, 3)), replace=False)]
    questions = [spin(rng, _SHORT[name]) for name in names]
    tail = ", and ".join(questions) if len(questions) == 1 else f"{questions[0]}, and {questions[1]}"
    opening = pick(rng, phrases.INSTRUMENTS, held_out)
    joint = str(rng.choice([", and ", "? And ", " and "])) if len(questions) == 1 else ", "
    answer = " ".join(fact(rng, name, piece) for name in ("instruments", *names))
    return Dialogue(f"{opening}{joint}{tail}?", answer, "several")


def _confirm(rng: np.random.Generator, piece: Attributes) -> Dialogue:
    """A yes or no question; whatever is true is said in full."""
    name = str(rng.choice(["lead", "mode", "style", "metre"]))
    choices: dict[str, list[Any]] = {"lead": list(LEADS), "mode": list(MODES), "style": list(STYLES), "metre": [3, 4]}
    asked = getattr(piece, name) if rng.random() < 0.5 else choices[name][int(rng.integers(len(choices[name])))]
    words = {"lead": f"Is {{that|it|there}} {an(str(asked))}{{| playing the melody| in front}}?", "mode": f"Is {{it|this}} in {asked}?",
             "style": f"Is {{it|this|that}} {an(STYLE_WORDS.get(str(asked), ('',))[0] or 'tune')}?", "metre": f"Is {{it|this}} in {asked}/4?"}
    true = asked == getattr(piece, name)
    plain = {"lead": f"the {piece.lead} plays the melody.", "mode": f"it is in {piece.mode}.", "style": f"it is {an(STYLE_WORDS[piece.style][0])}.",
             "metre": f"it is in {piece.metre}/4."}
    return Dialogue(spin(rng, words[name]), f"{'Yes' if true else 'No'}, {plain[name]}", f"confirm {name}")


# -- music --------------------------------------------------------------------------------------------------------


def music(rng: np.random.Generator, instruction: str, piece: Attributes, kind: str, *, key: bool = False, note: str = "") -> Dialogue:
    """The answer says what will be played, in the decoder's own words, then the eight marks."""
    caption = full_caption(piece, key)
    instruction = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", instruction)
    told = say(rng, ("{caption}.", "{caption}.", "Here is {small}."))
    told = told.replace("{caption}", caption).replace("{small}", caption[0].lower() + caption[1:])
    return Dialogue(instruction, f"{note} {told} {MARKS}".strip(), kind, caption, piece)


def wish_words(rng: np.random.Generator) -> tuple[str, dict[str, Any], str]:
    """A noun phrase, what it asks for, and what has to be said first when it cannot be had."""
    said, wish, note = {name: rng.random() < chance for name, chance in _share(rng).items()}, {}, ""
    adjectives: list[str] = []
    if said["mood"]:
        adjectives.append(str(rng.choice(list(MOODS))))
        wish |= MOODS[adjectives[0]]
    noun = str(rng.choice(NEUTRAL))
    if said["style"]:
        noun, wish["style"] = _style_noun(rng)
    if said["pace"]:
        adjectives.insert(int(rng.integers(len(adjectives) + 1)), pace := str(rng.choice(list(PACES))))
        wish["tempo"] = PACES[pace]
    ordered, note = _clauses(rng, said, wish)
    if said["lead"] and rng.random() < 0.4:  # "a sad piano piece"
        noun = f"{ordered.pop(0).split('|')[1]} {noun}"
    ordered = [text.replace("|", "") for text in ordered]
    rng.shuffle(ordered)
    joint = str(rng.choice([" ", ", "]))
    head = str(rng.choice([" ", ", "])).join([*adjectives]) + (" " if adjectives else "") + noun
    form = rng.random()
    if form < 0.12:
        parts = [*adjectives, noun, *ordered]
        rng.shuffle(parts)
        return ", ".join(parts), wish, note
    return joint.join([an(head) if form < 0.9 else head, *ordered]), wish, note


def _share(rng: np.random.Generator) -> dict[str, float]:
    names = ("mood", "style", "pace", "lead", "accompaniment", "tempo", "mode", "metre", "drums")
    share = dict.fromkeys(names, float(rng.choice([0.22, 0.4, 0.75])))
    share["style"], share["lead"] = max(share["style"], 0.45), max(share["lead"], 0.45)
    return share | {"key": 0.06, "odd": 0.08}


def _style_noun(rng: np.random.Generator) -> tuple[str, str]:
    name = str(rng.choice(list(STYLE_NAMES) + list(STYLES) * 2))
    style = STYLE_NAMES[name]
    if rng.random() < 0.3:
        return str(rng.choice(STYLE_WORDS[style])), style
    return (name if name in WHOLE_NAMES else f"{name} {rng.choice(['piece', 'tune', 'track', 'song', 'number'])}"), style


def _clauses(rng: np.random.Generator, said: Mapping[str, bool], wish: dict[str, Any]) -> tuple[list[str], str]:
    """Fills `wish`; the lead's clause, if any, comes first, a bar before the instrument's name."""
    clauses, note = [], ""
    if said["lead"]:
        wish["lead"] = str(rng.choice(list(LEADS)))
        name = str(rng.choice(LEAD_WORDS[wish["lead"]]))
        if said["odd"] and rng.random() < 0.5:
            name = str(rng.choice(list(SUBSTITUTES)))
            wish["lead"] = SUBSTITUTES[name]
            note = lore.NO_INSTRUMENT.format(wanted=name, lead=wish["lead"])
        clauses.append(spin(rng, "{for|with|on|played by|featuring} {|a |the }") + f"|{name}")
    if said["accompaniment"]:
        wish["accompaniment"] = str(rng.choice([name for name in ACCOMPANIMENTS if name != wish.get("lead")]))
        clauses.append(spin(rng, f"{{over|accompanied by|backed by|with}} {ACCOMPANIMENT[wish['accompaniment']]}{{| in the background}}"))
    if said["tempo"] and not said["pace"]:
        text, wish["tempo"], late = _tempo(rng, said["odd"] and not note)
        clauses.append(spin(rng, f"{{at|around|at about}} {text}"))
        note = note or late
    if said["key"]:
        wish["key"], wish["mode"] = int(rng.integers(12)), str(rng.choice(MODES))
        clauses.append(f"in {KEYS[wish['key']]} {wish['mode']}")
    elif said["mode"] and "mode" not in wish:
        wish["mode"] = str(rng.choice(MODES))
        clauses.append(spin(rng, f"in {{a |}}{wish['mode']}{{ key|}}"))
    if said["metre"]:
        wish["metre"] = int(rng.choice([3, 4]))
        clauses.append(str(rng.choice(METRE_WORDS[wish["metre"]])))
    if said["drums"]:
        wish["drums"] = bool(rng.random() < 0.5)
        clauses.append(spin(rng, "with {drums|a drum beat|percussion}" if wish["drums"] else "{without|with no} {drums|percussion}"))
    return clauses, note


def _tempo(rng: np.random.Generator, odd: bool) -> tuple[str, int, str]:
    number, note = int(rng.integers(TEMPI[0], TEMPI[-1] + 1)), ""
    if odd and rng.random() < 0.5:
        number, note = int(rng.choice([200, 220, 240, 250, 300, 400, 500, 1000, 2000, 3000])), lore.TOO_FAST
    elif odd:
        number, note = int(rng.integers(1, TEMPI[0] - 1)), lore.TOO_SLOW
    tempo = even_tempo(number)
    said = number_words(number) if rng.random() < 0.08 and number < 1000 else str(number)
    return spin(rng, f"{said} {{bpm|beats per minute|beats a minute}}"), tempo, note.format(tempo=tempo)


def wish(rng: np.random.Generator, held_out: bool = False) -> Dialogue:
    """Music asked for in words: by its properties, by an occasion, or by the decoder's own kind of caption."""
    roll = rng.random()
    if roll < 0.16:
        occasion = str(rng.choice(list(OCCASIONS)))
        wanted = OCCASIONS[occasion]
        if rng.random() < 0.4:
            kind = str(rng.choice(list(WEATHER_OF_DAYS)))
            occasion, wanted = f"{an(kind)} {rng.choice(DAYS)}", WEATHER_OF_DAYS[kind]
        text = pick(rng, phrases.OCCASION, held_out).replace("{occasion}", occasion)
        return music(rng, capital(text), complete(wanted), "occasion")
    if roll < 0.22:
        piece = random_piece(rng)
        return music(rng, full_caption(piece), piece, "caption")
    if roll < 0.26:
        composer = str(rng.choice(list(COMPOSERS)))
        return music(rng, pick(rng, phrases.LIKE_COMPOSER, held_out).replace("{composer}", composer), complete(COMPOSERS[composer]), "composer")
    if roll < 0.36:
        return _short(rng, held_out)
    words, wanted, note = wish_words(rng)
    text = pick(rng, phrases.ASK, held_out).replace("{wish}", words + (pick(rng, phrases.WHOM, held_out) if rng.random() < 0.1 else ""))
    text = capital(text) if rng.random() < 0.7 else text
    return music(rng, text, complete(wanted), "wish", key="key" in wanted, note=note)


def _short(rng: np.random.Generator, held_out: bool) -> Dialogue:
    """One or two words, as people type them: "jazz", "something calm", "violin solo"."""
    text, wanted = pick(rng, phrases.SHORT, held_out), {}
    if "{mood}" in text:
        mood = str(rng.choice(list(MOODS)))
        text, wanted = text.replace("{mood}", mood), {**MOODS[mood]}
    if "{style}" in text:
        name = str(rng.choice(list(STYLE_NAMES)))
        text, wanted = text.replace("{style}", name), {**wanted, "style": STYLE_NAMES[name]}
    if "{lead}" in text:
        lead = str(rng.choice(list(LEADS) * 3 + list(SUBSTITUTES)))
        text, wanted = text.replace("{lead}", lead), {**wanted, "lead": SUBSTITUTES.get(lead, lead)}
        if lead in SUBSTITUTES:
            note = lore.NO_INSTRUMENT.format(wanted=lead, lead=wanted["lead"])
            return music(rng, capital(text), complete(wanted), "short", note=note)
    return music(rng, capital(text) if rng.random() < 0.6 else text, complete(wanted), "short")


def random_piece(rng: np.random.Generator) -> Attributes:
    pick_one = lambda names: names[int(rng.integers(len(names)))]  # noqa: E731
    return Attributes(pick_one(list(LEADS)), pick_one(list(ACCOMPANIMENTS)), pick_one(STYLES), pick_one(TEMPI), pick_one(MODES),
                      int(rng.choice([3, 4])), bool(rng.random() < 0.5), int(rng.integers(12)))


def edit(rng: np.random.Generator, heard: Attributes, held_out: bool = False) -> Dialogue:
    """The heard piece again, with one change, or none."""
    if rng.random() < 0.12:
        return music(rng, pick(rng, phrases.LIKE, held_out), heard, "like", key=True)
    name = str(rng.choice([name for name in phrases.EDITS if name != ("remove" if not heard.drums else "add")]))
    pattern = pick(rng, phrases.EDITS[name], held_out)
    value, change = _change(rng, name, heard)
    text = capital(pattern.replace("{value}", value).replace("{old}", heard.lead))
    return music(rng, text, edited(heard, change), f"edit {name}", key=True)


def _change(rng: np.random.Generator, name: str, heard: Attributes) -> tuple[str, dict[str, Any]]:
    other = lambda names, old: str(rng.choice([one for one in names if one != old]))  # noqa: E731
    if name in ("faster", "slower"):
        return "", {"faster": 30 if name == "faster" else -30}
    if name in ("add", "remove"):
        return "", {"drums": name == "add"}
    if name == "tempo":
        number = int(rng.integers(TEMPI[0], TEMPI[-1] + 1))
        return str(number), {"tempo": even_tempo(number)}
    if name == "metre":
        return f"{7 - heard.metre}/4", {"metre": 7 - heard.metre}
    if name == "mode":
        mode = other(MODES, heard.mode)
        return spin(rng, f"{{{mode}|a {mode} key}}"), {"mode": mode}
    if name == "lead":
        lead = other(LEADS, heard.lead)
        return str(rng.choice(LEAD_WORDS[lead])), {"lead": lead}
    if name == "accompaniment":
        back = other(ACCOMPANIMENTS, heard.accompaniment)
        return ACCOMPANIMENT[back], {"accompaniment": back}
    style = other(STYLES, heard.style)
    turned = {"style": style, "metre": 3 if style == "waltz" else 4 if heard.style == "waltz" else heard.metre}
    return an(STYLE_WORDS[style][0]), turned


# -- seeing -------------------------------------------------------------------------------------------------------


def picture(rng: np.random.Generator, labels: Mapping[str, str], held_out: bool = False) -> Dialogue:
    """A question about a picture, or music for it."""
    if rng.random() < 0.3:
        answer = f"It feels {labels['mood']}: {PLACES[labels['place']]} {LIGHTS[labels['light']]}{WEATHERS[labels['weather']]}."
        return Dialogue(capital(pick(rng, phrases.LOOK, held_out)), answer, "look")
    return _for_sight(rng, capital(pick(rng, phrases.PICTURE, held_out)), music_for_picture(labels), "picture")


def clip(rng: np.random.Generator, labels: Mapping[str, str], held_out: bool = False) -> Dialogue:
    """A question about a clip, or music for it."""
    if rng.random() < 0.3:
        pace = {"slow": "slowly", "medium": "at a medium pace", "fast": "fast"}[labels["motion"]]
        beat = "" if labels["pulse"] == "none" else f", with a pulse in {labels['pulse']}"
        answer = f"It moves {pace} {LIGHTS[labels['light']]}{beat}; it feels {labels['mood']}."
        return Dialogue(capital(pick(rng, phrases.WATCH, held_out)), answer, "watch")
    return _for_sight(rng, capital(pick(rng, phrases.CLIP, held_out)), music_for_clip(labels), "clip")


def _for_sight(rng: np.random.Generator, instruction: str, wanted: dict[str, Any], kind: str) -> Dialogue:
    if rng.random() < 0.12:  # "... with a violin"
        wanted["lead"] = str(rng.choice(list(LEADS)))
        instruction = instruction.rstrip(".?, ") + spin(rng, f"{{, with| with|, on}} {{a|the}} {wanted['lead']}.")
    return music(rng, instruction, complete(wanted), kind)


# -- talk ---------------------------------------------------------------------------------------------------------


def talk(rng: np.random.Generator, held_out: bool = False) -> Dialogue:
    """Words alone: small talk, facts of music, refusals, and questions about media that were not given."""
    roll = rng.random()
    if roll < 0.3:
        return Dialogue(pick(rng, lore.OFF_TOPIC, held_out), say(rng, lore.REFUSAL), "refusal")
    if roll < 0.55:
        patterns, answer = lore.LORE[int(rng.integers(len(lore.LORE)))]
        question = spin(rng, patterns[-1] if held_out else patterns[int(rng.integers(2))])
        thing = re.fullmatch(r"What (?:is|are) (.+?)\??", question)
        if thing and rng.random() < 0.5 and not held_out:
            question = capital(say(rng, lore.LORE_FRAMES).replace("{thing}", thing.group(1)))
        return Dialogue(question, answer, "lore")
    if roll < 0.8:
        return _missing(rng, held_out)
    questions, answers, kind = ((lore.GREETINGS, lore.GREETED, "greeting"), (lore.THANKS, lore.THANKED, "thanks"),
                                (lore.ABILITIES, lore.ABLE, "abilities"))[int(rng.integers(3))]
    return Dialogue(pick(rng, questions, held_out), say(rng, answers), kind)


def _missing(rng: np.random.Generator, held_out: bool) -> Dialogue:
    if rng.random() < 0.04:
        return Dialogue("", lore.EMPTY, "empty")
    piece, place = random_piece(rng), int(rng.choice([0, 0, 0, 1, 2]))
    if place == 0:
        text = (hear if rng.random() < 0.6 else edit)(rng, piece, held_out).instruction
        return Dialogue(text or "Describe it.", say(rng, phrases.NO_AUDIO), "missing")
    patterns, answers = ((phrases.PICTURE + phrases.LOOK, phrases.NO_IMAGE), (phrases.CLIP + phrases.WATCH, phrases.NO_VIDEO))[place - 1]
    return Dialogue(capital(pick(rng, patterns, held_out)), say(rng, answers), "missing")
