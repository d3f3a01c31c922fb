"""The API as clients see it: right answers, streams equal to whole answers, refusals by status, nobody else's pieces."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import torch
from fastapi import FastAPI, HTTPException
from PIL import Image
from scripted_engine import RATE, Scripted, piece

import llama
from demo import api, api_access
from demo.api import build_router
from demo.api_pcm import pcm16
from demo.api_types import ApiError
from demo.files import pcm, wav_header
from demo.sessions import Sessions
from demo.uploads import Limits
from demo.work import Work
from llama.audio import Waveform
from llama.dialogue import Turn
from llama.engine import Engine
from llama.generation import GenerationOptions

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
URL = "/v1/chat/completions"
MODEL = "nano"
HOUR = 3600


class Server:
    """The API around a scripted engine, spoken to without a network."""

    def __init__(self, folder: Path, engine: Any = None, **options: Any) -> None:
        self.engine, self.sessions, self.now = engine or Scripted(), Sessions(folder), 1000.0
        self.app = FastAPI()
        work = Work(self.engine, self.sessions, Limits())
        self.app.include_router(build_router(work, MODEL, clock=lambda: self.now, **options))

    async def send(self, body: Any, key: str = "", host: str = "10.0.0.1", **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(host, 5))
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://server", headers=headers) as client:
            if isinstance(body, str) and body.startswith("/"):
                return await client.request(options.pop("method", "GET"), body, **options)
            options = {"json": body} if isinstance(body, (dict, list)) else {"content": body, **options}
            return await client.post(URL, **options)

    def ask(self, text: Any = "hello there", **fields: Any) -> httpx.Response:
        options = {name: fields.pop(name) for name in ("key", "host") if name in fields}
        return asyncio.run(self.send(request(text, **fields), **options))

    @property
    def files(self) -> list[Path]:
        return [file for file in self.sessions.root.rglob("*") if file.is_file()]

    @property
    def folders(self) -> int:
        return len(list(self.sessions.root.iterdir()))


def request(text: Any, **fields: Any) -> Json:
    """The body of a request; `text` is the last message's content, or all messages."""
    messages = text if isinstance(text, list) and text and "role" in text[0] else [{"role": "user", "content": text}]
    return {"model": MODEL, "messages": messages, "seed": 5, "seconds": 2, **fields}


SPEAKS: Json = {"modalities": ["text", "audio"], "audio": {"format": "wav", "voice": "any"}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "sessions")
    yield made
    made.sessions.close_all()


def wav(seconds: float) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, (torch.rand(round(seconds * RATE)) - 0.5).numpy(), RATE, format="WAV")
    return out.getvalue()


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG")
    return out.getvalue()


def text64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def recording(seconds: float) -> Json:
    return {"type": "input_audio", "input_audio": {"data": text64(wav(seconds)), "format": "wav"}}


def image(url: str) -> list[Json]:
    return [{"type": "image_url", "image_url": {"url": url}}]


def message(response: httpx.Response, take: int = 0) -> Json:
    assert response.status_code == 200, response.text
    return response.json()["choices"][take]["message"]


def events(response: httpx.Response) -> list[Json]:
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def deltas(response: httpx.Response, take: int = 0) -> list[Json]:
    choices = [one for event in events(response) for one in event["choices"] if one["index"] == take]
    return [one["delta"] | ({"finish": one["finish_reason"]} if one["finish_reason"] else {}) for one in choices]


def streamed_sound(parts: list[Json]) -> bytes:
    return b"".join(base64.b64decode(part["audio"].get("data", "")) for part in parts if "audio" in part)


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
    assert server.engine.tickets[0].options.music is False
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
    assert server.engine.tickets[0].options == GenerationOptions(
        max_tokens=40, temperature=0.5, top_p=0.9, seconds=2, guidance=2, seed=5, conditioning="caption", music=False
    )


def test_fields_that_change_nothing_are_taken(server: Server) -> None:
    neutral: Json = {"frequency_penalty": 0, "logprobs": False, "tools": [], "response_format": {"type": "text"}, "stop": None}
    assert server.ask(**neutral, metadata={"a": "b"}, store=True, user="me", service_tier="auto").status_code == 200


def test_the_model_may_be_left_out(server: Server) -> None:
    assert asyncio.run(server.send({"messages": [{"role": "user", "content": "hi"}]})).status_code == 200


def test_media_go_into_their_slots(server: Server) -> None:
    url = f"data:image/png;base64,{text64(picture())}"
    assert message(server.ask([{"type": "text", "text": "look"}, *image(url), recording(1.5)]))["content"] == "look 1.50"
    turn = server.engine.tickets[0].turn
    assert turn.image is not None and turn.audio is not None and turn.video is None


def test_system_messages_stand_before_the_text(server: Server) -> None:
    said = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    server.ask(said)
    assert server.engine.tickets[0].turn.text == "Be kind.\nHello"


def test_system_messages_do_not_change_what_it_is(server: Server) -> None:
    name = message(server.ask("play", **SPEAKS))["audio"]["id"]
    said = message(server.ask([{"role": "system", "content": "Be kind."}, *follow_up(name)]))
    assert said["content"] == "Be kind. Make it faster 2.00"


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


@pytest.mark.parametrize("method, path", [("GET", "/v1/chat/completions"), ("POST", "/v1/embeddings"), ("DELETE", "/v1/models")])
def test_what_is_not_here(server: Server, method: str, path: str) -> None:
    response = asyncio.run(server.send(path, method=method))
    assert response.status_code == 404 and response.json()["error"]["code"] == "unknown_url"


# -- streams ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["wav", "pcm16"])
def test_a_stream_equals_the_whole_answer(server: Server, form: str) -> None:
    speaks = {"modalities": ["text", "audio"], "audio": {"format": form}, "score": True}
    whole = server.ask("play notes", n=2, **speaks)
    stream = server.ask("play notes", n=2, stream=True, **speaks)
    for take in (0, 1):
        parts, said = deltas(stream, take), message(whole, take)
        assert parts[0] == {"role": "assistant", "content": ""} and parts[-1] == {"finish": "stop"}
        assert "".join(part.get("content", "") for part in parts) == said["content"]
        both = base64.b64decode(said["audio"]["data"]), streamed_sound(parts)
        expected, heard = (np.frombuffer(sound, "<i2").astype(int) for sound in both)
        assert len(expected) == len(heard) and abs(expected - heard).max() <= (form == "pcm16")  # resampled in parts: the last bit
        facts: Json = {}
        for part in parts:
            assert not facts.keys() & part.get("audio", {}).keys() - {"data"}  # told once: clients join what comes twice
            facts |= part.get("audio", {})
        assert facts.keys() == said["audio"].keys()
        assert {name: facts[name] for name in facts if name not in ("id", "data")} == {
            name: said["audio"][name] for name in facts if name not in ("id", "data")
        }


def test_sound_streams_in_parts(server: Server) -> None:
    parts = deltas(server.ask("play", stream=True, **SPEAKS))
    assert sum(bool(part.get("audio", {}).get("data")) for part in parts) == 4


def test_usage_of_a_stream(server: Server) -> None:
    whole = server.ask("one two").json()["usage"]
    told = events(server.ask("one two", stream=True, stream_options={"include_usage": True}))
    assert told[-1]["usage"] == whole and told[-1]["choices"] == [] and told[0]["usage"] is None
    assert all("usage" not in event for event in events(server.ask("one two", stream=True)))
    assert len({event["id"] for event in told}) == 1 and {event["object"] for event in told} == {"chat.completion.chunk"}


def test_an_error_at_once_has_a_status_in_a_stream_too(server: Server) -> None:
    assert server.ask("bug", stream=True).status_code == 200  # its words came before
    assert server.ask("", stream=True).status_code == 400


def test_an_error_on_the_way_is_the_last_event(server: Server) -> None:
    lines = server.ask("well stumble", stream=True).text.strip().split("\n\n")
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["message"].startswith("None is damaged")
    assert server.folders == 0


# -- refusals -----------------------------------------------------------------------------------------------------------


def refused(response: httpx.Response, status: int, param: str | None = None, code: str | None = None) -> str:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"} and error["param"] == param and error["code"] == code
    assert "\n" not in error["message"] and error["message"].endswith(".") and "/srv" not in error["message"]
    return error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"seed": NaN}', b"[" * 100_000])
def test_bodies_that_are_no_object(server: Server, body: bytes) -> None:
    refused(asyncio.run(server.send(body, headers={"Content-Type": "application/json"})), 400)


def test_only_json(server: Server) -> None:
    body = json.dumps(request("hi")).encode()
    assert "JSON" in refused(asyncio.run(server.send(body, headers={"Content-Type": "text/plain"})), 400)


@pytest.mark.parametrize("fields, param, code", [
    ({"model": "gpt-4"}, "model", "model_not_found"), ({"temperatur": 1}, "temperatur", None),
    ({"temperature": "hot"}, "temperature", None),
    ({"temperature": 11}, "temperature", None), ({"top_p": -1}, "top_p", None), ({"seed": 1.5}, "seed", None), ({"seed": -1}, "seed", None),
    ({"seed": True}, "seed", None), ({"seconds": 1e999}, None, None), ({"seconds": 10**400}, "seconds", None), ({"n": 0}, "n", None),
    ({"n": 99}, "n", None), ({"n": "2"}, "n", None), ({"max_tokens": 0}, "max_tokens", None), ({"conditioning": "x"}, "conditioning", None),
    ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", None), ({"stream": "yes"}, "stream", None),
    ({"modalities": ["video"]}, "modalities", None), ({"audio": {"format": "opus"}}, "audio.format", None),
    ({"audio": {"format": "mp3"}, "stream": True}, "audio.format", None), ({"audio": "wav"}, "audio", None),
    ({"stream_options": {"include_usage": True}}, "stream_options", None), ({"extra_body": 3}, "extra_body", None),
    ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"), ({"stop": ["x"]}, "stop", "unsupported_parameter"),
    ({"logprobs": True}, "logprobs", "unsupported_parameter"), ({"presence_penalty": 1}, "presence_penalty", "unsupported_parameter"),
])  # fmt: skip
def test_fields_that_are_wrong(server: Server, fields: Json, param: str, code: str) -> None:
    body = json.dumps(request("hi", **fields)).encode()
    response = asyncio.run(server.send(body, headers={"Content-Type": "application/json"}))
    refused(response, 404 if code == "model_not_found" else 400, param, code)
    assert not server.engine.tickets and server.folders == 0


@pytest.mark.parametrize("messages", [
    [], "hi", [3], [{"role": "user"}], [{"role": "user", "content": "  "}], [{"role": "robot", "content": "x"}], [{"content": "x"}],
    [{"role": "assistant", "content": "x"}], [{"role": "user", "content": 5}], [{"role": "user", "content": ["x"]}],
    [{"role": "user", "content": [{"type": "text"}]}], [{"role": "user", "content": [{"type": "file", "file": {}}]}],
    [{"role": "system", "content": [recording(0.1)]}, {"role": "user", "content": "x"}],
    [{"role": "assistant", "tool_calls": [{}]}, {"role": "user", "content": "x"}], [{"role": "tool", "content": "x"}],
    [{"role": "assistant", "audio": {}}, {"role": "user", "content": "x"}], [{"role": "user", "content": [recording(0.1)] * 17}],
])  # fmt: skip
def test_messages_that_are_wrong(server: Server, messages: Any) -> None:
    response = asyncio.run(server.send({"model": MODEL, "messages": messages}))
    assert response.status_code == 400 and response.json()["error"]["message"]
    assert not server.engine.tickets and server.folders == 0


@pytest.mark.parametrize("content, words", [
    (image("https://example.com/cat.png"), "fetches nothing"), (image("file:///etc/passwd"), "fetches nothing"),
    (image("data:image/png,abc"), "base64"), (image("data:image/png;base64,@@@"), "base64"), (image("data:image/png;base64,"), "no bytes"),
    (image("data:image/png;base64," + text64(b"plain words")), "text"), (image("data:image/png;base64," + text64(wav(0.2))), "a recording"),
    (image("data:image/png;base64," + text64(picture()[:40])), "damaged"), ([{"type": "image_url", "image_url": 5}], "a number"),
    ([{"type": "input_audio", "input_audio": {"data": text64(picture())}}], "a picture"),
    ([{"type": "input_audio", "input_audio": {"data": "äö"}}], "base64"), ([{"type": "input_audio"}], "input_audio"),
])  # fmt: skip
def test_files_that_are_wrong(server: Server, content: list[Json], words: str) -> None:
    response = server.ask(content)
    error = response.json()["error"]
    assert response.status_code == 400 and words in error["message"] and error["param"].startswith("messages[0].content[0]")
    assert not server.engine.tickets and server.folders == 0


@pytest.mark.parametrize("text, status", [("stumble", 400), ("memory", 500), ("disk", 500), ("bug", 500)])
def test_what_fails_on_the_way_has_its_status(server: Server, text: str, status: int) -> None:
    refused(server.ask(text), status)
    assert server.folders == 0 and server.ask("still alive").status_code == 200


def test_a_full_queue_says_come_back(server: Server) -> None:
    server.ask("first")
    response = server.ask("busy")
    refused(response, 429, code="rate_limit_exceeded")
    assert int(response.headers["retry-after"]) > 0 and server.folders == 0


def test_requests_over_the_limit_are_not_read(tmp_path: Path) -> None:
    server, sent = Server(tmp_path, limit=1000), []

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            sent.append(1)
            yield b" " * 100

    announced = asyncio.run(server.send(b" " * 2000, headers={"Content-Type": "application/json"}))
    refused(announced, 413, code="request_too_large")
    refused(asyncio.run(server.send(endless(), headers={"Content-Type": "application/json"})), 413, code="request_too_large")
    assert len(sent) < 20


def test_a_body_that_does_not_come_is_not_waited_for_and_leaves_its_room() -> None:
    hall = api_access.Hall(100)

    class Slow:
        headers = {"content-type": "application/json"}

        async def stream(self) -> AsyncIterator[bytes]:
            yield b" " * 90
            await asyncio.sleep(60)

    async def two() -> None:
        with pytest.raises(ApiError) as late, hall.place() as take:
            await api_access.body(Slow(), 1000, take, within=0.05)  # type: ignore[arg-type]
        assert late.value.status == 408
        with hall.place() as take:
            take(100)

    asyncio.run(two())


def test_bodies_share_one_room() -> None:
    hall = api_access.Hall(100)
    with hall.place() as one:
        one(60)
        with pytest.raises(ApiError) as full, hall.place() as other:
            other(30)
            other(30)
        assert full.value.status == 429
        one(40)  # what the other had taken is free again
    with hall.place() as take:
        take(100)


def test_a_full_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "AT_ONCE", 0)
    server = Server(tmp_path)
    refused(server.ask(), 429, code="rate_limit_exceeded")
    assert not server.engine.tickets and server.folders == 0


@pytest.mark.parametrize("content, param", [
    ([{"role": "user", "content": "x"}] * 1001, "messages"), ([{"role": "user", "content": "x" * 100_001}] * 2, "messages"),
    ([{"role": "user", "content": [[]] * 400_000}], None),
])  # fmt: skip
def test_what_would_take_hours_or_all_memory_is_refused(server: Server, content: list[Json], param: str | None) -> None:
    response = asyncio.run(server.send({"model": MODEL, "messages": content}))
    assert response.status_code == 400 and response.json()["error"]["param"] == param
    assert not server.engine.tickets and server.folders == 0


def test_a_request_that_fails_once_it_was_taken_is_not_worked_at(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Work, asked: object) -> int:
        raise OSError("gone")

    monkeypatch.setattr(Work, "prompt_tokens", fails)
    assert server.ask("play").status_code == 500
    assert [ticket.cancelled.is_set() for ticket in server.engine.tickets] == [True] and server.folders == 0


# -- who is who ---------------------------------------------------------------------------------------------------------


def follow_up(name: str) -> list[Json]:
    return [{"role": "user", "content": "play"}, {"role": "assistant", "content": None, "audio": {"id": name}},
            {"role": "user", "content": "make it faster"}]


def test_a_piece_is_spoken_of_by_its_id(server: Server) -> None:
    name = message(server.ask("play", **SPEAKS))["audio"]["id"]
    assert message(server.ask(follow_up(name)))["content"] == "Make it faster 2.00"


@pytest.mark.parametrize("other", [{"key": "somebody"}, {"host": "10.0.0.2"}, {"user": "somebody"}])
def test_ids_of_one_caller_do_not_open_for_another(server: Server, other: Json) -> None:
    name = message(server.ask("play", **SPEAKS))["audio"]["id"]
    told = refused(server.ask(follow_up(name), **other), 404, "messages[1].audio.id", "audio_not_found")
    assert told == refused(server.ask(follow_up("audio_unknown")), 404, "messages[1].audio.id", "audio_not_found")


def test_pieces_are_kept_for_an_hour(server: Server) -> None:
    name = message(server.ask("play", **SPEAKS))["audio"]["id"]
    assert [file.name for file in server.files] == [f"{name}-kept.wav"]
    server.now += HOUR - 1
    assert server.ask(follow_up(name)).status_code == 200
    server.now += 1
    refused(server.ask(follow_up(name)), 404, "messages[1].audio.id", "audio_not_found")
    assert server.files == [] and server.folders == 0


@pytest.mark.parametrize("given, status", [
    ("Bearer me:secret", 200), ("bearer me:secret", 200), ("Basic " + text64(b"me:secret"), 200), ("", 401), ("Bearer me:wrong", 401),
    ("Bearer secret", 401), ("Basic " + text64(b"me:wrong"), 401), ("Basic !!!", 401), ("Digest me:secret", 401), ("Bearer", 401),
])  # fmt: skip
def test_the_lock(tmp_path: Path, given: str, status: int) -> None:
    server = Server(tmp_path, auth="me:secret")
    response = asyncio.run(server.send("/v1/models", headers={"Authorization": given}))
    assert response.status_code == status
    if status == 401:
        refused(response, 401, code="invalid_api_key")
        assert "Basic" in response.headers["www-authenticate"]


def test_the_lock_holds_before_the_body_is_read(tmp_path: Path) -> None:
    refused(Server(tmp_path, auth="me:secret").ask("hello"), 401, code="invalid_api_key")


@pytest.mark.parametrize("auth", ["me", "me:", ":secret", ""])
def test_a_lock_without_a_key_is_refused(tmp_path: Path, auth: str) -> None:
    with pytest.raises(ValueError, match="user:password"):
        Server(tmp_path, auth=auth)


def test_the_lock_of_the_page_serves_too(tmp_path: Path) -> None:
    def closed() -> None:
        raise HTTPException(401, "Sign in first.")

    assert refused(Server(tmp_path, dependencies=[closed]).ask("hi"), 401, code="invalid_api_key") == "Sign in first."


# -- clients that leave -------------------------------------------------------------------------------------------------


async def leave(server: Server, body: Json, until: Callable[[list[Json]], bool]) -> list[Json]:
    """Sends a request, and leaves once `until` is true of what came back; everything that came."""
    sent: list[Json] = []
    gone = asyncio.Event()
    coming = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> Json:
        if coming:
            return coming.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(one: Json) -> None:
        sent.append(one)

    scope = {"type": "http", "asgi": {"spec_version": "2.3"}, "method": "POST", "path": URL, "raw_path": URL.encode(), "query_string": b"",
             "headers": [(b"content-type", b"application/json")], "client": ("10.0.0.1", 5), "server": ("server", 80), "scheme": "http",
             "root_path": "", "http_version": "1.1"}
    running = asyncio.create_task(server.app(scope, receive, send))
    while not until(sent):
        await asyncio.sleep(0.01)
    gone.set()
    await asyncio.wait_for(running, 10)
    return sent


def test_leaving_cancels_a_whole_answer(server: Server) -> None:
    body = request("wait play", n=2, **SPEAKS)
    asyncio.run(leave(server, body, lambda sent: len(server.engine.tickets) == 2))
    assert all(ticket.cancelled.is_set() and ticket.over.wait(10) for ticket in server.engine.tickets)
    assert server.folders == 0


@pytest.mark.parametrize("begun", [False, True])
def test_leaving_cancels_a_stream(server: Server, begun: bool) -> None:
    def until(sent: list[Json]) -> bool:
        if begun and not sent:
            server.engine.leaves.release()
        return bool(server.engine.tickets) and (bool(sent) or not begun)

    asyncio.run(leave(server, request("wait play", stream=True, **SPEAKS), until))
    [ticket] = server.engine.tickets
    assert ticket.cancelled.is_set() and ticket.over.wait(10) and server.folders == 0


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


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "Basic {}"])
def test_one_login_reads_letters_of_any_language(header: str) -> None:
    """A header's bytes come as latin-1; the same secret opens page and API."""
    import base64

    from demo.login import Login

    secret = "zoë:pässwörd".encode()
    given = base64.b64encode(secret).decode() if header.startswith("Basic") else secret.decode("latin-1")
    login = Login.parse("zoë:pässwörd")
    assert login.admits(header.format(given)) and not login.admits(header.format(given)[:-1]) and not login.admits("")
