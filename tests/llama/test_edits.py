"""Edits end to end with the embedded model: the source's notes are kept, the sound is that of the edited notes, refusals come first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import llama
from DataSet.synthesis.composer import compose
from llama import Done, GenerationOptions, MusicChunk, TextDelta, Turn
from llama.generation import tokenize
from llama.media.captions import read_caption
from llama.media.edit import Edit
from llama.media.midi import write_midi
from llama.media.score import TRACKS, Attributes, Note, Score, timeline
from llama.media.score_edits import set_part

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


@pytest.mark.parametrize("part", ["accompaniment", "bass"])
def test_a_part_anew_is_another_one(nano: llama.MuMuLLaMA, score: Score, part: str) -> None:
    edited = nano.respond(Turn(f"Compose a new {part}", score=score)).score
    assert edited is not None and edited.track(part) != score.track(part) and edited.track(part)
    assert all(edited.track(name) == score.track(name) for name in TRACKS if name != part)


def test_an_edit_is_read_from_the_text_and_not_from_the_system_prompt(nano: llama.MuMuLLaMA, score: Score) -> None:
    turn = Turn("Remove the drums", score=set_part(score, "drums", [Note(0.0, 0.1, 36, 100)]), system="You keep the bass quiet.")
    joined = Turn("You keep the bass quiet.\nRemove the drums")
    assert tokenize(nano, [turn]) == tokenize(nano, [joined])
    reply = nano.respond(turn, GenerationOptions(max_tokens=4))
    assert reply.edit.changed == ("without drums",) and not reply.edit.not_done and not reply.score.drums


def test_the_model_hears_a_score(nano: llama.MuMuLLaMA, score: Score) -> None:
    question, options = "Describe what you hear.", GenerationOptions(music=False)
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
        published.respond(Turn("Is it happy?", score=score))
    with pytest.raises(ValueError, match="music is turned off"):
        GenerationOptions(edit=Edit(), music=False)
    with pytest.raises(ValueError, match="give an Edit"):
        GenerationOptions(edit={"tempo": 90})
    with pytest.raises(ValueError, match="give a Score"):
        Turn("Make it faster", score=7)


@pytest.mark.parametrize(
    ("text", "changed", "report"),
    [
        ("Make it faster", {"tempo"}, "tempo from 72 bpm to"),
        ("Play it on a flute", {"lead"}, "lead from piano to flute"),
        ("Add drums", {"drums"}, "drums composed for it"),
        ("Transpose it up a fifth", {"key"}, "all notes by +7 semitones"),
    ],
)
def test_words_alone_edit_a_known_piece(nano: llama.MuMuLLaMA, score: Score, text: str, changed: set[str], report: str) -> None:
    events = list(nano.stream(Turn(text, score=score)))
    reply = events[-1].reply
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply.text
    assert read_caption(reply.text, 0) == reply.score.attributes
    assert {name for name, value in vars(reply.score.attributes).items() if value != getattr(BALLAD, name)} == changed
    assert len(reply.score.lead) == len(score.lead) and reply.score.attributes.tempo >= BALLAD.tempo
    assert [note.velocity for note in reply.score.bass] == [note.velocity for note in score.bass]
    assert any(words.startswith(report) for words in (*reply.edit.changed, *reply.edit.unchanged))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Remove the drums", "There are no drums to remove; the piece is as it was."),
        ("Make it 72 bpm", "It is at 72 bpm already; the piece is as it was."),
        ("in minor", "It is in F sharp minor already; the piece is as it was."),
        ("With a piano", "The piano plays the melody already; the piece is as it was."),
        ("Make it a ballad", "It is a ballad already; the piece is as it was."),
        ("Turn up the drum reverb", "I did not understand 'turn up the drum reverb'. The piece is as it was."),
    ],
)
def test_a_request_that_changes_nothing_gets_a_sentence_and_no_music(nano: llama.MuMuLLaMA, score: Score, text: str, sentence: str) -> None:
    events = list(nano.stream(Turn(text, score=score, audio=nano.music_decoder.render(score))))
    reply = events[-1].reply
    assert (reply.text, reply.music, reply.score, reply.finish, reply.edit.changed) == (sentence, None, None, "stop", ())
    assert [event.text for event in events[:-1]] == [sentence]


def test_an_edit_that_changes_nothing_makes_no_music(nano: llama.MuMuLLaMA, score: Score) -> None:
    for edit, words in (
        (Edit(change={"drums": False}), "There are no drums to remove"),
        (Edit(change={"mode": "minor", "key": 6}), "It is in F sharp minor"),
        (Edit(excerpt=(1, timeline(BALLAD, score.seconds).bar_count)), "are all that it has"),
        (Edit(balance={"drums": 6}), "to make louder"),
    ):  # fmt: skip
        reply = nano.respond(Turn("", score=score), GenerationOptions(edit=edit))
        assert reply.music is None and words in reply.text and reply.edit.changed == ()


def test_notes_without_sound_are_played_on_request(nano: llama.MuMuLLaMA, score: Score) -> None:
    for turn, options in ((Turn("Play it", score=score), None), (Turn("", score=score), GenerationOptions(edit=Edit()))):
        reply = nano.respond(turn, options)
        assert reply.score == score and torch.equal(reply.music.samples, nano.music_decoder.render(score).samples)


def test_the_rest_of_a_request_is_done(nano: llama.MuMuLLaMA, score: Score) -> None:
    reply = nano.respond(Turn("slower and without drums", score=score))
    assert reply.score.attributes == replace(BALLAD, tempo=60) and len(reply.score.lead) == len(score.lead)
    assert reply.text.startswith("Tempo from 72 bpm to 60 bpm; melody, chords and bass kept. There are no drums to remove. A sad ballad")


def test_of_a_recording_it_is_said_what_is_heard(nano: llama.MuMuLLaMA, score: Score) -> None:
    """Only where transcriber and model agree; otherwise the recording is played as it was written down, and that is said."""
    recording = nano.music_decoder.render(score)
    reply = nano.respond(Turn("Remove the drums", audio=recording))
    assert (reply.text, reply.music) == ("I hear no drums to remove; the recording is as it was.", None)
    odd = nano.respond(Turn("", audio=recording), GenerationOptions(edit=Edit(change={"style": "ambient"})))
    assert odd.music is not None or odd.text == "As I hear it, it is an ambient piece already; the recording is as it was."


def test_a_file_of_notes_is_a_source(nano: llama.MuMuLLaMA, score: Score, tmp_path: Path) -> None:
    write_midi(score, tmp_path / "piece.mid", score.seconds)
    reply = nano.respond(Turn("", score=tmp_path / "piece.mid"), GenerationOptions(edit=Edit(transpose=2)))
    assert [note.pitch for note in reply.score.lead] == [note.pitch + 2 for note in score.lead]
    with pytest.raises(FileNotFoundError):
        nano.respond(Turn("Make it faster", score=tmp_path / "none.mid"))


def test_what_the_model_hears_wrong_does_not_change(nano: llama.MuMuLLaMA, score: Score) -> None:
    """A piece whose attributes are not those of its sound, as of a file: what changes is what differs from what is heard."""
    odd = replace(score, attributes=replace(BALLAD, style="ambient", accompaniment="organ"))
    reply = nano.respond(Turn("Make it faster", score=odd, audio=nano.music_decoder.render(score)))
    assert {name for name, value in vars(reply.score.attributes).items() if value != getattr(odd.attributes, name)} == {"tempo"}
    assert [note.pitch for note in reply.score.accompaniment] == [note.pitch for note in score.accompaniment]


def test_what_was_not_understood_is_said(nano: llama.MuMuLLaMA, score: Score) -> None:
    reply = nano.respond(Turn("Make the second part faster", score=score))
    assert reply.score.attributes.tempo > BALLAD.tempo and "'second part' alone" in reply.text and reply.edit.not_done
    reply = nano.respond(Turn("Turn up the drum reverb", score=score))
    assert reply.music is None and "I did not understand 'turn up the drum reverb'" in reply.text


def test_another_style_keeps_melody_and_chords(nano: llama.MuMuLLaMA, score: Score) -> None:
    reply = nano.respond(Turn("Make it a swing tune", score=score))
    assert reply.score.attributes.style == "swing" and reply.score.chords == score.chords
    assert [note.pitch for note in reply.score.lead] == [note.pitch for note in score.lead]
    assert reply.score.bass != score.bass and {"melody", "chords"} <= {*reply.edit.kept}


def test_parts_that_are_to_stay_stay_in_another_style(nano: llama.MuMuLLaMA, score: Score) -> None:
    drums = set_part(score, "drums", tuple(Note(60 / 72 * beat, 0.1, 38, 90) for beat in range(8)))
    reply = nano.respond(Turn("Make it a rock song, but keep the drums", score=drums))
    assert reply.score.attributes.style == "rock" and reply.score.bass != score.bass
    assert np.allclose([note.start for note in reply.score.drums], [note.start for note in drums.drums])
    assert "melody, chords and drums kept" in reply.text


def test_another_piece_is_no_edit(nano: llama.MuMuLLaMA, score: Score) -> None:
    reply = nano.respond(Turn("Compose a sad swing tune for organ", score=score), GenerationOptions(seconds=4))
    assert reply.edit is None and reply.score.attributes.style == "swing" and reply.music.seconds == 4


def test_questions_about_a_score_are_answered(nano: llama.MuMuLLaMA, score: Score) -> None:
    events = list(nano.stream(Turn("Is it for a party or for a quiet evening?", score=score)))
    assert events[-1].reply.music is None and events[-1].reply.edit is None
    assert "".join(event.text for event in events[:-1] if isinstance(event, TextDelta)) == events[-1].reply.text != ""


@pytest.mark.parametrize(
    "edit",
    [Edit(keep=("melody",)), Edit(keep=("chords",)), Edit(continuation=6), Edit(bar_count=6), Edit(seconds=20),
     Edit(change={"style": "rock"}), Edit(change={"metre": 3}), Edit(change={"tempo": 97.5})],
    ids=["melody", "chords", "continuation", "bars", "seconds", "style", "metre", "tempo"],
)  # fmt: skip
def test_every_edit_is_played_as_long_as_its_score(nano: llama.MuMuLLaMA, score: Score, edit: Edit) -> None:
    reply = nano.respond(Turn("", score=score), GenerationOptions(edit=edit))
    assert reply.music.samples.shape[-1] == round(reply.score.seconds * reply.music.sample_rate) and reply.edit.changed
    if "melody" in edit.keep or "style" in edit.change:
        assert [(note.start, note.pitch) for note in reply.score.lead] == [(note.start, note.pitch) for note in score.lead]
    if edit.keep == ("chords",):
        assert reply.score.chords == score.chords and reply.score.lead != score.lead
    if edit.continuation or edit.seconds:
        target = score.seconds + edit.continuation if edit.continuation else edit.seconds
        assert abs(reply.score.seconds - target) <= 60 / 72 * 4
    if edit.bar_count:
        assert len(reply.score.chords) == 7
