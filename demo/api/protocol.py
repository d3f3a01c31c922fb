"""Models of the API: the chat completion request of OpenAI's format, and error responses.

Unknown top-level fields are errors, since a misspelt setting would change the answer silently. Unknown fields inside messages
and options are ignored. Fields that this model does not support are accepted only with values that ask for nothing.
messages.py has the messages, field_types.py the types of the fields; request_parser.py turns the errors of validators into sentences.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, FailFast, Field, model_validator

from demo.api.edit_field import EditModel
from demo.api.field_types import (
    Body,
    EmptyObject,
    FalseOnly,
    Integer,
    NoChoice,
    NoPenalty,
    Nothing,
    Number,
    StopStrings,
    Temperature,
    TextFormat,
    TopK,
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

    frequency_penalty: Zero = 0
    presence_penalty: Zero = 0
    repetition_penalty: NoPenalty = 1  # this, top_k and min_p are sent unasked by clients of vLLM
    top_k: TopK = -1
    min_p: Zero = 0
    logprobs: FalseOnly = False
    top_logprobs: Zero = 0
    logit_bias: EmptyObject = {}
    response_format: TextFormat = {"type": "text"}
    tools: Any = []
    tool_choice: NoChoice = "auto"
    functions: Any = []
    function_call: NoChoice = "auto"
    web_search_options: Annotated[Nothing, Field(validate_default=False)] = None

    metadata: Any = None  # these change nothing here
    store: Any = None
    service_tier: Any = None
    prediction: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    parallel_tool_calls: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None

    model: Any = None
    stream: bool = False
    modalities: Annotated[Any, AfterValidator(_modalities)] = ["text"]
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
    user: Any = None
    safety_identifier: Any = None

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
        for tools, choice in (("tools", "tool_choice"), ("functions", "function_call")):
            if getattr(self, tools) and getattr(self, choice) != "none":
                sentence = f"{tools} are not supported by this model, which calls none; leave them out, or set {choice} to 'none'."
                raise invalid(sentence, tools, "unsupported_parameter")
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
        )
