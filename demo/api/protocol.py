"""Models of the API: the chat completion request of OpenAI's format, and error responses.

Unknown top-level fields are errors, since a misspelt setting would change the answer silently. Unknown fields inside messages
and options are ignored. Fields that this model does not support are accepted only with values that ask for nothing.
field_types.py has the types of the fields; request_parser.py turns the errors of validators into sentences.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    Tag,
    model_validator,
)
from pydantic_core import PydanticKnownError

from demo.api.field_types import (
    AudioData,
    Body,
    DataUrlContent,
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
from demo.service.errors import UserFacingError
from demo.service.request import Settings
from llama.errors import shorten

Role = Literal["user", "assistant", "system"]
AudioFormat = Literal["wav", "flac", "mp3", "pcm16"]
MediaKind = Literal["audio", "image", "video"]

INVALID_REQUEST, SERVER_ERROR_TYPE, RATE_LIMITED = "invalid_request_error", "server_error", "rate_limit_error"
SETTING_NAMES = ("seconds", "guidance", "conditioning", "temperature", "top_p", "max_tokens", "seed", "stop")
STREAMED_FORMATS: tuple[AudioFormat, ...] = ("pcm16", "wav")  # their beginning can be sent before the end is known
MODALITIES = (["text"], ["text", "audio"], ["audio", "text"])
ROLES = ("user", "assistant", "system", "developer")
PART_TYPES = ("text", "refusal", "input_audio", "audio_url", "image_url", "video_url")
MAX_MEDIA = 16  # per request
MAX_MESSAGES = 1000
MAX_MESSAGES_TEXT = 200_000  # characters of all messages; the model's context is far shorter


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


class Model(BaseModel):
    """Base of the models: no conversion between types, and defaults are validated, so that a missing field reads as null."""

    model_config = ConfigDict(strict=True, frozen=True, validate_default=True)


# -- messages -----------------------------------------------------------------------------------------------------------


class InputAudio(Model):
    """File of a recording."""

    data: AudioData = required()


class InputAudioPart(Model):
    """Recording in a message."""

    kind: ClassVar[MediaKind] = "audio"
    type: Literal["input_audio"]
    input_audio: InputAudio = required()

    @property
    def content(self) -> bytes:
        return self.input_audio.data


class DataUrl(Model):
    """File as a data URL; a plain string counts as {"url": ...}."""

    url: DataUrlContent = required()

    @model_validator(mode="before")
    @classmethod
    def _wrap_string(cls, value: object) -> object:
        return {"url": value} if isinstance(value, str) else value


class AudioUrlPart(Model):
    """Recording in a message, in the form of vLLM's and SGLang's clients."""

    kind: ClassVar[MediaKind] = "audio"
    type: Literal["audio_url"]
    audio_url: DataUrl = required()

    @property
    def content(self) -> bytes:
        return self.audio_url.url


class ImageUrlPart(Model):
    """Picture in a message."""

    kind: ClassVar[MediaKind] = "image"
    type: Literal["image_url"]
    image_url: DataUrl = required()

    @property
    def content(self) -> bytes:
        return self.image_url.url


class VideoUrlPart(Model):
    """Clip in a message."""

    kind: ClassVar[MediaKind] = "video"
    type: Literal["video_url"]
    video_url: DataUrl = required()

    @property
    def content(self) -> bytes:
        return self.video_url.url


MediaPart = InputAudioPart | AudioUrlPart | ImageUrlPart | VideoUrlPart


def _part_text(part: Body) -> object:
    return part.get(part["type"])


def _part_type(value: object) -> str | None:
    part_type = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return part_type if isinstance(part_type, str) and part_type in PART_TYPES else None


Text = Annotated[str, BeforeValidator(_part_text)]  # no model: a message may have 100000 text parts
ContentPart = Annotated[
    Annotated[Text, Tag("text")] | Annotated[Text, Tag("refusal")] | Annotated[InputAudioPart, Tag("input_audio")]
    | Annotated[AudioUrlPart, Tag("audio_url")] | Annotated[ImageUrlPart, Tag("image_url")] | Annotated[VideoUrlPart, Tag("video_url")],
    Discriminator(_part_type),
]


def _no_tools(value: object) -> object:
    if value:
        raise invalid("{parent} calls a tool, and this model has none; leave it out.", "{parent}", "unsupported_parameter")
    return value


def _not_empty(value: str) -> str:
    if not value:  # `min_length` would reject lone surrogates, which JSON may contain, with another error
        raise PydanticKnownError("string_type")
    return value


def _modalities(value: object) -> object:
    if value not in MODALITIES:
        raise invalid("modalities are not known; use ['text'] or ['text', 'audio'].")
    return value


def _role(value: object) -> object:
    return "system" if value == "developer" else value


def _parts(value: object) -> object:
    """Content as a list of parts; a string is one text part."""
    if value is None:
        return []
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


class StoredAudioReference(Model):
    """Reference to the audio of an earlier response. id: as that response gave it."""

    id: Annotated[str, AfterValidator(_not_empty)] = Field(default="")


class Message(Model):
    """One message of the conversation. "developer" is another name of the role "system". content: texts and files."""

    role: Annotated[Role, BeforeValidator(_role)] = required()
    tool_calls: Annotated[Any, AfterValidator(_no_tools)] = None
    function_call: Annotated[Any, AfterValidator(_no_tools)] = None
    content: Annotated[list[ContentPart], FailFast(), BeforeValidator(_parts)] = Field(default=[])
    audio: StoredAudioReference | None = None

    @model_validator(mode="before")
    @classmethod
    def _ignore_audio(cls, value: object) -> object:
        """Only answers of the assistant refer to audio."""
        if isinstance(value, dict) and "audio" in value and value.get("role") != "assistant":
            return {name: field for name, field in value.items() if name != "audio"}
        return value

    @model_validator(mode="after")
    def _files_of_user_only(self) -> Message:
        if self.media and self.role != "user":
            raise invalid("{path} is no message of the user's and holds a file; send files with role 'user'.", "{path}.content")
        return self

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.content if isinstance(part, str))

    @property
    def media(self) -> dict[int, MediaPart]:
        """Files of the message by their index in `content`."""
        return {index: part for index, part in enumerate(self.content) if not isinstance(part, str)}


def _check_messages(messages: list[Message]) -> list[Message]:
    length = sum(len(message.text) for message in messages)
    if length > MAX_MESSAGES_TEXT:
        raise invalid(f"The messages have {length} characters, at most {MAX_MESSAGES_TEXT} are taken; shorten them.")
    if messages[-1].role != "user":
        raise invalid("The last message is not the user's, so there is nothing to answer; end with role 'user'.")
    if sum(len(message.media) for message in messages) > MAX_MEDIA:
        raise invalid(f"The messages hold more than {MAX_MEDIA} files; send fewer.")
    return messages


# -- requests -----------------------------------------------------------------------------------------------------------


class AudioOptions(Model):
    """Options of the returned music. Other fields, such as the voice, are ignored."""

    format: AudioFormat = "wav"


class StreamOptions(Model):
    """Options of a stream."""

    include_usage: bool = False


class ChatRequest(Model):
    """Body of `/v1/chat/completions`, after `extra_body` was merged into it and null fields were removed.

    seconds, guidance, conditioning and score (return the notes as MIDI) are fields of this API alone. user: the name that
    the client gives for its user.
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
        list[Message], FailFast(), Field(min_length=1, max_length=MAX_MESSAGES), AfterValidator(_check_messages)
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
    stream_options: StreamOptions = StreamOptions()
    user: Any = None
    safety_identifier: Any = None

    @model_validator(mode="before")
    @classmethod
    def _check_body(cls, body: Body) -> Body:
        """A field `audio` asks for music; it is ignored where the modalities are text only."""
        if isinstance(body.get("stream_options"), dict) and body["stream_options"] and not body.get("stream"):
            raise invalid("stream_options are for answers that stream; set stream to true or leave them out.", "stream_options")
        if body.get("modalities") == ["text"]:
            return {name: value for name, value in body.items() if name != "audio"}
        return {"modalities": ["text", "audio"], **body} if "audio" in body else body

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
        )
