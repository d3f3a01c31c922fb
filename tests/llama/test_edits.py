"""Edits end to end with the embedded model: the source's notes are kept, the sound is that of the edited notes, refusals come first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import llama
from DataSet.synthesis.composer import compose
from llama import Done, GenerationOptions, MusicChunk, Turn
from llama.media.edit import Edit
from llama.media.score import Attributes, Score, timeline

BALLAD = Attributes("piano", "strings", "ballad", 72, "minor", 4, drums=False, key=6)


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(Path(__file__).resolve().parents[2] / "ckpts/nano")


@pytest.fixture(scope="module")
def score() -> Score:
    return compose(np.random.default_rng(8), BALLAD, 12.0)


def test_make_it_faster_keeps_the_music(nano: llama.MuMuLLaMA, score: Score) -> None:
    reply = nano.respond(Turn("Make it faster", score=score), GenerationOptions(edit=Edit(change={"tempo": 102})))
    old, new = timeline(BALLAD, score.seconds), timeline(reply.score.attributes, reply.score.seconds)
    assert reply.score.attributes == replace(BALLAD, tempo=102) and (new.bar_count, new.tag) == (old.bar_count, old.tag)
    assert [note.pitch for note in reply.score.lead] == [note.pitch for note in score.lead]
    assert np.allclose([note.start * 102 / 72 for note in reply.score.lead], [note.start for note in score.lead])
    assert reply.music.samples.shape[-1] == round(reply.score.seconds * reply.music.sample_rate)
    assert torch.equal(reply.music.samples, nano.music_decoder.render(reply.score).samples)
    assert reply.edit.changed == ("tempo from 72 bpm to 102 bpm",) and "melody" in reply.edit.kept


def test_drums_are_composed_for_the_piece(nano: llama.MuMuLLaMA, score: Score) -> None:
    events = list(nano.stream(Turn("Add drums", score=score), GenerationOptions(edit=Edit(change={"drums": True}), seed=4)))
    assert isinstance(events[-1], Done) and any(isinstance(event, MusicChunk) for event in events)
    edited = events[-1].reply.score
    assert edited.drums and (edited.lead, edited.accompaniment, edited.bass) == (score.lead, score.accompaniment, score.bass)
    assert edited.seconds == score.seconds and edited.attributes == replace(BALLAD, drums=True)


def test_the_model_hears_a_score(nano: llama.MuMuLLaMA, score: Score) -> None:
    question, options = "Which instruments do you hear, and how fast is it?", GenerationOptions(music=False)
    played = Turn(question, audio=nano.music_decoder.render(score))
    heard, recorded, deaf = nano.respond([Turn(question, score=score), played, Turn(question)], options)
    assert heard.text == recorded.text != deaf.text


def test_what_cannot_be_edited_is_refused_before_the_work(
    nano: llama.MuMuLLaMA, published: llama.MuMuLLaMA, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llama.responding.generate_text", lambda *_: pytest.fail("the work began"))
    edit = GenerationOptions(edit=Edit(change={"tempo": 102}))
    with pytest.raises(ValueError, match="this turn has none"):
        nano.respond(Turn("Make it faster"), edit)
    with pytest.raises(ValueError, match="are not in the piece"):
        nano.respond(Turn("The end", score=score), GenerationOptions(edit=Edit(excerpt=(1, 90))))
    with pytest.raises(ValueError, match="makes sound without notes"):
        published.respond(Turn("Make it faster", score=score), edit)
    with pytest.raises(ValueError, match="cannot play a score"):
        published.respond(Turn("How fast is it?", score=score))
    with pytest.raises(ValueError, match="music is turned off"):
        GenerationOptions(edit=Edit(), music=False)
    with pytest.raises(ValueError, match="give an Edit"):
        GenerationOptions(edit={"tempo": 90})
    with pytest.raises(ValueError, match="give a Score"):
        Turn("Make it faster", score="piece.mid")


@pytest.mark.parametrize(
    ("text", "changed", "report"),
    [
        ("Make it faster", {"tempo"}, "tempo from 72 bpm to"),
        ("Play it on a flute", {"lead"}, "lead from piano to flute"),
        ("Add drums", {"drums"}, "drums composed for it"),
    ],
)
def test_words_alone_edit_a_known_piece(nano: llama.MuMuLLaMA, score: Score, text: str, changed: set[str], report: str) -> None:
    reply = nano.respond(Turn(text, score=score))
    assert {name for name, value in vars(reply.score.attributes).items() if value != getattr(BALLAD, name)} == changed
    assert len(reply.score.lead) == len(score.lead) and reply.score.attributes.tempo >= BALLAD.tempo
    assert [note.velocity for note in reply.score.bass] == [note.velocity for note in score.bass]
    assert any(words.startswith(report) for words in (*reply.edit.changed, *reply.edit.unchanged))


def test_another_style_is_a_new_piece(nano: llama.MuMuLLaMA, score: Score) -> None:
    reply = nano.respond(Turn("Make it a swing tune", score=score), GenerationOptions(seconds=4))
    assert reply.edit is None and reply.score.attributes.style == "swing" and reply.music.seconds == 4
