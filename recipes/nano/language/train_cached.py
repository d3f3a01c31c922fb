"""Trains the nano model's language stages from cached features, with MuMuLLaMA's own modules.

    python -m recipes.nano.language.train_cached WORK words --minutes 20            # language, with ideal features if no real ones are cached
    python -m recipes.nano.language.train_cached WORK ears --minutes 6              # stage 1: media to words
    python -m recipes.nano.language.train_cached WORK music --minutes 20            # stages 2 and 3: audio tokens, projector, all kinds of turns

WORK holds tokenizer.model, data/ with the feature caches, and decoder/ (needed by "music"). Every stage starts from the
latest WORK/language.pt and replaces it, and appends to WORK/language.csv; --resume continues a stage that was stopped.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from llama.config import AdapterConfig, LlamaConfig, MuMuConfig, ProjectorConfig
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.modules.adapters import UnderstandingAdapter, l2_normalize
from llama.modules.lora import LoRALinear
from llama.modules.losses import answer_loss, audio_token_positions, condition_loss
from llama.modules.tokenizer import Tokenizer
from llama.mumu_llama import MuMuLLaMA
from llama.mumu_model import ModalityFeatures
from llama.training.stages import FROZEN_PREFIXES
from recipes.nano.language.cached_data import (
    CachedExample,
    ExampleSampler,
    Library,
    batch_by_length,
    load_library,
    pad_batch,
)
from recipes.nano.rendering.clip_set import AUDIO, LEARNED_POOLS
from recipes.nano.timed_loop import BatchQueue, Schedule, TimedTrainer, append_csv, cosine

SHARES: Mapping[str, Mapping[str, float]] = {
    "words": {"talk": 0.13, "wish": 0.34, "hear": 0.26, "edit": 0.16, "picture": 0.06, "clip": 0.05},
    "ears": {"talk": 0.06, "wish": 0.12, "hear": 0.46, "edit": 0.18, "picture": 0.09, "clip": 0.09},
    "music": {"talk": 0.11, "wish": 0.31, "hear": 0.23, "edit": 0.18, "picture": 0.08, "clip": 0.09},
}
RATES = {"words": 2e-3, "ears": 1.2e-3, "music": 1.2e-3}
CONDITION_WEIGHT = 0.03  # of the condition loss, whose targets are ten times as large as the states
REGISTERS, REGISTER_WEIGHT = 4, 4.0  # the text states that summarise a caption count for more than those of its words
POOLS = "adapters.audio.pools."
INITIAL_GATE, STEP_TOKENS = 0.5, 2600
WARMUP_STEPS, EPOCH_ROWS, LOG_STEPS = 60, 1000, 50
VALIDATION_STEPS, VALIDATION_ROWS = 400, 60  # rows of each kind of turn


def model_config(tokenizer: Tokenizer, condition: tuple[int, int] = (32, 192)) -> MuMuConfig:
    llama = LlamaConfig(dim=192, n_layers=8, n_heads=6, vocab_size=tokenizer.vocab_size, ffn_hidden=512, lora_rank=4, max_seq_len=512)
    return MuMuConfig(
        llama=llama,
        audio=AUDIO,
        image=AdapterConfig(128, 65, mix="tokens", blocks=2),
        video=AdapterConfig(96, 129, mix="tokens", blocks=2),
        projector=ProjectorConfig(*condition, hidden=160, heads=4, layers=2, ffn_dim=320),
        query_layer=2,
    )


def new_model(tokenizer: Tokenizer, condition: tuple[int, int] = (32, 192)) -> MuMuLLaMA:
    """A model with initial weights: small residual branches, gates at 0.5, projections scaled for unit vectors."""
    torch.manual_seed(0)
    model = MuMuLLaMA(model_config(tokenizer, condition), tokenizer=tokenizer)
    nn.init.normal_(model.llama.tok_embeddings.weight, std=0.5)
    for block in model.llama.layers:
        block.attention.gate.data.fill_(INITIAL_GATE)
        for linear in (block.attention.wo, block.feed_forward.w2):
            linear.weight.data /= math.sqrt(2 * len(model.llama.layers))
    for name, adapter in model.adapters.items():
        cast(nn.Linear, cast(UnderstandingAdapter, adapter).project[0]).weight.data *= math.sqrt(model.config.adapter(name).feature_dim)
    return model


def encode_features(model: MuMuLLaMA, rows: Sequence[CachedExample]) -> ModalityFeatures:
    """Prompts from cached features; equal to `MuMuLLaMA.encode` of the media themselves."""
    def placed(name: str, row_indices: list[int], prompts: Tensor) -> Tensor:
        empty = prompts.new_zeros(len(rows), model.config.adapter(name).positions, prompts.shape[-1])
        return empty.index_copy(0, torch.tensor(row_indices), prompts)

    prompts_by_modality: dict[str, Tensor] = {}
    with_audio = [index for index, row in enumerate(rows) if row.audio is not None]
    if with_audio:
        adapter = model.adapters["audio"]
        mean, *learned = (torch.stack(parts) for parts in zip(*(rows[index].audio for index in with_audio), strict=True))
        prompts_by_modality["audio"] = placed("audio", with_audio, adapter.prompts([l2_normalize(adapter.mix(mean)), *learned]))
    for name in ("image", "video"):
        with_images = [index for index, row in enumerate(rows) if getattr(row, name) is not None]
        if with_images:
            states = torch.stack([getattr(rows[index], name) for index in with_images])
            prompts_by_modality[name] = placed(name, with_images, model.adapters[name](states))
    return ModalityFeatures(**prompts_by_modality)


@dataclass
class StageTrainer:
    """Trains one stage for a given processor time; resumes from WORK/language.pt."""

    model: MuMuLLaMA
    work: Path
    stage: str
    library: Library
    decoder: MusicGenDecoder | None
    rate: float
    fast: bool = True

    @property
    def tokenizer(self) -> Tokenizer:
        assert self.model.tokenizer is not None  # `new_model` sets it
        return self.model.tokenizer

    def losses(self, rows: Sequence[CachedExample]) -> tuple[Tensor, Tensor]:
        """Cross entropy of the answers, and the condition loss (0 without a decoder or music)."""
        tokens, labels = pad_batch(rows, self.tokenizer.eos)
        # For rows this short, the backward pass of plain attention takes half the time of the fused kernel's; equal gradients.
        with torch.autocast("cpu", torch.bfloat16, enabled=self.fast), sdpa_kernel(SDPBackend.MATH):
            out = self.model(tokens, encode_features(self.model, rows))
        words = answer_loss(out.logits, labels)
        positions = audio_token_positions(labels, self.tokenizer.audio_tokens[0])
        if self.decoder is None or not len(positions):
            return words, words.new_zeros(())
        hidden = torch.stack([out.hidden[row, start : start + 8] for row, start in positions.tolist()]).float()
        with torch.no_grad():
            states, mask = self.decoder.embed([rows[row].caption for row in positions[:, 0].tolist()])
        weight = torch.ones_like(mask, dtype=torch.float32)
        weight[:, :REGISTERS] = REGISTER_WEIGHT
        projected = self.model.project(hidden, self.model.audio_token_embeddings(len(hidden)))
        # After the end of a caption the target is zero: the decoder was trained on zeros as much as on states there.
        return words, condition_loss(projected, states * mask[..., None], weight)

    def optimizer(self) -> torch.optim.Optimizer:
        named = [(name, value) for name, value in self.model.named_parameters() if value.requires_grad]
        decayed = [value for name, value in named if value.dim() > 1 and "gate" not in name]
        rest = [value for name, value in named if value.dim() <= 1 or "gate" in name]
        return torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}], betas=(0.9, 0.98))

    def batches(self, shares: Mapping[str, float], seed: int, epoch_rows: int) -> BatchQueue[list[CachedExample]]:
        """Endless batches of sampled examples, of about STEP_TOKENS positions."""
        sampler = ExampleSampler(self.tokenizer, self.library, shares, seed)
        return BatchQueue(lambda: batch_by_length(sampler.sample_many(epoch_rows), STEP_TOKENS, sampler.rng), sampler.rng)

    def total_loss(self, rows: Sequence[CachedExample]) -> tuple[Tensor, np.ndarray]:
        """The loss to minimize, and [2] its parts: cross entropy and condition loss."""
        words, condition = self.losses(rows)
        return words + CONDITION_WEIGHT * condition, np.array([words.item(), condition.item()])

    def fit(self, minutes: float, resume: bool) -> None:
        batches = self.batches(SHARES[self.stage], 100, EPOCH_ROWS)
        schedule = Schedule(minutes, self.rate, WARMUP_STEPS, lambda progress: 0.03 + 0.97 * cosine(progress), processor_time=True)
        trainer = TimedTrainer({"model": self.model, "batches": batches}, self.optimizer(), schedule, batches.rng,
                               checkpoint=self.work / "language.pt", values={"stage": self.stage})
        if resume and (state := read_checkpoint(self.work / "language.pt")) and state.get("stage") == self.stage and "optimizer" in state:
            trainer.load_state_dict(state | {"model": self.model.state_dict()})  # which has these weights already
        running, count = np.zeros(2), 0
        self.model.train()
        for losses in trainer.steps(lambda: self.total_loss(batches.next())):
            running, count = 0.95 * running + 0.05 * losses, count + 1
            if trainer.step % LOG_STEPS == 0:
                self.log(trainer.step, trainer.seconds / 60, running / (1 - 0.95**count), by_kind=trainer.step % VALIDATION_STEPS == 0)
        if count:
            self.log(trainer.step, minutes, running / (1 - 0.95**count), by_kind=True)

    @torch.inference_mode()
    def validation_losses(self) -> dict[str, float]:
        """Cross entropy by kind of turn, on held-out wording and media."""
        self.model.eval()
        library = load_library(self.work / "data", "test")
        scores = {}
        for kind in filter(library.allows, SHARES[self.stage]):
            rows = ExampleSampler(self.tokenizer, library, {kind: 1.0}, seed=1, held_out=True).sample_many(VALIDATION_ROWS)
            scores[kind] = round(float(self.losses(rows)[0]), 3)
        self.model.train()
        return scores

    def log(self, step: int, minutes: float, running: np.ndarray, by_kind: bool) -> None:
        scores: dict[str, float] = self.validation_losses() if by_kind else {}
        gates = [round(block.attention.gate.abs().mean().item(), 2) for block in self.model.llama.layers[2::2]]
        print(f"{self.stage} step {step} min {minutes:.1f} words {running[0]:.3f} condition {running[1]:.2f} gates {gates} {scores or ''}", flush=True)
        row = {"stage": self.stage, "step": step, "minutes": f"{minutes:.2f}", "words": f"{running[0]:.4f}", "condition": f"{running[1]:.3f}"}
        append_csv(self.work / "language.csv", row | {"by_kind": scores}, header=False)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without the audio pools, which the audio encoder's training exports; {} where there is no file."""
    state = torch.load(path, weights_only=True, map_location="cpu") if path.exists() else {}
    if state:
        state["model"] = {name: value for name, value in state["model"].items() if POOLS not in name}
    return state


def load_language_weights(model: MuMuLLaMA, weights: Mapping[str, Tensor]) -> None:
    """Loads what `read_checkpoint` gave; whatever else is missing or left over is an error that names it."""
    report = model.load_state_dict(weights, strict=False)
    missing = [name for name in report.missing_keys if POOLS not in name and not name.startswith(FROZEN_PREFIXES)]
    if missing or report.unexpected_keys:
        raise ValueError(f"language.pt does not fit these sizes ({(missing + report.unexpected_keys)[0]}); train the stages again.")


def freeze_lora(model: MuMuLLaMA) -> None:
    """Leaves the low-rank branches out, which only the last stage trains; until then they are zero and cost time.

    Without gradients: the prompts' projection subtracts a merged branch, would train it, and the next merge would add it again.
    """
    for layer in model.llama.modules():
        if isinstance(layer, LoRALinear) and layer.l1 is not None and layer.l2 is not None:
            layer.merge()
            layer.l1.requires_grad_(False)
            layer.l2.requires_grad_(False)


def refit_audio_projections(model: MuMuLLaMA, library: Library) -> None:
    """Replaces the audio projections after a change from ideal to real features, by ridge regression onto the old prompts."""
    from recipes.nano.language.cached_data import ideal_features  # only here

    assert library.audio is not None
    adapter = cast(UnderstandingAdapter, model.adapters["audio"])
    old = [torch.stack(part) for part in zip(*(ideal_features(piece) for piece in library.pieces), strict=True)]
    with torch.no_grad():
        targets = [project(vector) for project, vector in zip(adapter.project, (l2_normalize(adapter.mix(old[0])), *old[1:]), strict=True)]
        adapter.mix.weight.fill_(1 / adapter.mix.weight.shape[1])
        adapter.mix.bias.zero_()
        features = (l2_normalize(adapter.mix(library.audio["states_mean"])), *(library.audio[name] for name in LEARNED_POOLS))
        for project, vector, target in zip(adapter.project, features, targets, strict=True):
            inputs = torch.cat([vector, torch.ones(len(vector), 1)], dim=1)
            penalty = 1e-3 * len(vector) * vector.square().mean() * torch.eye(inputs.shape[1])
            penalty[-1, -1] = 0
            solution = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ target)
            project.weight.copy_(solution[:-1].T)
            project.bias.copy_(solution[-1])
            print(f"projection fitted: {1 - float((inputs @ solution - target).var() / target.var()):.2f} of the variance")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("stage", choices=list(SHARES))
    parser.add_argument("--minutes", type=float, required=True, help="of processor time")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--rate", type=float, help=f"of learning, instead of {RATES}")
    parser.add_argument("--exact", action="store_true", help="float32 instead of bfloat16")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer(options.work / "tokenizer.model")
    model, library = new_model(tokenizer), load_library(options.work / "data", "train")
    state = read_checkpoint(options.work / "language.pt")
    if state:
        load_language_weights(model, state["model"])
    if state and library.audio is not None and not (options.work / "language.real_ears").exists():
        refit_audio_projections(model, library)
        (options.work / "language.real_ears").touch()
    if options.stage != "music":
        freeze_lora(model)
    decoder = MusicGenDecoder.from_folder(options.work / "decoder") if options.stage == "music" else None
    StageTrainer(model, options.work, options.stage, library, decoder, options.rate or RATES[options.stage], not options.exact).fit(options.minutes, options.resume)


if __name__ == "__main__":
    main()
