"""Requests for music in words: attributes, their wording, and notes about impossible ones.

A request is a noun phrase with clauses, a noun phrase with sentences after it, a list of words, or a filled-in form. Every
attribute has its own clauses and sentences, the last sixth of each kept for testing (wording.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from DataSet.synthesis.captions import NEUTRAL
from DataSet.synthesis.request_parts import RequestParts, sample_one, sample_parts
from DataSet.synthesis.wording import chance, choose, pick

__all__ = ["addition", "an", "capital", "clause", "patterns", "phrase", "sample_parts", "sentence", "shares", "with_article"]

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
    "use": ("for {v}", "{as background|as a soundtrack|as music} for {v}", "that {fits|suits} {v}", "to {go with|accompany} {v}", "{meant|made|right} for {v}", "{for|about} {v}", "to be played at {v}"),
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
    "tempo": ("tempo", "bpm", "speed"), "mode": ("mode", "key", "scale"), "metre": ("metre", "time signature", "meter", "time"), "key": ("key", "key signature"), "drums": ("drums", "percussion", "drum kit"), "length": ("length", "duration"), "use": ("purpose", "use", "for", "occasion"),
}
SILENT = ("{Play|Compose|Write} {|a piece of |some |pure |complete }silence", "{A|One} {song|piece} {without|with no} {any |}{notes|sound|music}", "{Play|Write} nothing", "A silent {song|piece|track}", "{Compose|Make} four minutes of nothing")


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
    if "style" in words and words["style"] != parts.genre and words["style"].split(" ")[-1] in ("piece", "tune", "track", "song", "number", "thing", "music"):
        words["style"] = words["style"].rsplit(" ", 1)[0]
    tags = [{"with drums": "{v}", "use": choose(rng, ("for {v}", "for {v}", "{v}")), "without drums": choose(rng, ("no {v}", "without {v}", "no {v}", "zero {v}"))}.get(name, "{v}").replace("{v}", text) for name, text in words.items()]
    return with_article(choose(rng, (", ", ", ", " ", " / ", "; ", " + ", " - ", ". ", ",", " but ", " & ")).join(_shuffled(rng, [*tags, *parts.extra])))


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
    names = ("use", "mood", "style", "pace", "lead", "accompaniment", "tempo", "mode", "metre", "drums")
    share = dict.fromkeys(names, choose(rng, (0.15, 0.3, 0.45, 0.75)))
    share["style"], share["lead"] = max(share["style"], 0.4), max(share["lead"], 0.4)
    share["use"] *= 0.4
    return share | {"key": 0.14, "avoid": 0.16, "odd": 0.14}


def addition(rng: np.random.Generator, held_out: bool) -> tuple[str, RequestParts]:
    """One additional attribute of music for a picture, a clip or an occasion: "with a violin"."""
    parts = sample_one(rng, choose(rng, ("lead", "lead", "tempo", "mode", "metre", "drums", "key", "accompaniment")))
    name, words = next(iter(parts.words.items()))
    return clause(rng, name, words, held_out), parts


def patterns() -> dict[str, Sequence[str]]:
    """Every list of patterns for requests, by name."""
    clauses: dict[str, Sequence[str]] = {f"clause {name}": frames for name, frames in CLAUSES.items()}
    return clauses | {f"sentence {name}": frames for name, frames in SENTENCES.items()}
