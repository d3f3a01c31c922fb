"""The rules by which published benchmarks read a choice from an answer, with their faults: official figures need the official rule.

Written from what each rule does; `choices` is ours, and every table shows both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MUCHOMUSIC_PREFIX = "The correct answer is:"
MUCHOMUSIC_LETTERS = "ABCD"


@dataclass(frozen=True)
class Verdict:
    """What a rule says of an answer."""

    is_correct: bool
    is_answered: bool


@dataclass(frozen=True)
class OfficialRule:
    """A benchmark's rule. name: of the column; judge: the answer, the choices as shown and the index of the right one."""

    name: str
    judge: Callable[[str, Sequence[str], int], Verdict]
    note: str


def muchomusic(answer: str, choices: Sequence[str], correct: int) -> Verdict:
    """MuChoMusic (Weck et al. 2024): the letter, if exactly one of A to D occurs among the characters after the prefix; else the
    first choice that the answer contains. "Drums" therefore gives D, and "C major" C."""
    text = answer.split(MUCHOMUSIC_PREFIX)[-1].strip()
    letters = [letter for letter in MUCHOMUSIC_LETTERS if letter in text]
    if len(letters) == 1:
        return Verdict(MUCHOMUSIC_LETTERS.index(letters[0]) == correct, True)
    contained = [index for index, choice in enumerate(choices) if choice.lower().strip() in text.lower()]
    return Verdict(contained[:1] == [correct], bool(contained))


def word_sets(answer: str, choices: Sequence[str], correct: int) -> Verdict:
    """MMAU (Sakshi et al. 2024) and MMAR (Ma et al. 2025): all words of the right choice, and none that only wrong ones have.

    The letter of a choice alone is no word of it. Answered: some choice would pass. Their scorers leave entries that lack a prediction
    out of the denominator, but count an empty prediction as wrong; so does this rule, as every question here was put to the system.
    """
    words, sets = _word_set(answer), [_word_set(choice) for choice in choices]
    passes = [own <= words and not words & (set().union(*sets) - own) for own in sets]
    return Verdict(passes[correct], any(passes))


def _word_set(text: str) -> set[str]:
    return set(re.findall(r"\b\w+\b", text.lower()))


MMAU_NOTE = "The official rule of {} compares sets of words; an empty answer is wrong."
OFFICIAL_RULES = {
    "muchomusic": OfficialRule("official rule", muchomusic, "The official rule of MuChoMusic takes the only one of the characters A to D "
                               "that occurs anywhere in the answer, so that \"Drums\" answers D; else the first choice that it contains."),
    "mmau": OfficialRule("official rule", word_sets, MMAU_NOTE.format("MMAU")),
    "mmar": OfficialRule("official rule", word_sets, MMAU_NOTE.format("MMAR")),
    "mmau-pro": OfficialRule("string match", word_sets, "The official rule of MMAU-Pro takes the nearest choice by NV-Embed-v2 and is "
                             "not measured here; string match is the rule of MMAU."),
}  # fmt: skip
