"""Which of the shown choices an answer gives: by its letter, by the text of a choice, or by words that one choice alone has.

An answer that names none, or more than one, is unanswered: it counts as wrong and is reported apart, since "no choice recognised" is
not "knows less than nothing". The rules of the published benchmarks are in `official_choices`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import ascii_uppercase

LETTER = r"(?P<letter>[A-Za-z])"
END = r"(?=\s*(?:[.,:;!?)\]]|$))"  # after a letter that stands for itself, not for an article or a key
LEAD = r"\b(?:answer|option|choice)[\s:=\"']*(?:(?:is|would\s+be|must\s+be)\b)?[\s:=\"']*(?:option\s+|choice\s+)?[(\[]?"
AFTER_LEAD = re.compile(rf"{LEAD}{LETTER}\b{END}", re.IGNORECASE)
BRACKETED = re.compile(rf"(?<![\w)])[(\[]\s*{LETTER}\s*[)\]]")
LEADING = re.compile(rf"^\s*{LETTER}\s*(?:[):\]]|\.(?=\s|$))", re.MULTILINE)
LISTED = re.compile(r"[A-Za-z](?:\s*(?:,|/|&|\band\b|\bor\b)+\s*[A-Za-z])*[.!]?", re.IGNORECASE)
ALONE = re.compile(r"\b[A-Za-z]\b")
WORD = re.compile(r"[a-g][\s-]+(?:sharp|flat)\b|[^\W_]+[#♯♭]?")  # in lower case; "b flat" is one word, or it would be B
ACCIDENTALS = (("♯", "#"), ("♭", "b"), ("sharp", "#"), ("flat", "b"))
CLAUSE_END = re.compile(r"[.,;:!?\n]")

NEGATIONS = frozenset("no not never without neither nor isn t doesn don".split())
ARTICLES = frozenset("a an the".split())
MODES = frozenset("major minor maj min dorian phrygian lydian mixolydian aeolian locrian".split())
FILLERS = ARTICLES | frozenset("of in on at to with and or is are it this that there".split())


def parse_choice(answer: str, choices: Sequence[str]) -> int | None:
    """The index of the choice that the answer gives, None where it is unanswered or ambiguous."""
    text = answer.replace("*", "").replace("`", "").strip()
    if not text:
        return None
    if (same := _same_text(text, choices)) is not None:
        return same
    letters = _letters(text, len(choices))
    if letters:
        return _only(letters)
    mentioned = _mentioned(text, choices)
    if mentioned:
        return _only(mentioned)
    return _only(_by_words(text, choices))


def _only(indices: Iterable[int]) -> int | None:
    found = set(indices)
    return found.pop() if len(found) == 1 else None


def _same_text(text: str, choices: Sequence[str]) -> int | None:
    """The choice whose words are those of the whole answer; "a" alone is no choice's text unless one is just that."""
    words = _words(text)
    return _only(index for index, choice in enumerate(choices) if words and _words(choice) == words)


# -- letters ----------------------------------------------------------------------------------------------------


def _letters(text: str, count: int) -> set[int]:
    """Indices of the letters that the answer gives as such: (B), "B.", "Answer: B", "B or C"; not "A guitar", not "B minor".

    What follows "answer", "option" or "choice" comes before what is listed, since a model may repeat the choices first.
    """
    if LISTED.fullmatch(text):
        return _indices(ALONE.findall(text), count)
    for pattern in (AFTER_LEAD, LEADING, BRACKETED):
        if found := _indices((match["letter"] for match in pattern.finditer(text)), count):
            return found
    return set()


def _indices(letters: Iterable[str], count: int) -> set[int]:
    return {index for letter in letters if (index := ascii_uppercase.index(letter.upper())) < count}


# -- words ------------------------------------------------------------------------------------------------------


def _words(text: str) -> list[str]:
    """Words in lower case without a leading article, which the A of A minor is not. A sharp or flat belongs to its note: "f#", "bb"."""
    words = [_word(match) for match in WORD.finditer(text.lower())]
    return words[1:] if len(words) > 1 and words[0] in ARTICLES and words[1] not in MODES else words


def _word(match: re.Match[str]) -> str:
    """A word; of a note with a sharp or flat in any spelling its letter and # or b."""
    for spelling, sign in ACCIDENTALS:
        if match[0][1:].lstrip(" \t\n-") == spelling:
            return match[0][0] + sign
    return match[0]


def _content(words: Sequence[str]) -> set[str]:
    """The words without fillers; the A of A minor stays."""
    return {word for word, after in zip(words, [*words[1:], ""], strict=True) if word not in FILLERS or (word == "a" and after in MODES)}


def _mentioned(text: str, choices: Sequence[str]) -> set[int]:
    """Choices whose words stand in the answer in a row, not denied, and not only inside the words of a longer choice."""
    words = list(WORD.finditer(text.lower()))
    spans = {index: _spans(words, _words(choice)) for index, choice in enumerate(choices)}
    every = [span for found in spans.values() for span in found]
    return {
        index
        for index, found in spans.items()
        if any(not _is_inside(span, every) and not _is_denied(text, words, span[0]) for span in found)
    }


def _spans(words: Sequence[re.Match[str]], part: Sequence[str]) -> list[tuple[int, int]]:
    """Where the words of `part` stand in a row, as first and last place."""
    texts, length = [_word(match) for match in words], len(part)
    return [(start, start + length) for start in range(len(texts) - length + 1) if part and texts[start : start + length] == part]


def _is_inside(span: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    return any(first <= span[0] and span[1] <= last and last - first > span[1] - span[0] for first, last in others)


def _is_denied(text: str, words: Sequence[re.Match[str]], start: int) -> bool:
    """Whether one of the three words before, in the same clause, is a negation."""
    for place in range(start - 1, max(-1, start - 4), -1):
        if CLAUSE_END.search(text[words[place].end() : words[place + 1].start()]):
            return False
        if words[place][0] in NEGATIONS:
            return True
    return False


def _by_words(text: str, choices: Sequence[str]) -> set[int]:
    """Choices all of whose words are in the answer with none that only others have; or else those that hold all of its words."""
    words = _content(_words(text))
    sets = [_content(_words(choice)) for choice in choices]
    if not words or words & NEGATIONS:
        return set()
    whole = {index for index, own in enumerate(sets) if own and own <= words and not words & (set().union(*sets) - own)}
    return whole or {index for index, own in enumerate(sets) if words <= own}
