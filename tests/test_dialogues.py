"""The grammar of dialogues: true to the facts, varied, without loose ends, with wording kept apart for testing."""

from __future__ import annotations

import re

import numpy as np
import pytest

from DataSet import phrases
from DataSet.clips import random_clip
from DataSet.dialogues import MARKS, Dialogue, clip, edit, hear, picture, random_piece, talk, wish
from DataSet.scenes import random_scene
from DataSet.wishes import ACCOMPANIMENT, complete


def _all(rng: np.random.Generator, held_out: bool) -> list[Dialogue]:
    piece = random_piece(rng)
    return [hear(rng, piece, held_out), edit(rng, piece, held_out), wish(rng, held_out), talk(rng, held_out),
            picture(rng, random_scene(rng).labels(), held_out), clip(rng, random_clip(rng).labels(), held_out)]


@pytest.mark.parametrize("held_out", [False, True])
def test_no_loose_ends(held_out: bool) -> None:
    rng = np.random.default_rng(0)
    for said in (said for _ in range(300) for said in _all(rng, held_out)):
        assert not re.search(r"[{}|]|  | [.,?]", said.instruction + "#" + said.answer), said
        assert said.answer
        assert said.answer.endswith(MARKS) == (said.caption is not None)
        assert said.answer.count("[AUD") in (0, 8)


def test_the_same_seed_says_the_same() -> None:
    assert _all(np.random.default_rng(5), False) == _all(np.random.default_rng(5), False)


def test_answers_state_the_facts() -> None:
    rng = np.random.default_rng(1)
    for _ in range(400):
        piece = random_piece(rng)
        said = hear(rng, piece)
        wanted = {"lead": [piece.lead], "tempo": [str(piece.tempo)], "mode": [piece.mode], "metre": [f"{piece.metre}/4"],
                  "accompaniment": [ACCOMPANIMENT[piece.accompaniment]], "drums": ["Yes" if piece.drums else "No"],
                  "describe": [piece.lead, piece.mode, str(piece.tempo), f"{piece.metre}/4"]}.get(said.kind, [])
        assert all(word.lower() in said.answer.lower() for word in wanted), said


def test_music_answers_name_what_will_be_played() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        said = wish(rng)
        assert said.piece is not None and said.caption is not None
        assert said.caption[1:] in said.answer
        assert f"{said.piece.tempo} bpm" in said.caption and said.piece.lead in said.caption


def test_an_edit_changes_what_it_says_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    allowed = {"faster": {"tempo"}, "slower": {"tempo"}, "add": {"drums"}, "remove": {"drums"}, "style": {"style", "metre"}}
    for _ in range(300):
        heard = random_piece(rng)
        said = edit(rng, heard)
        changed = {name for name in vars(heard) if getattr(heard, name) != getattr(said.piece, name)}
        name = said.kind.removeprefix("edit ")
        assert changed <= (set() if said.kind == "like" else allowed.get(name, {name})), said


def test_a_wish_without_a_word_on_it_has_the_style_s_habits() -> None:
    assert complete({"style": "waltz"}).metre == 3
    assert complete({"lead": "saxophone"}).style == "swing"
    assert complete({"tempo": 3000}).tempo == 180
    assert complete({"lead": "piano", "style": "swing"}).accompaniment != "piano"


def test_testing_words_are_not_training_words() -> None:
    rng = np.random.default_rng(4)
    for patterns in (*phrases.QUESTIONS.values(), *phrases.EDITS.values(), phrases.PICTURE, phrases.CLIP, phrases.DESCRIBE):
        training = {phrases.pick(rng, patterns) for _ in range(600)}
        assert not training & {phrases.pick(rng, patterns, held_out=True) for _ in range(60)}


def test_there_is_variety() -> None:
    rng = np.random.default_rng(6)
    assert len({wish(rng).instruction for _ in range(500)}) > 480
    assert len({hear(rng, random_piece(rng)).instruction for _ in range(500)}) > 250
