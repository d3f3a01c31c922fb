"""What the API refuses: by field, by status, in one sentence, before the engine sees it."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from api_server import MODEL, Json, Server, image, picture, recording, refused, request, text64, wav

from demo.api.access import read_body
from demo.api.protocol import ApiError, ChatRequest
from demo.api.request_parser import parse_request
from demo.service.quotas import MAX_PER_ADDRESS
from demo.service.service import ChatService


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"seed": NaN}', b'{"seed": -Infinity}', b'{"seed": ' + b"7" * 5000 + b"}", b"[" * 100_000,
    b'{"seed": ' + b'{"a": ' * 100_000, b'{"a": ' * 20_000 + b"1" + b"}" * 20_000,
])  # fmt: skip
def test_bodies_that_are_no_object(server: Server, body: bytes) -> None:
    refused(asyncio.run(server.send(body, headers={"Content-Type": "application/json"})), 400)


def test_only_json(server: Server) -> None:
    body = json.dumps(request("hi")).encode()
    assert "JSON" in refused(asyncio.run(server.send(body, headers={"Content-Type": "text/plain"})), 400)


@pytest.mark.parametrize("fields, param, code", [
    ({"model": "gpt-4"}, "model", "model_not_found"), ({"temperatur": 1}, "temperatur", None),
    ({"temperature": "hot"}, "temperature", None),
    ({"temperature": 2.1}, "temperature", None), ({"top_p": -1}, "top_p", None), ({"seed": 1.5}, "seed", None),
    ({"seed": -(2**64)}, "seed", None), ({"temperature": -0.1}, "temperature", None),
    ({"seed": True}, "seed", None), ({"seconds": 1e999}, None, None), ({"seconds": 10**400}, "seconds", None), ({"n": 0}, "n", None),
    ({"n": 99}, "n", None), ({"n": "2"}, "n", None), ({"max_tokens": 0}, "max_tokens", None), ({"conditioning": "x"}, "conditioning", None),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", None), ({"stream": "yes"}, "stream", None),
    ({"modalities": ["video"]}, "modalities", None), ({"audio": {"format": "opus"}}, "audio.format", None),
    ({"audio": {"format": "mp3"}, "stream": True}, "audio.format", None), ({"audio": "wav"}, "audio", None),
    ({"stream_options": {"include_usage": True}}, "stream_options", None), ({"extra_body": 3}, "extra_body", None),
    ({"tools": [{"type": "function"}], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice",
     "unsupported_parameter"),
    ({"tool_choice": "required"}, "tool_choice", "unsupported_parameter"), ({"function_call": {"name": "f"}}, "function_call",
                                                                            "unsupported_parameter"),
    ({"guided_json": {}}, "guided_json", "unsupported_parameter"),
    ({"structured_outputs": {}}, "structured_outputs", "unsupported_parameter"),
    ({"max_token": 3}, "max_token", None), ({f"field{number}": 1 for number in range(101)}, None, None),
    ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format", "unsupported_parameter"),
    ({"stop": 5}, "stop", None), ({"stop": ["a", None]}, "stop", None), ({"stop": ""}, "stop", None), ({"stop": ["x"] * 5}, "stop", None),
    ({"stop": "x" * 201}, "stop", None), ({"logit_bias": {"5": -100}}, "logit_bias", "unsupported_parameter"),
    ({"top_logprobs": 2}, "top_logprobs", "unsupported_parameter"),
    ({"logprobs": True}, "logprobs", "unsupported_parameter"),
])  # fmt: skip
def test_fields_that_are_wrong(server: Server, fields: Json, param: str, code: str) -> None:
    body = json.dumps(request("hi", **fields)).encode()
    response = asyncio.run(server.send(body, headers={"Content-Type": "application/json"}))
    refused(response, 404 if code == "model_not_found" else 400, param, code)
    assert not server.engine.requests and server.folders == 0


@pytest.mark.parametrize("fields, ignored", [
    ({"tools": [{"type": "function"}], "tool_choice": "auto"}, "tools"), ({"tools": [{}], "tool_choice": "none"}, "tools"),
    ({"functions": [{}], "function_call": "auto"}, "functions"),
    ({"top_k": 5, "min_p": 0.1, "presence_penalty": 1}, "presence_penalty, top_k, min_p"),
    ({"top_k": -1, "tools": [], "frequency_penalty": 0.0, "metadata": {"a": "b"}, "user": "u"}, None),
    ({"min_tokens": 1, "ignore_eos": False, "chat_template_kwargs": {}, "skip_special_tokens": True},  # of vLLM
     "min_tokens, ignore_eos, chat_template_kwargs, skip_special_tokens"),
    ({"chat_id": "c", "session_id": "s", "features": {}, "keep_alive": -1, "options": {"num_ctx": 4096}},  # of Open WebUI and Ollama
     "chat_id, session_id, features, keep_alive, options"),
    ({"thinking": {}, "drop_params": True, "api_base": "x"}, "thinking, drop_params, api_base"),  # of LiteLLM
    ({"x" * 100_000: 1}, "x" * 18), ({f"field{number}": 1 for number in range(20)}, "field0, field1"),
    ({"é\n": 1}, "\\xe9\\n"),
])  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_fields_that_are_ignored_are_named(server: Server, fields: Json, ignored: str | None, stream: bool) -> None:
    response = server.ask("hi", stream=stream, **fields)
    assert response.status_code == 200, response.text
    header = response.headers.get("X-Ignored-Fields")
    assert header is None if ignored is None else header is not None and header.startswith(ignored) and len(header) < 600


def test_a_field_name_that_is_no_text_is_ignored(server: Server) -> None:
    body = b'{"messages": [{"role": "user", "content": "hi", "\\ud800": 1}], "\\ud800": 1}'
    response = asyncio.run(server.send(body, headers={"Content-Type": "application/json"}))
    assert response.status_code == 200 and response.headers["X-Ignored-Fields"] == "\\ud800"


@pytest.mark.parametrize("value", ["1e999", "-1e999", "1e308", "9" * 400])
def test_numbers_beyond_a_floats_range(server: Server, value: str) -> None:
    body = json.dumps(request("hi", seed=0)).replace('"seed": 0', f'"seed": {value}').encode()
    refused(asyncio.run(server.send(body, headers={"Content-Type": "application/json"})), 400, "seed")


@pytest.mark.parametrize("fields", [
    {"temperatur" + "x" * 2: 1}, {"model": "x" * 100_000}, {"conditioning": "x" * 100_000}, {"response_format": {"type": "x" * 100_000}},
    {"audio": {"format": "x" * 100_000}}, {"stop": "x" * 100_000}, {"seconds": 10**18}, {"modalities": ["x" * 100_000]},
    {"messages": [{"role": "x" * 100_000, "content": "hi"}]}, {"tool_choice": "x" * 100_000},
    {"messages": [{"role": "user", "content": "hi", "audio": {}}, {"role": "assistant", "audio": {"id": "x" * 100_000}},
                  {"role": "user", "content": "hi"}]},
])  # fmt: skip
def test_what_is_quoted_is_short(server: Server, fields: Json) -> None:
    response = asyncio.run(server.send(request("hi", **fields)))
    assert response.status_code in (400, 404) and len(response.text) < 600


ODD_VALUES = (
    "null", "true", "0", "-1", "1.5", "1e999", "-0.0", "1e308", '"x"', '""', '"\\ud800"', '"\\u0000"', "[]", "[null]",
    '["\\ud800"]', "[[]]", "{}", '{"\\ud800": 1}', '{"type": []}', '{"format": "\\ud800"}', '{"url": 1}', '{"include_usage": 1e999}',
    "9" * 400, "-" + "9" * 30,
    '"' + "x" * 10_000 + '"', "[" * 500 + "]" * 500,
    '[{"role": "user", "content": [{"type": "audio_url", "audio_url": {"url": "data:,x"}}]}]',
    '[{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "data:;base64,%%%"}}]}]',
)  # fmt: skip


@pytest.mark.parametrize("field", [*ChatRequest.model_fields, "extra_body", "unknown"])
def test_odd_values_are_taken_or_refused_in_one_sentence(field: str) -> None:
    for value in ODD_VALUES:
        messages = "" if field == "messages" else '"messages": [{"role": "user", "content": "hi"}], '
        try:
            parse_request(f'{{{messages}"{field}": {value}}}'.encode(), MODEL, ChatRequest)
        except ApiError as error:
            message = json.dumps(error.body(), ensure_ascii=False).encode()  # no lone surrogates
            assert len(message) < 500 and str(error).endswith(".") and error.status in (400, 404)


# -- compressed bodies --------------------------------------------------------------------------------------------------


def compressed(server: Server, body: bytes, encoding: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    return asyncio.run(server.send(body, headers=headers))


def gzip_of(content: bytes, window: int = 31) -> bytes:
    packer = zlib.compressobj(wbits=window)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize(("encoding", "window"), [("gzip", 31), ("x-gzip", 31), ("GZIP", 31), ("deflate", 15)])
def test_a_compressed_body_is_read(server: Server, encoding: str, window: int) -> None:
    body = json.dumps(request("hello", metadata={"long": "y" * 3_000_000})).encode()  # more than one part
    assert compressed(server, gzip_of(body, window), encoding).json()["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 5000])
def test_another_compression_is_refused_by_name(server: Server, encoding: str) -> None:
    told = refused(compressed(server, gzip_of(b"{}"), encoding), 415, code="unsupported_content_encoding")
    assert encoding[:20] in told and len(told) < 300


@pytest.mark.parametrize("body", [b"{}", gzip_of(b'{"a": "b"}')[:-9], gzip_of(b"{}") + b"more", b""])
def test_a_damaged_compressed_body(server: Server, body: bytes) -> None:
    assert "gzip" in refused(compressed(server, body, "gzip"), 400)


def test_what_follows_a_compressed_body_is_not_collected() -> None:
    """zlib keeps it all and copies it with each part, without an end for a body that does not announce its length."""
    parts = iter([gzip_of(b"{}"), *[bytes(1 << 16)] * 100])

    async def stream() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    with pytest.raises(ApiError, match="no whole gzip file"):
        asyncio.run(read_body(SimpleNamespace(headers=headers, stream=stream), 1 << 20))  # type: ignore[arg-type]
    assert len(list(parts)) == 99


def test_a_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    server = Server(tmp_path / "sessions", limit=5_000_000)
    bomb = gzip_of(b" " * 100_000_000)
    assert len(bomb) < 1_000_000 and "5 MB" in refused(compressed(server, bomb, "gzip"), 413, code="request_too_large")


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
    assert not server.engine.requests and server.folders == 0


@pytest.mark.parametrize("content, words", [
    (image("https://example.com/cat.png"), "fetches nothing"), (image("file:///etc/passwd"), "fetches nothing"),
    ([{"type": "audio_url", "audio_url": {"url": "https://example.com/a.mp3"}}], "fetches nothing"),
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
    assert not server.engine.requests and server.folders == 0


@pytest.mark.parametrize("text, status", [("stumble", 400), ("memory", 500), ("bug", 500)])
def test_what_fails_on_the_way_has_its_status(server: Server, text: str, status: int) -> None:
    refused(server.ask(text), status)
    assert server.folders == 0 and server.ask("still alive").status_code == 200


def test_a_full_disk_says_come_back(server: Server) -> None:
    response = server.ask("disk")
    refused(response, 503, code="insufficient_storage")
    assert int(response.headers["retry-after"]) > 0 and server.folders == 0


def test_a_full_queue_says_come_back(server: Server) -> None:
    server.ask("first")
    response = server.ask("busy")
    refused(response, 429, code="rate_limit_exceeded")
    assert int(response.headers["retry-after"]) > 0 and server.folders == 0


@pytest.mark.parametrize("stranger", [{"host": "10.0.0.2"}, {"key": "somebody"}, {"user": "somebody"}])
def test_one_caller_leaves_places_for_others(server: Server, stranger: Json) -> None:
    async def many() -> list[httpx.Response]:
        first = [asyncio.create_task(server.send(request("wait", n=8))) for _ in range(2)]
        while len(server.engine.requests) < 16:
            await asyncio.sleep(0.01)
        options = {name: stranger[name] for name in ("host", "key") if name in stranger}
        told = await server.send(request("hello"))
        others = await server.send(request("hello", **({} if options else stranger)), **options)
        for _ in range(100):
            server.engine.leaves.release()
        return [told, others, *await asyncio.gather(*first)]

    told, *answers = asyncio.run(many())
    assert "16 of your answers" in refused(told, 429, code="rate_limit_exceeded") and int(told.headers["retry-after"]) > 0
    assert [answer.status_code for answer in answers] == [200] * 3 and server.folders == 0


@pytest.mark.parametrize("fresh", [lambda number: ({"user": f"user {number}"}, ""), lambda number: ({}, f"key {number}")])
def test_new_names_are_no_new_places(server: Server, fresh: Callable[[int], tuple[Json, str]]) -> None:
    async def many() -> tuple[httpx.Response, httpx.Response]:
        async def ask(number: int, text: str = "wait", **options: Any) -> httpx.Response:
            fields, key = fresh(number)
            return await server.send(request(text, n=8, **fields), key=key, **options)

        first = [asyncio.create_task(ask(number)) for number in range(MAX_PER_ADDRESS // 8)]
        while len(server.engine.requests) < MAX_PER_ADDRESS:
            await asyncio.sleep(0.01)
        told, other = await ask(99, "hello"), await ask(99, "hello", host="10.0.0.2")
        for ticket in server.engine.requests:
            ticket.cancel()
        await asyncio.gather(*first)
        return told, other

    told, other = asyncio.run(many())
    assert f"{MAX_PER_ADDRESS} answers for your address" in refused(told, 429, code="rate_limit_exceeded") and other.status_code == 200


@pytest.mark.parametrize("content, param", [
    ([{"role": "user", "content": "x" * 8001}], None),
    ([{"role": "system", "content": "x" * 8000}, {"role": "user", "content": "x"}], None),
    ([{"role": "user", "content": "x"}] * 1001, "messages"), ([{"role": "user", "content": "x" * 100_001}] * 2, "messages"),
    ([{"role": "user", "content": [[]] * 400_000}], None),
])  # fmt: skip
def test_what_would_take_hours_or_all_memory_is_refused(server: Server, content: list[Json], param: str | None) -> None:
    response = asyncio.run(server.send({"model": MODEL, "messages": content}))
    assert response.status_code == 400 and response.json()["error"]["param"] == param
    assert not server.engine.requests and server.folders == 0


def test_a_request_that_fails_once_it_was_taken_is_not_worked_at(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: ChatService, asked: object) -> int:
        raise OSError("gone")

    monkeypatch.setattr(ChatService, "prompt_tokens", fails)
    assert server.ask("play").status_code == 500
    assert [ticket.cancelled.is_set() for ticket in server.engine.requests] == [True] and server.folders == 0
