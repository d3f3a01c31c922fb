"""The lexicon of requests as data, and the requests made of it: meanings exist, answers can be read back, nothing is turned round."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from DataSet.synthesis import dialogues, foreign_requests, habits, impossible_requests, lexicon, requests, synonyms
from DataSet.synthesis.captions import MODE_WORDS, TEMPO_WORDS
from DataSet.synthesis.dialogue import AUDIO_TOKENS, random_piece
from DataSet.synthesis.request_parts import RequestParts, name_genre, name_mood, name_use
from DataSet.synthesis.stated_attributes import parse_answer, read_caption
from DataSet.synthesis.wishes import MOODS, PACES, complete_attributes, full_caption
from llama.media.score import KEYS

GOLDEN = Path(__file__).parents[2] / "golden" / "typed_wishes.json"
FILES = {"genres": 300, "uses": 200, "moods": 300, "instruments": 150, "tempi": 80}  # least number of names


@pytest.mark.parametrize(("file", "least"), FILES.items())
def test_every_entry_has_one_meaning_that_the_model_can_play(file: str, least: int) -> None:
    names = lexicon.by_name(file)
    assert len(names) >= least
    assert len({name.lower() for name in names}) == len(names)
    for name, entry in names.items():
        assert name == name.strip() and not re.search(r"[{}|]", name), name
        assert complete_attributes(entry.wish), name
        assert entry.confidence in ("exact", "near", "none")


def test_no_word_is_both_a_genre_and_a_mood() -> None:
    files = ("genres", "moods", "instruments", "tempi")
    for first in files:
        for second in files:
            assert first == second or not set(lexicon.by_name(first)) & set(lexicon.by_name(second)), (first, second)


def test_an_entry_without_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="lead 'tuba'"):
        lexicon._entry({"names": ["x"], "lead": "tuba"})
    with pytest.raises(ValueError, match="colour"):
        lexicon._entry({"names": ["x"], "colour": "red"})


def test_genres_are_honest_about_what_they_are() -> None:
    known = {"waltz": "exact", "techno": "near", "trap": "near", "gamelan": "none"}
    assert {name: lexicon.by_name("genres")[name].confidence for name in known} == known
    genres = lexicon.entries("genres")
    counts = {kind: sum(len(entry.names) for entry in genres if entry.confidence == kind) for kind in ("exact", "near", "none")}
    assert counts["near"] > counts["exact"] > 30 and counts["none"] > 20


def test_words_of_the_captions_mean_the_same_in_the_lexicon() -> None:
    for mode, words in MODE_WORDS.items():
        assert all(MOODS[word]["mode"] == mode for word in words)
    for low, high, words in TEMPO_WORDS:
        assert all(low <= PACES[word] <= high for word in words), words


def test_every_key_is_spelled_in_many_ways() -> None:
    assert set(synonyms.KEY_NAMES) == set(synonyms.COMPACT_KEYS) == set(range(12))
    spelled = [name for names in synonyms.KEY_NAMES.values() for name in names]
    assert len(spelled) == len(set(spelled)) > 80
    rng = np.random.default_rng(1)
    assert {"F#m", "F♯m", "F sharp minor"} <= {synonyms.key(rng, 6, "minor") for _ in range(600)}
    assert not {"a", "a minor"} & {synonyms.key(rng, 9, None) for _ in range(100)}


# -- what a request means --------------------------------------------------------------------------------------------


def test_a_mood_decides_the_mode_and_a_genre_the_rest() -> None:
    parts = RequestParts()
    name_use(parts, "a wedding")
    name_mood(parts, "sad")
    name_genre(parts, "samba")
    assert (parts.piece.mode, parts.piece.style) == ("minor", "dance")
    parts = RequestParts(wish={"lead": "violin"})
    name_mood(parts, "sad")
    assert (parts.piece.lead, parts.piece.mode) == ("violin", "minor")


def test_what_is_avoided_does_not_come() -> None:
    assert complete_attributes({"lead": "violin"}, {"accompaniment": frozenset({"strings"})}).accompaniment == "piano"
    forbidden = {"lead": frozenset({"violin", "piano"}), "accompaniment": frozenset({"piano"})}
    assert complete_attributes({"style": "waltz"}, forbidden).lead == "guitar"
    piece = complete_attributes({"lead": "piano"}, {"accompaniment": frozenset({"strings"})})
    assert piece.accompaniment not in ("strings", "piano")
    assert complete_attributes({}, {"mode": frozenset({"major"})}).mode == "minor"
    with pytest.raises(ValueError, match="every mode"):
        complete_attributes({}, {"mode": frozenset({"major", "minor"})})


def test_requests_hold_in_the_piece() -> None:
    """What is named is there, what is forbidden is not, and what is unlike the model is named in the answer."""
    rng = np.random.default_rng(2)
    forbidden = noted = 0
    for _ in range(3000):
        parts = requests.sample_parts(rng, requests.shares(rng))
        piece = parts.piece
        for name, value in parts.wish.items():
            assert getattr(piece, name) == value, parts
        for name, values in parts.avoid.items():
            assert getattr(piece, name) not in values, parts
        if "mood" in parts.words and "mode" in MOODS.get(parts.words["mood"], {}):
            assert piece.mode == MOODS[parts.words["mood"]]["mode"], parts
        if parts.entry is not None and parts.entry.confidence != "exact" and "style" in parts.words:
            assert parts.genre in parts.note and parts.note.count(".") >= 1, parts
            noted += 1
        forbidden += bool(parts.avoid)
    assert forbidden > 150 and noted > 500


def test_four_hundred_answers_are_read_back() -> None:
    """By the closed grammar of the captions: all can be read, and all say what will be played."""
    rng = np.random.default_rng(3)
    kinds: dict[str, int] = {}
    for _ in range(400):
        said = dialogues.wish(rng)
        assert read_caption(said.answer) == said.piece, said
        assert f"{KEYS[said.announced_piece.key]} {said.announced_piece.mode}" in said.answer, said
        kinds[said.kind] = kinds.get(said.kind, 0) + 1
    assert {"wish", "short", "occasion", "foreign", "caption", "composer"} <= kinds.keys()


def test_captions_are_read_as_they_are_written() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        piece = random_piece(rng)
        assert read_caption(f"I have no bass guitar, so I take the cello. Here is {full_caption(piece, key=True)}.") == piece
        for name in ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums", "key"):
            assert parse_answer(name, f"I have no bass guitar. {full_caption(piece, key=True)}.") == getattr(piece, name), name
    assert read_caption("The piano plays.") is None
    assert read_caption("A happy waltz for harp over strings at 90 bpm in C minor in 3/4 with drums") is None  # contradicts itself


def test_answers_vary_with_the_seed() -> None:
    piece = complete_attributes({})
    answers = {dialogues.music(np.random.default_rng(seed), "x", piece, "wish", key=True).answer for seed in range(60)}
    assert len(answers) >= 6 and all(full_caption(piece, key=True)[1:] in answer for answer in answers)


def test_what_was_not_understood_is_said() -> None:
    rng = np.random.default_rng(5)
    words = set()
    for _ in range(300):
        parts = RequestParts()
        impossible_requests._strange(rng, parts)
        word = parts.words["mood"]
        assert word in parts.note and re.search(r"not|no ", parts.note), parts
        words.add(word)
    assert len(words) > 180


def test_requests_in_other_languages_mean_something() -> None:
    rng = np.random.default_rng(6)
    texts = {foreign_requests.foreign_request(rng)[0] for _ in range(400)}
    assert len(texts) > 330
    for language in foreign_requests.LANGUAGES:
        words = lexicon.table("foreign")[language]
        assert all(len(row) == 4 for row in words["moods"] + words["paces"])
        assert all(len(row) == 3 for row in words["nouns"] + words["keys"])
        assert all(complete_attributes({"mode": row[3]}) for row in words["moods"])
        assert all(complete_attributes({"lead": lead}) for lead in words["leads"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_same_seed_gives_the_same_requests(seed: int) -> None:
    first, second = ([dialogues.wish(rng) for _ in range(30)] for rng in (np.random.default_rng(seed), np.random.default_rng(seed)))
    assert first == second


def test_requests_of_some_seeds_are_as_before() -> None:
    """A change here changes the training data of every recipe run: intended ones write the file anew."""
    rows = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(rows) == 12
    for row in rows:
        said = dialogues.wish(np.random.default_rng(row["seed"]))
        answer = said.answer.removesuffix(AUDIO_TOKENS).strip()
        assert {"seed": row["seed"], "kind": said.kind, "instruction": said.instruction, "answer": answer} == row


def test_typos_are_those_of_a_keyboard() -> None:
    rng = np.random.default_rng(7)
    typed = {habits.add_typo(rng, "play the celo") for _ in range(300)}
    assert len(typed) >= 12 and all(abs(len(text) - len("play the celo")) <= 1 for text in typed)
