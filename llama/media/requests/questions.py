"""Grammar of questions about a piece that its notes answer: which fact a question asks for, if it is understood as a whole.

Each pattern matches a whole question, in lower case, without courtesies and question mark. What none matches goes to the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from llama.media.requests.plain_text import plain, without_courtesies
from llama.media.requests.vocabulary import KEY, NUMBER, SPAN
from llama.media.score import ACCOMPANIMENTS, LEADS

MAX_LENGTH = 300  # characters of a question
OTHER_INSTRUMENTS = (  # that no piece has
    "accordion", "bagpipes?", "banjo", "bassoon", "bells?", "brass", "celesta", "choir", "cymbals?", "double bass", "fiddle",
    "glockenspiel",
    "gong", "harmonica", "harpsichord", "horns?", "mandolin", "oboe", "piccolo", "recorder", "singer", "singing", "sitar", "timpani",
    "triangle", "trombone", "tuba", "ukulele", "vibraphone", "viola", "vocals?", "voices?", "vocalist", "xylophone",
)  # fmt: skip
PLAYERS = {"saxophone": r"sax(?:ophone)?", "synthesizer": r"synth(?:esi[sz]er)?", "pad": r"(?:soft )?pad"}
INSTRUMENT = "|".join([*(rf"{PLAYERS.get(name, name)}s?" for name in dict.fromkeys((*LEADS, *ACCOMPANIMENTS))), *OTHER_INSTRUMENTS])
PART = r"drums?|drummer|drum kit|percussion|beat|bass(?: ?line| guitar| part)?|melody|tune|lead|accompaniment|backing|chords"

NOUN = r"(?:piece|song|track|tune|music|recording|thing|result|one|score|composition)"
IT = rf"(?:it|this|that|these|those|they|(?:the|this|that|my|your) (?:\w+ )?{NOUN})"
HERE = (
    rf"(?: (?:here|there|now|again|{IT} have|in {IT}|of {IT}|for {IT}|on {IT}|is {IT}|does {IT} (?:have|use)"
    r"|(?:did|do) you (?:use|pick|choose|hear)))?"
)
THE = r"(?:the |its |all the )?"
GIVE = (
    r"(?:what(?:'s| is| are| were)|which (?:is|are)|give me|show me|list|name|say|write(?: down| out)?|tell me"
    r"|i (?:need|want|would like)) "
)
THING = rf"(?:{GIVE}(?:the |its |all the |all its )|{THE})"  # "what is tempo" is no question about a piece
PROGRESSION = r"(?:chords?|chord (?:progression|sequence|chart|sheet|symbols?|names?|changes)|progression|changes|harmony|harmonies)"
METRE = r"(?:metre|meter|time signature|beat count)"
STYLE = r"(?:ballad|rock(?: song)?|dance(?: track)?|waltz|swing(?: tune)?|ambient(?: piece)?)"
TUNE = r"(?:melody|tune|lead|theme|solo|main part)"

QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (  # fact -> patterns
    ("chords", (
        rf"(?:which|what) chords?(?: (?:are|is|were) {IT}| (?:are|were) (?:there|used|played)| does {IT} (?:have|use)"
        rf"| (?:do|did|can) (?:you|i|we) (?:hear|play|use|have))?{HERE}",
        rf"{THING}{PROGRESSION}{HERE}", rf"(?:which|what) {PROGRESSION} (?:is|are|does) {IT}(?: have| use)?",
        rf"(?:which|what) chords (?:do i|should i|can i) play(?: to| along| with| over)?(?: {IT})?",
        rf"how (?:does|do) {THE}(?:chords?|harmony|chord progression) go{HERE}")),
    ("chords", (
        rf"{THING}{PROGRESSION} (?:in|of|for|from|during) {SPAN}",
        rf"(?:which|what) chords (?:are(?: there)? (?:in|used in)|does|do) {SPAN}(?: have)?")),
    ("chord", (
        rf"(?:which|what) (?:chord|harmony) (?:is|comes|plays|sounds|is played) (?:in|at|on) (?:bar|measure) (?P<bar>{NUMBER})",
        rf"{GIVE}the chord (?:in|at|of|on) (?:bar|measure) (?P<bar>{NUMBER})", rf"{GIVE}the (?P<edge>first|last) chord{HERE}",
        rf"(?:which|what) chord does {IT} (?P<edge>start|begin|end|finish) (?:with|on)")),
    ("key", (
        rf"(?:which|what) (?:key|tonality|key signature)(?: (?:is|are|was) {IT}(?: in)?)?{HERE}",
        rf"in (?:which|what) key(?: is {IT}| are we)?",
        rf"{THING}(?:key|tonality|key signature)(?: is {IT} in)?{HERE}", r"(?:which|what) key are we in", rf"what is {IT} in",
        rf"(?:which|what) key {IT} is in")),
    ("key is", (rf"(?:is|are) {IT} in (?:the key of )?(?P<key>{KEY})(?: (?P<mode>major|minor))?",)),
    ("mode", (
        rf"(?:(?:is|are) {IT} (?:in )?(?:a )?)?(?:major or (?:a )?minor|minor or (?:a )?major)(?: key)?",)),
    ("mode is", (rf"(?:is|are) {IT} (?:in )?(?:a )?(?P<mode>major|minor)(?: key)?",)),
    ("tempo", (
        rf"how (?:fast|quick|slow) (?:is|are|was) {IT}", rf"how (?:fast|slow) does {IT} go", rf"how (?:fast|slow) {IT} is",
        rf"{THING}(?:tempo|bpm|speed|pace){HERE}",
        rf"(?:which|what|at what|at which) (?:tempo|bpm|speed|pace)(?: (?:is|was) {IT}(?: in| at)?)?{HERE}",
        rf"how many (?:bpm|beats (?:per|a) minute)(?: (?:is|are) {IT})?{HERE}")),
    ("tempo is", (rf"(?:is|are) {IT} (?P<way>faster|slower|quicker) than (?P<tempo>{NUMBER})(?: ?(?:bpm|beats (?:per|a) minute))?",)),
    ("metre", (
        rf"{THING}{METRE}{HERE}", rf"(?:in )?(?:which|what) {METRE}(?: is {IT}(?: in)?)?{HERE}",
        rf"(?:which|what) time is {IT} in",
        r"how many beats (?:are there |does it have )?(?:in|per|to|has) (?:a|each|the|every|one) (?:bar|measure)",
        rf"(?:is|are) {IT} in (?:three|3|3/4|three four) or (?:in )?(?:four|4|4/4|four four)")),
    ("metre is", (rf"(?:is|are) {IT} in (?P<metre>3/4|4/4|three four|four four|waltz time|common time)",)),
    ("bars", (
        rf"how many (?:bars|measures) (?:has|have|is|does) {IT}(?: got| have got)?(?: now)?",
        rf"how many (?:bars|measures)(?: (?:long )?(?:is|are|has|does|do) {IT}(?: have| last| long)?| are there)?{HERE}",
        rf"how long is {IT} in (?:bars|measures)", rf"{THING}number of (?:bars|measures){HERE}")),
    ("length", (
        rf"how long {IT} is", rf"how long (?:is|are|was) {IT}(?: now)?(?: in (?:seconds|minutes))?",
        rf"how long (?:does|do) {IT} (?:last|take|go(?: on)?|run|play)",
        rf"how many (?:seconds|minutes)(?: (?:long )?(?:is|are|does) {IT}(?: have| last| long)?)?{HERE}",
        rf"{THING}(?:length|duration){HERE}")),
    ("instruments", (
        rf"(?:which|what) instruments(?: (?:play|are playing|are there|are (?:used|playing|heard)|are {IT}|are in {IT}"
        rf"|can (?:i|you|be) (?:hear|heard)|do you hear|do i hear|is {IT} (?:for|played on)|does {IT} (?:have|use|need)"
        rf"|did you use))?{HERE}",
        rf"who(?:'s| is)? play(?:s|ing){HERE}", rf"{THING}instruments{HERE}", rf"what (?:plays|is playing){HERE}",
        rf"(?:which|what) (?:parts|tracks|voices) (?:are there|does {IT} have|play)")),
    ("lead", (
        rf"(?:which|what) instrument (?:plays|has|carries|is playing|leads|takes) {THE}{TUNE}{HERE}",
        rf"(?:who|what) (?:plays|has|carries|leads|is playing) {THE}{TUNE}{HERE}",
        rf"{GIVE}the (?:lead|main|melody|solo) instrument{HERE}", rf"(?:which|what) is the (?:lead|main|melody|solo) instrument{HERE}")),
    ("accompaniment", (
        rf"(?:who|what|which instrument) (?:plays|has|is playing) {THE}(?:chords|accompaniment|backing|background|harmony){HERE}",
        r"(?:who|what|which instrument) (?:accompanies|is in the background|plays in the background)(?: (?:it|the melody|the tune))?")),
    ("has", (
        rf"(?:is|are|was|were) there (?:a |an |any |some |the )?(?P<thing>{PART}|{INSTRUMENT})(?: playing| part)?{HERE}",
        rf"(?:does|do|did) {IT} (?:have|use|contain|include) (?:a |an |any |some |the )?(?P<thing>{PART}|{INSTRUMENT})(?: part)?(?: now)?",
        rf"(?:do|can) (?:you|i) hear (?:a |an |any |some |the )?(?P<thing>{PART}|{INSTRUMENT}){HERE}",
        rf"(?:is|are) (?:a |an |any |the )?(?P<thing>{PART}|{INSTRUMENT}) (?:playing|in {IT}|there|in there){HERE}",
        rf"(?:has|have) {IT} (?:got )?(?:a |an |any )?(?P<thing>{PART}|{INSTRUMENT})", rf"any (?P<thing>{PART}|{INSTRUMENT}){HERE}")),
    ("style", (
        rf"(?:which|what) (?:style|genre)(?: is {IT})?{HERE}", rf"{THING}(?:style|genre){HERE}",
        rf"(?:which|what) (?:kind|sort|type) of (?:music|piece|song|dance) is {IT}")),
    ("style is", (rf"(?:is|are) {IT} (?:a |an )?(?P<style>{STYLE})",)),
)  # fmt: skip
_COMPILED = tuple((name, re.compile(pattern)) for name, patterns in QUESTIONS for pattern in patterns)
CHORDS = frozenset({"chords", "chord"})


@dataclass(frozen=True)
class Question:
    """One question. fact: what it asks for, a name of QUESTIONS; values: what it names, such as the part that may be there."""

    fact: str
    values: Mapping[str, str | None]


def read_questions(text: str) -> tuple[Question, ...]:
    """The questions of a text about a piece; none if any of it is something else."""
    if len(text) > MAX_LENGTH:
        return ()
    found: list[Question] = []
    for sentence in filter(None, (part.strip(" ,") for part in re.split(r"[?!;\n]+|(?<!\d)[.](?!\d)", plain(text)))):
        questions = _read_sentence(sentence)
        if not questions:
            return ()
        found += questions
    return tuple(found)


def asks_for_facts(text: str) -> bool:
    """Whether a text asks for facts about a piece and nothing else."""
    return bool(read_questions(text))


def asks_for_chords(text: str) -> bool:
    """Whether a text asks for chords and nothing else."""
    questions = read_questions(text)
    return bool(questions) and all(question.fact in CHORDS for question in questions)


def _read_sentence(sentence: str) -> list[Question]:
    """The questions of a sentence: as a whole, or joined by "and"; none if one is not understood."""
    if (question := _read(sentence)) is not None:
        return [question]
    parts = re.split(r",? and |, ", sentence)
    questions = [_read(part) for part in parts] if len(parts) > 1 else []
    return [question for question in questions if question] if all(questions) else []


def _read(clause: str) -> Question | None:
    for stage in without_courtesies(clause):
        for name, pattern in _COMPILED:
            if match := pattern.fullmatch(stage):
                return Question(name, match.groupdict())
    return None
