"""Audio to audio with AudioLDM2: the recording's latents are noised up to a strength, and denoised towards the condition.

Meng et al. 2022, "SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations", on mel latents. Strength 0
gives back what the autoencoder makes of the recording; strength 1 is a new piece. In between, the first (1 - strength) of the
steps are left out, as in diffusers' image-to-image pipelines. Shapes: latents [1, channels, frames / s, bins / s] with the
autoencoder's scale s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from llama.decoders.mel_spectrogram import MelSpectrogram, normalize_level
from llama.media.audio import Waveform

DEFAULT_STRENGTH = 0.5


def skipped_steps(steps: int, strength: float) -> int:
    """Number of the first denoising steps that a strength leaves out."""
    return steps - min(int(steps * strength), steps)


class AudioToAudio:
    """One recording as latents, segment by segment, and the denoising that starts from them."""

    def __init__(self, pipeline: Any, recording: Waveform, num_inference_steps: int):
        """`pipeline`: a diffusers.AudioLDM2Pipeline."""
        vocoder = pipeline.vocoder.config
        self.pipeline, self.num_inference_steps = pipeline, num_inference_steps
        self.scale, self.hop = pipeline.vae_scale_factor, math.prod(vocoder.upsample_rates)
        self.spectrogram = MelSpectrogram(vocoder.sampling_rate, self.hop, vocoder.model_in_dim)
        self.samples = normalize_level(recording.mono().resample(vocoder.sampling_rate).samples[0].cpu())

    def latents(self, start: int, samples: int) -> Tensor:
        """Latents of the segment of so many samples that begins at sample `start`."""
        frames = math.ceil(samples / self.hop / self.scale) * self.scale
        mel = self.spectrogram(self.samples[start : start + frames * self.hop], frames)
        vae = self.pipeline.vae
        return vae.encode(mel[None, None].to(vae.device, vae.dtype)).latent_dist.mode() * vae.config.scaling_factor

    def sound(self, latents: Tensor) -> Tensor:
        """The vocoder's sound [1, n] of latents."""
        mel = self.pipeline.vae.decode(latents / self.pipeline.vae.config.scaling_factor).sample
        return self.pipeline.mel_spectrogram_to_waveform(mel)

    def vary(
        self, latents: Tensor, strength: float, embeddings: tuple[Tensor, Tensor, Tensor], guidance: float, generator: torch.Generator,
        on_step: Callable[[float], None],
    ) -> Tensor:
        """Noise latents up to the strength and denoise them.

        embeddings: T5 states, their mask and generated states, conditional rows after unconditional ones if guidance is above 1.
        on_step: called with the finished share of the steps.
        """
        scheduler = self.pipeline.scheduler
        scheduler.set_timesteps(self.num_inference_steps, device=latents.device)
        skipped = skipped_steps(self.num_inference_steps, strength)
        timesteps = scheduler.timesteps[skipped * scheduler.order :]
        if not len(timesteps):
            on_step(1.0)
            return latents
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(skipped * scheduler.order)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        return self.denoise(scheduler.add_noise(latents, noise, timesteps[:1]), timesteps, embeddings, guidance, generator, on_step)

    def denoise(
        self, latents: Tensor, timesteps: Tensor, embeddings: tuple[Tensor, Tensor, Tensor], guidance: float, generator: torch.Generator,
        on_step: Callable[[float], None],
    ) -> Tensor:
        """The pipeline's loop over the given timesteps."""
        scheduler, (prompt, mask, generated) = self.pipeline.scheduler, embeddings
        extra = self.pipeline.prepare_extra_step_kwargs(generator, 0.0)
        for index, timestep in enumerate(timesteps):
            inputs = scheduler.scale_model_input(torch.cat([latents] * (2 if guidance > 1 else 1)), timestep)
            noise = self.pipeline.unet(
                inputs, timestep, encoder_hidden_states=generated, encoder_hidden_states_1=prompt, encoder_attention_mask_1=mask,
                return_dict=False,
            )[0]  # fmt: skip
            if guidance > 1:
                unconditional, conditional = noise.chunk(2)
                noise = unconditional + guidance * (conditional - unconditional)
            latents = scheduler.step(noise, timestep, latents, **extra).prev_sample
            on_step((index + 1) / len(timesteps))
        return latents
