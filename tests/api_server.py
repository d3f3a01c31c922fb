"""The API around a scripted engine, for tests that speak to it without a network: what is sent, and what comes back."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import soundfile
import torch
from fastapi import FastAPI
from PIL import Image
from scripted_engine import RATE, ScriptedEngine

from demo.api.info import build_info_router
from demo.api.router import build_router
from demo.service.media_probe import Limits
from demo.service.service import ChatService
from demo.service.sessions import Sessions

Json = dict[str, Any]
URL = "/v1/chat/completions"
MODEL = "nano"


class Server:
    """The API around a scripted engine, spoken to without a network."""

    def __init__(self, folder: Path, engine: Any = None, **options: Any) -> None:
        self.engine, self.sessions, self.now = engine or ScriptedEngine(), Sessions(folder), 1000.0
        self.app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        work = ChatService(self.engine, self.sessions, Limits())
        router = build_router(work, MODEL, clock=lambda: self.now, **options)
        info = build_info_router(work, MODEL, router.routes, options.get("base", ""), needs_login="auth" in options)
        self.routes = [*router.routes, *info.routes]
        for each in (router, info):
            self.app.include_router(each)

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


def refused(response: httpx.Response, status: int, param: str | None = None, code: str | None = None) -> str:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"} and error["param"] == param and error["code"] == code
    assert "\n" not in error["message"] and error["message"].endswith(".") and "/srv" not in error["message"]
    return error["message"]


def follow_up(name: str) -> list[Json]:
    return [{"role": "user", "content": "play"}, {"role": "assistant", "content": None, "audio": {"id": name}},
            {"role": "user", "content": "make it faster"}]
