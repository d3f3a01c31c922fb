"""Captions as the made set writes them are read back whole, and announce an edit of a known piece."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from DataSet.synthesis.composer import sample_attributes
from DataSet.synthesis.wishes import full_caption
from llama.media.captions import read_caption, stated_changes, write_caption
from llama.media.score import Attributes
from llama.media.spelling import respell_keys

WALTZ = Attributes("organ", "guitar", "waltz", 160, "minor", 3, drums=True, key=0)
SENTENCE = "Here is a sad waltz for {lead} over guitar chords at {tempo} bpm in C minor in 3/4 {drums} drums."


def test_every_caption_is_read_back() -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        attributes = sample_attributes(rng)
        assert read_caption(f"There is no kazoo. {full_caption(attributes, key=True)}. And more.", 5) == attributes
        assert read_caption(full_caption(attributes), attributes.key) == attributes


@pytest.mark.parametrize("lead", ["", "kazoo", "organ"])
def test_what_is_no_caption_is_not_read(lead: str) -> None:
    assert read_caption(f"A sad waltz for {lead} over strings at 91 bpm in 3/4 with drums.", 0) is None


def test_captions_are_written_as_they_are_read() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        attributes = sample_attributes(rng)
        assert read_caption(write_caption(attributes), 0) == attributes
        assert write_caption(attributes).lower() == respell_keys(full_caption(attributes, key=True)).lower()


@pytest.mark.parametrize(("key", "mode", "name", "trained"), [
    (1, "major", "D flat major", "C sharp major"), (8, "minor", "G sharp minor", "A flat minor"),
])  # fmt: skip
def test_a_key_has_one_name_and_the_trained_one_is_read_too(key: int, mode: str, name: str, trained: str) -> None:
    attributes = replace(WALTZ, key=key, mode=mode)
    assert f" in {name} " in write_caption(attributes) and f" in {trained} " in full_caption(attributes, key=True)
    assert read_caption(write_caption(attributes), 0) == read_caption(full_caption(attributes, key=True), 0) == attributes
    assert respell_keys(f"A waltz in {trained}.") == f"A waltz in {name}."


def test_the_difference_is_what_changes() -> None:
    faster = SENTENCE.format(lead="organ", tempo=180, drums="with")
    assert stated_changes(WALTZ, faster) == {"tempo": 180}
    assert stated_changes(WALTZ, SENTENCE.format(lead="flute", tempo=160, drums="without")) == {"lead": "flute"}
    assert stated_changes(WALTZ, SENTENCE.format(lead="organ", tempo=160, drums="with").replace("C minor", "D minor")) == {}
    assert stated_changes(WALTZ, SENTENCE.format(lead="organ", tempo=166, drums="with")) == {}  # heard a little wrong
    assert stated_changes(WALTZ, faster.replace("sad waltz", "sad ballad")) == {"tempo": 180, "style": "ballad"}
    assert stated_changes(WALTZ, "It is in 3/4.") is None


def test_what_is_heard_wrong_is_no_change() -> None:
    heard = replace(WALTZ, style="dance", tempo=80, lead="flute")
    text = SENTENCE.format(lead="flute", tempo=100, drums="with").replace("sad waltz", "sad dance track")
    assert stated_changes(WALTZ, text, heard) == {"tempo": 180}  # 160 * 100 / 80 would be too fast
    assert stated_changes(WALTZ, text) == {"tempo": 100, "style": "dance", "lead": "flute"}
    assert stated_changes(WALTZ, text.replace("flute", "organ"), heard) == {"tempo": 180}  # an organ it is


@pytest.mark.parametrize(("parts", "players"), [
    (("lead",), "for organ alone at"), (("lead", "bass"), "for organ and bass at"), (("accompaniment",), "for guitar chords alone at"),
    (("accompaniment", "bass"), "for guitar chords and bass at"), (("bass",), "for bass alone at"),
    (("lead", "accompaniment"), "for organ over"),
    (("drums",), "for drums alone at"), (("bass", "drums"), "for bass at")])  # fmt: skip
def test_a_caption_names_no_part_that_is_not_heard(parts: tuple[str, ...], players: str) -> None:
    assert players in write_caption(replace(WALTZ, drums="drums" in parts), parts)
