"""Models of the API: the chat completion request of OpenAI's format, and error responses.

Clients send fields unasked. What changes nothing here is ignored; what would have had an effect elsewhere, such as `tools` or
`top_k`, is ignored and named in the answer's header X-Ignored-Fields; what would change the meaning of the answer, such as a required
tool or JSON, is an error. messages.py has the messages, field_types.py the types of the fields; request_parser.py turns the errors of
validators into sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, FailFast, Field, WithJsonSchema, model_validator

from demo.api.edit_field import EditModel
from demo.api.field_types import (
    Body,
    EmptyObject,
    FalseOnly,
    Ignored,
    Integer,
    NoChoice,
    Nothing,
    Number,
    StopStrings,
    Temperature,
    TextFormat,
    Zero,
    invalid,
    required,
)
from demo.api.messages import MAX_MESSAGES, Message, Model, check_messages
from demo.service.errors import UserFacingError
from demo.service.request import Settings
from llama.errors import shorten

AudioFormat = Literal["wav", "flac", "mp3", "pcm16"]

INVALID_REQUEST, SERVER_ERROR_TYPE, RATE_LIMITED = "invalid_request_error", "server_error", "rate_limit_error"
SETTING_NAMES = ("seconds", "guidance", "conditioning", "temperature", "top_p", "max_tokens", "seed", "stop", "bars", "bar_count")
STREAMED_FORMATS: tuple[AudioFormat, ...] = ("pcm16", "wav")  # their beginning can be sent before the end is known
MODALITIES = (["text"], ["text", "audio"], ["audio", "text"])
# Fields that are ignored, and the values with which they ask for nothing; with others the answer names them.
NEUTRAL_VALUES: Mapping[str, tuple[object, ...]] = {
    "frequency_penalty": (0,), "presence_penalty": (0,), "repetition_penalty": (1,), "top_k": (-1, 0), "min_p": (0,),
    "tools": ([],), "functions": ([],),
}  # fmt: skip


class ApiError(Exception):
    """Error response: `status` and {"error": {message, type, param, code}}, as in OpenAI's API. param: path of the field."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None, kind: str = INVALID_REQUEST,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.kind, self.headers = status, param, code, kind, headers or {}

    def body(self) -> Body:
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def as_api_error(error: UserFacingError, param: str | None = None) -> ApiError:
    """Converts an error of the service; `param` is the setting its sentence begins with, if any."""
    if error.category == "busy":
        return ApiError(str(error), status=429, code="rate_limit_exceeded", kind=RATE_LIMITED, headers={"Retry-After": "5"})
    if error.category == "full":
        return ApiError(str(error), status=503, code="insufficient_storage", kind=SERVER_ERROR_TYPE, headers={"Retry-After": "60"})
    if error.category == "server":
        return ApiError(str(error), status=500, kind=SERVER_ERROR_TYPE)
    setting = str(error).split(" ", 1)[0]
    return ApiError(str(error), param=setting if setting in SETTING_NAMES else param)


def unknown_model(name: str, known: str) -> ApiError:
    """404 error of a request for another model."""
    return ApiError(f"The model '{shorten(name)}' does not exist here; use {known!r}.", status=404, param="model", code="model_not_found")


def _modalities(value: object) -> object:
    if value not in MODALITIES:
        raise invalid("modalities are not known; use ['text'] or ['text', 'audio'].")
    return value



class AudioOptions(Model):
    """Options of the returned music. Other fields, such as the voice, are ignored."""

    format: AudioFormat = "wav"


class StreamOptions(Model):
    """Options of a stream."""

    include_usage: bool = False


class ChatRequest(Model):
    """Body of `/v1/chat/completions`, after `extra_body` was merged into it and null fields were removed.

    seconds, bar_count, guidance, conditioning, edit and score (return the notes as MIDI) are fields of this API alone. An edit asks for
    music. user: the name that the client gives for its user.
    """

    frequency_penalty: Ignored = 0
    presence_penalty: Ignored = 0
    repetition_penalty: Ignored = 1  # this, top_k and min_p are sent unasked by clients of vLLM
    top_k: Ignored = -1
    min_p: Ignored = 0
    logprobs: FalseOnly = False
    top_logprobs: Zero = 0
    logit_bias: EmptyObject = {}
    response_format: TextFormat = {"type": "text"}
    tools: Ignored = []
    tool_choice: NoChoice = "auto"
    functions: Ignored = []
    function_call: NoChoice = "auto"
    web_search_options: Annotated[Nothing, Field(validate_default=False)] = None

    metadata: Ignored = None  # these change nothing here
    store: Ignored = None
    service_tier: Ignored = None
    prediction: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None
    parallel_tool_calls: Ignored = None
    reasoning_effort: Ignored = None
    verbosity: Ignored = None

    model: Annotated[Any, WithJsonSchema({"type": "string"})] = None
    stream: bool = False
    modalities: Annotated[Any, AfterValidator(_modalities), WithJsonSchema({"enum": MODALITIES})] = ["text"]
    audio: AudioOptions = AudioOptions()
    messages: Annotated[
        list[Message], FailFast(), Field(min_length=1, max_length=MAX_MESSAGES), AfterValidator(check_messages)
    ] = required()
    seconds: Number | None = None
    temperature: Temperature | None = None
    top_p: Number | None = None
    guidance: Number | None = None
    seed: Integer | None = None
    stop: StopStrings = ()
    n: Integer = 1
    max_tokens: Integer | None = None
    max_completion_tokens: Integer | None = None
    conditioning: str | None = None
    score: bool = False
    edit: EditModel | None = None
    bar_count: Integer | None = None
    stream_options: StreamOptions = StreamOptions()
    user: Ignored = None
    safety_identifier: Ignored = None

    @model_validator(mode="before")
    @classmethod
    def _check_body(cls, body: Body) -> Body:
        """The fields `audio` and `edit` ask for music; `audio` is ignored where the modalities are text only."""
        if isinstance(body.get("stream_options"), dict) and body["stream_options"] and not body.get("stream"):
            raise invalid("stream_options are for answers that stream; set stream to true or leave them out.", "stream_options")
        if body.get("modalities") == ["text"]:
            if "edit" in body:
                raise invalid("edit makes music, and modalities ask for text alone; leave one of them out.", "edit")
            return {name: value for name, value in body.items() if name != "audio"}
        return {"modalities": ["text", "audio"], **body} if "audio" in body or "edit" in body else body

    @model_validator(mode="after")
    def _check_combinations(self) -> ChatRequest:
        if self.stream and self.audio_format is not None and self.audio_format not in STREAMED_FORMATS:
            sentence = f"audio.format {self.audio_format!r} cannot be streamed; use 'pcm16' or 'wav', or leave out stream."
            raise invalid(sentence, "audio.format")
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise invalid("max_tokens and max_completion_tokens are one setting and differ; give one of them.", "max_tokens")
        try:
            self.settings()
        except ValueError as error:
            raise invalid(str(error).replace("takes", "n"), "n") from error
        return self

    @property
    def audio_format(self) -> AudioFormat | None:
        """Format of the music; None for text only."""
        return self.audio.format if "audio" in self.modalities else None

    @property
    def ignored_fields(self) -> tuple[str, ...]:
        """Fields of this request that had no effect here and would have one elsewhere."""
        return tuple(name for name, neutral in NEUTRAL_VALUES.items() if getattr(self, name) not in neutral)

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options.include_usage

    @property
    def user_name(self) -> str:
        """Name that the client gives for its user; empty if none."""
        return str(self.user or self.safety_identifier or "")

    def settings(self) -> Settings:
        """Settings of the answer. Their ranges are checked by the service. Raises ValueError for n out of range."""
        max_tokens = self.max_tokens if self.max_tokens is not None else self.max_completion_tokens
        return Settings(
            seconds=self.seconds, temperature=self.temperature, top_p=self.top_p, guidance=self.guidance, seed=self.seed, takes=self.n,
            stop=self.stop, max_tokens=max_tokens, conditioning=self.conditioning, music=self.audio_format is not None,
            edit=None if self.edit is None else self.edit.edit(), bar_count=self.bar_count,
            length_in_words=self.seconds is None and self.bar_count is None,
        )
