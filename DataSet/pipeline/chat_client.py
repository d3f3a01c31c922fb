"""Client of a server with OpenAI's chat API (vLLM, SGLang, llama.cpp): one request in, one text out, several at a time.

It stands on the standard library. `huggingface_hub.InferenceClient` speaks the same API, but sends the user's hub token to any
address it is given where no key is, and a list of installed libraries with it.
"""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from DataSet.pipeline.isolation import ModelError
from DataSet.pipeline.prompt_files import Decoding
from DataSet.pipeline.step import TransientError
from llama.errors import quoted, shorten
from llama.json_yaml import parse_json

BUSY = (408, 425, 429)  # and 5xx: the server may answer later
MAX_BYTES = 4 * 2**20  # of an answer
MAX_WAIT = 60.0  # seconds between two tries, whatever the server asks for

Message = Mapping[str, Any]  # {"role", "content"}


@dataclass(frozen=True)
class ChatAnswer:
    """The text of an answer. complete: it ended by itself, and not at the limit of tokens."""

    text: str
    complete: bool


@dataclass(frozen=True)
class ChatRequest:
    """Messages, and the seed of what is sampled."""

    messages: Sequence[Message]
    seed: int


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: it would carry the key to another host."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


class ChatClient:
    """Sends requests to URL/chat/completions.

    key_variable: name of the environment variable that holds the key; "" sends none. tries: of a request that fails for the server's
    state (5xx, 429, a timeout, no connection), `wait` seconds apart, doubled each time, or as long as the server asks for.
    """

    def __init__(self, url: str, model: str, *, key_variable: str = "", timeout: float = 120.0, concurrency: int = 8, tries: int = 3,
                 wait: float = 1.0) -> None:  # fmt: skip
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError(f"The url of the server is {quoted(_without_login(url))}; give one such as http://localhost:8000/v1, without a login.")
        if timeout <= 0 or concurrency < 1 or tries < 1:
            raise ValueError(f"The server has timeout {timeout}, concurrency {concurrency} and {tries} tries; give values above 0.")
        self.url, self.model, self.timeout = f"{url.rstrip('/')}/chat/completions", model, timeout
        self.concurrency, self.tries, self.wait = concurrency, tries, wait
        self._key = _read_key(key_variable)
        self._opener = urllib.request.build_opener(_NoRedirect)

    def complete_all(self, requests: Sequence[ChatRequest], decoding: Decoding) -> list[ChatAnswer]:
        """The answer to each request, up to `concurrency` at a time. Raises as `complete` does for the first that fails."""
        if not requests:
            return []
        with ThreadPoolExecutor(min(self.concurrency, len(requests))) as pool:
            return list(pool.map(lambda request: self.complete(request, decoding), requests))

    def complete(self, request: ChatRequest, decoding: Decoding) -> ChatAnswer:
        """The answer to one request.

        Raises TransientError if the server fails on every try, ModelError, which ends the run, if nothing listens at its address: every
        item would fail for it, one after another. ValueError if it refuses the request (4xx) or answers with what is no chat answer.
        """
        body = json.dumps(self._body(request, decoding)).encode()
        for attempt in range(1, self.tries + 1):
            try:
                return _answer(self._post(body), self.url)
            except _RetryableError as error:
                if attempt == self.tries:
                    if error.is_unreachable:
                        raise ModelError(f"{self.url} {error}; start the server, or correct its url, and run again.") from error
                    raise TransientError(f"{self.url} {error}; tried {self.tries} times: look after the server, or wait.") from error
                time.sleep(min(MAX_WAIT, error.seconds if error.seconds is not None else self.wait * 2 ** (attempt - 1)))
        raise AssertionError("every try returns or raises")

    def _body(self, request: ChatRequest, decoding: Decoding) -> dict[str, Any]:
        body = {"model": self.model, "messages": list(request.messages), "max_tokens": decoding.max_tokens, "temperature": decoding.temperature}
        if decoding.temperature > 0:
            body |= {"top_p": decoding.top_p, "seed": request.seed % 2**31}  # servers take 32 bits
        return body

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "mumu-llama"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            with self._opener.open(urllib.request.Request(self.url, body, headers, method="POST"), timeout=self.timeout) as response:
                content: bytes = response.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise _status_error(error, self.url, self._key) from error
        except (OSError, HTTPException) as error:  # refused, unknown, timed out, cut off
            reason = getattr(error, "reason", None) or error
            is_unreachable = isinstance(reason, (ConnectionRefusedError, socket.gaierror))
            raise _RetryableError(f"does not answer ({shorten(str(reason) or type(reason).__name__)})", None, is_unreachable) from error
        if len(content) > MAX_BYTES:
            raise ValueError(f"{self.url} answered with more than {MAX_BYTES >> 20} MiB; check that it is a chat server.")
        return content


class _RetryableError(Exception):
    """A failure that may pass. seconds: how long the server asks to wait, if it says so; is_unreachable: no server or no host there."""

    def __init__(self, words: str, seconds: float | None, is_unreachable: bool = False) -> None:
        super().__init__(words)
        self.seconds, self.is_unreachable = seconds, is_unreachable


def _without_login(url: str) -> str:
    return url if "@" not in url else url.split("//")[0] + "//...@" + url.rsplit("@", 1)[1]


def _read_key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError(f"The environment variable {variable} has no key; set it, or leave key_variable out for a server without one.")
    return key


def _status_error(error: urllib.error.HTTPError, url: str, key: str) -> Exception:
    reason = _reason(error).replace(key, "...") if key else _reason(error)
    if error.code in BUSY or error.code >= 500:
        return _RetryableError(f"answered {error.code} ({shorten(reason)})", _retry_after(error.headers.get("Retry-After")))
    advice = {401: "check the key", 403: "check the key", 404: "check the url and the model's name", 413: "send less, or raise the server's limit"}
    return ValueError(f"{url} refused the request with {error.code} ({shorten(reason, 200)}); {advice.get(error.code, 'check what is sent to it')}.")


def _reason(error: urllib.error.HTTPError) -> str:
    """The server's words: OpenAI's {"error": {"message"}}, vLLM's {"message"}, or the status line."""
    try:
        value = parse_json(error.read(MAX_BYTES))
    except (ValueError, OSError, HTTPException):
        return str(error.reason)
    inner = value.get("error", value) if isinstance(value, dict) else value
    message = inner.get("message", inner.get("detail")) if isinstance(inner, dict) else inner
    return " ".join(str(message or error.reason).split())


def _retry_after(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None


def _answer(content: bytes, url: str) -> ChatAnswer:
    try:
        choice = parse_json(content)["choices"][0]
        text, finish = choice["message"]["content"], choice.get("finish_reason")
        if not isinstance(text, str | None):
            raise TypeError
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{url} answered with no chat completion; check that it speaks OpenAI's API (vLLM and SGLang do).") from error
    return ChatAnswer(text or "", finish != "length")
