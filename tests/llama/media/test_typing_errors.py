"""Typing errors in words of edits are read where they can only be one word; English words stay what they are."""

from __future__ import annotations

import pytest

from llama.media.requests.typing_errors import ENGLISH, WORDS, correct_typing


@pytest.mark.parametrize(("typed", "meant"), [
    ("make it fastr", "make it faster"), ("witout drums", "without drums"), ("remvoe the drumms", "remove the drums"),
    ("transpos it up an octav", "transpose it up an octave"), ("in E minnor", "in E minor"), ("slowr and lowder", "slower and lowder"),
    ("repaet the first half", "repeat the first half"), ("the mellody alone", "the melody alone"),
    ("Witout the guittar", "without the guitar")])
def test_one_letter_off_is_read(typed: str, meant: str) -> None:
    assert correct_typing(typed) == meant


@pytest.mark.parametrize("text", [
    "a flower for my mother", "the master of the tower", "a minuet", "hello", "strings and a string", "the chorus", "transposed", "repeats",
    "a song about the easter lily", "fifty bars", "the mayor", "in the manor", "temps", "make it fst", "MINOR", "naïve", ""])
def test_english_words_stay(text: str) -> None:
    assert correct_typing(text) == text


def test_the_lists_are_apart() -> None:
    assert not {*WORDS} & ENGLISH and len({*WORDS}) == len(WORDS)
