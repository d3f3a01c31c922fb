"""Captioner behind an address: sound is sent as WAV, pictures as JPEG, clips as frames, all inside the request."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import soundfile
from PIL import Image

from DataSet.pipeline.caption_request import CaptionRequest, whole_sentences
from DataSet.pipeline.chat_client import ChatClient, ChatRequest
from DataSet.pipeline.prompt_files import PromptFile
from llama.media.audio import Waveform
from llama.media.image import load_image
from llama.media.video import load_frames

RATE = 16_000  # Hz of what is sent: audio models of today take no more
SIDE = 768  # pixels of the longer side of what is sent
FRAMES = 8  # of a clip, evenly spread


class AddressCaptioner:
    """Asks a chat server about each item in the words of a prompt file."""

    def __init__(self, client: ChatClient, prompt: PromptFile) -> None:
        self.client, self.prompt = client, prompt

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        requests = [ChatRequest([{"role": "user", "content": [*media_parts(item), {"type": "text", "text": self.prompt.text}]}], item.seed) for item in items]
        answers = self.client.complete_all(requests, self.prompt.decoding)
        return [whole_sentences(answer.text, answer.complete) for answer in answers]


def media_parts(item: CaptionRequest) -> list[dict[str, Any]]:
    """The medium as parts of an OpenAI message. Raises ValueError or FileNotFoundError for a file that cannot be read."""
    if item.medium == "audio":
        return [{"type": "input_audio", "input_audio": {"data": _wav(Waveform.read(item.path)), "format": "wav"}}]
    if item.medium == "image":
        return [_picture(load_image(item.path))]
    return [_picture(Image.fromarray(frame)) for frame in load_frames(item.path, FRAMES)]


def _wav(wave: Waveform) -> str:
    stream = io.BytesIO()
    samples = wave.mono().resample(RATE).samples.clamp(-1, 1).T.numpy()
    soundfile.write(stream, samples, RATE, subtype="PCM_16", format="WAV")
    return base64.b64encode(stream.getvalue()).decode()


def _picture(image: Image.Image) -> dict[str, Any]:
    image = image.copy()
    image.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"}}
