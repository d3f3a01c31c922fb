"""Streams of the API: equal to whole answers, errors on the way told, and nobody works for a client that has left."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from api_server import SPEAKS, URL, Json, Server, deltas, events, message, request, streamed_sound

import llama
from demo.api.chat_job import ChatHandler, ChatJob
from demo.service.audio_files import pcm
from llama import GenerationOptions, Turn
from llama.serving.engine import Engine

NANO = Path(__file__).resolve().parents[3] / "ckpts/nano"


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


def test_the_embedded_model_sounds_in_parts(tmp_path: Path) -> None:
    """The parts of its stream, joined, are the piece that it makes alone."""
    model, text = llama.load(NANO), "A fast dance for trumpet with drums"
    expected = model.respond(Turn(text), GenerationOptions(seconds=16, seed=5)).music
    with Engine(model) as engine:
        made = Server(tmp_path, engine)
        parts = deltas(made.ask(text, stream=True, **SPEAKS | {"seconds": 16}))
        made.sessions.close_all()
    assert sum(bool(part.get("audio", {}).get("data")) for part in parts) > 3
    assert streamed_sound(parts)[44:] == pcm(expected)


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
    asyncio.run(leave(server, body, lambda sent: len(server.engine.requests) == 2))
    assert all(ticket.cancelled.is_set() and ticket.finished.wait(10) for ticket in server.engine.requests)
    assert server.folders == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_folder_that_takes_long_to_delete_holds_nobody(server: Server, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """It is deleted only once somebody else has been answered meanwhile."""
    begun, answered, in_time = threading.Event(), threading.Event(), []
    end = ChatHandler.end

    def slow(self: ChatHandler, job: ChatJob) -> None:
        begun.set()
        in_time.append(answered.wait(10))
        end(self, job)

    async def other() -> None:
        while not begun.is_set():
            await asyncio.sleep(0.01)
        assert (await server.send("/v1/models")).status_code == 200
        answered.set()

    async def both() -> None:
        await asyncio.gather(server.send(request("play", stream=stream, **SPEAKS)), other())

    monkeypatch.setattr(ChatHandler, "end", slow)
    asyncio.run(both())
    assert in_time == [True] and len(server.files) == 1


def test_a_stream_that_is_cut_short_still_deletes_its_files(server: Server) -> None:
    """As at the end of the server, which cancels what is under way."""
    async def cut() -> None:
        running = asyncio.create_task(server.send(request("wait play", stream=True)))
        while not server.engine.requests:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cut())
    assert server.engine.requests[0].cancelled.is_set() and server.folders == 0


@pytest.mark.parametrize("begun", [False, True])
def test_leaving_cancels_a_stream(server: Server, begun: bool) -> None:
    def until(sent: list[Json]) -> bool:
        if begun and not sent:
            server.engine.leaves.release()
        return bool(server.engine.requests) and (bool(sent) or not begun)

    asyncio.run(leave(server, request("wait play", stream=True, **SPEAKS), until))
    [ticket] = server.engine.requests
    assert ticket.cancelled.is_set() and ticket.finished.wait(10) and server.folders == 0
