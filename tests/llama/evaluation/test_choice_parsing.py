"""Which choice an answer gives: our parser, and the official rules with their faults."""

from __future__ import annotations

import pytest

from llama.evaluation.choices import parse_choice
from llama.evaluation.official_choices import OFFICIAL_RULES, Verdict, muchomusic, word_sets

INSTRUMENTS = ("Piano", "Drums", "Guitar", "Violin")
KEYS = ("G major", "C major", "B minor", "A minor")
NESTED = ("guitar", "acoustic guitar", "an electric guitar with drums", "guitar solo")


def letter(answer: str, choices: tuple[str, ...]) -> str | None:
    index = parse_choice(answer, choices)
    return None if index is None else "ABCD"[index]


BY_LETTER = {"(B)": "B", "B": "B", "b": "B", "a": "A", "B.": "B", "b)": "B", "[C]": "C", "Answer: B": "B", "answer is: C": "C",
             "Choice C": "C", "The correct answer is (C).": "C", "The option is b": "B",
             "**B** drums": "B", "B: Drums": "B", "option (d)": "D"}  # fmt: skip


@pytest.mark.parametrize(("answer", "wanted"), BY_LETTER.items())
def test_letters(answer: str, wanted: str) -> None:
    assert letter(answer, INSTRUMENTS) == wanted


BY_TEXT = {"Drums": "B", "A guitar": "C", "drums!": "B", "I hear the guitar": "C", "The answer is A guitar": "C",
           "Answer: A violin, I think": "D", "It is not the guitar but the drums": "B", "No, it is drums.": "B",
           "There isn't a guitar here, I hear the violin": "D"}  # fmt: skip


@pytest.mark.parametrize(("answer", "wanted"), BY_TEXT.items())
def test_texts(answer: str, wanted: str) -> None:
    assert letter(answer, INSTRUMENTS) == wanted


UNANSWERED = ("", " ", "none of them", "Neither", "B or C", "A, B and C", "(A) or (B)", "guitar and drums", "not a guitar", "(E)", "Music",
              "D'oh", "A: Piano\nB: Drums\nC: Guitar\nD: Violin", "It does not have the guitar")  # fmt: skip


@pytest.mark.parametrize("answer", UNANSWERED)
def test_nothing_and_several_are_unanswered(answer: str) -> None:
    assert letter(answer, INSTRUMENTS) is None


def test_repeated_choices_do_not_hide_the_answer() -> None:
    assert letter("(A) Piano (B) Drums (C) Guitar (D) Violin. The answer is B.", INSTRUMENTS) == "B"


@pytest.mark.parametrize(("answer", "wanted"), {
    "C major": "B", "The key is C major.": "B", "B minor": "C", "It is in A minor": "D", "the answer is B minor": "C", "Answer: C": "C",
    "(B) C major": "B", "B": "B", "a minor": "D", "The song is in a minor key.": "D", "D minor": None, "B flat minor": None,
    "F sharp minor": None, "It is in E minor": None, "minor": None, "G♯ major": None, "C# major": None}.items())  # fmt: skip
def test_keys_are_no_letters_and_no_other_keys(answer: str, wanted: str | None) -> None:
    assert letter(answer, KEYS) == wanted


@pytest.mark.parametrize("answer", ["B flat minor", "B-flat minor", "Bb minor", "B♭ minor", "the key of B flat minor."])
def test_spellings_of_a_key(answer: str) -> None:
    assert letter(answer, ("B minor", "Bb minor", "B flat major", "A minor")) == "B"
    assert letter(answer, ("B minor", "B♭ minor", "F# minor", "B flat major")) == "B"


@pytest.mark.parametrize(("answer", "wanted"), {
    "guitar": "A", "the guitar": "A", "acoustic guitar": "B", "An acoustic guitar is played.": "B", "electric": "C", "guitar solo": "D",
    "a guitar solo, or a guitar": None}.items())  # fmt: skip
def test_choices_that_contain_each_other(answer: str, wanted: str | None) -> None:
    assert letter(answer, NESTED) == wanted


def test_choices_with_negations_signs_and_numbers() -> None:
    assert parse_choice("There are no drums", ("drums", "no drums")) == 1
    assert parse_choice("None of the above", ("piano", "None of the above")) == 1
    assert parse_choice("No, it isn't", ("Yes", "No")) == 1
    assert parse_choice("piano, violin and drums", ("piano", "piano, violin and drums")) == 1
    assert parse_choice("F# major", ("F major", "F# major")) == 1 and parse_choice("It is in 3/4.", ("4/4", "3/4")) == 1
    assert parse_choice("fast", ("Very fast tempo", "Slow tempo")) == 0
    assert parse_choice("Gitarre", ("Gitarre", "Flöte")) == 0 and parse_choice("eine Flöte", ("Gitarre", "Flöte")) == 1


def test_the_rule_of_muchomusic_and_its_faults() -> None:
    """One of the characters A to D anywhere; a capital letter of a word is one, and the first contained choice wins."""
    assert muchomusic("Drums", INSTRUMENTS, 1) == Verdict(False, True)  # answers D
    assert muchomusic("Drums", INSTRUMENTS, 3).is_correct
    assert muchomusic("A guitar", INSTRUMENTS, 2) == Verdict(False, True)  # answers A
    assert muchomusic("The correct answer is: (B)", INSTRUMENTS, 1).is_correct
    assert muchomusic("A Drum. The correct answer is: the guitar", INSTRUMENTS, 2).is_correct
    assert muchomusic("B or C", INSTRUMENTS, 1) == Verdict(False, False) and muchomusic("", INSTRUMENTS, 1) == Verdict(False, False)
    assert muchomusic("acoustic guitar", NESTED, 1) == Verdict(False, True)  # answers "guitar", which comes first
    assert parse_choice("Drums", INSTRUMENTS) == 1 and parse_choice("acoustic guitar", NESTED) == 1


def test_the_word_sets_of_mmau_and_mmar() -> None:
    assert word_sets("It is the acoustic guitar", NESTED[:2], 1).is_correct
    assert word_sets("guitar, acoustic", NESTED[:2], 0) == Verdict(False, True)
    assert word_sets("(B)", INSTRUMENTS, 1) == Verdict(False, False)  # the letter is no word of the choice
    assert word_sets("drums and guitar", INSTRUMENTS, 1) == Verdict(False, False)
    assert word_sets(" ", INSTRUMENTS, 1) == Verdict(False, False)  # as the official scorers count an empty prediction
    assert {name for name, rule in OFFICIAL_RULES.items() if rule.name == "official rule"} == {"muchomusic", "mmau", "mmar"}
    assert "not measured" in OFFICIAL_RULES["mmau-pro"].note
