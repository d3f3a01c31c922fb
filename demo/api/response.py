"""Response bodies of the API in OpenAI's format: chat completions and their chunks."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse

from demo.api.edit_field import report_fields
from demo.api.pcm import PCM16_RATE, Pcm16Stream, pcm16
from demo.api.protocol import AudioFormat
from demo.service.audio_files import pcm, wav_header, write
from llama.errors import shorten
from llama.media.midi import to_midi
from llama.media.score import timeline
from llama.media.spelling import key_name

if TYPE_CHECKING:
    from llama.dialogue import Reply
    from llama.media.audio import Waveform
    from llama.media.score import Score

Json = dict[str, Any]
FINISH_REASONS = {"stop": "stop", "music": "stop", "length": "length"}  # finish of a Reply -> finish_reason of the API
DONE_EVENT = b"data: [DONE]\n\n"
MAX_LISTED = 12  # ignored fields that the header names
KEEPALIVE_COMMENT = b": still at work\n\n"  # a comment, so that proxies do not close an idle connection


class JsonResponse(JSONResponse):
    """JSON response in which half of a surrogate pair, which a request may have brought, becomes a question mark: it has no UTF-8."""

    def render(self, content: Any) -> bytes:
        return to_json(content)


def to_json(value: Any) -> bytes:
    """UTF-8 JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def ignored_header(names: Sequence[str]) -> dict[str, str]:
    """Header that names the fields of a request that had no effect; empty without any."""
    listed = ", ".join(shorten(ascii(name)[1:-1], 40) for name in names[:MAX_LISTED])
    return {"X-Ignored-Fields": listed + (", ..." if len(names) > MAX_LISTED else "")} if names else {}


def envelope(name: str, created: int, model: str, *, chunk: bool) -> Json:
    """Fields shared by all chunks of one response."""
    object_type = "chat.completion.chunk" if chunk else "chat.completion"
    return {"id": name, "object": object_type, "created": created, "model": model, "system_fingerprint": None}


def choice(index: int, reply: Reply, seed: int, audio: Json | None) -> Json:
    """Choice of a complete response: one take."""
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if audio is not None:
        message["audio"] = audio
    message |= edit_fields(reply)
    return {"index": index, "message": message, "logprobs": None, "finish_reason": FINISH_REASONS[reply.finish], "seed": seed}


def edit_fields(reply: Reply) -> Json:
    """The field `edit` of a message whose music is an edit; nothing for another one."""
    return {} if reply.edit is None else {"edit": report_fields(reply.edit)}


def delta(index: int, part: Json, finish: str | None = None) -> Json:
    """Choice of a chunk: one step of a take."""
    return {"index": index, "delta": part, "logprobs": None, "finish_reason": finish}


def audio_format_fields(music: Waveform, audio_format: AudioFormat) -> Json:
    """Fields of `audio` needed to play raw samples."""
    if audio_format == "pcm16":
        return {"sample_rate": PCM16_RATE, "channels": 1}
    return {"sample_rate": music.sample_rate, "channels": len(music.samples)}


def usage(prompt_tokens: int, replies: Sequence[Reply], audio_tokens: Sequence[int]) -> Json:
    """The `usage` field: prompt tokens, counted once, and completion tokens of all takes."""
    completion_tokens = sum(len(reply.tokens) for reply in replies)
    music_tokens = sum(token in audio_tokens for reply in replies for token in reply.tokens)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": prompt_tokens + completion_tokens,
            "completion_tokens_details": {"audio_tokens": music_tokens, "text_tokens": completion_tokens - music_tokens}}


def encode_audio(music: Waveform, audio_format: AudioFormat, folder: Path, stem: str) -> bytes:
    """The piece in that format. folder, stem: of the temporary file."""
    if audio_format == "pcm16":
        return pcm16(music)
    if audio_format == "wav":  # as in a stream: the header, then the samples
        return wav_header(music.seconds, music.sample_rate, len(music.samples)) + pcm(music)
    file = write(music, None, folder, stem, (audio_format,))[audio_format]
    try:
        return file.read_bytes()
    finally:
        file.unlink()


class AudioChunkEncoder:
    """Encodes the audio of one streamed take as wav or pcm16. seconds: its final length, for the wav header, which has `tags`."""

    def __init__(self, audio_format: str, seconds: float, tags: dict[str, str] | None = None) -> None:
        self._samples = Pcm16Stream() if audio_format == "pcm16" else None
        self._seconds, self._tags, self._started = seconds, tags, False

    def add(self, music: Waveform) -> bytes:
        """The bytes available after this chunk; possibly none."""
        if self._samples is not None:
            return self._samples.add(music)
        if not self._started:
            header = wav_header(self._seconds, music.sample_rate, len(music.samples), tags=self._tags)
        else:
            header = b""
        self._started = True
        return header + pcm(music)

    def end(self) -> bytes:
        """The remaining bytes."""
        return self._samples.end() if self._samples is not None else b""


def midi_base64(score: Score | None, seconds: float) -> str | None:
    """The notes as a MIDI file in base64; None without a score."""
    return None if score is None else to_base64(to_midi(score, seconds))


def to_base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def sse_event(value: Json) -> bytes:
    """One server-sent event."""
    return b"data: " + to_json(value) + b"\n\n"


def facts(score: Score | None) -> Json | None:
    """What is known of a piece with notes; None without them. bars: without the ending."""
    if score is None:
        return None
    attributes = score.attributes
    return {
        "tempo": attributes.tempo, "key": key_name(attributes.key, attributes.mode), "metre": f"{attributes.metre}/4",
        "lead": attributes.lead, "accompaniment": attributes.accompaniment, "style": attributes.style,
        "bars": timeline(attributes, score.seconds).bar_count, "drums": attributes.drums,
    }  # fmt: skip
