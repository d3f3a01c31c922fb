"""Access middleware: limits on bodies, the login on every path, and the delay of a wrong login."""

from __future__ import annotations

import asyncio
import base64
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import ExitStack
from itertools import pairwise
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI, Request

import gradio_app
from demo.server import access_middleware
from demo.server.access_middleware import MAX_BODY_BYTES, AccessMiddleware
from demo.service import auth
from demo.service.auth import MAX_WAITING_GUESSES, GuessAttempt, GuessLimiter, Login, TooManyGuesses
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from tests.page_server import running
from tests.scripted_engine import ScriptedEngine

FILE = 100_000  # bytes of the largest one
MOST = 4 * FILE + MAX_BODY_BYTES
KEY = "me:secret"
BASIC = "Basic " + base64.b64encode(KEY.encode()).decode()
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]


def ask(app: object, method: str, path: str, **options: object) -> httpx.Response:
    async def one() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:  # type: ignore[arg-type]
            return await client.request(method, path, **options)  # type: ignore[arg-type]

    return asyncio.run(one())


# -- how much -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def reader() -> tuple[AccessMiddleware, list[int]]:
    """An application that reads all that comes, and how long the bodies were that it had whole."""
    app, whole = FastAPI(), list[int]()

    async def read(request: Request) -> None:
        whole.append(len(await request.body()))

    app.add_api_route("/{rest:path}", read, methods=["POST"])
    return AccessMiddleware(app, api_prefix="/v1/", upload_bytes=FILE), whole


BOUNDS = {"/gradio_api/upload": MOST, "/gradio_api/queue/join": MAX_BODY_BYTES,
          "/gradio_api/run/respond": MAX_BODY_BYTES, "/page/x/here": MAX_BODY_BYTES}  # fmt: skip


@pytest.mark.parametrize("path", BOUNDS)
@pytest.mark.parametrize("chunked", [False, True])
def test_no_more_is_read_than_belongs_there(reader: tuple[AccessMiddleware, list[int]], path: str, chunked: bool) -> None:
    app, whole = reader
    sent: list[int] = []

    async def parts(total: int) -> AsyncIterator[bytes]:
        for start in range(0, total, 10_000):
            sent.append(1)
            yield bytes(min(10_000, total - start))

    def body(total: int) -> AsyncIterator[bytes] | bytes:
        return parts(total) if chunked else bytes(total)

    most = BOUNDS[path]
    assert ask(app, "POST", path, content=body(most)).status_code == httpx.codes.OK and whole == [most]
    sent.clear()
    refused = ask(app, "POST", path, content=body(most + 1))
    assert refused.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE and whole == [most]
    assert refused.text == f"This is larger than {most / 1e6:.0f} MB, the most that is taken at once; send less, or in parts."
    ask(app, "POST", path, content=body(50 * most))
    assert whole == [most] and len(sent) < (2.1 * most + access_middleware.MAX_DISCARDED_BYTES) / 10_000 + 3


@pytest.mark.parametrize("kind", ["announced", "chunked", "of another site"])
def test_who_sends_on_still_hears_why_not(kind: str) -> None:
    """A client that reads no answer before it has sent all, as most do; the connection is closed then."""
    app, total = FastAPI(), MAX_BODY_BYTES + 2_000_000
    app.add_middleware(AccessMiddleware)
    app.add_api_route("/", _length, methods=["POST"])
    head = "Host: server\r\n" + ("Origin: http://elsewhere\r\n" if kind == "of another site" else "")
    length = "Transfer-Encoding: chunked" if kind == "chunked" else f"Content-Length: {total}"
    body = f"{total:x}\r\n".encode() + bytes(total) + b"\r\n0\r\n\r\n" if kind == "chunked" else bytes(total)
    with running(app) as (address, _):
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port), timeout=20) as client:
            client.sendall(f"POST / HTTP/1.1\r\n{head}{length}\r\n\r\n".encode())
            for start in range(0, len(body), 100_000):
                client.sendall(body[start : start + 100_000])
                time.sleep(0.002)  # so that it is refused before all has come
            with client.makefile("rb") as file:
                told = file.read()
    head, _, sentence = told.decode().partition("\r\n\r\n")
    assert f"content-length: {len(sentence)}" in head.lower() and sentence.endswith(".")
    assert head.split()[1] == ("403" if kind == "of another site" else "413")


async def _length(request: Request) -> int:
    return len(await request.body())


def test_who_never_ends_is_not_listened_to_for_long(reader: tuple[AccessMiddleware, list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_middleware, "LINGER_SECONDS", 0.05)
    answers = list[MutableMapping]()

    async def silent() -> MutableMapping:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(message: MutableMapping) -> None:
        answers.append(message)

    headers = [(b"content-length", b"%d" % (2 * MAX_BODY_BYTES))]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    asyncio.run(asyncio.wait_for(reader[0](scope, silent, send), 20))
    assert answers[0]["status"] == httpx.codes.REQUEST_ENTITY_TOO_LARGE and not answers[-1].get("more_body")


@pytest.mark.parametrize("header, sentence", [
    ("Host: [", "does not go by that name"), ("Host: 127.0.0.1\r\nOrigin: http://[", "another site"),
    ("Host: 127.0.0.1\r\nOrigin: null", "another site"),
])  # fmt: skip
def test_addresses_that_are_none_are_nobodys(header: str, sentence: str) -> None:
    app = FastAPI()
    app.add_middleware(AccessMiddleware, hosts=access_middleware.LOCAL_HOSTS)
    with running(app) as (address, _):
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port), timeout=20) as client, client.makefile("rb") as file:
            client.sendall(f"GET / HTTP/1.1\r\n{header}\r\n\r\n".encode())
            told = file.read().decode()
    assert told.startswith("HTTP/1.1 403") and sentence in told


def test_the_api_bounds_its_own(reader: tuple[AccessMiddleware, list[int]]) -> None:
    assert ask(reader[0], "POST", "/v1/chat/completions", content=bytes(2 * MOST)).status_code == httpx.codes.OK


def test_an_answer_that_has_begun_goes_on_though_too_much_comes() -> None:
    async def early(scope: object, receive: Callable, send: Callable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] == "http.request":
            continue
        await send({"type": "http.response.body", "body": b"all the same"})

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(MAX_BODY_BYTES)

    assert ask(AccessMiddleware(early), "POST", "/", content=parts()).text == "all the same"


# -- the login ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """The whole application with a login."""
    sessions = Sessions(tmp_path_factory.mktemp("sessions") / "all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", "")  # which building changes
        patch.setattr(access_middleware, "WRONG_LOGIN_DELAY", 0)
        yield gradio_app.build_application(SimpleNamespace(), ChatService(ScriptedEngine(), sessions), login=Login.parse(KEY))  # type: ignore[arg-type]
    sessions.close_all()


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/v1/nothing/here", "/v1/", "/v1", "/V1/models"])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_answers_without_the_login(locked: object, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer me:wrong"}):
        told = ask(locked, method, path, headers=headers)
        assert told.status_code == httpx.codes.UNAUTHORIZED and "Basic" in told.headers["www-authenticate"]
        if path.startswith("/v1/") and method != "HEAD":
            assert told.json()["error"]["code"] == "invalid_api_key"
    for key in (BASIC, f"Bearer {KEY}"):
        assert ask(locked, method, path, headers={"Authorization": key}).status_code != httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/v1/models", 200), ("HEAD", "/v1/models", 200), ("OPTIONS", "/v1/models", 404), ("HEAD", "/v1/nothing", 404),
    ("OPTIONS", "/v1/chat/completions", 404),
])  # fmt: skip
def test_the_api_answers_for_all_its_paths(locked: object, method: str, path: str, status: int) -> None:
    told = ask(locked, method, path, headers={"Authorization": BASIC})
    assert told.status_code == status
    assert method != "OPTIONS" or told.json()["error"]["code"] == "unknown_url"  # and not by the page behind it


def test_a_guess_waits_and_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_middleware, "WRONG_LOGIN_DELAY", 0.5)
    app, ended = AccessMiddleware(FastAPI(), Login.parse(KEY)), list[str]()

    async def one(client: httpx.AsyncClient, name: str, **headers: str) -> None:
        await client.get("/", headers=headers)
        ended.append(name)

    async def all_at_once() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:  # type: ignore[arg-type]
            wrong, right = one(client, "wrong", Authorization="Basic x"), one(client, "right", Authorization=BASIC)
            await asyncio.gather(wrong, one(client, "none"), right)

    asyncio.run(all_at_once())
    assert ended == ["none", "right", "wrong"]


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_wrong_logins_of_an_address_wait_for_one_another() -> None:
    clock = Clock()
    guesses = GuessLimiter(1.0, clock)
    answered, refused = list[float](), 0
    with ExitStack() as open_attempts:
        waiting = list[GuessAttempt]()
        for _ in range(60):
            try:
                waiting.append(open_attempts.enter_context(guesses.attempt("192.0.2.1")))
            except TooManyGuesses as error:
                refused += 1
                assert error.retry_after >= 1 and str(error).endswith(".")
        with guesses.attempt("192.0.2.2") as other:
            assert other.seconds_to_check() == 0, "another address does not wait"
        while waiting:
            attempt = next((one for one in waiting if not one.seconds_to_check()), None)
            if attempt is None:
                clock.now += min(one.seconds_to_check() for one in waiting)
            else:
                answered.append(clock.now + attempt.failed())
                waiting.remove(attempt)
    assert (len(answered), refused) == (MAX_WAITING_GUESSES, 60 - MAX_WAITING_GUESSES)
    gaps = [later - earlier for earlier, later in pairwise([0.0, *answered])]
    assert gaps == [1.0] * 8 + [2.0] * 8, "one after another, slower and slower"


def test_guesses_of_many_addresses_keep_nobody_else_out() -> None:
    clock = Clock()
    guesses = GuessLimiter(1.0, clock)
    with ExitStack() as open_attempts:
        for number in range(auth.MAX_WAITING_TOTAL):
            open_attempts.enter_context(guesses.attempt(f"192.0.2.{number // 8}")).failed()
        with pytest.raises(TooManyGuesses):
            open_attempts.enter_context(guesses.attempt("192.0.2.1"))
        with guesses.attempt("198.51.100.1") as stranger:
            assert stranger.seconds_to_check() == 0


def test_wrong_logins_are_forgotten_and_few_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_ADDRESSES", 3)
    clock = Clock()
    guesses = GuessLimiter(1.0, clock)

    def guess(address: str) -> float:
        with guesses.attempt(address) as attempt:
            clock.now += attempt.seconds_to_check()
            return attempt.failed()

    assert max(guess("2001:db8::1") for _ in range(9)) == 3.0, "one delay that is owed, and one of 2 s"
    with guesses.attempt("2001:db8::2") as neighbour:
        assert neighbour.seconds_to_check() > 0, "one subscriber has both addresses"
    clock.now += auth.GUESS_MEMORY + 9
    assert guess("2001:db8::1") == 1.0
    for number in range(9):
        guess(f"192.0.2.{number}")
    assert len(guesses._addresses) == 3


def test_too_many_guesses_are_refused_in_the_form_of_who_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_middleware, "WRONG_LOGIN_DELAY", 0.05)
    app = AccessMiddleware(FastAPI(), Login.parse(KEY), api_prefix="/v1/")

    async def all_at_once(path: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:  # type: ignore[arg-type]
            guesses = [client.get(path, headers={"Authorization": f"Bearer me:{number}"}) for number in range(MAX_WAITING_GUESSES + 3)]
            return await asyncio.gather(*guesses)

    for path in ("/v1/models", "/"):
        answers = asyncio.run(all_at_once(path))
        refused = [one for one in answers if one.status_code == httpx.codes.TOO_MANY_REQUESTS]
        assert len(refused) == 3 and all(int(one.headers["retry-after"]) >= 1 for one in refused)
        sentence = refused[0].json()["error"]["message"] if path == "/v1/models" else refused[0].text
        assert sentence.startswith("Too many wrong logins came from your address; try again in ")
    assert {one.status_code for one in answers} == {httpx.codes.UNAUTHORIZED, httpx.codes.TOO_MANY_REQUESTS}
