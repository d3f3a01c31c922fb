"""The network that MERT-nano is trained in: a small HubertModel with pools and heads that are discarded after training.

The heads make the attributes (instruments, tempo, metre, mode, ...) linearly readable from the pooled vectors. The pools of
the finished model are trained in recipes/nano/audio_encoder/pools.py; they read the spectrum beside the encoder's states.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import HubertConfig, HubertModel

from llama.files import atomic_files, atomic_path
from llama.modules.pooling import HarmonyPool, RhythmPool
from recipes.nano.rendering.clip_set import (
    ATTRIBUTE_VALUES,
    FRAME_RATE,
    HOP,
    RECEPTIVE_FIELD,
    ROLL_WIDTH,
    SAMPLE_RATE,
    SPECTRUM,
    TEMPO_BINS,
    frame_count,
)

HIDDEN, LAYERS = 192, 4
MELS, PITCHES = 80, 84
PREPROCESSOR = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "padding_side": "right",
    "padding_value": 0, "return_attention_mask": False, "sampling_rate": SAMPLE_RATE, "do_normalize": True,
    "spectrum": {**dataclasses.asdict(SPECTRUM)},  # one state more
}


def hubert_config() -> HubertConfig:
    """MERT's architecture (stable layer norm, group norm in the first convolution, 24 kHz) at 1.5 M parameters."""
    return HubertConfig(
        hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=4, intermediate_size=2 * HIDDEN,
        conv_dim=[16, 24, 32, 48, 64, 96, 128], conv_kernel=[20, 8, 8, 8, 8, 8, 8], conv_stride=[5, 4, 2, 2, 2, 2, 2],
        conv_bias=False, feat_extract_norm="group", do_stable_layer_norm=True, num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=16, hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
        feat_proj_dropout=0.0, final_dropout=0.0, layerdrop=0.0, apply_spec_augment=False, mask_time_prob=0.0,
        initializer_range=0.05,
    )


class EncoderWithHeads(nn.Module):
    """Audio encoder with pooling and one linear head an attribute: encoder -> states [B, L, T, F] -> pooled vectors -> heads."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = HubertModel(hubert_config())
        self.encoder.set_attn_implementation("eager")  # quicker than the fused kernel at this width on a CPU
        states = LAYERS + 1
        self.mean_mix = nn.Conv1d(states, 1, 1)
        nn.init.constant_(self.mean_mix.weight, 1.0 / states)
        self.rhythm = RhythmPool(states, HIDDEN, FRAME_RATE)
        self.harmony = HarmonyPool(states, HIDDEN)
        width = HIDDEN + self.rhythm.out_dim + self.harmony.out_dim
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(values)) for name, values in ATTRIBUTE_VALUES.items()})
        self.heads["tempo"] = nn.Linear(width, TEMPO_BINS)
        self.conv_readout = nn.Linear(128, MELS + PITCHES)
        self.last_readout = nn.Linear(HIDDEN, MELS + PITCHES)

    def states(self, samples: Tensor, fast: bool = True) -> tuple[Tensor, Tensor]:
        """Normalised samples [B, N] -> (states [B, L, T, F], convolution features [B, T, 128]), both float32."""
        conv_outputs: list[Tensor] = []
        hook = self.encoder.feature_extractor.register_forward_hook(lambda _module, _inputs, out: conv_outputs.append(out))
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            out = self.encoder(samples, output_hidden_states=True)
        hook.remove()
        # the last state is taken after the final layer norm, whichever way the library stores it
        states = torch.stack([*out.hidden_states[:-1], out.last_hidden_state], dim=1)
        return states.float(), conv_outputs[0].transpose(1, 2).float()

    def pooled_vectors(self, states: Tensor) -> dict[str, Tensor]:
        return {
            "states_mean": states.mean(2),
            "rhythm": self.rhythm(self.rhythm.frames(states)),
            "harmony": self.harmony(self.harmony.frames(states)),
        }

    def head_logits(self, vectors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits of every head from the three pooled vectors; the mean is mixed and normalized as in the understanding adapter."""
        mean = F.normalize(self.mean_mix(vectors["states_mean"]).squeeze(1), dim=-1) * math.sqrt(HIDDEN)
        joined = torch.cat([mean, vectors["rhythm"], vectors["harmony"]], dim=-1)
        return {name: head(joined) for name, head in self.heads.items()}

    @torch.no_grad()
    def scale_convolutions(self, samples: Tensor) -> None:
        """Scales every convolution to unit output variance: with default weights the signal fades over the seven layers."""
        hidden = samples[:, None]
        for layer in self.encoder.feature_extractor.conv_layers:
            layer.conv.weight.div_(layer.conv(hidden).std() + 1e-5)
            hidden = layer(hidden)

    def export(self, folder: Path) -> None:
        """The encoder as a stock Hugging Face folder, each file replaced atomically."""
        half_precision = HubertModel(hubert_config())
        half_precision.load_state_dict(self.encoder.state_dict())
        with atomic_files(folder) as draft:
            half_precision.half().save_pretrained(draft)
            (draft / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    with atomic_path(path) as partial:
        save_file(tensors, partial)


class TargetExtractor(nn.Module):
    """Targets of the first training phase: log-mel bands and, as in MERT, the energy of each semitone."""

    mel: Tensor
    pitch: Tensor
    window: Tensor

    def __init__(self, size: int = 4096) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("window", torch.hann_window(size))
        self.register_buffer("mel", _mel_bands(size))
        self.register_buffer("pitch", _pitch_bands(size))

    @torch.no_grad()
    def forward(self, samples: Tensor) -> Tensor:
        """Normalized samples [B, N] -> targets [B, T, 164], one for each frame of the encoder."""
        lead = (RECEPTIVE_FIELD - self.size) // 2  # centre the analysis window in the encoder's
        padded = F.pad(samples[:, lead:], (0, self.size))
        spectrum = torch.stft(padded, self.size, HOP, window=self.window, center=False, return_complex=True)
        magnitude = spectrum[..., : frame_count(samples.shape[-1])].abs() / math.sqrt(self.size)
        mel = (torch.log(self.mel @ magnitude.square() + 1e-4) + 3) / 3
        pitch = torch.log1p(3 * (self.pitch @ magnitude)) * 1.2
        return torch.cat([mel, pitch], dim=1).transpose(1, 2)


def _mel_bands(size: int, low: float = 30, high: float = 11_500) -> Tensor:
    """Triangles evenly spaced in mel, each with unit sum [80, size / 2 + 1]."""
    mels = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), MELS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = np.linspace(0, SAMPLE_RATE / 2, size // 2 + 1)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bands = np.maximum(0, np.minimum(rise, fall))
    return torch.tensor(bands / bands.sum(1, keepdims=True), dtype=torch.float32)


def _pitch_bands(size: int, lowest: float = 65.406) -> Tensor:
    """Bell curves a semitone apart from C2, each with unit sum [84, size / 2 + 1]."""
    centres = lowest * 2 ** (np.arange(PITCHES) / 12)
    widths = np.maximum(centres * (2 ** (1 / 12) - 1) / 2, 3.5)
    bins = np.linspace(0, SAMPLE_RATE / 2, size // 2 + 1)
    bands = np.exp(-0.5 * ((bins - centres[:, None]) / widths[:, None]) ** 2)
    return torch.tensor(bands / bands.sum(1, keepdims=True), dtype=torch.float32)


def chroma_loss(model: EncoderWithHeads, states: Tensor, roll: Tensor) -> Tensor:
    """Cross entropy of the harmony pool's chroma against the notes of the score."""
    logits = model.harmony.chroma(model.harmony.mix(states))
    assert logits.shape[-1] == ROLL_WIDTH
    return F.binary_cross_entropy_with_logits(logits, roll[:, : logits.shape[1]])
