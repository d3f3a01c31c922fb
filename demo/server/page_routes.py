"""ASGI middleware in front of gradio: the routes that the page and its clients need, and a check of what they are sent.

gradio has some 80 routes: for its own development, monitoring, deep links, recordings of the screen, proxies. Those are closed.
On the others, a name or a number that does not exist is a client's mistake, which gradio answers with a traceback and 500.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from llama.errors import shorten
from llama.json_yaml import MAX_DIGITS

if TYPE_CHECKING:
    import gradio as gr

API = "/gradio_api"
# Routes by method. Those of the API end in "/" where gradio takes both forms.
OPEN_ROUTES = {
    "GET": re.compile(
        r"/|/(?:config/?|theme\.css|favicon\.ico|robots\.txt|manifest\.json)|/(?:assets|static|svelte)/.+"
        rf"|{API}/(?:info/?|app_id/?|theme\.css|queue/data|upload_progress|call/[^/]+/[^/]+|file=(?!(?i:https?):).+)"
    ),
    "POST": re.compile(rf"{API}/(?:upload|queue/join|cancel|reset|(?:call|run)/[^/]+/?)"),
}
QUERY_ROUTES = (f"{API}/queue/data", f"{API}/upload", f"{API}/upload_progress")  # on others, queries choose what is closed
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # a session or an event, as clients make them up
# One of this server's own paths below another one, as a proxy sends it that keeps its sub-path.
SUB_PATH = re.compile(
    r"(?!/(?:gradio_api|assets|static|svelte)/)((?:/[A-Za-z0-9._~-]{1,64}){1,8}?)"
    r"/(?:(?:v1|gradio_api|page|page-assets|media)/.*|health|docs|metrics|openapi\.json)"
)
MAX_PATH = 2048  # characters
MAX_PATH_PART = 255  # bytes, of most file systems

Message = MutableMapping[str, Any]


class RequestError(Exception):
    """A request that is answered with `status` and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class PageRoutesMiddleware:
    """Refuses closed routes (404) and calls that cannot succeed (400 or 404).

    blocks: the page that gradio serves. own: prefixes of this server's own routes, which pass.
    """

    def __init__(self, app: Any, blocks: gr.Blocks, own: Sequence[str]) -> None:
        self.app, self._blocks, self._own = app, blocks, tuple(own)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(self._own):
            return await self.app(scope, receive, send)
        try:
            check_path(scope["method"], scope["path"])
            scope = _plain_scope(scope)
            if scope["method"] == "POST" and scope["path"] != f"{API}/upload":
                receive = await self._checked_call(scope, receive)
            elif response := self._missing_stream(scope):
                return await response(scope, receive, send)
        except RequestError as error:
            return await JSONResponse({"detail": str(error)}, error.status)(scope, receive, send)
        await self.app(scope, receive, send)

    # -- streams --------------------------------------------------------------------------------------------------------

    def _missing_stream(self, scope: Scope) -> StreamingResponse | None:
        """The answer for a queue that does not exist, in the form of gradio's. Raises `RequestError` for an event."""
        path, queue = scope["path"], self._blocks._queue
        if path.startswith(f"{API}/call/"):
            event = path.rpartition("/")[2]
            known = event in queue.event_ids_to_events or event in queue.pending_messages_per_session
            if not known and not any(event in events for events in queue.pending_event_ids_session.values()):
                raise RequestError(404, "There is no such call here, or its answer has been fetched.")
        elif path == f"{API}/queue/data":
            [session] = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[:1]
            if session not in queue.pending_messages_per_session:
                lost = {"msg": "unexpected_error", "message": "This session has ended.", "session_not_found": True, "success": False}
                return StreamingResponse(iter([f"data: {json.dumps(lost)}\n\n"]), media_type="text/event-stream")
        return None

    # -- calls ----------------------------------------------------------------------------------------------------------

    async def _checked_call(self, scope: Scope, receive: Receive) -> Receive:
        """Reads and checks the body of a call; returns a `receive` that gives it once more."""
        content_type = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
        if content_type != b"application/json":
            raise RequestError(400, "The content type is not application/json; send JSON, and say so in the header Content-Type.")
        content, again = await _read(receive)
        if content is not None:
            self._check_call(scope["path"].removeprefix(f"{API}/").rstrip("/"), parse_call(content))
        return again

    def _check_call(self, route: str, body: Any) -> None:
        if not isinstance(body, dict):
            raise RequestError(400, "The request is no JSON object.")
        for field in ("session_hash", "event_id"):
            if body.get(field) is not None and not (isinstance(body[field], str) and NAME.fullmatch(body[field])):
                raise RequestError(400, f"{field} is {shorten(body[field])}; give a name of 1 to 64 letters, digits, - and _.")
        kind, _, name = route.partition("/")
        if kind == "reset":
            return
        function = self._function(body, name if kind in ("call", "run") else "")
        if kind == "cancel":
            return
        if kind == "run" and function.queue:
            raise RequestError(404, f"This is answered at {API}/queue/join and {API}/call only.")
        if body.get("batched") not in (None, False):
            raise RequestError(400, "batched is not possible here; leave it out.")
        self._check_inputs(function, body, needs_session=kind != "call")

    def _function(self, body: dict[str, Any], name: str) -> Any:
        """The page's function that is called by its number or its name."""
        functions, index = self._blocks.fns, body.get("fn_index")
        if index is not None:
            if isinstance(index, int) and not isinstance(index, bool) and index in functions:
                return functions[index]
            raise RequestError(404, f"There is no function {shorten(index)} here.")
        for function in functions.values():
            if name and function.api_name == name:
                return function
        raise RequestError(404, f"There is no function '{shorten(name)}' here; use respond." if name else "fn_index is missing.")

    def _check_inputs(self, function: Any, body: dict[str, Any], *, needs_session: bool) -> None:
        data, wanted = body.get("data"), len(function.inputs)
        if needs_session and body.get("session_hash") is None:
            raise RequestError(400, "session_hash is missing.")
        if not isinstance(data, list):
            raise RequestError(400, "data is no list of values.")
        if not function.cancels and len(data) not in (wanted, sum(not block.skip_api for block in function.inputs)):
            raise RequestError(400, f"data has {len(data)} values, the function takes {wanted}.")


def check_path(method: str, path: str) -> None:
    """Raises `RequestError` (404) for a route of gradio's that is closed, and for a path that no file can have."""
    route = OPEN_ROUTES.get("GET" if method == "HEAD" else method)
    is_possible = len(path) <= MAX_PATH and path.isprintable() and all(len(part.encode()) <= MAX_PATH_PART for part in path.split("/"))
    if route is None or not is_possible or not route.fullmatch(path):
        raise RequestError(404, f"There is no {shorten(method, 20)} {shorten(path)} here.{_missing_root_path(path)}")


def _missing_root_path(path: str) -> str:
    """What to do about a path below a sub-path that this server does not know of; empty for another one."""
    prefix = SUB_PATH.fullmatch(path)
    return f" If a proxy serves this server at {shorten(prefix[1])}, start it with --root_path {shorten(prefix[1])}." if prefix else ""


def _plain_scope(scope: Scope) -> Scope:
    """Without the query where none is needed, and with ranges spelled so that Starlette reads them: gradio's own reader of
    "bytes=" takes digits of all alphabets and any number of hyphens, and fails."""
    headers = [
        (name, b"Bytes" + value.strip()[5:]) if name == b"range" and value.strip()[:5].lower() == b"bytes" else (name, value)
        for name, value in scope["headers"]
    ]
    return {**scope, "headers": headers, "query_string": scope["query_string"] if scope["path"] in QUERY_ROUTES else b""}


def parse_call(content: bytes) -> Any:
    """The value of a JSON text that can be passed on: numbers are finite, strings can be encoded. Raises `RequestError` (400)."""
    try:
        value = json.loads(content, parse_constant=_no_number, parse_float=_finite, parse_int=_whole_number)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError(400, "The request has half of a surrogate pair, which is no letter.") from None
    except (ValueError, RecursionError) as error:  # broken, encoded in another way, nested too deeply, or of a thousand digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else shorten(error)
        raise RequestError(400, f"The request is no JSON that this server reads: {reason}.") from None
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _whole_number(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{shorten(text, 20)} is larger than any number")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{shorten(text, 20)} is larger than any number")
    return value


async def _read(receive: Receive) -> tuple[bytes | None, Callable[[], Awaitable[Message]]]:
    """The body of a request, None if its client has left, and a `receive` that begins with the same."""
    parts, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None, _after(message, receive)
        parts += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(parts), _after({"type": "http.request", "body": bytes(parts), "more_body": False}, receive)


def _after(first: Message, receive: Receive) -> Callable[[], Awaitable[Message]]:
    waiting = [first]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
