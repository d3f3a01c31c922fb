"""The request of `/v1/audio/generations` and `/v1/jobs`: a prompt in, a piece of music out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from demo.api.edit_field import EditModel
from demo.api.field_types import Body, Ignored, Integer, Number, Temperature, invalid
from demo.api.messages import Model
from demo.service.exports import EXPORT_FORMATS
from demo.service.request import MAX_TEXT, Settings
from llama.config import MAX_MUSIC_SECONDS
from llama.errors import shorten
from llama.media.edit import MAX_BARS

STREAMED_FORMATS = ("wav", "pcm16")  # their beginning can be sent before the end is known
FORMATS = ("wav", "pcm16", *(form for form in EXPORT_FORMATS if form not in ("wav", "loop")))
NO_ADDRESS = "pcm16 has no address to fetch it from; use 'wav', or leave out response_format, background and the job."


def _format(value: object) -> object:
    if value not in FORMATS:
        raise invalid(f"{{path}} is none of {', '.join(FORMATS)}; choose one of these.")
    return value


def _response_format(value: object) -> object:
    if value not in ("audio", "json"):
        raise invalid(f"{{path}} is none of audio, json, {', '.join(FORMATS)}; choose one of these.")
    return value


def _edit(value: object) -> object:
    """An edit of nothing is no edit."""
    return None if value == {} else value


class GenerationRequest(Model):
    """Body of a generation, after `extra_body` was merged into it and null fields were removed.

    Either `prompt` says what to make, or `piece` and `edit` (or words) what to make of an earlier one.
    """

    prompt: str = Field(default="", max_length=MAX_TEXT, description="What the music is to be, in any words.")
    model: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(default=None, description="The model's name; there is one.")
    format: Annotated[str, BeforeValidator(_format), WithJsonSchema({"enum": list(FORMATS)})] = Field(
        default="wav", description="Form of the answer. midi, musicxml, chords and stems need a model that writes notes.")
    response_format: Annotated[str, AfterValidator(_response_format), WithJsonSchema({"enum": ["audio", "json", *FORMATS]})] = Field(
        default="audio", description="audio: the file itself; json: its id, address, words and facts. A form counts as `format`.")
    seconds: Annotated[Number, WithJsonSchema({"type": "number", "minimum": 0.1, "maximum": MAX_MUSIC_SECONDS})] | None = Field(
        default=None, description="Length of the music; 10 without it.")
    bar_count: Annotated[Integer, WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_BARS})] | None = Field(
        default=None, description="Length of a new piece in bars, in place of seconds.")
    seed: Integer | None = Field(default=None, description="The same seed gives the same piece; -1 or none draws one.")
    guidance: Annotated[Number, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 50})] | None = Field(
        default=None, description="How closely the music follows the words.")
    conditioning: Literal["hidden", "caption"] | None = Field(default=None, description="What the decoder of the music is given.")
    temperature: Temperature | None = Field(default=None, description="Of the words in which the model plans the piece; 0 without it.")
    top_p: Annotated[Number, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})] | None = Field(
        default=None, description="Nucleus of sampling, where the temperature is above 0.")
    piece: str = Field(default="", description="Id of an earlier piece that is changed.")
    edit: Annotated[EditModel | None, BeforeValidator(_edit)] = Field(
        default=None, description="What changes in that piece; all else stays, note for note.")
    stream: bool = Field(default=False, description="Sends wav or pcm16 while it is made.")
    background: bool = Field(default=False, description="Answers 202 at once with a job, as POST /v1/jobs does.")
    user: Ignored = Field(default=None, description="Any name; its pieces and jobs are then fetched with ?user=NAME.")
    n: Literal[1] = Field(default=1, description="One piece a request.")

    @model_validator(mode="before")
    @classmethod
    def _read_format(cls, body: Body) -> Body:
        """A form in `response_format`, as in OpenAI's requests for speech, counts as `format`."""
        form = body.get("response_format")
        return {**body, "format": body.get("format", form), "response_format": "audio"} if form in FORMATS else body

    @model_validator(mode="after")
    def _check_combinations(self) -> GenerationRequest:
        if not self.prompt.strip() and self.edit is None:
            raise invalid("prompt is missing; say what the music is to be, such as 'a slow, sad waltz'.", "prompt")
        if self.edit is not None and not self.piece:
            raise invalid("edit changes a piece, and none is named; give the id of an earlier one as piece.", "piece")
        if self.stream and (self.format not in STREAMED_FORMATS or self.response_format == "json" or self.background):
            raise invalid("stream sends the sound itself as wav or pcm16; leave it out for another form, for json and in the background.",
                          "stream")
        if self.format == "pcm16" and (self.response_format == "json" or self.background):
            raise invalid(NO_ADDRESS, "format")
        self.settings()
        return self

    @property
    def user_name(self) -> str:
        """Name that the client gives for its user; empty if none."""
        return shorten(self.user, MAX_TEXT) if self.user is not None else ""

    def settings(self) -> Settings:
        """Settings of the answer. Their ranges are checked by the service."""
        return Settings(
            seconds=self.seconds, bar_count=self.bar_count, seed=self.seed, guidance=self.guidance, conditioning=self.conditioning,
            temperature=self.temperature, top_p=self.top_p, edit=None if self.edit is None else self.edit.edit(),
            length_in_words=self.seconds is None and self.bar_count is None,
        )
