"""The API as clients see it: right answers in the form they read, and the same as the model gives alone."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from api_server import (
    MODEL,
    SPEAKS,
    Json,
    Server,
    deltas,
    follow_up,
    image,
    message,
    picture,
    recording,
    request,
    streamed_sound,
    text64,
    wav,
)
from scripted_engine import RATE, piece

import llama
from demo.api.pcm import pcm16
from demo.service.audio_files import pcm, wav_header
from llama.dialogue import Turn
from llama.generation import GenerationOptions
from llama.media.audio import Waveform
from llama.serving.engine import Engine

ROOT = Path(__file__).resolve().parents[3]
HOUR = 3600


# -- whole answers ------------------------------------------------------------------------------------------------------


def test_an_answer_has_the_form_that_clients_read(server: Server) -> None:
    answer = server.ask("hello there").json()
    assert answer["object"] == "chat.completion" and answer["model"] == MODEL and answer["created"] == 1000
    assert answer["id"].startswith("chatcmpl-")
    [choice] = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": "hello there", "refusal": None} and choice["finish_reason"] == "stop"
    prompt = answer["usage"]["prompt_tokens"]
    assert prompt > 2 and answer["usage"]["completion_tokens"] == 2 and answer["usage"]["total_tokens"] == prompt + 2
    assert server.ask("long tale").json()["choices"][0]["finish_reason"] == "length"


def test_nothing_stays_of_an_answer_in_words(server: Server) -> None:
    server.ask([recording(1.0)])
    assert server.files == [] and server.folders == 0


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "pcm16"])
def test_music_comes_in_the_format_that_was_asked_for(server: Server, form: str) -> None:
    audio = message(server.ask("play", **SPEAKS | {"audio": {"format": form}}))["audio"]
    expected, data = Waveform(piece(GenerationOptions(seconds=2.0, seed=5)), RATE), base64.b64decode(audio["data"])
    assert audio["transcript"] == "play" and audio["seconds"] == 2.0 and audio["expires_at"] == 1000 + HOUR
    if form == "pcm16":
        assert data == pcm16(expected) and (audio["sample_rate"], audio["channels"]) == (24000, 1)
        return
    samples, rate = soundfile.read(io.BytesIO(data), always_2d=True)
    assert soundfile.info(io.BytesIO(data)).format == ("MP3" if form == "mp3" else form.upper())
    assert (audio["sample_rate"], audio["channels"]) == (rate, 2) == (RATE, 2) and len(samples) == 2 * RATE
    assert form == "mp3" or np.allclose(samples.T, expected.samples, atol=1 / 32768)


def test_words_only_unless_music_is_asked_for(server: Server) -> None:
    assert "audio" not in message(server.ask("play"))
    assert server.engine.requests[0].options.music is False
    assert "audio" in message(server.ask("play", audio={"format": "wav"}))


def test_notes_come_with_the_music(server: Server) -> None:
    audio = message(server.ask("play notes", score=True, **SPEAKS))["audio"]
    assert base64.b64decode(audio["score"])[:4] == b"MThd"
    assert message(server.ask("play", score=True, **SPEAKS))["audio"]["score"] is None
    assert "score" not in message(server.ask("play notes", **SPEAKS))["audio"]


def test_several_takes_are_choices(server: Server) -> None:
    answer = server.ask("play", n=3, **SPEAKS).json()
    assert [(one["index"], one["seed"]) for one in answer["choices"]] == [(0, 5), (1, 6), (2, 7)]
    assert len({one["message"]["audio"]["data"] for one in answer["choices"]}) == 3
    assert len({one["message"]["audio"]["id"] for one in answer["choices"]}) == 3
    assert answer["usage"]["completion_tokens"] == 3 * 9 and answer["usage"]["completion_tokens_details"]["audio_tokens"] == 24


def test_settings_reach_the_engine(server: Server) -> None:
    server.ask(temperature=0.5, top_p=0.9, max_completion_tokens=40, extra_body={"guidance": 2, "conditioning": "caption"})
    assert server.engine.requests[0].options == GenerationOptions(
        max_tokens=40, temperature=0.5, top_p=0.9, seconds=2, guidance=2, seed=5, conditioning="caption", music=False
    )


@pytest.mark.parametrize("fields", [
    {"frequency_penalty": 0, "presence_penalty": 0.0, "logprobs": False, "top_logprobs": 0, "logit_bias": {}},
    {"tools": [], "tool_choice": "auto", "functions": [], "parallel_tool_calls": True, "stop": []}, {"response_format": {"type": "text"}},
    {"stop": None, "seed": None, "tools": None},
    {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none"},  # may not be called
    {"metadata": {"a": "b"}, "store": True, "user": "me", "service_tier": "auto", "safety_identifier": "x", "prompt_cache_key": "y"},
    {"reasoning_effort": "low", "verbosity": "low", "prediction": {"type": "content", "content": "a"}, "n": 1.0, "seed": 7.0},
    {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}, {"max_tokens": 9, "max_completion_tokens": 9}, {"temperature": 2, "top_p": 1},
    {"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": False}},
])  # fmt: skip
def test_fields_that_change_nothing_are_taken(server: Server, fields: Json) -> None:
    assert server.ask(**fields).status_code == 200


@pytest.mark.parametrize(("sent", "used"), [(-2, 2**31 - 2), (-(2**31), 0), (-(2**63), 0), (0, 0), (2**40, 2**40)])
def test_negative_seeds_are_seeds(server: Server, sent: int, used: int) -> None:
    [choice] = server.ask(seed=sent).json()["choices"]
    assert choice["seed"] == used == server.engine.requests[0].options.seed


def test_a_seed_of_minus_one_is_any(server: Server) -> None:
    """As without a seed, and other than every other negative seed; the one that was drawn is told."""
    seeds = {server.ask(seed=-1).json()["choices"][0]["seed"] for _ in range(3)}
    assert len(seeds) == 3 and min(seeds) >= 0


@pytest.mark.parametrize(("stop", "strings"), [("###", ("###",)), (["a", "b", "c", "d"], ("a", "b", "c", "d")), ([], ()), (None, ())])
def test_stop_strings_reach_the_engine(server: Server, stop: Any, strings: tuple[str, ...]) -> None:
    server.ask(stop=stop)
    assert server.engine.requests[0].options.stop == strings


def test_the_model_may_be_left_out(server: Server) -> None:
    assert asyncio.run(server.send({"messages": [{"role": "user", "content": "hi"}]})).status_code == 200


def test_media_go_into_their_slots(server: Server) -> None:
    url = f"data:image/png;base64,{text64(picture())}"
    assert message(server.ask([{"type": "text", "text": "look"}, *image(url), recording(1.5)]))["content"] == "look 1.50"
    turn = server.engine.requests[0].turn
    assert turn.image is not None and turn.audio is not None and turn.video is None


def test_every_form_of_a_file_is_read(server: Server) -> None:
    """Data addresses in every field, line breaks, the alphabet of URLs, no padding, percent signs."""
    sound = text64(wav(1.5))
    lines = "\r\n".join(sound[at : at + 76] for at in range(0, len(sound), 76))
    forms = [sound, lines, sound.replace("+", "-").replace("/", "_").rstrip("=")]
    assert "+" in sound and "/" in sound
    forms += [f"data:audio/wav;base64,{form}" for form in forms]
    forms += [f"DATA:audio/wav;codecs=1;BASE64,{sound.replace('+', '%2B').replace('=', '%3D')}"]
    parts = [{"type": "input_audio", "input_audio": {"data": form, "format": "mp3"}} for form in forms]
    parts += [{"type": "audio_url", "audio_url": {"url": form}} for form in forms if ":" in form]
    for part in parts:
        assert message(server.ask([{"type": "text", "text": "listen"}, part]))["content"] == "listen 1.50"


def test_system_messages_stand_before_the_text(server: Server) -> None:
    said = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    server.ask(said)
    turn = server.engine.requests[0].turn
    assert (turn.system, turn.text) == ("Be kind.", "Hello")


def test_system_messages_do_not_change_what_it_is(server: Server) -> None:
    name = message(server.ask("play", **SPEAKS))["audio"]["id"]
    said = message(server.ask([{"role": "system", "content": "Be kind."}, *follow_up(name)]))
    assert said["content"] == "Make it faster 2.00"


def test_two_callers_get_their_own_answers(server: Server) -> None:
    async def both() -> list[httpx.Response]:
        asked = [request([{"type": "text", "text": f"play caller {n}"}, recording(n)], **SPEAKS | {"seed": n}) for n in (1, 2, 3)]
        return await asyncio.gather(*(server.send(one, host=f"10.0.0.{n}") for n, one in enumerate(asked)))

    for n, response in enumerate(asyncio.run(both()), 1):
        said = message(response)
        expected = Waveform(piece(GenerationOptions(seconds=2.0, seed=n)), RATE)
        assert said["content"] == f"play caller {n} {n}.00"
        assert base64.b64decode(said["audio"]["data"]) == wav_header(2.0, RATE, 2) + pcm(expected)


# -- models -------------------------------------------------------------------------------------------------------------


def test_models(server: Server) -> None:
    listed = asyncio.run(server.send("/v1/models")).json()
    assert listed["object"] == "list" and [one["id"] for one in listed["data"]] == [MODEL]
    assert asyncio.run(server.send(f"/v1/models/{MODEL}")).json() == listed["data"][0]
    assert asyncio.run(server.send("/v1/models/other")).status_code == 404


def test_a_trailing_slash_changes_nothing(server: Server) -> None:
    for path in ("/v1/models", f"/v1/models/{MODEL}"):
        assert asyncio.run(server.send(f"{path}/")).json() == asyncio.run(server.send(path)).json()
    response = asyncio.run(server.send("/v1/chat/completions/", method="POST", json=request("hello")))
    assert message(response)["content"] == "hello"


@pytest.mark.parametrize("method, path", [
    ("GET", "/v1/chat/completions"), ("POST", "/v1/embeddings"), ("DELETE", "/v1/models"), ("GET", "/v1"),
])  # fmt: skip
def test_what_is_not_here(server: Server, method: str, path: str) -> None:
    response = asyncio.run(server.send(path, method=method))
    assert response.status_code == 404 and response.json()["error"]["code"] == "unknown_url"


# -- with the model that comes with the house ---------------------------------------------------------------------------


@pytest.mark.slow
def test_answers_at_once_equal_the_models_own(tmp_path: Path) -> None:
    """Recordings, a picture, music, whole and streaming, in one batch: each equal to what the model says alone."""
    model = llama.load(ROOT / "ckpts/nano")
    examples = ROOT / "assets/examples"
    heard = sorted(examples.glob("*.flac"))[:2]
    seen = examples / "moon.jpg"
    parts = [{"type": "input_audio", "input_audio": {"data": text64(file.read_bytes()), "format": "flac"}} for file in heard]
    asked = [
        request([{"type": "text", "text": "How fast is it?"}, parts[0]]), request([{"type": "text", "text": "How fast is it?"}, parts[1]]),
        request([{"type": "text", "text": "Compose music for this picture"}, *image(f"data:image/jpeg;base64,{text64(seen.read_bytes())}")],
                **SPEAKS, seconds=1),
        request("A slow, sad piano piece", **SPEAKS, seconds=1), request("A slow, sad piano piece", **SPEAKS, seconds=1, stream=True),
    ]  # fmt: skip
    turns = [Turn("How fast is it?", audio=heard[0]), Turn("How fast is it?", audio=heard[1]),
             Turn("Compose music for this picture", image=seen), *[Turn("A slow, sad piano piece")] * 2]
    music = [False, False, True, True, True]
    alone = [model.respond(turn, GenerationOptions(seconds=1, seed=5, music=plays)) for turn, plays in zip(turns, music, strict=True)]

    async def all_at_once(server: Server) -> list[httpx.Response]:
        return await asyncio.gather(*(server.send(one, host=f"10.0.0.{n}") for n, one in enumerate(asked)))

    with Engine(model) as engine:
        server = Server(tmp_path, engine)
        *whole, streamed = asyncio.run(all_at_once(server))
        server.sessions.close_all()
    for response, reply in zip(whole, alone[:-1], strict=True):
        said = message(response)
        assert said["content"] == reply.text and response.json()["usage"]["completion_tokens"] == len(reply.tokens)
        assert ("audio" in said) == (reply.music is not None)
        assert reply.music is None or base64.b64decode(said["audio"]["data"])[44:] == pcm(reply.music)
    assert alone[0].text != alone[1].text
    assert streamed_sound(deltas(streamed))[44:] == pcm(alone[-1].music)
