"""AudioLDM2 (Liu et al. 2023, "AudioLDM 2: Learning Holistic Audio Generation with Self-supervised Pretraining").

Stock diffusers pipeline. The condition is the output of the published projector: one vector that contains the states of
the T5 text encoder, followed by those that the pipeline's language model generates.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2LMHeadModel, PreTrainedModel

from llama.component_config import check_weights_suffice, weight_bytes
from llama.decoders.audio_to_audio import DEFAULT_STRENGTH, AudioToAudio
from llama.decoders.base import (
    AudioGenerator,
    RequestBuilder,
    SynthesisRequest,
    check_folder,
    pad_or_trim,
    reading,
)
from llama.decoders.recording_edits import check_recording_edit
from llama.errors import shorten
from llama.files import atomic_files
from llama.hf import check_report, suppress_hf_logging
from llama.json_yaml import read_table
from llama.media.audio import Waveform
from llama.media.edit import Edit
from llama.media.score import Score
from llama.weights import ComponentError, check_component

PROMPT_TOKENS = 128  # T5 states in the published projector's output: 128 * 1024 + 8 * 768 = 137,216 numbers
GUIDANCE = 3.5
LONGEST_WINDOWS = 3  # one diffusion pass covers up to three times the length of the training clips (10.24 s)
FADE_SECONDS = 2.0
UNUSED = re.compile(r"\.(position_ids|relative_position_index|num_batches_tracked)$")  # computed tables and training counters


class AudioLDM2Decoder(RequestBuilder, nn.Module):
    """AudioLDM2 as a MusicDecoder; frozen, always in eval mode. Fewer `num_inference_steps` are faster."""

    streams = False
    channels = 1
    guidance, temperature = GUIDANCE, 1.0

    def __init__(self, pipeline: Any, num_inference_steps: int = 200):
        """`pipeline`: a diffusers.AudioLDM2Pipeline; its tokenizers may be None if no captions are embedded."""
        super().__init__()
        self.pipeline, self.num_inference_steps = pipeline, num_inference_steps
        pipeline.set_progress_bar_config(disable=True)
        modules = {name: component for name, component in pipeline.components.items() if isinstance(component, nn.Module)}
        self.parts = nn.ModuleDict(modules).eval().requires_grad_(False)  # so that .to() moves the pipeline
        if pipeline.tokenizer_2 is not None:
            pipeline.tokenizer_2.model_max_length = PROMPT_TOKENS
        text_config, language_config = pipeline.text_encoder_2.config, pipeline.language_model.config
        if text_config.model_type != "t5":
            raise ValueError(f"This AudioLDM2 reads with {text_config.model_type} (speech); take one for sound or music, with T5.")
        self.prompt_width, self.generated_width = int(text_config.d_model), int(language_config.n_embd)
        self.generated_tokens = int(getattr(language_config, "max_new_tokens", None) or 8)
        width = PROMPT_TOKENS * self.prompt_width + self.generated_tokens * self.generated_width
        self.condition_shape = (1, width)
        vocoder = pipeline.vocoder.config
        self.sample_rate = int(vocoder.sampling_rate)
        self.hop = math.prod(vocoder.upsample_rates)  # samples of a spectrogram frame
        frames = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        self.longest_seconds = LONGEST_WINDOWS * frames * self.hop / self.sample_rate

    @classmethod
    def from_folder(cls, path: str | Path, dtype: torch.dtype | Literal["auto"] = torch.float32) -> AudioLDM2Decoder:
        """Load a diffusers folder, or a hub name such as cvssp/audioldm2. dtype "auto": float32, as it is published."""
        dtype = torch.float32 if dtype == "auto" else dtype
        if check_folder(path, "model_index.json") is not None:
            class_name = read_table(Path(path) / "model_index.json").get("_class_name")
            if class_name != "AudioLDM2Pipeline":
                raise ValueError(f"{path} holds a {class_name}; music_decoder audioldm2 takes an AudioLDM2Pipeline.")
        from diffusers import AudioLDM2Pipeline  # optional and slow to import

        with suppress_hf_logging(), reading("AudioLDM2", path):
            networks = {name: _load_checked(path, name, network, dtype) for name, network in _network_classes(path).items()}
            pipeline = AudioLDM2Pipeline.from_pretrained(str(path), **networks, torch_dtype=dtype)
        return cls(pipeline)

    def train(self, mode: bool = True) -> AudioLDM2Decoder:
        """Stay in eval mode."""
        return super().train(False)

    def export_state(self) -> dict[str, Tensor]:
        """No weights: published checkpoints never contain AudioLDM2, because its pipeline is not a module."""
        return {}

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a diffusers folder; files are replaced atomically."""
        with atomic_files(folder) as draft, suppress_hf_logging():
            if dtype is None:
                self.pipeline.save_pretrained(draft)
                return
            converted = {name: copy.deepcopy(part).to(dtype) for name, part in self.parts.items()}
            type(self.pipeline)(**{**self.pipeline.components, **converted}).save_pretrained(draft)

    @torch.no_grad()
    def embed(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Condition [B, 1, width] of captions and a mask of ones [B, 1]; padding is zeros inside the vector."""
        if self.pipeline.tokenizer is None or self.pipeline.tokenizer_2 is None:
            raise ValueError("This AudioLDM2 folder has no tokenizers, so it cannot read captions; give the complete folder.")
        # One by one: in a batch the language model would read the padding of shorter captions as words.
        condition = torch.stack([self._embed(caption) for caption in captions])[:, None]
        return condition, torch.ones(condition.shape[:2], dtype=torch.long, device=condition.device)

    def _embed(self, caption: str) -> Tensor:
        """Condition [width] of one caption."""
        states, mask, generated = self.pipeline.encode_prompt(
            [caption], self.device, 1, False, max_new_tokens=self.generated_tokens
        )
        states = functional.pad(states * mask[..., None], (0, 0, 0, PROMPT_TOKENS - states.shape[1]))
        return torch.cat([states.flatten(), generated.flatten()]).float()

    @property
    def device(self) -> torch.device:
        return self.pipeline.unet.device

    def split(self, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split a condition [B, 1, width] into T5 states [B, 128, w1], their mask [B, 128] and generated states [B, 8, w2].

        The mask excludes exact zeros, which are the padding of `embed`; projected states are never exactly zero.
        """
        condition = condition.to(self.device, self.pipeline.unet.dtype).flatten(1)
        prompt, generated = condition.split([PROMPT_TOKENS * self.prompt_width, self.generated_tokens * self.generated_width], 1)
        prompt = prompt.unflatten(1, (PROMPT_TOKENS, self.prompt_width))
        return prompt, (prompt != 0).any(-1).long(), generated.unflatten(1, (self.generated_tokens, self.generated_width))

    def synthesize(self, request: SynthesisRequest, progress: Callable[[float], None] | None = None) -> AudioGenerator:
        """Generate sound: one chunk [B, 1, n] float32 of exactly the requested length.

        An edit keeps near its source, a recording, by its strength: 0 gives it back, 1 makes a new piece of that length. Without a
        strength it is 0.5. The level is that of the recordings that AudioLDM2 was trained with, a peak of one half.

        The temperature has no effect on diffusion. `progress` is called with the finished share after every step; an
        exception that it raises ends the work. Raises ValueError before any work is done if the request has a prompt.
        """
        if request.prompt is not None:
            raise ValueError("AudioLDM2 cannot continue a recording; leave the prompt out or choose music_decoder musicgen.")
        return iter_once(self, request, progress)

    def check_edit(self, edit: Edit, source: Score | Waveform) -> None:
        """Raises ValueError in one sentence, before any work, for an edit that this decoder cannot make of the source."""
        check_recording_edit("AudioLDM2", edit, source, {"strength"})

    @torch.no_grad()
    def render(self, request: SynthesisRequest, progress: Callable[[float], None] | None = None) -> Tensor:
        """The complete sound [B, 1, n]. Long music consists of overlapping segments, crossfaded at equal power."""
        samples = request.samples(self.sample_rate)
        generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]  # on the CPU: the same on any device
        fade = round(min(FADE_SECONDS, self.longest_seconds / 4) * self.sample_rate)
        count = max(1, math.ceil((samples - fade) / (self.longest_seconds * self.sample_rate - fade)))
        segment = math.ceil((samples + (count - 1) * fade) / count)
        make, alike = self._segment_maker(request, segment, generators)
        sound = make(0, _share_of(progress, 0, count))
        for number in range(1, count):
            next_sound = make(number * (segment - fade), _share_of(progress, number, count))
            sound = crossfade(sound, next_sound, fade, alike)
        return pad_or_trim(sound, samples)[:, None]

    def _segment_maker(
        self, request: SynthesisRequest, segment: int, generators: list[torch.Generator]
    ) -> tuple[Callable[[int, Callable[[float], None]], Tensor], bool]:
        """What makes the sound [B, segment] from a sample on, and whether neighbouring segments are alike where they overlap."""
        strength = 1.0
        if request.edit is not None:
            strength = DEFAULT_STRENGTH if request.edit.strength is None else request.edit.strength
        if strength == 1:
            return (lambda start, on_step: self._diffuse(request, segment, generators, on_step)), False
        assert isinstance(request.source, Waveform), "the request has checked it"
        audio = AudioToAudio(self.pipeline, request.source, self.num_inference_steps)
        embeddings = self._embeddings(request)

        def vary(start: int, on_step: Callable[[float], None]) -> Tensor:
            latents = audio.vary(audio.latents(start, segment), strength, embeddings, request.guidance, generators[0], on_step)
            return pad_or_trim(audio.sound(latents).float().reshape(1, -1), segment)

        return vary, True

    def _embeddings(self, request: SynthesisRequest) -> tuple[Tensor, Tensor, Tensor]:
        """T5 states, their mask and generated states, after zeros for the unconditional rows if there is guidance."""
        parts = self.split(request.condition)
        prompt, mask, generated = (torch.cat([torch.zeros_like(part), part]) for part in parts) if request.guided else parts
        return prompt, mask, generated

    def _diffuse(
        self, request: SynthesisRequest, samples: int, generators: list[torch.Generator], on_step: Callable[[float], None]
    ) -> Tensor:
        """One pass of the pipeline, [B, samples]."""

        def step(index: int, *_: object) -> None:
            on_step((index + 1) / self.num_inference_steps)

        prompt, mask, generated = self.split(request.condition)
        frames = max(self.pipeline.vae_scale_factor, math.ceil(samples / self.hop)) + 1  # the pipeline rounds down
        audio = self.pipeline(
            prompt_embeds=prompt,
            attention_mask=mask,
            generated_prompt_embeds=generated,
            negative_prompt_embeds=torch.zeros_like(prompt),
            negative_attention_mask=torch.zeros_like(mask),
            negative_generated_prompt_embeds=torch.zeros_like(generated),
            guidance_scale=request.guidance,
            num_inference_steps=self.num_inference_steps,
            audio_length_in_s=frames * self.hop / self.sample_rate,
            generator=generators,
            output_type="pt",
            callback=step,
        ).audios
        return pad_or_trim(audio.float().reshape(len(generators), -1), samples)


def _network_classes(path: str | Path) -> dict[str, Any]:
    """The class of each sub-folder that contains weights."""
    import diffusers
    import transformers

    index = diffusers.AudioLDM2Pipeline.load_config(str(path))
    libraries = {entry[0] for entry in index.values() if isinstance(entry, (list, tuple)) and entry[0]}
    if strange := libraries - {"audioldm2", "diffusers", "transformers"}:  # diffusers would import any module that the file names
        first = shorten(sorted(map(str, strange))[0])
        raise ComponentError(f"{path} names parts of {first}; give a folder of diffusers' AudioLDM2Pipeline.")
    names = {folder: entry[1] for folder, entry in index.items() if isinstance(entry, (list, tuple)) and entry[1]}
    classes = {folder: getattr(transformers, name, None) or getattr(diffusers, name, None) for folder, name in names.items()}
    networks = {folder: cls for folder, cls in classes.items() if isinstance(cls, type) and issubclass(cls, nn.Module)}
    # The released folders name GPT2Model, but the text path needs the class that generates.
    return {**networks, "language_model": GPT2LMHeadModel}


def _load_checked(path: str | Path, folder: str, network: Any, dtype: torch.dtype) -> nn.Module:
    """Load one network, and raise ValueError where the libraries would only log missing weights and fill them at random."""
    of_transformers = issubclass(network, PreTrainedModel)
    options = {"dtype": dtype} if of_transformers else {"torch_dtype": dtype, "low_cpu_mem_usage": False}
    _check_sizes(Path(path), folder, network)
    load = partial(network.from_pretrained, str(path), subfolder=folder, output_loading_info=True, ignore_mismatched_sizes=True)
    model, report = load(**options)
    check_report(f"AudioLDM2 {folder}", "music_decoder_path", report, UNUSED)
    check_component(f"AudioLDM2 {folder}", model)
    return model


def _check_sizes(path: Path, folder: str, network: Any) -> None:
    """Raises ValueError where a network's configuration asks for more values than its weight files can hold."""
    if (held := weight_bytes(path / folder)) is None:
        return
    if issubclass(network, PreTrainedModel):
        config = network.config_class.from_pretrained(str(path), subfolder=folder)
        check_weights_suffice(f"AudioLDM2 {folder}", lambda: network(config), held)
    else:
        values = network.load_config(str(path), subfolder=folder)
        check_weights_suffice(f"AudioLDM2 {folder}", lambda: network.from_config(values), held)


def iter_once(
    decoder: AudioLDM2Decoder, request: SynthesisRequest, progress: Callable[[float], None] | None = None
) -> AudioGenerator:
    """Generator of the one chunk; renders at the first `next`, as streaming decoders do."""
    yield decoder.render(request, progress)
    return None


def _share_of(progress: Callable[[float], None] | None, number: int, count: int) -> Callable[[float], None]:
    """The progress of one segment of `count`, from 0 to 1, as that of the whole."""
    return lambda share: None if progress is None else progress((number + share) / count)


def crossfade(first: Tensor, second: Tensor, overlap: int, alike: bool = False) -> Tensor:
    """Join [B, n] and [B, m] to [B, n + m - overlap], faded at equal power if the two are uncorrelated, at equal gain if they are alike."""
    rising = torch.linspace(0, 1, overlap, device=first.device)
    falling = 1 - rising
    if not alike:
        rising, falling = (rising * math.pi / 2).sin(), (rising * math.pi / 2).cos()
    middle = first[:, -overlap:] * falling + second[:, :overlap] * rising
    return torch.cat([first[:, :-overlap], middle, second[:, overlap:]], 1)
