"""Captioner of transformers' chat classes that hear or see: Qwen2-Audio, Qwen3-Omni, Audio Flamingo 3, LLaVA-NeXT, Video-LLaVA and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from DataSet.pipeline.caption_request import CaptionRequest, whole_sentences
from DataSet.pipeline.prompt_files import PromptFile
from DataSet.pipeline.text_models import generate, load_part, load_text_model, prepare_tokenizer
from llama.media.audio import Waveform
from llama.media.image import load_image
from llama.media.video import load_frames

FRAMES = 8  # of a clip, evenly spread: what Video-LLaVA was trained with
ARGUMENTS = {"audio": "audio", "image": "images", "video": "videos"}  # of processors


class ChatCaptioner:
    """Asks a chat model about each item in the words of a prompt file, through the model's own processor and chat template."""

    def __init__(self, model: str, revision: str | None, dtype: str, device: str | None, prompt: PromptFile) -> None:
        self.processor = load_part("AutoProcessor", model, revision)
        if not getattr(self.processor, "chat_template", None):
            raise ValueError(f"The model {model} has no chat template; give a -hf conversion, or serve it and use the captioner address.")
        prepare_tokenizer(self.processor.tokenizer)
        loaded = load_text_model(model, revision=revision, dtype=dtype, device=device)
        self.model = getattr(loaded, "thinker", loaded)  # of models that also speak, the part that writes
        self.end: int | None = self.processor.tokenizer.eos_token_id if self.model is not loaded else None
        self.prompt, self.name = prompt, model

    def describe(self, items: Sequence[CaptionRequest]) -> list[str]:
        medium = items[0].medium
        content = [{"type": medium}, {"type": "text", "text": self.prompt.text}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
        options = {"text_kwargs": {"padding": True}, "return_tensors": "pt"}  # media are padded as their own processors do it
        inputs = self.processor(text=[text] * len(items), **self._media(medium, items), **options)
        tokenizer = self.processor.tokenizer
        rows = generate(self.model, inputs, self.prompt.decoding, [item.seed for item in items], end=self.end,
                        pad_token_id=tokenizer.pad_token_id, **({} if self.end is None else {"eos_token_id": self.end}))  # fmt: skip
        return [whole_sentences(tokenizer.decode(tokens, skip_special_tokens=True).strip(), complete) for tokens, complete in rows]

    def _media(self, medium: str, items: Sequence[CaptionRequest]) -> dict[str, Any]:
        """The media as the processor's argument: mono at its rate, RGB, or eight frames."""
        if medium == "image":
            return {"images": [load_image(item.path) for item in items]}
        if medium == "video":
            return {"videos": [load_frames(item.path, FRAMES) for item in items]}
        extractor = getattr(self.processor, "feature_extractor", None)
        if extractor is None:
            raise ValueError(f"The model {self.name} does not hear; give one with an audio encoder.")
        rate = extractor.sampling_rate
        return {"audio": [Waveform.read(item.path).mono().resample(rate).samples[0].numpy() for item in items], "audio_kwargs": {"sampling_rate": rate}}
