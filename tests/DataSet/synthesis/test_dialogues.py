"""Dialogue generators: correct answers, varied wording, no unfilled slots, held-out wording for tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from DataSet.synthesis import dialogues, habits, hearing, lore, questions, requests, synonyms
from DataSet.synthesis.clips import random_clip
from DataSet.synthesis.dialogue import AUDIO_TOKENS, Dialogue, random_piece
from DataSet.synthesis.dialogues import clip, picture, talk, wish
from DataSet.synthesis.edits import edit
from DataSet.synthesis.hearing import NOT_MUSIC, hear, nothing
from DataSet.synthesis.scenes import random_scene
from DataSet.synthesis.wishes import (
    ACCOMPANIMENT,
    MOODS,
    OCCASIONS,
    PACES,
    STYLE_NAMES,
    SUBSTITUTES,
    complete_attributes,
)
from DataSet.synthesis.wording import pick, select_split, spin, variants
from llama.media.score import KEYS

PARAPHRASES = Path(__file__).resolve().parents[3] / "recipes" / "nano" / "evaluation" / "paraphrases.json"


def _all(rng: np.random.Generator, held_out: bool) -> list[Dialogue]:
    piece = random_piece(rng)
    return [hear(rng, piece, held_out), edit(rng, piece, held_out), wish(rng, held_out), talk(rng, held_out),
            nothing(rng, NOT_MUSIC[int(rng.integers(3))], held_out),
            picture(rng, random_scene(rng).labels(), held_out), clip(rng, random_clip(rng).labels(), held_out)]


@pytest.mark.parametrize("held_out", [False, True])
def test_no_loose_ends(held_out: bool) -> None:
    rng = np.random.default_rng(0)
    for said in (said for _ in range(600) for said in _all(rng, held_out)):
        assert not re.search(r"[{}|]|  | [.?]$| ,", said.instruction + "#" + said.answer), said
        assert said.answer
        assert said.answer.endswith(AUDIO_TOKENS) == (said.caption is not None)
        assert said.answer.count("[AUD") in (0, 8)


def test_the_same_seed_says_the_same() -> None:
    assert _all(np.random.default_rng(5), False) == _all(np.random.default_rng(5), False)


def test_patterns_are_read_as_they_are_written() -> None:
    rng = np.random.default_rng(7)
    assert {spin(rng, "{a|b{c|}} {name}") for _ in range(80)} == {"a {name}", "bc {name}", "b {name}"}
    assert variants("{a|b{c|}} {name}") == 3
    with pytest.raises(ValueError, match="open"):
        spin(rng, "{a|b")


def test_answers_state_the_facts() -> None:
    rng = np.random.default_rng(1)
    for _ in range(800):
        piece = random_piece(rng)
        said = hear(rng, piece)
        wanted = {"lead": [piece.lead], "tempo": [str(piece.tempo)], "mode": [piece.mode], "metre": [f"{piece.metre}/4"],
                  "compare": [str(piece.tempo)],
                  "accompaniment": [ACCOMPANIMENT[piece.accompaniment]], "drums": ["Yes" if piece.drums else "No"],
                  "key": [KEYS[piece.key], piece.mode],
                  "confirm key": [KEYS[piece.key]], "confirm lead": [piece.lead],
                  "confirm metre": [f"{piece.metre}/4"],
                  "describe": [piece.lead, piece.mode, str(piece.tempo), f"{piece.metre}/4"]}.get(said.kind, [])
        assert all(word.lower() in said.answer.lower() for word in wanted), said


def test_a_comparison_is_right() -> None:
    rng = np.random.default_rng(8)
    for _ in range(200):
        piece = random_piece(rng)
        said = hearing._compare(rng, piece, False)
        number = re.search(r"\d+", said.instruction)
        if number:
            slower = any(word in said.instruction for word in questions.SLOWER)
            true = piece.tempo <= int(number.group()) if slower else piece.tempo >= int(number.group())
            assert said.answer.endswith("yes." if true else "no."), said


def test_music_answers_name_what_will_be_played() -> None:
    rng = np.random.default_rng(2)
    for _ in range(400):
        said = wish(rng)
        assert said.piece is not None and said.caption is not None
        assert said.caption[1:] in said.answer
        assert f"{said.piece.tempo} bpm" in said.caption and said.piece.lead in said.caption


def test_a_key_that_is_asked_for_is_named() -> None:
    rng = np.random.default_rng(9)
    named = 0
    for _ in range(600):
        said = requests.sample_parts(rng, {"key": 0.5, "lead": 0.5})
        piece = complete_attributes(said.wish)
        answer = dialogues.music(rng, "", piece, "wish", key="key" in said.wish).answer
        assert ("key" in said.wish) == bool(re.search(f" in {KEYS[piece.key]} {piece.mode} in ", answer))
        named += "key" in said.wish
        if "key" in said.wish:
            tonic = re.sub(r"([ -]?(maj|min|dur|moll)\w*|(?<=[A-G#♭♯b])m)$", "", said.words["key"], flags=re.I).lower()
            assert tonic in [name.lower() for name in synonyms.KEY_NAMES[piece.key]], said
    assert named > 200


def test_what_cannot_be_had_is_said_and_music_is_made() -> None:
    rng = np.random.default_rng(10)
    notes: dict[str, set[str]] = {}
    for _ in range(3000):
        said = requests.sample_parts(rng, {"lead": 0.4, "style": 0.5, "odd": 1.0})
        answer = dialogues.music(rng, "", complete_attributes(said.wish), "wish", note=said.note)
        assert said.note and answer.answer.endswith(AUDIO_TOKENS) and not re.search("[{}]", answer.answer), answer
        notes.setdefault(said.note[:22], set()).update(said.words.values())
    assert len(notes) >= 8
    assert any("17/13" in words for words in notes.values())
    assert any("3000 bpm" in words for words in notes.values())


def test_recordings_without_music_are_called_what_they_are() -> None:
    rng = np.random.default_rng(11)
    for kind in NOT_MUSIC:
        for _ in range(60):
            said = nothing(rng, kind)
            assert kind in said.answer and said.caption is None and said.piece is None


def test_an_edit_changes_what_it_says_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    allowed = {"faster": {"tempo"}, "slower": {"tempo"}, "add": {"drums"}, "remove": {"drums"},
               "style": {"style", "metre"}, "key": {"key", "mode"}}
    for _ in range(600):
        heard = random_piece(rng)
        said = edit(rng, heard)
        changed = {name for name in vars(heard) if getattr(heard, name) != getattr(said.piece, name)}
        name = said.kind.removeprefix("edit ")
        if name != "several":
            assert changed <= (set() if said.kind == "like" else allowed.get(name, {name})), said


def test_a_wish_without_a_word_on_it_has_the_style_s_habits() -> None:
    assert complete_attributes({"style": "waltz"}).metre == 3
    assert complete_attributes({"lead": "saxophone"}).style == "swing"
    assert complete_attributes({"tempo": 3000}).tempo == 180
    assert complete_attributes({"lead": "piano", "style": "swing"}).accompaniment != "piano"


def test_every_word_for_a_wish_means_something() -> None:
    for table in (MOODS, OCCASIONS):
        for words, meant in table.items():
            assert complete_attributes(meant), words
    assert all(complete_attributes({"tempo": tempo}) for tempo in PACES.values())
    assert not set(SUBSTITUTES) & {name for names in synonyms.LEAD_NAMES.values() for name in names}
    assert len(set(STYLE_NAMES.values())) == 6


def plain(text: str) -> str:
    return re.sub(r"[^a-z0-9#/{} ]", "", text.lower()).strip()


def test_testing_words_are_not_training_words() -> None:
    rng = np.random.default_rng(4)
    for name, patterns in dialogues.patterns().items():
        training = {plain(pick(rng, patterns)) for _ in range(400)}
        assert not training & {plain(pick(rng, patterns, held_out=True)) for _ in range(60)}, name


def test_no_list_says_in_training_what_another_keeps_for_testing() -> None:
    """But for what is no frame: nothing at all, gibberish, and the decoder's own captions."""
    rng = np.random.default_rng(14)
    free = ("empty", "gibberish", "caption")
    kept = {plain(said.instruction) for _ in range(1500) for said in _all(rng, True) if said.kind not in free} - {"", "describe it"}
    said = {plain(said.instruction) for _ in range(8000) for said in _all(rng, False) if said.kind not in free}
    assert not kept & said


def test_no_frame_is_both_for_training_and_for_testing() -> None:
    for name, patterns in dialogues.patterns().items():
        assert len(set(patterns)) == len(patterns), name
        assert not set(select_split(patterns, True)) & set(select_split(patterns, False)), name


def test_there_is_variety() -> None:
    rng = np.random.default_rng(6)
    assert len({wish(rng).instruction for _ in range(500)}) > 480
    assert len({hear(rng, random_piece(rng)).instruction for _ in range(500)}) > 420
    assert len({edit(rng, random_piece(rng)).instruction for _ in range(500)}) > 400
    assert sum(sum(map(variants, select_split(patterns, False))) for patterns in dialogues.patterns().values()) > 1_000_000


def test_typing_keeps_what_is_asked() -> None:
    rng = np.random.default_rng(12)
    forms = {habits.as_typed(rng, "Play a waltz at 120 bpm.") for _ in range(600)}
    assert len(forms) > 100 and all("120" in form for form in forms)
    assert habits.as_typed(rng, "") == ""


# -- two hundred paraphrases written by hand, for measuring alone ---------------------------------------------------


def _paraphrases() -> list[dict[str, object]]:
    return json.loads(PARAPHRASES.read_text())


def _frame(text: str) -> str:
    """The wording without the values: numbers, keys, instruments, styles, moods and paces are all the same to it."""
    return re.sub(r"( _)+( |$)", r" _\2", _VALUES.sub("_", plain(text))).strip()


_TABLES = (synonyms.LEAD_NAMES, synonyms.BACKING_NAMES, synonyms.STYLE_NOUNS, synonyms.METRE_NAMES)
_NAMES = {plain(name) for table in _TABLES for names in table.values() for name in names}
_NAMES |= {"drums", "no drums", "percussion"}
_NAMES |= {plain(name) for table in (MOODS, PACES, STYLE_NAMES, SUBSTITUTES, OCCASIONS) for name in table}
_LONGEST_FIRST = "|".join(map(re.escape, sorted(_NAMES, key=len, reverse=True)))
_VALUES = re.compile(rf"\b({_LONGEST_FIRST}|[a-g](?:#| sharp| flat)? (?:major|minor)|\d+(?:/\d+)?|major|minor)\b")


def test_paraphrases_are_two_hundred_with_what_they_mean() -> None:
    found = _paraphrases()
    counts = {kind: sum(one["kind"] == kind for one in found) for kind in ("hear", "wish", "edit", "talk")}
    assert len(found) == 200 and len({plain(str(one["text"])) for one in found}) == 200
    assert counts["hear"] >= 88 and counts["wish"] >= 68 and counts["edit"] >= 18 and counts["talk"] >= 18, counts
    heard = ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums", "key")
    for one in found:
        if one["kind"] == "hear":
            assert one["about"] in heard, one
        elif one["kind"] == "talk":
            assert one["answer"] in ("refusal", "greeting", "thanks", "abilities", "unknown"), one
        else:
            assert complete_attributes(one["wish"]) if one["kind"] == "wish" else one["change"], one
    assert lore.REFUSAL


@pytest.mark.parametrize("held_out", [False, True])
def test_no_paraphrase_nor_its_frame_is_in_the_grammar(held_out: bool) -> None:
    rng = np.random.default_rng(13)
    texts, frames = {plain(str(one["text"])) for one in _paraphrases()}, {_frame(str(one["text"])) for one in _paraphrases()}
    for _ in range(10_000):
        for said in _all(rng, held_out):
            assert plain(said.instruction) not in texts, said
            assert _frame(said.instruction) not in frames, said


def test_every_paraphrase_has_words_of_its_own() -> None:
    assert all(re.search("[a-z]", _frame(str(one["text"]))) for one in _paraphrases())
