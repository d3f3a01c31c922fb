"""Questions about a piece are answered from its notes where they are understood as a whole, and left to the model otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from DataSet.synthesis.dialogues import edit, talk, wish
from llama.media.requests.languages import foreign_answer
from llama.media.requests.questions import QUESTIONS, asks_for_chords, asks_for_facts
from llama.media.score import Attributes, Score, timeline
from llama.media.score_answers import ANSWERS, answer_question
from llama.media.score_edits import set_part
from llama.media.spelling import chord_name

BALLAD = Attributes("piano", "strings", "ballad", 120, "minor", 4, drums=False, key=4)


@pytest.fixture(scope="module")
def score() -> Score:
    return compose(np.random.default_rng(3), BALLAD, 40.0)


ANSWERED = [
    ("What key is it in?", "E minor."),
    ("in what key is this", "E minor."),
    ("Is it in E minor?", "Yes, it is in E minor."),
    ("is it in D?", "No, it is in E minor."),
    ("Is it major or minor?", "Minor: it is in E minor."),
    ("is it in a minor key?", "Yes, it is in E minor."),
    ("How fast is it?", "120 beats per minute."),
    ("what's the tempo", "120 beats per minute."),
    ("Is it faster than 130 bpm?", "No, it has 120 beats per minute."),
    ("How long is it?", "40 seconds."),
    ("How many bars?", "19 bars and an ending."),
    ("how many bars does it have?", "19 bars and an ending."),
    ("Which instruments play?", "The piano plays the melody, strings play the chords and there is a bass; there are no drums."),
    ("Who plays the melody?", "The piano plays the melody."),
    ("what plays the chords?", "Strings play the chords."),
    ("Is there a bass?", "Yes, there is a bass."),
    ("are there any drums in it?", "No, there are no drums."),
    ("Does it have a flute?", "No, there is no flute."),
    ("Do you hear a piano?", "Yes, the piano plays the melody."),
    ("is there a violin?", "There are strings, but no violin of its own."),
    ("is there a banjo?", "No, there is no banjo."),
    ("Is it a waltz?", "No, it is a ballad."),
    ("What style is it?", "It is a ballad."),
    ("What is the time signature?", "4/4, four beats in a bar."),
    ("is it in 3/4?", "No, it is in 4/4."),
    ("Can you tell me what key it is in?", "E minor."),
    ("Can you tell me the key, please?", "E minor."),
    ("What key is it in, and how fast is it?", "E minor. 120 beats per minute."),
    ("What are the chords in bars 1 to 2?", "Bars 1 to 2: Em7 Am7."),
    ("which chords are in bar 3?", "Bar 3: Cmaj7."),
    ("what are the chords in bars 30 to 40?", "There are no bars 30 to 40: the piece has 19 bars, and its ending is on Em7."),
    ("And the tempo?", "120 beats per minute."),
]


@pytest.mark.parametrize(("text", "answer"), ANSWERED)
def test_a_fact_is_answered_exactly(score: Score, text: str, answer: str) -> None:
    assert answer_question(text, score) == answer


@pytest.mark.parametrize("text", ["Which chords are these?", "What is the chord progression?", "Give me the chords", "the chords please",
                                  "What chords does it have?", "what are the chords of this piece"])  # fmt: skip
def test_chords_are_named_bar_by_bar(score: Score, text: str) -> None:
    answer = answer_question(text, score)
    names = [chord_name(chord, 4, "minor") for chord in score.chords]
    assert answer is not None and answer.startswith(f"Bars 1 to 4: {' '.join(names[:4])}") and answer.endswith(f"ending: {names[-1]}.")
    assert asks_for_chords(text) and answer_question("What chord is in bar 3?", score) == f"{names[2]}."
    assert answer_question("which chord is in bar 90?", score).startswith("There is no bar 90: the piece has 19 bars")


@pytest.mark.parametrize("text", [
    "Make it faster", "What is a chord?", "what is tempo", "Which instruments can you play?", "Is there a problem?", "How is it?",
    "Is it happy?", "What key is it in? And make it faster", "How many pianos are there in Vienna?",
    "What does the melody remind you of?", "Describe it",
    "what key should I play in", "Is it better in minor?", "x" * 400, ""])  # fmt: skip
def test_anything_else_is_left_to_the_model(score: Score, text: str) -> None:
    assert answer_question(text, score) is None and not asks_for_facts(text)


def test_answers_follow_the_notes() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        attributes = sample_attributes(rng)
        piece = compose(rng, attributes, round(float(rng.uniform(8, 70)) * 6) / 6)
        without = set_part(set_part(piece, "lead", ()), "drums", ())
        assert str(timeline(attributes, piece.seconds).bar_count) in answer_question("How many bars?", piece)
        assert f"{attributes.tempo}" in answer_question("how fast is it?", piece)
        assert (answer_question("Is there a drummer?", piece) == "Yes, there are drums.") is bool(piece.drums)
        assert answer_question("Is there a melody?", without) == "No, there is no melody."
        assert answer_question("are there drums?", without) == "No, there are no drums."
        assert "no melody and no drums" in answer_question("which instruments play?", without)
        assert answer_question("which style is it?", piece) == answer_question("What kind of music is it?", piece)
        final = chord_name(piece.chords[-1], attributes.key, attributes.mode)
        assert answer_question("what are the chords?", piece).endswith(f"ending: {final}.")
    short = replace(piece, chords=piece.chords[:1])
    assert answer_question("What key is it in?", short) is None  # no score of a reply


def test_every_question_has_its_answer() -> None:
    assert {fact for fact, _ in QUESTIONS} == {*ANSWERS}


@pytest.mark.parametrize(("text", "language"), [
    ("un vals triste para piano", "Solo entiendo"), ("ein trauriger Walzer", "Ich verstehe"), ("une valse triste", "Je ne comprends"),
    ("un valzer triste", "Capisco"), ("schneller", "Ich verstehe"), ("plus vite", "Je ne comprends"),
    ("mach es langsamer bitte", "Ich verstehe"),
    ("hazlo más rápido", "Solo entiendo"), ("senza batteria", "Capisco"), ("sin batería por favor", "Solo entiendo"), ("triste", ""),
    ("a triste waltz", "")])  # fmt: skip
def test_other_languages_get_one_sentence(text: str, language: str) -> None:
    answer = foreign_answer(text)
    assert answer is not None and answer.startswith("I understand only English") and language in answer


@pytest.mark.parametrize("text", [
    "A sad waltz for piano", "Make it faster", "in D minor", "la la la", "allegro", "piano", "lento", "una corda", "jazz", "more piano",
    "Play Für Elise", "a musical piece in E major", "hello", "no", "waltz", "minor", "en route to the sea", "El Greco, a waltz",
    "In 105 beats per minute now!",
    "piano plus drums", "in E", "allegro con brio", ""])
def test_english_is_english(text: str) -> None:
    assert foreign_answer(text) is None


def test_no_english_request_of_the_training_texts_is_foreign() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        for dialogue in (wish(rng), talk(rng), edit(rng, sample_attributes(rng))):
            assert dialogue.kind == "foreign" or foreign_answer(dialogue.instruction) is None, dialogue.instruction
