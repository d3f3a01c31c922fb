"""The values of the API: a request as it was checked, and an error as clients expect it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from demo.service.errors import UserFacingError
from demo.service.request import Settings

Role = Literal["user", "assistant", "system"]
AudioFormat = Literal["wav", "flac", "mp3", "pcm16"]

INVALID_REQUEST, SERVER_ERROR_TYPE, RATE_LIMITED = "invalid_request_error", "server_error", "rate_limit_error"
STATUS = {"user": 400, "busy": 429, "server": 500}  # category of a `UserFacingError` -> status
SETTING_NAMES = ("seconds", "guidance", "conditioning", "temperature", "top_p", "max_tokens", "seed")


class ApiError(Exception):
    """Error response: `status` and {"error": {message, type, param, code}}, as in OpenAI's API. param: path of the field."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None, kind: str = INVALID_REQUEST,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.kind, self.headers = status, param, code, kind, headers or {}

    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def as_api_error(error: UserFacingError, param: str | None = None) -> ApiError:
    """Converts an error of the service; `param` is the setting its sentence begins with, if any."""
    if error.category == "busy":
        return ApiError(str(error), status=429, code="rate_limit_exceeded", kind=RATE_LIMITED, headers={"Retry-After": "5"})
    if error.category == "server":
        return ApiError(str(error), status=500, kind=SERVER_ERROR_TYPE)
    named = str(error).split(" ", 1)[0]
    return ApiError(str(error), param=named if named in SETTING_NAMES else param)


def unknown_model(name: str, known: str) -> ApiError:
    """404 error of a request for another model."""
    return ApiError(f"The model {name[:100]!r} does not exist here; use {known!r}.", status=404, param="model", code="model_not_found")


@dataclass(frozen=True)
class MediaPart:
    """File in a message. where: path of the field, such as "messages[0].content[1]"."""

    kind: Literal["audio", "image", "video"]
    content: bytes
    where: str


@dataclass(frozen=True)
class Message:
    """One message. audio: id of a piece returned by an earlier response."""

    role: Role
    text: str
    media: tuple[MediaPart, ...] = ()
    audio: str | None = None


@dataclass(frozen=True)
class ChatRequest:
    """A whole request. sound: the format of the music (None: words only); score: the notes as well; user: as the client
    tells its users apart."""

    messages: tuple[Message, ...]
    settings: Settings
    audio_format: AudioFormat | None = None
    score: bool = False
    stream: bool = False
    include_usage: bool = False
    user: str = ""
