"""HTTP route of the actions of a page: POST /page/{token}/actions with {"act": NAME, ...}, one sentence for every refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from demo.api.edit_field import EditModel
from demo.page.page_session import CLOSED
from demo.server.page_routes import RequestError, parse_call
from llama.errors import SENTENCE_LENGTH, shorten

if TYPE_CHECKING:
    from demo.page.controller import Page

MAX_BYTES = 64_000  # of an action
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
JSON_TYPE = "application/json"
NO_JSON = "The content type is not application/json; send JSON, and say so in the header Content-Type."

Piece = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
Index = Annotated[int, Field(ge=0, le=10_000)]


class Act(BaseModel):
    """An action: its name in `act`, and its own fields."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class EditAct(Act):
    act: Literal["edit"]
    piece: Piece
    edit: EditModel


class RepeatAct(Act):
    act: Literal["repeat"]
    exchange: Index
    take: Index = 0
    new_seed: bool = False


class PieceAct(Act):
    act: Literal["another", "undo", "redo", "keep", "delete", "restore_piece", "reuse"]
    piece: Piece


class StarAct(Act):
    act: Literal["star"]
    piece: Piece
    on: bool


class RenameAct(Act):
    act: Literal["rename"]
    piece: Piece
    name: Annotated[str, Field(max_length=1000)]


class RedirectAct(Act):
    act: Literal["redirect"]
    exchange: Index
    piece: Piece


class CancelAct(Act):
    act: Literal["cancel"]
    exchange: Index


class SessionAct(Act):
    act: Literal["stop", "clear", "restore"]
    exchange: Index | None = None  # of the button, which means the same everywhere


AnyAct = EditAct | RepeatAct | PieceAct | StarAct | RenameAct | RedirectAct | CancelAct | SessionAct
ADAPTER: TypeAdapter[AnyAct] = TypeAdapter(Annotated[AnyAct, Field(discriminator="act")])


def actions_router(page: Page) -> APIRouter:
    """Router of the actions. The token is the permission."""
    router = APIRouter()

    @router.post("/page/{token}/actions", include_in_schema=False)
    async def actions(request: Request, token: str) -> Response:
        try:
            act = await _read_act(request)
            if await run_in_threadpool(page.pages.find, token) is None:
                raise RequestError(404, CLOSED)
            return JSONResponse(await run_in_threadpool(perform, page, token, act), headers=HEADERS)
        except RequestError as error:
            return JSONResponse({"error": str(error)}, error.status, HEADERS)
        except ValueError as error:  # what cannot be done: one sentence
            return JSONResponse({"error": str(error)}, 400, HEADERS)

    return router


def perform(page: Page, token: str, act: AnyAct) -> dict[str, Any]:
    """Carries an action out; the fields of the answer. Raises ValueError for what is not possible."""
    if isinstance(act, EditAct):
        page.edit(token, act.piece, act.edit.edit())
    elif isinstance(act, RepeatAct):
        page.repeat(token, act.exchange, act.take, new_seed=act.new_seed)
    elif isinstance(act, StarAct):
        page.star(token, act.piece, act.on)
    elif isinstance(act, RenameAct):
        page.rename(token, act.piece, act.name)
    elif isinstance(act, RedirectAct):
        page.redirect(token, act.exchange, act.piece)
    elif isinstance(act, CancelAct):
        page.cancel(token, act.exchange)
    elif isinstance(act, SessionAct):
        {"stop": page.stop, "clear": page.clear, "restore": page.restore}[act.act](token)
    elif act.act == "reuse":
        return page.reuse(token, act.piece)
    else:
        actions: dict[str, Callable[[str, str], None]] = {
            "another": page.another, "undo": page.undo, "redo": page.redo, "keep": page.keep, "delete": page.delete,
            "restore_piece": page.restore_piece,
        }  # fmt: skip
        actions[act.act](token, act.piece)
    return {}


async def _read_act(request: Request) -> AnyAct:
    """The action of a request. Raises `RequestError` for one that is none."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        raise RequestError(400, NO_JSON)
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BYTES:
            raise RequestError(413, f"The action is larger than {MAX_BYTES // 1000} kB; send less.")
    value = parse_call(bytes(content))
    try:
        return ADAPTER.validate_python(value)
    except ValidationError as error:
        raise RequestError(400, _sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    """The first fault of an action in one sentence."""
    fault = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in fault["loc"][1:])
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found", "model_attributes_type", "model_type", "dict_type") and not path:
        names = sorted(name for member in (EditAct, RepeatAct, PieceAct, StarAct, RenameAct, RedirectAct, CancelAct, SessionAct)
                       for name in member.model_fields["act"].annotation.__args__)  # type: ignore[union-attr]  # fmt: skip
        return f"The action has no act that is known; give a JSON object whose act is one of {', '.join(names)}."
    sentence = str(fault.get("ctx", {}).get("sentence", "")).replace("{path}", shorten(path))  # of the project's own checks
    if fault["type"] == "missing":
        return f"{shorten(path)} is missing; give it with the action."
    if fault["type"] == "extra_forbidden":
        return f"The action has no field {shorten(path)}; leave it out."
    return sentence or f"{shorten(path)} is not taken: {shorten(fault['msg'], SENTENCE_LENGTH)}."
