"""What the API sends back, in the form that clients of OpenAI's read: a whole answer, or its chunks."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.api.pcm import RATE, Samples, pcm16
from demo.api.protocol import AudioFormat
from demo.service.audio_files import pcm, wav_header, write
from llama.media.midi import to_midi

if TYPE_CHECKING:
    from llama.dialogue import Reply
    from llama.media.audio import Waveform
    from llama.media.score import Score

Json = dict[str, Any]
FINISH = {"stop": "stop", "music": "stop", "length": "length"}  # of a Reply -> as clients know it
END = b"data: [DONE]\n\n"
ALIVE = b": still at work\n\n"  # a comment, so that nothing between here and the client takes silence for the end


def envelope(name: str, created: int, model: str, *, chunk: bool) -> Json:
    """What all parts of one answer say of it."""
    kind = "chat.completion.chunk" if chunk else "chat.completion"
    return {"id": name, "object": kind, "created": created, "model": model, "system_fingerprint": None}


def choice(index: int, reply: Reply, seed: int, audio: Json | None) -> Json:
    """One take of a whole answer."""
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if audio is not None:
        message["audio"] = audio
    return {"index": index, "message": message, "logprobs": None, "finish_reason": FINISH[reply.finish], "seed": seed}


def delta(index: int, part: Json, finish: str | None = None) -> Json:
    """One step of a take that streams."""
    return {"index": index, "delta": part, "logprobs": None, "finish_reason": finish}


def sound_facts(music: Waveform, kind: AudioFormat) -> Json:
    """What a player of bare samples must know."""
    if kind == "pcm16":
        return {"sample_rate": RATE, "channels": 1}
    return {"sample_rate": music.sample_rate, "channels": len(music.samples)}


def usage(prompt: int, replies: Sequence[Reply], audio_tokens: Sequence[int]) -> Json:
    """Tokens that were read, once, and written, by all takes."""
    written = sum(len(reply.tokens) for reply in replies)
    music = sum(token in audio_tokens for reply in replies for token in reply.tokens)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
            "completion_tokens_details": {"audio_tokens": music, "text_tokens": written - music}}


def encoded(music: Waveform, kind: AudioFormat, folder: Path, stem: str) -> str:
    """The piece as a file of that kind, in base64."""
    if kind == "pcm16":
        return in_base64(pcm16(music))
    if kind == "wav":  # as it is streamed: the header, then the samples
        return in_base64(wav_header(music.seconds, music.sample_rate, len(music.samples)) + pcm(music))
    file = write(music, None, folder, stem, (kind,))[kind]
    try:
        return in_base64(file.read_bytes())
    finally:
        file.unlink()


class Parts:
    """The sound of one take as it streams, as wav or pcm16. seconds: how long it will be."""

    def __init__(self, kind: AudioFormat, seconds: float) -> None:
        self._samples = Samples() if kind == "pcm16" else None
        self._seconds, self._begun = seconds, False

    def add(self, music: Waveform) -> str:
        """The next bytes in base64; there may be none yet."""
        if self._samples is not None:
            return in_base64(self._samples.add(music))
        head = b"" if self._begun else wav_header(self._seconds, music.sample_rate, len(music.samples))
        self._begun = True
        return in_base64(head + pcm(music))

    def end(self) -> str:
        """The last of them."""
        return in_base64(self._samples.end() if self._samples is not None else b"")


def notes(score: Score | None, seconds: float) -> str | None:
    """The notes as a MIDI file in base64; None where the decoder has none."""
    return None if score is None else in_base64(to_midi(score, seconds))


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def event(value: Json) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n\n"
