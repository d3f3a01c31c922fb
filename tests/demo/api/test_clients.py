"""Requests as clients of OpenAI's API send them, with all of their own fields.

client_requests.json holds the bodies that openai, langchain-openai, pydantic-ai and llm sent in conversations with this
server. SOUND and PICTURE stand for files in base64, PIECE for the id of a piece.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_server import MODEL, SPEAKS, Json, Server, deltas, events, message, picture, text64, wav

RECORDED: list[Json] = json.loads((Path(__file__).parent / "client_requests.json").read_text(encoding="utf-8"))


def test_every_client_is_there() -> None:
    names = {recorded["client"].split()[0] for recorded in RECORDED}
    assert names == {"openai", "langchain-openai", "pydantic-ai", "llm"}
    assert {recorded["status"] for recorded in RECORDED} == {200, 400, 404}


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded["client"].replace(" ", "-"))
def test_requests_of_clients(server: Server, recorded: Json) -> None:
    text = json.dumps(recorded["body"])
    if "PIECE" in text:
        text = text.replace("PIECE", message(server.ask("play", **SPEAKS))["audio"]["id"])
    text = text.replace("SOUND", text64(wav(0.5))).replace("PICTURE", text64(picture()))
    response = asyncio.run(server.send(text.encode(), headers={"Content-Type": "application/json"}))
    assert response.status_code == recorded["status"], response.text
    if recorded["status"] != 200:
        assert response.json()["error"]["param"] in recorded["body"]
        return
    body, said = json.loads(text), spoken(response)
    expected = words_of(body["messages"][-1]["content"])
    assert said and all(expected in words for words in said) and len(said) == body.get("n", 1)
    if body.get("stream_options", {}).get("include_usage"):
        assert events(response)[-1]["usage"]["total_tokens"] > 0
    assert server.engine.requests[-1].options.stop == tuple([stop] if isinstance(stop := body.get("stop", []), str) else stop)
    assert body["model"] == MODEL
    assert response.headers.get("X-Ignored-Fields") == ("tools" if "tools" in body else None)


def words_of(content: Any) -> str:
    """The user's words, which the scripted engine repeats."""
    return content if isinstance(content, str) else " ".join(part["text"] for part in content if part["type"] == "text")


def spoken(response: httpx.Response) -> list[str]:
    """What each take says."""
    if response.headers["content-type"].startswith("text/event-stream"):
        return ["".join(part.get("content", "") for part in deltas(response))]
    return [choice["message"]["content"] for choice in response.json()["choices"]]
