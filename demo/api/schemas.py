"""Models of the responses, for /openapi.json. The responses themselves are plain JSON; tests compare the two."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Response(BaseModel):
    """Base of the models."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetails(Response):
    """What went wrong, in one sentence."""

    message: str = Field(description="What was given, what is allowed, what to do.")
    type: Literal["invalid_request_error", "server_error", "rate_limit_error"]
    param: str | None = Field(description="Path of the field that is at fault.")
    code: str | None


class ErrorBody(Response):
    """Body of every error."""

    error: ErrorDetails


class EditReport(Response):
    """What an edit did."""

    changed: list[str]
    kept: list[str] = Field(description="Parts that stayed note for note.")
    unchanged: list[str] = Field(description="What was so already.")
    not_done: list[str]
    transcribed: bool = Field(description="Whether the notes were written down from a recording.")
    text: str = Field(description="The same in sentences.")


class Facts(Response):
    """What is known of a piece with notes."""

    tempo: float
    key: str
    metre: str
    lead: str
    accompaniment: str
    style: str
    bars: int
    drums: bool


class Generation(Response):
    """A finished piece."""

    id: str = Field(description="For `piece` of a later request, and for /v1/audio/{id}/{form}.")
    object: Literal["audio.generation"]
    created: int
    model: str
    format: str
    url: str = Field(description="Where the file is, for an hour.")
    name: str = Field(description="File name without its ending.")
    text: str = Field(description="The model's words about the piece.")
    seed: int
    seconds: float
    expires_at: int
    facts: Facts | None = Field(description="Null where the model writes no notes.")
    edit: EditReport | None = None


class JobError(ErrorDetails):
    """Error of a failed job. status: what the same request would have been answered with."""

    status: int


class JobState(Response):
    """A generation in the background."""

    id: str
    object: Literal["job"]
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int = Field(ge=0, le=100)
    queue_position: int
    created_at: int
    completed_at: int | None
    expires_at: int | None
    error: JobError | None
    result: Generation | None


class DeletedJob(Response):
    """Answer to the deletion of a job."""

    id: str
    object: Literal["job.deleted"]
    deleted: bool


class ModelInfo(Response):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Response):
    """All models."""

    object: Literal["list"]
    data: list[ModelInfo]


class Audio(Response):
    """Music of an answer."""

    id: str
    data: str = Field(description="The file in base64.")
    expires_at: int
    transcript: str
    seconds: float
    sample_rate: int
    channels: int
    score: str | None = Field(default=None, description="The notes as MIDI in base64, where `score` asked for them.")


class ChatMessage(Response):
    """Answer of the model."""

    role: Literal["assistant"]
    content: str
    refusal: None
    audio: Audio | None = None
    edit: EditReport | None = None


class ChatChoice(Response):
    """One take."""

    index: int
    message: ChatMessage
    logprobs: None
    finish_reason: Literal["stop", "length"]
    seed: int


class CompletionTokensDetails(Response):
    """Kinds of the answer's tokens."""

    audio_tokens: int
    text_tokens: int


class Usage(Response):
    """Tokens of a request and its answers."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionTokensDetails


class ChatCompletion(Response):
    """Complete answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: None
    choices: list[ChatChoice]
    usage: Usage


class ChatChunk(Response):
    """Data of one server-sent event of a stream; the last event is `data: [DONE]`."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: None
    choices: list[Any] = Field(description="`delta` holds new `content`, new `audio` with `data` in base64, or the report of an `edit`.")
    usage: Usage | None = None


class Health(Response):
    """State of the server."""

    status: Literal["ok", "unavailable"]
    live: bool = Field(description="Whether the server runs.")
    ready: bool = Field(description="Whether its engine answers requests.")
    model: str
    version: str
    error: str | None = Field(description="Why it is not ready.")
