"""Answers by rule with the embedded model: exact, streamed as they are said, and equal alone, in a batch and in the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import llama
from DataSet.synthesis.composer import compose
from llama import Done, GenerationOptions, TextDelta, Turn
from llama.media.score import Attributes, Score
from llama.serving.engine import Engine

BALLAD = Attributes("piano", "strings", "ballad", 120, "minor", 4, drums=False, key=4)
QUESTION, ANSWER = "What key is it in, and is there a bass?", "E minor. Yes, there is a bass."


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(Path(__file__).resolve().parents[2] / "ckpts/nano")


@pytest.fixture(scope="module")
def score() -> Score:
    return compose(np.random.default_rng(3), BALLAD, 12.0)


def test_answers_are_equal_alone_in_a_batch_and_in_the_engine(nano: llama.MuMuLLaMA, score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [Turn("hello"), Turn(QUESTION, score=score), Turn("schneller"), Turn("What is a flute?")]
    options = GenerationOptions(music=False)
    alone = [nano.respond(turn, options) for turn in turns]
    assert alone[1].text == ANSWER and (alone[1].finish, alone[1].music, alone[1].score) == ("stop", None, None)
    assert nano.tokenizer.decode(alone[1].tokens) == ANSWER and "only English" in alone[2].text
    assert nano.respond(turns, options) == alone
    with Engine(nano) as engine:
        requests = [engine.submit(turn, options) for turn in turns]
        replies = [[event.reply for event in request if isinstance(event, Done)][0] for request in requests]
    assert replies == alone
    monkeypatch.setattr("llama.responding.generate_text", lambda *_: pytest.fail("the model was asked"))
    *deltas, done = nano.stream(turns[1], options)
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == done.reply.text == ANSWER


def test_an_answer_keeps_its_limits(nano: llama.MuMuLLaMA, score: Score) -> None:
    short = nano.respond(Turn(QUESTION, score=score), GenerationOptions(max_tokens=3))
    assert short.finish == "length" and len(short.tokens) == 3 and ANSWER.startswith(short.text)
    stopped = nano.respond(Turn(QUESTION, score=score), GenerationOptions(stop=(". Yes",)))
    assert stopped.text == "E minor"


def test_chords_of_a_recording_are_transcribed(
    nano: llama.MuMuLLaMA, score: Score, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nano.music_decoder.render(score).write(tmp_path / "piece.wav")
    turn, options = Turn("Which chords are these?", audio=tmp_path / "piece.wav"), GenerationOptions()
    reply = nano.respond(turn, options)
    assert reply.text.startswith("As I hear it: Bars 1 to 4: ") and "ending: " in reply.text and reply.music is None
    with Engine(nano) as engine:
        assert [event.reply for event in engine.submit(turn, options) if isinstance(event, Done)] == [reply]
    silence = Turn("What are the chords?", audio=llama.Waveform(torch.zeros(1, 160000), 32000))
    assert "no notes in this recording: it is silent" in nano.respond(silence).text
    monkeypatch.setattr(nano, "transcriber", None)
    assert "no transcriber" in nano.respond(turn).text
