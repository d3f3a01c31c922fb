"""Messages of a chat completion request: texts and files, roles, and references to the music of earlier answers.

Unknown fields inside messages are ignored. field_types.py has the types of the fields.
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
    GetJsonSchemaHandler,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError

from demo.api.field_types import REQUIRED, AudioData, Body, DataUrlContent, invalid, required

Role = Literal["user", "assistant", "system"]
MediaKind = Literal["audio", "image", "video", "score"]

ROLES = ("user", "assistant", "system", "developer")
PART_TYPES = ("text", "refusal", "input_audio", "audio_url", "image_url", "video_url", "file")
MAX_MEDIA = 16  # per request
MAX_MESSAGES = 1000
MAX_MESSAGES_TEXT = 200_000  # characters of all messages; the model's context is far shorter


class Model(BaseModel):
    """Base of the models: no conversion between types, and defaults are validated, so that a missing field reads as null."""

    model_config = ConfigDict(strict=True, frozen=True, validate_default=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Schema in which the fields of `required` are required."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        properties = schema.get("properties", {})
        names = [name for name, field in properties.items() if field.pop(REQUIRED, False)]
        for name in names:
            properties[name].pop("default", None)
        if names:
            schema["required"] = [*schema.get("required", []), *names]
        return schema

# -- files ---------------------------------------------------------------------------------------------------------------


class InputAudio(Model):
    """File of a recording."""

    data: AudioData = required()


class NamelessPart(Model):
    """File in a message whose form has no name for it."""

    @property
    def name(self) -> str | None:
        return None


class InputAudioPart(NamelessPart):
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


class AudioUrlPart(NamelessPart):
    """Recording in a message, in the form of vLLM's and SGLang's clients."""

    kind: ClassVar[MediaKind] = "audio"
    type: Literal["audio_url"]
    audio_url: DataUrl = required()

    @property
    def content(self) -> bytes:
        return self.audio_url.url


class ImageUrlPart(NamelessPart):
    """Picture in a message."""

    kind: ClassVar[MediaKind] = "image"
    type: Literal["image_url"]
    image_url: DataUrl = required()

    @property
    def content(self) -> bytes:
        return self.image_url.url


class VideoUrlPart(NamelessPart):
    """Clip in a message."""

    kind: ClassVar[MediaKind] = "video"
    type: Literal["video_url"]
    video_url: DataUrl = required()

    @property
    def content(self) -> bytes:
        return self.video_url.url


class FileData(Model):
    """File with the notes of a piece. file_data: in base64 or as a data URL."""

    file_data: AudioData = required()
    filename: str = Field(default="")

    @model_validator(mode="before")
    @classmethod
    def _no_id(cls, value: object) -> object:
        if isinstance(value, dict) and "file_id" in value and "file_data" not in value:
            raise invalid("{path}.file_id names a stored file, and this server stores none; send it as file_data.", "{path}.file_id")
        return value


class FilePart(Model):
    """Score in a message, as MIDI or MusicXML, in the form of OpenAI's file inputs."""

    kind: ClassVar[MediaKind] = "score"
    type: Literal["file"]
    file: FileData = required()

    @property
    def content(self) -> bytes:
        return self.file.file_data

    @property
    def name(self) -> str | None:
        """The client's name for the file; None where it gives none."""
        return self.file.filename or None


MediaPart = InputAudioPart | AudioUrlPart | ImageUrlPart | VideoUrlPart | FilePart


def _part_text(part: Body) -> object:
    return part.get(part["type"])


def _part_type(value: object) -> str | None:
    part_type = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return part_type if isinstance(part_type, str) and part_type in PART_TYPES else None


TEXT_SCHEMA = {
    "type": "object", "required": ["type", "text"], "properties": {"type": {"enum": ["text"]}, "text": {"type": "string"}},
}  # fmt: skip
Text = Annotated[str, BeforeValidator(_part_text), WithJsonSchema(TEXT_SCHEMA)]  # no model: a message may have 100000 text parts
ContentPart = Annotated[
    Annotated[Text, Tag("text")] | Annotated[Text, Tag("refusal")] | Annotated[InputAudioPart, Tag("input_audio")]
    | Annotated[AudioUrlPart, Tag("audio_url")] | Annotated[ImageUrlPart, Tag("image_url")] | Annotated[VideoUrlPart, Tag("video_url")]
    | Annotated[FilePart, Tag("file")],
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


def check_messages(messages: list[Message]) -> list[Message]:
    length = sum(len(message.text) for message in messages)
    if length > MAX_MESSAGES_TEXT:
        raise invalid(f"The messages have {length} characters, at most {MAX_MESSAGES_TEXT} are taken; shorten them.")
    if messages[-1].role != "user":
        raise invalid("The last message is not the user's, so there is nothing to answer; end with role 'user'.")
    if sum(len(message.media) for message in messages) > MAX_MEDIA:
        raise invalid(f"The messages hold more than {MAX_MEDIA} files; send fewer.")
    return messages
