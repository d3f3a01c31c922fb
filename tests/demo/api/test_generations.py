"""`POST /v1/audio/generations`: a prompt in, the sound itself out."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
import soundfile
from api_server import SPEAKS, Json, Server, message, refused
from scripted_engine import RATE, ScriptedEngine, piece

import llama
from demo.api.generation_request import FORMATS
from llama.generation import GenerationOptions
from llama.serving.engine import Engine

URL = "/v1/audio/generations"


def generate(server: Server, prompt: str = "play a waltz", key: str = "", host: str = "10.0.0.1", **fields: Any) -> httpx.Response:
    body = {"prompt": prompt, "seconds": 2, "seed": 5, **fields}
    return asyncio.run(server.send(URL, key, host, method="POST", json=body))


def samples(content: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(content), dtype="float32")[0].T


def test_the_answer_is_the_sound(server: Server) -> None:
    response = generate(server)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "audio/wav" and response.headers["X-Seed"] == "5" and response.headers["X-Seconds"] == "2"
    assert unquote(response.headers["X-Answer"]) == "play a waltz"
    assert response.headers["content-disposition"] == 'attachment; filename="play-a-waltz.wav"'
    expected = piece(GenerationOptions(seconds=2, seed=5)).numpy()
    assert np.abs(samples(response.content) - expected).max() < 1e-4
    same = asyncio.run(server.send(f"/v1/audio/{response.headers['X-Piece-Id']}/wav"))
    assert same.content == response.content


def test_the_prompt_is_asked_as_music(server: Server) -> None:
    """A prompt that names no music, such as "rain", is one all the same."""
    generate(server, "play rain")
    turn = server.engine.requests[-1].turn
    assert turn.system == "Compose music:" and turn.text == "play rain"


@pytest.mark.parametrize("form, magic", [("flac", b"fLaC"), ("mp3", b"ID3"), ("all", b"PK")])
def test_other_forms(server: Server, form: str, magic: bytes) -> None:
    response = generate(server, format=form)
    assert response.status_code == 200, response.text
    assert response.content.startswith(magic) and form in FORMATS
    assert re.search(r'filename="play-a-waltz\.(flac|mp3|zip)"', response.headers["content-disposition"])
    assert generate(server, response_format=form).content[:3] == response.content[:3]  # as in OpenAI's requests for speech


def test_raw_samples(server: Server) -> None:
    response = generate(server, format="pcm16")
    assert response.headers["content-type"] == "audio/pcm" and len(response.content) == 2 * 24_000 * 2


def test_notes_of_a_piece(server: Server) -> None:
    response = generate(server, "play notes", format="midi")
    assert response.headers["content-type"] == "audio/midi"
    assert response.headers["content-disposition"] == 'attachment; filename="happy-ballad-flute-60bpm-C-major.mid"'
    assert response.content.startswith(b"MThd")


def test_a_form_without_notes_is_refused(server: Server) -> None:
    assert "no notes" in refused(generate(server, format="midi"), 400)


@pytest.mark.parametrize("fields", [{"format": form} for form in ("midi", "musicxml", "chords", "stems")] + [
    {"response_format": "stems"}, {"format": "midi", "response_format": "json"}, {"format": "chords", "background": True},
])  # fmt: skip
def test_forms_of_notes_are_refused_before_the_work_where_the_decoder_makes_sound(tmp_path: Path, fields: Json) -> None:
    engine = ScriptedEngine()
    engine.model.music_decoder = SimpleNamespace(sample_rate=RATE, channels=2)  # a decoder of sound
    server = Server(tmp_path, engine)
    sentence = refused(generate(server, **fields), 400, "format")
    assert "makes sound without notes; choose from wav, mp3, flac, all." in sentence and not engine.requests and not server.folders
    assert generate(server, format="flac").status_code == 200
    server.sessions.close_all()


def test_the_answer_as_json(server: Server) -> None:
    response = generate(server, "play notes", response_format="json", format="mp3")
    body = response.json()
    assert body["object"] == "audio.generation" and body["seed"] == 5 and body["seconds"] == 2 and body["text"] == "play notes"
    assert body["facts"] == {"tempo": 60, "key": "C major", "metre": "4/4", "lead": "flute", "accompaniment": "pad", "style": "ballad",
                             "bars": 0, "drums": False}  # fmt: skip
    assert body["name"] == "happy-ballad-flute-60bpm-C-major" and body["expires_at"] == 1000 + 3600
    assert asyncio.run(server.send(body["url"])).content.startswith(b"ID3")


def test_addresses_have_the_sub_path(tmp_path: Path) -> None:
    server = Server(tmp_path, base="/mumu")
    assert generate(server, response_format="json").json()["url"].startswith("/mumu/v1/audio/audio_")
    server.sessions.close_all()


def test_a_stream_equals_the_complete_file(server: Server) -> None:
    complete, streamed = generate(server), generate(server, stream=True)
    assert streamed.headers["content-type"] == "audio/wav" and "content-length" not in streamed.headers
    assert streamed.content == complete.content and streamed.headers["X-Answer"] == complete.headers["X-Answer"]
    kept = asyncio.run(server.send(f"/v1/audio/{streamed.headers['X-Piece-Id']}/wav"))
    assert kept.content == complete.content
    assert generate(server, stream=True, format="pcm16").content == generate(server, format="pcm16").content


def test_an_answer_without_music_is_told(server: Server) -> None:
    for stream in (False, True):
        sentence = refused(generate(server, "hello there", stream=stream), 422, "prompt", "no_music")
        assert "'hello there'" in sentence
    assert not server.files


@pytest.mark.parametrize("fields, param", [
    ({"prompt": " "}, "prompt"), ({"prompt": 3}, "prompt"), ({"prompt": "x" * 9000}, "prompt"), ({"format": "opus"}, "format"),
    ({"response_format": "b64"}, "response_format"), ({"seconds": 0}, "seconds"), ({"bar_count": 0}, "bar_count"), ({"n": 2}, "n"),
    ({"temperature": 3}, "temperature"), ({"edit": {"change": {"tempo": 90}}}, "piece"), ({"piece": "audio_x"}, "piece"),
    ({"stream": True, "format": "mp3"}, "stream"), ({"stream": True, "response_format": "json"}, "stream"),
    ({"stream": True, "background": True}, "stream"), ({"format": "pcm16", "background": True}, "format"), ({"promt": "x"}, "promt"),
    ({"conditioning": "x"}, "conditioning"), ({"guidance": 51}, "guidance"),
])  # fmt: skip
def test_requests_that_are_refused(server: Server, fields: Json, param: str) -> None:
    response = generate(server, **fields)
    is_unknown = "piece" in fields
    refused(response, 404 if is_unknown else 400, param, "audio_not_found" if is_unknown else None)
    assert not server.engine.requests and server.folders == 0


def test_fields_without_effect_are_named(server: Server) -> None:
    assert generate(server, voice="alloy", speed=1).headers["X-Ignored-Fields"] == "voice, speed"


def test_a_failed_answer_is_told(server: Server) -> None:
    refused(generate(server, "memory"), 500)
    refused(generate(server, "play stumble"), 400)


def test_pieces_of_both_routes_are_one_store(server: Server) -> None:
    """A piece of a chat is edited here, and one of here in a chat."""
    name = message(server.ask("play notes", **SPEAKS))["audio"]["id"]
    response = generate(server, "please play it", piece=name, edit={"change": {"tempo": 90}}, response_format="json")
    assert response.json()["edit"]["changed"] == ["tempo from 60 bpm to 90 bpm"]
    turn = server.engine.requests[-1].turn
    assert turn.score is not None and not turn.system
    mine = response.json()["id"]
    answer = server.ask([{"role": "assistant", "content": None, "audio": {"id": mine}}, {"role": "user", "content": "make it faster"}])
    assert answer.status_code == 200


def test_only_the_caller_has_its_piece(server: Server) -> None:
    name = generate(server, key="a").headers["X-Piece-Id"]
    for key, host in (("b", "10.0.0.1"), ("", "10.0.0.1"), ("a", "10.0.0.2")):
        assert asyncio.run(server.send(f"/v1/audio/{name}/wav", key, host)).status_code == 404
    assert asyncio.run(server.send(f"/v1/audio/{name}/wav", "a")).status_code == 200


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Engine(llama.load("ckpts/nano")) as engine:
        server = Server(tmp_path_factory.mktemp("alive"), engine)
        yield server
        server.sessions.close_all()


@pytest.mark.parametrize("prompt", ["rain", "epic trailer"])
def test_the_embedded_model_makes_music_of_any_prompt(alive: Server, prompt: str) -> None:
    response = generate(alive, prompt, seconds=1)
    assert response.status_code == 200, response.text
    assert samples(response.content).shape[-1] > RATE


def test_the_embedded_model_tells_what_it_made(alive: Server) -> None:
    described = generate(alive, "a slow waltz for piano", bar_count=2, response_format="json").json()
    assert described["facts"]["metre"] == "3/4" and described["facts"]["bars"] == 2 and described["facts"]["lead"] == "piano"
    edited = generate(alive, "", piece=described["id"], edit={"change": {"tempo": 150}, "parts": ["melody"]}, response_format="json").json()
    assert edited["facts"]["tempo"] == 150 and "tempo" in edited["edit"]["text"]


def test_the_embedded_model_shows_its_notes(alive: Server) -> None:
    """Notes as JSON, one part as sound, and sheet music, of a piece, for its own caller alone."""
    made = generate(alive, "a slow waltz for piano", bar_count=2)
    address = f"/v1/audio/{made.headers['X-Piece-Id']}"

    def get(form: str, host: str = "10.0.0.1") -> httpx.Response:
        return asyncio.run(alive.send(f"{address}/{form}", host=host))

    score = get("score").json()
    names = [part["name"] for part in score["parts"]]
    assert score["metre"] == 3 and "melody" in names
    assert samples(get("stem?part=melody").content).shape == samples(made.content).shape
    assert "choose from" in refused(get("stem?part=kazoo"), 400)
    count = get("sheet").json()["pages"]
    assert get(f"sheet?page={count}").headers["content-type"] == "image/svg+xml" and "<svg" in get("sheet?page=1").text
    for page in (str(count + 1), "0", "x", "-1", "9" * 40):
        assert "give one from 1" in refused(get(f"sheet?page={page}"), 400, "page")
    for form in ("score", "stem?part=melody", "sheet"):
        assert get(form, host="10.0.0.9").status_code == 404


def test_a_piece_without_notes_shows_none(server: Server) -> None:
    name = generate(server).headers["X-Piece-Id"]
    for form in ("score", "stem?part=melody", "sheet"):
        assert "no notes" in refused(asyncio.run(server.send(f"/v1/audio/{name}/{form}")), 400)
