"""What the API sends back, in the form that clients of OpenAI's read: a whole answer, or its chunks."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.api.pcm import PCM16_RATE, Pcm16Stream, pcm16
from demo.api.protocol import AudioFormat
from demo.service.audio_files import pcm, wav_header, write
from llama.media.midi import to_midi

if TYPE_CHECKING:
    from llama.dialogue import Reply
    from llama.media.audio import Waveform
    from llama.media.score import Score

Json = dict[str, Any]
FINISH_REASONS = {"stop": "stop", "music": "stop", "length": "length"}  # of a Reply -> as clients know it
DONE_EVENT = b"data: [DONE]\n\n"
KEEPALIVE_COMMENT = b": still at work\n\n"  # a comment, so that nothing between here and the client takes silence for the end


def envelope(name: str, created: int, model: str, *, chunk: bool) -> Json:
    """What all parts of one answer say of it."""
    object_type = "chat.completion.chunk" if chunk else "chat.completion"
    return {"id": name, "object": object_type, "created": created, "model": model, "system_fingerprint": None}


def choice(index: int, reply: Reply, seed: int, audio: Json | None) -> Json:
    """One take of a whole answer."""
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if audio is not None:
        message["audio"] = audio
    return {"index": index, "message": message, "logprobs": None, "finish_reason": FINISH_REASONS[reply.finish], "seed": seed}


def delta(index: int, part: Json, finish: str | None = None) -> Json:
    """One step of a take that streams."""
    return {"index": index, "delta": part, "logprobs": None, "finish_reason": finish}


def audio_format_fields(music: Waveform, audio_format: AudioFormat) -> Json:
    """What a player of bare samples must know."""
    if audio_format == "pcm16":
        return {"sample_rate": PCM16_RATE, "channels": 1}
    return {"sample_rate": music.sample_rate, "channels": len(music.samples)}


def usage(prompt_tokens: int, replies: Sequence[Reply], audio_tokens: Sequence[int]) -> Json:
    """Tokens that were read, once, and written, by all takes."""
    completion_tokens = sum(len(reply.tokens) for reply in replies)
    music_tokens = sum(token in audio_tokens for reply in replies for token in reply.tokens)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": prompt_tokens + completion_tokens,
            "completion_tokens_details": {"audio_tokens": music_tokens, "text_tokens": completion_tokens - music_tokens}}


def encode_audio(music: Waveform, audio_format: AudioFormat, folder: Path, stem: str) -> str:
    """The piece as a file of that kind, in base64."""
    if audio_format == "pcm16":
        return to_base64(pcm16(music))
    if audio_format == "wav":  # as it is streamed: the header, then the samples
        return to_base64(wav_header(music.seconds, music.sample_rate, len(music.samples)) + pcm(music))
    file = write(music, None, folder, stem, (audio_format,))[audio_format]
    try:
        return to_base64(file.read_bytes())
    finally:
        file.unlink()


class AudioChunkEncoder:
    """The sound of one take as it streams, as wav or pcm16. seconds: how long it will be."""

    def __init__(self, audio_format: AudioFormat, seconds: float) -> None:
        self._samples = Pcm16Stream() if audio_format == "pcm16" else None
        self._seconds, self._started = seconds, False

    def add(self, music: Waveform) -> str:
        """The next bytes in base64; there may be none yet."""
        if self._samples is not None:
            return to_base64(self._samples.add(music))
        header = b"" if self._started else wav_header(self._seconds, music.sample_rate, len(music.samples))
        self._started = True
        return to_base64(header + pcm(music))

    def end(self) -> str:
        """The last of them."""
        return to_base64(self._samples.end() if self._samples is not None else b"")


def midi_base64(score: Score | None, seconds: float) -> str | None:
    """The notes as a MIDI file in base64; None where the decoder has none."""
    return None if score is None else to_base64(to_midi(score, seconds))


def to_base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def sse_event(value: Json) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n\n"
