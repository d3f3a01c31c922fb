"""Requests for music in words: attributes, their wording, and notes about impossible ones.

A request is a noun phrase with clauses, a noun phrase with sentences after it, a list of words, or a filled-in form. Every
attribute has its own clauses and sentences, the last sixth of each kept for testing (wording.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from DataSet.synthesis import lore, synonyms
from DataSet.synthesis.captions import NEUTRAL
from DataSet.synthesis.wishes import MOODS, PACES, STYLE_NAMES, SUBSTITUTES, even_tempo
from DataSet.synthesis.wording import chance, choose, pick, say
from llama.media.score import ACCOMPANIMENTS, KEYS, LEADS, METRES, MODES, STYLES, TEMPI

WHOLE_NAMES = ("ballad", "waltz", "lullaby", "love song", "folk song", "slow song", "hymn", "minuet", "Viennese waltz", "mazurka", "power ballad", "chanson", "romance", "musette")
NOUNS = (*NEUTRAL, "number", "bit of music", "short piece", "theme", "little tune", "backing track", "thing", "jam", "soundtrack", "score", "music", "jingle", "loop", "beat", "background track", "instrumental track")

CLAUSES: Mapping[str, tuple[str, ...]] = {  # behind a noun
    "lead": ("{for|with|on|played by|featuring|using} {a|the|} {v}", "with {a|the} {v} {on the melody|in front|as lead|leading|as the lead instrument|on lead|playing the melody|on top|carrying the tune|solo}", "led by {a|the} {v}", "for solo {v}", "where {a|the} {v} {plays|has|carries} the {melody|tune|lead}", "performed {on|by} {a|the} {v}", "starring {a|the} {v}", "{v} as {the lead|the main instrument|soloist|the melody instrument}", "with {v}", "on {v}", "{v} {leading|on lead|in front|melody|lead|solo}",
             "in which {a|the} {v} sings", "with {a|the} {v} as its voice"),
    "accompaniment": ("{over|accompanied by|backed by|with|supported by|on top of|above} {v}{| in the background| behind it| underneath| as backing| as accompaniment}", "with {v} {underneath|for the chords|behind it|as backing|accompanying|in the back|backing it|behind the melody}", "with {v} as {backing|the accompaniment|background}", "over a bed of {v}", "and {v} {behind|in the background|underneath|as backing|for the chords}", "plus {v}{| in the background}",
                      "resting on {v}"),
    "tempo": ("{at|around|at about|at roughly|at exactly|at around|with} {v}", "{at a|with a} {tempo|speed|pace} of {v}", "{v}", "{running|going|moving|clocked} at {v}", "{somewhere around|close to|roughly|approximately|about} {v}", "with {v}", "{set to|set at} {v}", "that {ticks|pulses} at {v}"),
    "mode": ("in {a |}{v}{ key|}", "in {v}", "in a {v} {key|scale|mode|tonality}", "{using|based on|built on} {a|the} {v} {scale|key|chords}", "with {a|} {v} {tonality|feel|harmony|key}", "with {v} chords", "that {stays|is} in {v}"),
    "metre": ("in {v}", "{in|in a} {v}{| rhythm| pulse| swing}", "with {a {v} feel|a {v} metre|a {v} beat|{v} time signature}", "{counted|written|played} in {v}", "using {v}", "in a {v} {metre|meter|feel}", "grouped in {v}"),
    "key": ("in {v}", "in the key of {v}", "{in|in:} {v}{| key}", "{written|set|played|composed} in {v}", "in {v}, please", "with {v} as {key|home key|the key}", "that sits in {v}"),
    "with drums": ("with {v}", "{and|plus} {v}", "with {v} {underneath|behind it|too|added|as well|included}", "including {v}", "{driven|backed} by {v}", "featuring {v}", "that has {v}", "where {v} is heard"),
    "without drums": ("{without|with no} {any |}{v}", "{but no|but without|minus the|excluding|and no} {v}", "that has no {v}", "free of {v}", "without {v}", "no {v}", "with zero {v}", "that does without {v}"),
    "length": ("{lasting|of|that lasts|that is} {v}", "{v} long", "for {v}", "with a length of {v}", "that goes on for {v}", "stretching over {v}"),
}
SENTENCES: Mapping[str, tuple[str, ...]] = {  # after the noun phrase, each by itself
    "lead": ("{It should be|I want it|Make it|Have it|Let it be|It must be} {played by|played on|led by|for|performed on} {a|the} {v}", "{The lead is|Lead:|Lead instrument:|The melody goes to|The melody is for|Solo instrument:} {a|the|} {v}", "{Use|Take|Give me|Choose|Feature|Put in} {a|the} {v}{| for the melody| as lead| in front| for the tune}", "The {melody|tune|lead} {should be|is|must be} {on|played by|for} {a|the} {v}", "{Let|Have} {a|the} {v} {lead|play the melody|carry the tune|take the lead|sing}", "I {like|love|want|prefer} the {v}", "{With|On} {a|the} {v}{|, please}", "{A|The} {v} {please|would be nice|would be great|should lead|plays the tune|takes the melody}",
             "Assign the {melody|tune} to {a|the} {v}", "My favourite is the {v}"),
    "accompaniment": ("{Behind it|In the background|Underneath|As backing|For the chords|As accompaniment}{|, I want| I want| please put|:} {v}", "{Back|Accompany|Support} it {with|by} {v}", "{Use|Take|Put|Add} {v} {in the background|underneath|behind it|for the chords|as accompaniment}", "The {chords|accompaniment|backing} {should be|is|are|must be} {v}", "{v} {should accompany|in the back|backing|behind}", "Backing: {v}", "Let it rest on {v}"),
    "tempo": ("{Tempo|Speed|BPM|The tempo is|Set the tempo to|Tempo should be|Keep it at|Play it at|Make it}{:|} {v}", "{It should|It must|It has to|I want it to} {be|run at|go at|be played at} {v}", "{About|Around|Roughly|Exactly|At} {v}", "The {tempo|speed|pace} {is|should be|must be|has to be} {v}", "{v}{, please| please|}", "Use {a tempo of |}{v}", "Clock it at {v}"),
    "mode": ("{It should be|Make it|Let it be|Keep it|I want it|It must be} in {a |}{v}{ key|}", "{Mode|Key|Tonality}: {v}", "{In|Use} {v}{, please|}", "{Use|Choose} a {v} {key|scale}", "The {key|mode|tonality} {is|should be|must be} {v}", "{v} {key|scale|tonality|mode}{, please|}", "Stay in {v}"),
    "metre": ("{It should be|Make it|Let it be|Keep it|I want it|It must be|Count it|Write it} in {v}", "{Metre|Time signature|Meter|Time sig}: {v}", "{Use|In} {v}{, please|}", "The {time signature|metre|meter|beat} {is|should be|must be} {v}", "{v} {time signature|metre|please}", "I need it in {v}", "Bars of {v}"),
    "key": ("{It should be|Make it|Let it be|Keep it|I want it|It must be|Write it|Set it} in {v}", "{Key:|The key is|Home key:|Key signature:} {v}", "The key {should be|is|must be|has to be} {v}", "{In|Use} {v}{, please|}", "In the key of {v}", "I {sing|play} in {v}{|, so use that key}", "{v} is {my|the} key"),
    "with drums": ("{Add|Include|Use|I want|Put in|Give it} {v}", "{With|And} {v}{, please|}", "{It should|It must|It needs to} have {v}", "Drums: {yes|on}", "{Don't forget|Remember} the {drums|percussion|beat}", "{Drums|Percussion} {please|too|yes|are a must|on}", "Let {v} drive it"),
    "without drums": ("{No|Without|Leave out the|Skip the|Not any} {v}{, please|}", "{It should|It must} {have no|not have any|not contain} {v}", "Drums: {no|none|off}", "{I don't want|I hate|Please no|Don't use|Don't add|Avoid} {v}", "{No|Zero} {v} {at all|anywhere|please|here}", "{Drums|Percussion} {off|are not wanted}", "Spare me the {drums|percussion}"),
    "length": ("{It should|It must|It has to} {last|be} {v}", "{Length|Duration}: {v}", "{Make it {v} long|Let it last {v}}", "{v} {long|in length|of music}", "I need {v} of it", "It may take {v}"),
}
FORM_NAMES: Mapping[str, tuple[str, ...]] = {
    "style": ("genre", "style", "type", "kind"), "mood": ("mood", "feel", "vibe", "feeling"), "pace": ("speed", "pace", "tempo"), "lead": ("lead", "instrument", "solo", "melody", "main instrument"), "accompaniment": ("accompaniment", "backing", "chords", "background"),
    "tempo": ("tempo", "bpm", "speed"), "mode": ("mode", "key", "scale"), "metre": ("metre", "time signature", "meter", "time"), "key": ("key", "key signature"), "drums": ("drums", "percussion", "drum kit"), "length": ("length", "duration"),
}
SINGING = ("with {lyrics|vocals|a singer|a voice|singing|words|a choir|a male singer|a female voice|a rap}", "sung by {a choir|a woman|a man|a famous singer|a child}", "that {I can sing|someone sings|has a chorus with words}", "with {a verse|lyrics} about {love|dogs|summer|my mother|you}", "a cappella", "with backing vocals")
ORCHESTRAS = ("for {a full|a whole|a big|a symphony|an 80-piece|a hundred-piece} orchestra", "with {a full|a huge|a big|a symphony} orchestra", "for {two|three|five|ten|a hundred} {violins|guitars|pianos|trumpets|players}", "for a brass band", "with {every|all} instruments{| at once| you have}", "played by a whole {band|orchestra}")
SILENT = ("{Play|Compose|Write} {|a piece of |some |pure |complete }silence", "{A|One} {song|piece} {without|with no} {any |}{notes|sound|music}", "{Play|Write} nothing", "A silent {song|piece|track}", "{Compose|Make} four minutes of nothing")


@dataclass
class RequestParts:
    """The attributes of a request, and their wording by attribute."""

    wish: dict[str, Any] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)  # attribute (of CLAUSES, "mood", "pace", "style") -> value in words
    extra: list[str] = field(default_factory=list)  # clauses without a value
    note: str = ""


def an(words: str) -> str:
    return f"{'an' if words[:1].lower() in 'aeio' else 'a'} {words}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def with_article(text: str) -> str:
    """"a an organ" and "a a piano" come of joining; "with a a pad" is one article too many."""
    words = text.split(" ")
    kept = [word for place, word in enumerate(words) if not (word.lower() in ("a", "the", "no", "any") and place + 1 < len(words) and words[place + 1] in ("a", "an", "the"))]
    kept = [f"{word}n" if (word == "a" or (word == "A" and not place)) and place + 1 < len(kept) and kept[place + 1][:1].lower() in ("a", "e", "i", "o") else word for place, word in enumerate(kept)]
    return " ".join(word for word in kept if word)


# -- what is asked for ---------------------------------------------------------------------------------------------


def sample_parts(rng: np.random.Generator, share: Mapping[str, float]) -> RequestParts:
    """Samples attributes, each with its probability, with values and wording."""
    parts = RequestParts()
    names = [name for name in share if name != "odd" and chance(rng, share[name])]
    odd = chance(rng, share.get("odd", 0.0))
    if "key" in names:
        names = [name for name in names if name != "mode"]
    for name in names:
        _SAMPLERS[name](rng, parts)
    if odd:
        choose(rng, _IMPOSSIBLE_SAMPLERS)(rng, parts)
    return parts


def _mood(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.words["mood"] = mood = choose(rng, _MOOD_NAMES)
    parts.wish |= MOODS[mood]


def _style(rng: np.random.Generator, parts: RequestParts) -> None:
    if chance(rng, 0.45):
        style = choose(rng, STYLES)
        parts.words["style"] = choose(rng, synonyms.STYLE_NOUNS[style])
    else:
        name = choose(rng, _STYLE_NAMES)
        style = STYLE_NAMES[name]
        parts.words["style"] = name if name in WHOLE_NAMES else f"{name} {choose(rng, ('piece', 'tune', 'track', 'song', 'number', 'thing', 'music'))}"
    parts.wish["style"] = style


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
    if "mode" in parts.wish:  # a happy piece in minor would contradict itself
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
    parts.wish["mode"] = mode or parts.wish.get("mode", "major")
    if mode and "mood" in parts.words and MOODS[parts.words["mood"]].get("mode", mode) != mode:
        del parts.words["mood"]
    parts.words["key"] = synonyms.key(rng, place, mode)


_MOOD_NAMES, _PACE_NAMES, _STYLE_NAMES, _LEADS = tuple(MOODS), tuple(PACES), tuple(STYLE_NAMES), tuple(LEADS)
_SAMPLERS = {"mood": _mood, "style": _style, "pace": _pace, "lead": _lead, "accompaniment": _accompaniment, "tempo": _tempo, "mode": _mode, "metre": _metre,
          "drums": _drums, "key": _key}


# -- what cannot be had --------------------------------------------------------------------------------------------


def impossible_tempo(rng: np.random.Generator) -> tuple[int, str]:
    """A tempo outside the range, and the note about it."""
    if chance(rng, 0.55):
        number, note = int(choose(rng, (190, 200, 210, 220, 240, 250, 300, 350, 400, 450, 500, 600, 666, 750, 800, 900, 999, 1000, 1500, 2000, 3000, 5000, 10000, 100000))), lore.TOO_FAST
    else:
        number, note = int(rng.integers(0, TEMPI[0] - 1)), lore.TOO_SLOW
    return number, note.format(tempo=even_tempo(number))


def _impossible_tempo(rng: np.random.Generator, parts: RequestParts) -> None:
    number, parts.note = impossible_tempo(rng)
    parts.words.pop("pace", None)
    parts.words["tempo"], parts.wish["tempo"] = synonyms.beats(rng, number), even_tempo(number)


def _impossible_lead(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.words["lead"] = name = choose(rng, tuple(SUBSTITUTES))
    parts.wish["lead"] = SUBSTITUTES[name]
    if chance(rng, 0.25):
        parts.words["lead"] = f"{choose(rng, ('bass', 'old', 'Scottish', 'electric', 'tiny', 'golden', 'wild', 'solo'))} {name}"
    parts.note = lore.NO_INSTRUMENT.format(wanted=name, lead=parts.wish["lead"])
    if parts.wish.get("accompaniment") == parts.wish["lead"]:
        del parts.wish["accompaniment"], parts.words["accompaniment"]


def _impossible_metre(rng: np.random.Generator, parts: RequestParts) -> None:
    name = choose(rng, synonyms.UNKNOWN_METRES) if chance(rng, 0.6) else f"{int(rng.integers(5, 40))}/{choose(rng, (2, 4, 8, 16, 13, 7))}"
    parts.words["metre"], parts.wish["metre"] = name, 3 if name in synonyms.IN_THREE else 4
    parts.note = lore.NO_METRE.format(metre=parts.wish["metre"])


def _impossible_length(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.words["length"], possible = synonyms.length(rng)
    parts.note = lore.LENGTH if possible else lore.TOO_LONG


def _impossible_key(rng: np.random.Generator, parts: RequestParts) -> None:
    name, mode = choose(rng, tuple(synonyms.UNKNOWN_KEYS)), choose(rng, MODES)
    for other in ("mode", "mood"):
        parts.words.pop(other, None)
    parts.wish["key"], parts.wish["mode"], parts.words["key"] = synonyms.UNKNOWN_KEYS[name], mode, f"{name} {mode}"
    parts.note = lore.NO_KEY.format(wanted=name, key=KEYS[parts.wish["key"]])


def _impossible_voice(rng: np.random.Generator, parts: RequestParts) -> None:
    parts.extra.append(say(rng, SINGING))
    parts.note = lore.NO_VOICE


def _impossible_orchestra(rng: np.random.Generator, parts: RequestParts) -> None:
    for name in ("lead", "accompaniment"):
        parts.words.pop(name, None)
        parts.wish.pop(name, None)
    parts.extra.append(say(rng, ORCHESTRAS))
    parts.wish["accompaniment"] = "strings"
    parts.note = lore.NO_ORCHESTRA


_IMPOSSIBLE_SAMPLERS = (_impossible_tempo, _impossible_tempo, _impossible_lead, _impossible_lead, _impossible_metre, _impossible_metre, _impossible_length, _impossible_key, _impossible_voice, _impossible_orchestra)


# -- how it is said ------------------------------------------------------------------------------------------------


def clause(rng: np.random.Generator, name: str, words: str, held_out: bool) -> str:
    return with_article(pick(rng, CLAUSES[name], held_out).replace("{v}", words))


def sentence(rng: np.random.Generator, name: str, words: str, held_out: bool) -> str:
    return capital(with_article(pick(rng, SENTENCES[name], held_out).replace("{v}", words)))


def phrase(rng: np.random.Generator, parts: RequestParts, held_out: bool) -> tuple[str, bool]:
    """The request in words, and whether it is a noun phrase that fits any pattern."""
    form = rng.random()
    if form < 0.58 or len(parts.words) < 2:
        return _noun_phrase(rng, parts, parts.words, held_out), True
    if form < 0.80:
        names = list(parts.words)
        later = [name for name in names if name in SENTENCES and chance(rng, 0.6)]
        later = later or [name for name in names if name in SENTENCES][:1]
        if not later:
            return _noun_phrase(rng, parts, parts.words, held_out), True
        first = _noun_phrase(rng, parts, {name: parts.words[name] for name in names if name not in later}, held_out)
        return first + choose(rng, (". ", ". ", ", ", "; ", ", and ")) + choose(rng, (". ", ". ", ", ", "; ")).join(sentence(rng, name, parts.words[name], held_out) for name in later), True
    if form < 0.93:
        return _list(rng, parts), False
    return _form(rng, parts), False


def _noun_phrase(rng: np.random.Generator, parts: RequestParts, words: Mapping[str, str], held_out: bool) -> str:
    adjectives = [words[name] for name in ("mood", "pace") if name in words]
    if len(adjectives) > 1 and chance(rng, 0.5):
        adjectives.reverse()
    noun = words.get("style") or choose(rng, NOUNS)
    names = [name for name in words if name in CLAUSES]
    if "mode" in words and chance(rng, 0.1):
        adjectives.append(words["mode"])
        names.remove("mode")
    if "lead" in words and chance(rng, 0.35):  # "a sad piano piece"
        noun, names = f"{words['lead']} {noun}", [name for name in names if name != "lead"]
    if "tempo" in words and chance(rng, 0.12):  # "a 120 bpm track"
        adjectives.insert(0, words["tempo"])
        names.remove("tempo")
    clauses = [clause(rng, name, words[name], held_out) for name in _shuffled(rng, names)] + parts.extra
    head = choose(rng, (" ", " ", ", ")).join(adjectives) + (" " if adjectives else "") + noun
    if chance(rng, 0.07):  # "something slow with a harp"
        head = "something " + choose(rng, (" and ", ", ")).join(adjectives or ["nice"]) + (f", {an(noun)}" if "style" in words or noun.split(" ")[0] in words.get("lead", "").split(" ") else "")
    elif chance(rng, 0.85):
        head = head if noun.split(" ")[-1] == "music" else an(head)
    if clauses and chance(rng, 0.06):  # "with a harp and no drums, a slow piece"
        return " and ".join(clauses) + ", " + head
    return choose(rng, (" ", " ", ", ")).join([head, *clauses[:-1]]) + (choose(rng, (" ", " ", ", ", " and ")) + clauses[-1] if clauses else "")


def _shuffled(rng: np.random.Generator, names: Sequence[str]) -> list[str]:
    return [names[place] for place in rng.permutation(len(names))]


def _list(rng: np.random.Generator, parts: RequestParts) -> str:
    """"jazz, sax, 120 bpm, no drums"."""
    words = dict(parts.words)
    if "style" in words and words["style"].split(" ")[-1] in ("piece", "tune", "track", "song", "number", "thing", "music"):
        words["style"] = words["style"].rsplit(" ", 1)[0]
    tags = [{"with drums": "{v}", "without drums": choose(rng, ("no {v}", "without {v}", "no {v}", "zero {v}"))}.get(name, "{v}").replace("{v}", text) for name, text in words.items()]
    return with_article(choose(rng, (", ", ", ", " ", " / ", "; ", " + ", " - ")).join(_shuffled(rng, [*tags, *parts.extra])))


def _form(rng: np.random.Generator, parts: RequestParts) -> str:
    """"genre: jazz; lead: sax"."""
    mark, gap = choose(rng, (": ", "=", " = ", ":", " - ")), choose(rng, (", ", "; ", "\n", " / ", ". "))
    fields = []
    for name, text in parts.words.items():
        label = choose(rng, FORM_NAMES["drums" if name.endswith("drums") else name])
        value = (("yes", "on", text) if name == "with drums" else ("no", "none", "off")) if name.endswith("drums") else (text,)
        fields.append(f"{label}{mark}{choose(rng, value)}")
    return gap.join([*_shuffled(rng, fields), *parts.extra])


def shares(rng: np.random.Generator) -> dict[str, float]:
    """Random probabilities with which a request names each attribute."""
    names = ("mood", "style", "pace", "lead", "accompaniment", "tempo", "mode", "metre", "drums")
    share = dict.fromkeys(names, choose(rng, (0.15, 0.3, 0.45, 0.75)))
    share["style"], share["lead"] = max(share["style"], 0.4), max(share["lead"], 0.4)
    return share | {"key": 0.14, "odd": 0.1}


def addition(rng: np.random.Generator, held_out: bool) -> tuple[str, RequestParts]:
    """One additional attribute of music for a picture, a clip or an occasion: "with a violin"."""
    parts = RequestParts()
    _SAMPLERS[choose(rng, ("lead", "lead", "tempo", "mode", "metre", "drums", "key", "accompaniment"))](rng, parts)
    name, words = next(iter(parts.words.items()))
    return clause(rng, name, words, held_out), parts


def patterns() -> dict[str, Sequence[str]]:
    """Every list of patterns for requests, by name."""
    clauses: dict[str, Sequence[str]] = {f"clause {name}": frames for name, frames in CLAUSES.items()}
    return clauses | {f"sentence {name}": frames for name, frames in SENTENCES.items()}
