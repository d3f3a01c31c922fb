"""Guards: checks of what a writer or captioner said, each a pure function that returns one sentence, or None for a good text.

Published sets took what the language model gave: at temperature 1.9, without a look. A guard's name is the rule that an outcome records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from DataSet.pipeline.edit_words import OPPOSITES, EditFacts, directions, negates_direction
from DataSet.pipeline.quantities import Quantity, quantities
from llama.errors import comma_list, quoted

COPIED_WORDS = 7  # consecutive words of a prompt that make a copy
DRUMS = frozenset(("with drums", "without drums"))
ASCII_SHARE = 0.9  # of the letters
WORDS_WITHOUT_FUNCTION = 6  # "Melancholic violin solo, reverberant strings" is English, too
_TOKEN = re.compile(r"[\w#]+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_REFUSALS = re.compile(
    r"\b(?:i'?m sorry|i am sorry|i apologi[sz]e|as an? (?:ai|artificial|language|large)|language model|i (?:cannot|can't|can not|am unable to|'m unable to|am not able to)"
    r"|unable to (?:assist|help|comply|provide|listen|hear|see|view)|i (?:do not|don't) have (?:access|the ability)|not able to (?:listen|hear|see|view|assist|help))", re.I)
_MARKS = re.compile(
    r"\[/?INST\]|<</?SYS>>|</?s>|<\|[^|>]*\|>|<(?:image|video|audio|pad|unk|eos|bos)>|<start_of_turn>|<end_of_turn>|###|```|\[AUD\d\]"
    r"|^\W*(?:user|assistant|human|gpt|ai|bot|system|response|instruction|answer|output|input|caption)\s*:", re.I | re.M)
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*$")
_DANGLING = re.compile(r"\b(?:a|an|the|and|or|but|of|with|its|than|my|your|their)[.!?]?$", re.I)
_QUOTES = "\"“”„«»`"
ENGLISH = frozenset("""
    a about accompanied add added all an and are as at back backing be beat but by calm can change chords compose could create drums fast faster feels for from generate give goes has have hear
    here high higher how i in instead into is it its key let like loud louder low lower major make makes me melody minor mood more music my no of on original over
    pace piece pitch play played plays please put raise recording reverse same semitones set shows slow slower soft softer song sound speed tempo than that the them then there this time times to
    track turn under up what which while with without write you your
""".split())  # fmt: skip
FOREIGN = frozenset("""
    aber au auch auf aus avec bitte che con cette ce dans das de dem den der des die du een ein eine einen el en es est et gli het ich il ist je la las le les los mach mais mit musique musik
    nicht nous o oder para per por pour que qui schneller sehr si sie sur tempo und un una une van voor von vous wir y zu zum
""".split()) - {"tempo"}  # fmt: skip


@dataclass(frozen=True)
class Expectation:
    """What a text must be. openings: it begins with one of these, if there are any. wording: of the prompt, which it must not repeat.

    edit: what it must keep of an edit. facts: texts whose numbers it may name beside those of the edit; None allows any number.
    """

    min_words: int = 3
    max_words: int = 120
    openings: tuple[str, ...] = ()
    wording: str = ""
    edit: EditFacts | None = None
    facts: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a text is not taken: the guard's name, and its sentence."""

    rule: str
    why: str


Guard = Callable[[str, Expectation], str | None]


def words(text: str) -> list[str]:
    """The words of a text in lower case, without numbers and marks."""
    return [word.lower() for word in _WORD.findall(text)]


def empty(text: str, expectation: Expectation) -> str | None:
    """Nothing was said, or the word for nothing."""
    if not isinstance(text, str) or not text.strip() or text.strip().strip(".").lower() in ("null", "none", "nan", "n/a", "undefined"):
        return f"The text is empty ({quoted(text)})."
    return None


def one_line(text: str, expectation: Expectation) -> str | None:
    """Line breaks: lists, several proposals, notes below the answer."""
    lines = len(text.splitlines())
    return f"The text has {lines} lines; one is asked for." if lines > 1 else None


def length(text: str, expectation: Expectation) -> str | None:
    """Too few or too many words."""
    count = len(text.split())
    if expectation.min_words <= count <= expectation.max_words:
        return None
    return f"The text has {count} words; {expectation.min_words} to {expectation.max_words} are asked for."


def refusal(text: str, expectation: Expectation) -> str | None:
    """The model talks about what it cannot do."""
    match = _REFUSALS.search(text.replace("’", "'"))
    return f"The writer refuses ({quoted(match[0])})." if match else None


def chat_marks(text: str, expectation: Expectation) -> str | None:
    """Marks of a chat template or of a dialogue's roles."""
    match = _MARKS.search(text)
    return f"The text holds a mark of a chat ({quoted(match[0])})." if match else None


def copy(text: str, expectation: Expectation) -> str | None:
    """A stretch of the prompt's own wording."""
    said, asked = words(text), words(expectation.wording)
    runs = {tuple(asked[place : place + COPIED_WORDS]) for place in range(len(asked) - COPIED_WORDS + 1)}
    for place in range(len(said) - COPIED_WORDS + 1):
        if tuple(said[place : place + COPIED_WORDS]) in runs:
            return f"The text repeats the prompt ({quoted(' '.join(said[place : place + COPIED_WORDS]))})."
    return None


def quotes(text: str, expectation: Expectation) -> str | None:
    """Quotation marks around the text, or one without its other."""
    marks = sum(text.count(mark) for mark in _QUOTES)
    if marks % 2 or text.strip()[:1] in _QUOTES + "'":
        return "The text stands in quotation marks, or has one without its other."
    return None


def sentence(text: str, expectation: Expectation) -> str | None:
    """Cut in mid-sentence: no mark at the end, or a last word that needs another."""
    text = text.strip()
    if text.endswith(("...", "…")) or not _SENTENCE_END.search(text) or _DANGLING.search(text):
        return f"The text does not end as a sentence ({quoted(text[-30:])})."
    return None


def language(text: str, expectation: Expectation) -> str | None:
    """Another language than English: other letters, or other function words."""
    letters = [character for character in text if character.isalpha()]
    said = words(text)
    english, foreign = (sum(word in known for word in said) for known in (ENGLISH, FOREIGN))
    if letters and sum(map(str.isascii, letters)) < ASCII_SHARE * len(letters):
        return "The text is mostly in letters that English does not use."
    if foreign > english or (len(said) > WORDS_WITHOUT_FUNCTION and not english):
        return f"The text is not in English ({english} English and {foreign} other function words)."
    return None


def opening(text: str, expectation: Expectation) -> str | None:
    """It begins otherwise than asked."""
    if not expectation.openings or text.strip().lower().startswith(tuple(start.lower() for start in expectation.openings)):
        return None
    return f"The text begins with {quoted(text.strip()[:20])}; it is to begin with {' or '.join(map(repr, expectation.openings))}."


def direction(text: str, expectation: Expectation) -> str | None:
    """The direction of the edit is lost, turned or negated: faster and slower, higher and lower, with and without.

    Without an edit: the text says "with drums" where the facts say "without drums", or the other way round.
    """
    named = directions(text)
    if expectation.edit is None:
        known = frozenset().union(*map(directions, expectation.facts or ())) & DRUMS
        return f"The text says {next(iter(DRUMS - known))}; the facts do not." if len(known) == 1 and named & DRUMS - known else None
    for wanted in expectation.edit.directions:
        if wanted not in named:
            return f"The text does not say {wanted} (it says {comma_list(sorted(named)) or 'no direction'})."
    turned = sorted(name for name in named if OPPOSITES.get(name) in expectation.edit.directions and name not in expectation.edit.directions)
    other = sorted(name for name in named & set(OPPOSITES) if name not in expectation.edit.directions)
    if turned or other:
        return f"The text says {(turned or other)[0]}, which was not asked for."
    if expectation.edit.directions and negates_direction(text):
        return "The text says in which direction not to go."
    return None


def term(text: str, expectation: Expectation) -> str | None:
    """A name that the edit asks for is missing: its instrument, style, key or mode."""
    said = _spaced(text)
    for names in expectation.edit.terms if expectation.edit else ():
        if not any(_spaced(name) in said for name in names):
            return f"The text does not name {names[0]}."
    return None


def _spaced(text: str) -> str:
    """The words and numbers of a text in lower case between blanks, so that a name is found as whole words."""
    return f" {' '.join(re.findall(_TOKEN, text.lower()))} "


def number(text: str, expectation: Expectation) -> str | None:
    """A number of the edit is lost or turned, in value, unit or sign: 1.5x is not 0.67x, cents are no semitones."""
    if expectation.edit is None:
        return None
    named = quantities(text)
    for wanted in expectation.edit.quantities:
        if not any(wanted.equals(quantity) for quantity in named):
            return f"The text does not say {wanted} (it says {comma_list(map(str, named)) or 'no number'})."
    if re.search(r"(?<!\w)(?:[-−–]|minus )\s?\d", text) and not {"lower", "softer"} & set(expectation.edit.directions):
        return "The text gives a number below zero, which was not asked for."
    return None


def other_number(text: str, expectation: Expectation) -> str | None:
    """A number that is in none of the texts given."""
    if expectation.facts is None:
        return None
    known = [*(expectation.edit.quantities if expectation.edit else ()), *(quantity for fact in expectation.facts for quantity in quantities(fact))]
    for quantity in quantities(text):
        if not _is_known(quantity, known):
            return f"The text says {quantity}, which it was not given."
    return None


def _is_known(quantity: Quantity, known: Sequence[Quantity]) -> bool:
    return any(quantity.equals(other) for other in known)


GUARDS: tuple[Guard, ...] = (
    empty, one_line, chat_marks, refusal, length, copy, quotes, sentence, language, opening, direction, term, number, other_number,
)  # fmt: skip
RULES = tuple(guard.__name__ for guard in GUARDS)


def check(text: str, expectation: Expectation) -> Refusal | None:
    """The first guard that refuses the text; None for a good one."""
    for guard in GUARDS:
        if why := guard(text, expectation):
            return Refusal(guard.__name__, why)
    return None


def tidy(text: str | None) -> str:
    """The text without blanks around it, and without quotation marks around the whole: what a writer adds without harm."""
    text = (text or "").strip()
    if len(text) > 2 and text[0] in "\"“'`" and text[-1] in "\"”'`" and not any(mark in text[1:-1] for mark in _QUOTES):
        text = text[1:-1].strip()
    return text
