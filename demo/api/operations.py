"""What /openapi.json and /docs say about each route: its words, its request, its answers by status, and an example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from demo.api.generation_request import FORMATS, GenerationRequest
from demo.api.protocol import ChatRequest
from demo.api.schemas import ChatCompletion, DeletedJob, ErrorBody, Generation, Health, JobState, ModelInfo, ModelList
from demo.service.exports import EXPORT_FORMATS

Json = dict[str, Any]
ERRORS: Mapping[int, str] = {
    400: "A field, a value or a file is refused.", 401: "The login is wrong or missing.", 403: "The host or the origin is a strange one.",
    404: "There is no such model, piece, job or address.", 408: "The body took too long to arrive.", 413: "The body is too large.",
    415: "The body is compressed in a way other than gzip and deflate.", 422: "The answer has no music.",
    429: "The queue, or your share of it, is full; come back after Retry-After.", 499: "You left before the answer.",
    500: "The server made a mistake, which it has noted.", 503: "There is no room for more requests or files.",
}  # fmt: skip
ACCESS = (401, 403, 429, 503)  # of every route
BODY = (400, 404, 408, 413, 415, 500)  # of every route that reads a body
SOUNDS = ("audio/wav", "audio/pcm", *(kind.content_type.partition(";")[0] for kind in EXPORT_FORMATS.values()))
BINARY = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
CHAT_FIELDS: Mapping[str, str] = {  # those of ChatRequest that do something here
    "messages": "The conversation, the user's message last: texts, and files as `input_audio`, `image_url`, `video_url` or `file`.",
    "modalities": '["text"] by default, ["text", "audio"] where `audio` or `edit` is given.', "audio": "Asks for music in this format.",
    "stream": "Sends words, and sound as wav or pcm16, while they are made.", "stream_options": "include_usage: the last chunk has it.",
    "n": "Takes, at most 8, with the seeds seed, seed + 1 and so on.", "seed": "The same seed gives the same answer; -1 or none draws one.",
    "seconds": "Length of the music; 10 without it.", "bar_count": "Length of a new piece in bars, in place of seconds.",
    "temperature": "From 0, which takes the likeliest word, to 2.", "top_p": "Nucleus of sampling, where the temperature is above 0.",
    "max_tokens": "Limit on the answer's length.", "max_completion_tokens": "The same under its newer name.",
    "stop": "Up to four strings: the words end before the first of them.", "guidance": "How closely the music follows the words.",
    "conditioning": "What the decoder of the music is given: hidden, or the caption.", "score": "Adds the notes as MIDI in base64.",
    "edit": "What changes in a piece of the conversation; all else stays, note for note.",
    "user": "Any name, where one program asks for several.",
    "response_format": "Text alone: JSON is refused.", "tool_choice": "none or auto: this model calls no tools.",
}  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """Description of a route. answers: status -> the fields of OpenAPI's response, "model" included; example: a request's body."""

    summary: str
    description: str
    answers: Mapping[int, Json]
    errors: tuple[int, ...] = ()
    request: type[BaseModel] | None = None
    examples: Mapping[str, Json] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)  # name -> meaning

    def route_fields(self) -> Json:
        """Arguments of FastAPI's `add_api_route`."""
        errors = {status: {"model": ErrorBody, "description": ERRORS[status]} for status in sorted({*ACCESS, *self.errors})}
        body = None if self.request is None else {
            "required": True, "content": {"application/json": {
                "schema": {"$ref": f"#/components/schemas/{self.request.__name__}"},
                "examples": {name: {"value": value} for name, value in self.examples.items()},
            }},
        }  # fmt: skip
        return {
            "summary": self.summary, "description": self.description, "responses": {**errors, **self.answers},
            "openapi_extra": {} if body is None else {"requestBody": body},
        }  # fmt: skip


def _headers(descriptions: Mapping[str, str]) -> Json:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in descriptions.items()}


IGNORED_HEADER = _headers({"X-Ignored-Fields": "Fields of the request that had no effect."})
JOB_HEADERS = _headers({"Location": "Address of the job."}) | IGNORED_HEADER
PIECE_HEADERS = IGNORED_HEADER | _headers({
    "X-Seed": "Seed of the piece.", "X-Piece-Id": "Its id, for an hour.", "X-Seconds": "Its length.",
    "X-Answer": "The model's words about it, percent-encoded UTF-8.", "Content-Disposition": "A file name that says what is in it.",
})  # fmt: skip
FILE = {"content": dict.fromkeys(SOUNDS, BINARY)}
USER = {"user": "The name that the request gave as `user`, if it gave one."}
JOB_ID = {"job_id": "Id of the job."}
GENERATION_EXAMPLES: Mapping[str, Json] = {
    "prompt": {"prompt": "a slow, sad waltz for piano", "seconds": 10, "seed": 7},
    "bars": {"prompt": "a fast dance", "bar_count": 8, "format": "midi"},
    "edit": {"piece": "audio_ID", "edit": {"change": {"tempo": 140}, "without": ["drums"]}},
}

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/v1/audio/generations"): Operation(
        "Make a piece of music",
        "Answers with the sound itself, or with another form of the piece (" + ", ".join(FORMATS) + "). `stream` sends it while it is "
        "made; `response_format: json` gives its address and facts instead; `background` answers 202 with a job.",
        {200: {"model": Generation, "description": "The file, or its description.", **FILE, "headers": PIECE_HEADERS},
         202: {"model": JobState, "description": "The job, where `background` is set.", "headers": JOB_HEADERS}},
        (*BODY, 422, 499), GenerationRequest, GENERATION_EXAMPLES,
    ),
    ("POST", "/v1/jobs"): Operation(
        "Begin a generation in the background",
        "For clients behind a proxy that closes what takes over a minute. Takes what /v1/audio/generations takes, without `stream`.",
        {202: {"model": JobState, "description": "The job.", "headers": JOB_HEADERS}},
        BODY, GenerationRequest, {"prompt": GENERATION_EXAMPLES["prompt"]},
    ),
    ("GET", "/v1/jobs/{job_id}"): Operation(
        "State of a job", "Ask again after Retry-After until it has ended. It is kept for an hour after that, for you alone.",
        {200: {"model": JobState, "description": "The job."}}, (404, 500), parameters={**JOB_ID, **USER},
    ),
    ("DELETE", "/v1/jobs/{job_id}"): Operation(
        "Cancel a job", "Ends it if it runs, and deletes its piece.",
        {200: {"model": DeletedJob, "description": "It is gone."}}, (404, 500), parameters={**JOB_ID, **USER},
    ),
    ("GET", "/v1/audio/{audio_id}/{form}"): Operation(
        "A piece in another form",
        "Every piece is kept for an hour, for you alone. All forms but the sound need a model that writes notes.",
        {200: {"description": "The file.", "content": {**FILE["content"], "image/svg+xml": BINARY, "application/json": {"schema": {}}}}},
        (400, 404, 500),
        parameters={"audio_id": "Id of the piece.", "form": f"One of wav, {', '.join(EXPORT_FORMATS)}, score (JSON), stem, sheet (SVG).",
                    "bars": "Of a loop: how many, or a range such as 5-8.", "part": "Of a stem: a part that the score names.",
                    "page": "Of a sheet: its number; without it, how many there are.", "size": "Of a sheet: wide or narrow.", **USER},
    ),
    ("POST", "/v1/chat/completions"): Operation(
        "Chat, about music and with it",
        "OpenAI's chat completions: recordings, pictures, clips and scores in messages, text and music in answers. With `stream`, "
        "server-sent events, each `data: ` and a chunk in JSON; the last one is `data: [DONE]`. An error after the first event is an "
        "event of its own.",
        {200: {"model": ChatCompletion, "description": "The answer, or a stream of it.", "headers": IGNORED_HEADER, "content": {
            "text/event-stream": {"schema": {"type": "string", "description": "Events whose data is a ChatChunk, or an ErrorBody."},
                                  "example": 'data: {"object":"chat.completion.chunk","choices":[...]}\n\ndata: [DONE]\n\n'}}}},
        (*BODY, 499), ChatRequest,
        {"question": {"messages": [{"role": "user", "content": "What is a waltz?"}]},
         "music": {"messages": [{"role": "user", "content": "Compose a slow, sad piano piece"}], "audio": {"format": "wav"}, "seconds": 8}},
    ),
    ("GET", "/health"): Operation(
        "Whether the server works", "For those who watch over it; needs no login. 503 where its engine has ended.",
        {200: {"model": Health, "description": "It answers."}, 503: {"model": Health, "description": "Its engine has ended."}},
    ),
    ("GET", "/v1/models"): Operation("The models", "There is one.", {200: {"model": ModelList, "description": "The list."}}, (500,)),
    ("GET", "/v1/models/{name}"): Operation(
        "One model", "", {200: {"model": ModelInfo, "description": "The model."}}, (404, 500), parameters={"name": "Its name."},
    ),
}  # fmt: skip
