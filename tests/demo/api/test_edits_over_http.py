"""Edits over HTTP: the field `edit`, scores in messages, and answers that equal the model's own, whole and streamed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from api_server import SPEAKS, Json, Server, deltas, follow_up, message, recording, refused, streamed_sound, text64
from scripted_engine import REPORT, SCORE

import llama
from DataSet.synthesis.composer import compose
from demo.api.edit_field import FIELDS, JSON_TYPES, EditModel, json_type
from demo.api.generation_job import music_of
from demo.api.protocol import ApiError
from demo.service.audio_files import pcm, wav_header
from demo.service.exports import EXPORT_FORMATS
from llama import GenerationOptions, Turn
from llama.dialogue import Reply
from llama.media.chord_sheet import to_chord_sheet
from llama.media.edit import Edit
from llama.media.edit_report import EditReport
from llama.media.midi import to_midi
from llama.media.musicxml import to_musicxml
from llama.media.naming import loop_name, piece_name
from llama.media.score import Attributes
from llama.media.score_file import score_from_bytes
from llama.media.stems import stems_zip
from llama.serving.engine import Engine

NANO = Path(__file__).resolve().parents[3] / "ckpts/nano"
WALTZ = Attributes("violin", "piano", "waltz", 96, "major", 3, drums=False, key=2)
FASTER: Json = {"change": {"tempo": 120}}
HOUR = 3600


def file_part(content: bytes, name: str = "song.mid") -> Json:
    return {"type": "file", "file": {"filename": name, "file_data": f"data:audio/midi;base64,{text64(content)}"}}


@pytest.fixture(scope="module")
def midi() -> bytes:
    return to_midi(compose(np.random.default_rng(3), WALTZ, 8.0))


# -- the field ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "edit"), [
    (FASTER, Edit(change={"tempo": 120})), ({"change": {"key": "E flat"}, "without": ["bass"]}, Edit(change={"key": 3}, without=("bass",))),
    ({"change": {"key": "D flat"}}, Edit(change={"key": 1})), ({"change": {"key": "f#"}}, Edit(change={"key": 6})),
    ({"bars": [2, 3], "parts": ["lead"]}, Edit(bars=(2, 3), parts=("lead",))), ({"keep": ["melody"]}, Edit(keep=("melody",))),
    ({"bar_count": 4.0}, Edit(bar_count=4)), ({"transpose": 3, "bars": None}, Edit(transpose=3)), ({"strength": 0.5}, Edit(strength=0.5)),
])  # fmt: skip
def test_an_edit_reaches_the_engine(server: Server, sent: Json, edit: Edit) -> None:
    """It asks for music without `audio`, and is about the newest piece without any words about it."""
    name = message(server.ask("play notes", **SPEAKS))["audio"]["id"]
    said = message(server.ask([*follow_up(name)[:2], {"role": "user", "content": "we play"}], edit=sent))
    options, turn = server.engine.requests[-1].options, server.engine.requests[-1].turn
    assert options.edit == edit and options.music and turn.score == SCORE and turn.audio is not None
    lists = {"changed": ["tempo from 60 bpm to 90 bpm"], "kept": ["melody", "chords"], "unchanged": [], "not_done": []}
    assert said["edit"] == {**lists, "transcribed": False, "text": str(REPORT)} and "audio" in said


def test_every_field_of_an_edit_is_one_of_the_api() -> None:
    assert {*EditModel.model_fields} == {*FIELDS} and EditModel().edit() == Edit()
    assert all(json_type(kind) for kind in JSON_TYPES)


@pytest.mark.parametrize(("sent", "param", "words"), [
    (5, "edit", "edit is a number; send an object."), ({"tempo": 120}, "edit.tempo", "put it into change, {'tempo': ...}"),
    ({"volume": 3}, "edit.volume", "has no field 'volume'; use change"), ({"transpose": 99}, "edit.transpose", "99 is out of range"),
    ({"transpose": "3"}, "edit.transpose", "is a string; send a number"), ({"transpose": 2.5}, "edit.transpose", "not a whole number"),
    ({"transpose": 10**400}, "edit.transpose", "out of range"), ({"bars": [5]}, "edit.bars", "such as [5, 8]"),
    ({"bars": [8, 5]}, "edit.bars", "is no range"), ({"bars": [True, 2]}, "edit.bars", "such as [5, 8]"),
    ({"without": "drums"}, "edit.without", "such as ['drums']"), ({"without": ["choir"]}, "edit.without", "choir"),
    ({"change": 3}, "edit.change", "is no object"), ({"change": {"tempo": 9999}}, "edit.change.tempo", "tempo 9999"),
    ({"change": {"lead": {}}}, "edit.change.lead", "one of: piano"), ({"change": {"a" * 900: 1}}, "edit", "cannot change"),
    ({"without": ["drums"], "parts": ["drums"]}, "edit", "at once"), ({"strength": 2}, "edit.strength", "from 0 to 1"),
])  # fmt: skip
def test_a_bad_edit_is_refused_in_a_sentence(server: Server, sent: Any, param: str, words: str) -> None:
    assert words in refused(server.ask("we play", edit=sent), 400, param) and not server.engine.requests


def test_an_edit_needs_music_and_a_piece(server: Server) -> None:
    assert "text alone" in refused(server.ask("we play", edit=FASTER, modalities=["text"]), 400, "edit")
    assert "no piece to change" in refused(server.ask("we play", edit=FASTER), 400)
    assert server.folders == 0


def test_a_piece_of_another_caller_is_not_edited(server: Server) -> None:
    name = message(server.ask("play notes", key="anna", **SPEAKS))["audio"]["id"]
    refused(server.ask(follow_up(name), key="berta", edit=FASTER), 404, "messages[1].audio.id", "audio_not_found")


def test_an_edit_in_a_stream_is_told_at_its_end(server: Server) -> None:
    name = message(server.ask("play notes", **SPEAKS))["audio"]["id"]
    said = [*follow_up(name)[:2], {"role": "user", "content": "we play"}]
    *parts, last = deltas(server.ask(said, edit=FASTER, stream=True))
    assert last["edit"]["text"] == str(REPORT) and last["finish"] == "stop" and not any("edit" in part for part in parts)


# -- scores in messages -------------------------------------------------------------------------------------------------


def test_a_score_in_a_message_is_read(server: Server, midi: bytes) -> None:
    for part in (file_part(midi), file_part(midi, ""), {"type": "file", "file": {"file_data": text64(midi)}}):
        server.ask([{"type": "text", "text": "faster"}, part])
        assert server.engine.requests[-1].turn.score == score_from_bytes(midi, "song.mid")


@pytest.mark.parametrize(("content", "name"), [
    (b"MThd", "song.mid"), (b"MThd\0\0\0\6\0\1\xff\xff\0\x60", ""),
    (b"MThd\0\0\0\6\0\0\0\1\xe7\x28MTrk\xff\xff\xff\xff\0\xff\x2f\0", "a.mid"),
    (b"<score-partwise>", "song.musicxml"), (b"\xff\xfe<", "song.xml"), (b"PK\3\4" + bytes(90), "song.mxl"), (b"\0", "song.mid"),
    (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><score-partwise>&c;</score-partwise>', "song.musicxml"),
])  # fmt: skip
def test_a_damaged_score_is_refused_in_a_sentence(server: Server, content: bytes, name: str) -> None:
    told = refused(server.ask([{"type": "text", "text": "faster"}, file_part(content, name)]), 400, "messages[0].content[1]")
    assert len(told) < 300 and server.folders == 0 and not server.engine.requests


def test_a_score_is_sent_as_a_score(server: Server, midi: bytes) -> None:
    sound = recording(0.5)["input_audio"]["data"]
    part = file_part(base64.b64decode(sound), "song.wav")
    assert "holds a recording, not a score" in refused(server.ask([part]), 400, "messages[0].content[0]")
    wrong = {"type": "input_audio", "input_audio": {"data": text64(midi)}}
    assert "holds a score, not a recording" in refused(server.ask([wrong]), 400, "messages[0].content[0]")
    stored = {"type": "file", "file": {"file_id": "file-1"}}
    assert "stores none" in refused(server.ask([stored]), 400, "messages[0].content[0].file.file_id")
    assert "Two files of one kind" in refused(server.ask([file_part(midi), file_part(midi)]), 400)


# -- with the embedded model --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(NANO)


@pytest.fixture(scope="module")
def alive(nano: llama.MuMuLLaMA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Engine(nano) as engine:
        made = Server(tmp_path_factory.mktemp("alive") / "sessions", engine)
        yield made
        made.sessions.close_all()


def test_an_edit_of_a_file_equals_the_models_own(alive: Server, nano: llama.MuMuLLaMA, midi: bytes) -> None:
    """Whole and streamed: the same words, samples and report."""
    score, edit = score_from_bytes(midi, "song.mid"), Edit(change={"tempo": 120}, transpose=2)
    own = nano.respond(Turn("Make it faster", score=score), GenerationOptions(seed=5, seconds=2, edit=edit))
    asked = [{"type": "text", "text": "Make it faster"}, file_part(midi)]
    said = message(alive.ask(asked, edit={"change": {"tempo": 120}, "transpose": 2}))
    assert own.music is not None and said["content"] == own.text and said["edit"]["text"] == str(own.edit)
    assert base64.b64decode(said["audio"]["data"])[44:] == pcm(own.music)
    parts = deltas(alive.ask(asked, edit={"change": {"tempo": 120}, "transpose": 2}, stream=True))
    streamed = streamed_sound(parts)
    assert streamed[44:] == pcm(own.music) and parts[-1]["edit"]["text"] == str(own.edit)
    assert int.from_bytes(streamed[40:44], "little") == len(streamed) - 44, "the header tells the length of the edit"


def test_an_answers_piece_is_edited_note_for_note(alive: Server) -> None:
    first = message(alive.ask("A slow, sad piano piece", seconds=6, score=True, **SPEAKS))["audio"]
    said = message(alive.ask(follow_up(first["id"]), score=True, edit={"transpose": 5}))
    before, after = (score_from_bytes(base64.b64decode(audio["score"]), "a.mid") for audio in (first, said["audio"]))
    assert [note.pitch for note in after.lead] == [note.pitch + 5 for note in before.lead] and before.lead
    assert [(note.start, note.velocity) for note in after.lead] == [(note.start, note.velocity) for note in before.lead]


def test_what_this_piece_cannot_do_is_refused(alive: Server, midi: bytes) -> None:
    told = refused(alive.ask([file_part(midi)], edit={"excerpt": [1, 90]}), 400)
    assert "Bars 1 to 90 are not in the piece" in told




# -- to take home -------------------------------------------------------------------------------------------------------


def fetch(server: Server, path: str, **options: Any) -> httpx.Response:
    return asyncio.run(server.send(f"/v1/audio/{path}", **options))


def test_a_piece_is_had_in_every_form(alive: Server, nano: llama.MuMuLLaMA, midi: bytes) -> None:
    """The bytes are those of the functions, under a name that says what is in them."""
    audio = message(alive.ask([file_part(midi)], edit=FASTER))["audio"]
    turn = Turn("", score=score_from_bytes(midi, "song.mid"))
    score = nano.respond(turn, GenerationOptions(seed=5, edit=Edit(change={"tempo": 120}))).score
    assert score is not None
    loop, name = nano.music_decoder.render_loop(score, 2, 3), piece_name(score)
    expected = {
        "midi": (to_midi(score), f"{name}.mid"), "musicxml": (to_musicxml(score), f"{name}.musicxml"),
        "chords": (to_chord_sheet(score).encode(), f"{name}-chords.txt"),
        "stems": (stems_zip(nano.music_decoder.render_stems(score), name), f"{name}-stems.zip"),
        "loop?bars=2-3": (wav_header(loop.seconds, loop.sample_rate, len(loop.samples)) + pcm(loop), f"{loop_name(score, 2, 3)}.wav"),
    }
    for form, (content, file) in expected.items():
        response = fetch(alive, f"{audio['id']}/{form}")
        assert response.status_code == 200 and response.content == content, form
        assert response.headers["content-disposition"] == f'attachment; filename="{file}"'
        assert response.headers["content-type"] == EXPORT_FORMATS[form.partition("?")[0]].content_type
        assert fetch(alive, f"{audio['id']}/{form}").content == content, "the second time from the file"


def test_what_cannot_be_taken_home_is_told(alive: Server, server: Server, midi: bytes) -> None:
    name = message(alive.ask([file_part(midi)], edit=FASTER))["audio"]["id"]
    for bars in ("0", "9-2", "900", "x", "-3", "1-2-3", "٣"):
        assert "give their number, such as 8" in refused(fetch(alive, f"{name}/loop?bars={bars}"), 400, "bars")
    assert "those of a loop" in refused(fetch(alive, f"{name}/midi?bars=2"), 400, "bars")
    assert "use wav, midi, musicxml, chords, stems, loop" in refused(fetch(alive, f"{name}/exe"), 404, None, "unknown_url")
    sound = message(server.ask("play", **SPEAKS))["audio"]["id"]
    assert "sound and no notes" in refused(fetch(server, f"{sound}/midi"), 400)


def test_only_its_caller_takes_a_piece_home(server: Server) -> None:
    name = message(server.ask("play notes", key="anna", user="a", **SPEAKS))["audio"]["id"]
    assert fetch(server, f"{name}/midi?user=a", key="anna").content == to_midi(SCORE)
    assert fetch(server, f"{name}/midi?user=a", key="anna", method="HEAD").content == b""
    for path, options in (
        (f"{name}/midi", {"key": "anna"}), (f"{name}/midi?user=a", {"key": "berta"}), (f"{name}/midi?user=a", {}),
        (f"{name}/midi?user=a", {"key": "anna", "host": "10.0.0.2"}), ("audio_none/midi?user=a", {"key": "anna"}),
    ):
        refused(fetch(server, path, **options), 404, None, "audio_not_found")
    server.now += HOUR
    refused(fetch(server, f"{name}/midi?user=a", key="anna"), 404, None, "audio_not_found")
    assert server.files == [] and server.folders == 0, "its forms go with it"


@pytest.mark.parametrize("edit, known", [
    ({"parts": ["melody"]}, Edit(parts=("lead",))), ({"without": ["melody", "bass"]}, Edit(without=("lead", "bass"))),
    ({"keep": ["lead"]}, Edit(keep=("melody",))), ({"keep": ["melody", "chords"]}, Edit(keep=("melody", "chords"))),
    ({"balance": {"melody": 3}}, Edit(balance={"lead": 3})), ({"parts": ["lead"]}, Edit(parts=("lead",))),
])  # fmt: skip
def test_lead_and_melody_are_one_part(server: Server, edit: Json, known: Edit) -> None:
    name = message(server.ask("play notes", **SPEAKS))["audio"]["id"]
    body = [{"role": "assistant", "content": None, "audio": {"id": name}}, {"role": "user", "content": "please play it"}]
    message(server.ask(body, edit=edit))
    assert server.engine.requests[-1].options.edit == known


def test_a_generation_that_would_change_nothing_says_so() -> None:
    reply = Reply("There are no drums to remove; the piece is as it was.", (), edit=EditReport((), ("melody",)))
    with pytest.raises(ApiError, match="^No piece was made: There are no drums to remove; the piece is as it was; ask") as error:
        music_of(reply)
    assert (error.value.status, error.value.param, error.value.code) == (422, "edit", "nothing_changed")
