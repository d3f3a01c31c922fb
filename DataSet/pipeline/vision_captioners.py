"""Captioners of pictures and clips that take no question: BLIP (arXiv 2201.12086), and an encoder of frames before a GPT-2.

The first published MUImage and MUVideo were captioned by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from DataSet.pipeline.caption_request import CaptionRequest, whole_sentences
from DataSet.pipeline.prompt_files import Decoding
from DataSet.pipeline.text_models import generate, load_part, load_text_model
from llama.errors import comma_list
from llama.media.image import load_image
from llama.media.video import load_frames

DEFAULT = Decoding(max_tokens=60)
PARTS = ("processor", "tokenizer")


class BlipCaptioner:
    """BlipForConditionalGeneration, such as Salesforce/blip-image-captioning-base: one phrase for a picture, or for a clip's middle frame.

    prompt: the words that the caption begins with; "" for none.
    """

    def __init__(self, model: str, revision: str | None, dtype: str, device: str | None, decoding: Mapping[str, Any], prompt: str = "") -> None:
        self.decoding, self.prompt = DEFAULT.changed(decoding), prompt
        self.model = load_text_model(model, revision=revision, dtype=dtype, device=device, expected="BlipForConditionalGeneration")
        self.processor = load_part("AutoProcessor", model, revision)

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        pictures = [load_image(item.path) if item.medium == "image" else load_frames(item.path, 3)[1] for item in items]
        text = {"text": [self.prompt] * len(items)} if self.prompt else {}
        inputs = self.processor(images=pictures, return_tensors="pt", **text)
        tokenizer = self.processor.tokenizer
        rows = generate(self.model, inputs, self.decoding, [item.seed for item in items], end=self.model.config.text_config.sep_token_id)
        texts = [(tokenizer.decode(tokens, skip_special_tokens=True).strip(), complete) for tokens, complete in rows]
        return [whole_sentences(text, complete) for text, complete in texts]


class VisionEncoderDecoderCaptioner:
    """VisionEncoderDecoderModel, such as Neleac/timesformer-gpt2-video-captioning: frames spread evenly over the clip, as many as it takes.

    parts: {"processor", "tokenizer"}: folders or hub names where they do not lie with the model.
    """

    def __init__(self, model: str, revision: str | None, dtype: str, device: str | None, decoding: Mapping[str, Any],
                 parts: Mapping[str, str] | None = None) -> None:  # fmt: skip
        parts = parts or {}
        if unknown := sorted(set(parts) - set(PARTS)):
            raise ValueError(f"vision_encoder_decoder has no component {unknown[0]}; give {comma_list(PARTS)}.")
        self.decoding = DEFAULT.changed(decoding)
        self.model = load_text_model(model, revision=revision, dtype=dtype, device=device, expected="VisionEncoderDecoderModel")
        self.processor = load_part("AutoImageProcessor", parts.get("processor", model), None if "processor" in parts else revision)
        self.tokenizer = load_part("AutoTokenizer", parts.get("tokenizer", model), None if "tokenizer" in parts else revision)
        self.frames: int | None = getattr(self.model.config.encoder, "num_frames", None)

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        inputs = self.processor(self._media(items), return_tensors="pt")
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        rows = generate(self.model, inputs, self.decoding, [item.seed for item in items], pad_token_id=pad)
        return [whole_sentences(self.tokenizer.decode(tokens, skip_special_tokens=True).strip(), complete) for tokens, complete in rows]

    def _media(self, items: Sequence[CaptionRequest]) -> list[Any]:
        if self.frames is None:
            return [load_image(item.path) if item.medium == "image" else load_frames(item.path, 3)[1] for item in items]
        if any(item.medium != "video" for item in items):
            raise ValueError(f"This captioner looks at {self.frames} frames of a clip; take one of pictures for pictures.")
        return [list(load_frames(item.path, self.frames)) for item in items]
