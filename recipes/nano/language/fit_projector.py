"""Fits the output projector alone, on hidden states of the finished language model; the last stage.

    python -m recipes.nano.language.fit_projector WORK --minutes 6

The projector needs ten times as many steps as the language model, and a step without the language model costs a tenth: its
eight hidden states are computed once for every row. Starts from WORK/language.pt and replaces it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.files import atomic_path
from llama.modules.losses import audio_token_positions, condition_loss
from llama.modules.output_projector import CONDITION_SCALE
from llama.modules.tokenizer import Tokenizer
from llama.mumu_llama import MuMuLLaMA
from recipes.nano.language.cached_data import ExampleSampler, Library, batch_by_length, load_library, pad_batch
from recipes.nano.language.train_cached import (
    REGISTER_WEIGHT,
    REGISTERS,
    encode_features,
    load_language_weights,
    new_model,
    read_checkpoint,
)
from recipes.nano.timed_loop import Schedule, TimedTrainer

SHARES = {"wish": 0.5, "edit": 0.34, "picture": 0.09, "clip": 0.07}  # edits name the key, most wishes do not
RATE, WARMUP_STEPS, BATCH, SAMPLED_ROWS, VALIDATION_ROWS = 3e-3, 60, 64, 500, 500


@torch.inference_mode()
def collect_states(model: MuMuLLaMA, decoder: MusicGenDecoder, library: Library, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Hidden states that predict the audio tokens [N, 8, D], in float32 arithmetic, and target text states [N, tokens, width]."""
    assert model.tokenizer is not None
    sampler, hidden, states = ExampleSampler(model.tokenizer, library, SHARES, seed), list[Tensor](), list[Tensor]()
    while sum(map(len, hidden)) < count:
        for rows in batch_by_length(sampler.sample_many(SAMPLED_ROWS), 4000, sampler.rng):
            tokens, labels = pad_batch(rows, model.tokenizer.eos)
            out = model(tokens, encode_features(model, rows))
            positions = audio_token_positions(labels, model.tokenizer.audio_tokens[0]).tolist()
            if positions:
                hidden.append(torch.stack([out.hidden[row, start : start + 8] for row, start in positions]))
                text, mask = decoder.embed([rows[row].caption for row, _ in positions])
                states.append((text * mask[..., None]).half())
    return torch.cat(hidden).clone(), torch.cat(states).clone()


def fit(model: MuMuLLaMA, hidden: Tensor, states: Tensor, minutes: float) -> None:
    """Trains the output projector in place for `minutes` of processor time."""
    projector = model.output_projector.requires_grad_(True)
    embeddings = model.audio_token_embeddings(1).detach().clone()
    optimizer = torch.optim.AdamW(projector.parameters(), lr=RATE, betas=(0.9, 0.98))
    weight = torch.ones(1, states.shape[1])
    weight[:, :REGISTERS] = REGISTER_WEIGHT

    def loss() -> tuple[Tensor, float]:
        indices = torch.randint(VALIDATION_ROWS, len(hidden), (BATCH,))
        with torch.autocast("cpu", torch.bfloat16):
            projected = projector(hidden[indices], embeddings.expand(BATCH, -1, -1))
        value = condition_loss(projected, states[indices], weight.expand(BATCH, -1))
        return value, value.item()

    schedule = Schedule(minutes, RATE, WARMUP_STEPS, processor_time=True)
    trainer = TimedTrainer({"projector": projector}, optimizer, schedule)
    for value in trainer.steps(loss):
        if trainer.step % 250 == 0:
            print(f"step {trainer.step} of {trainer.progress:.0%}: training {value:.2f}, {errors(model, hidden, states)}", flush=True)
    print(f"{trainer.step} steps, {errors(model, hidden, states)}")


@torch.no_grad()
def errors(model: MuMuLLaMA, hidden: Tensor, states: Tensor) -> str:
    """Squared error on the validation rows, of the register states and of the word states."""
    projected = model.project(hidden[:VALIDATION_ROWS], model.audio_token_embeddings(VALIDATION_ROWS))
    error = (projected - CONDITION_SCALE * states[:VALIDATION_ROWS].float()).square().mean(-1)
    return f"registers {error[:, :REGISTERS].mean().item():.2f} words {error[:, REGISTERS:].mean().item():.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=6, help="of processor time")
    parser.add_argument("--rows", type=int, default=14000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer, checkpoint = Tokenizer(options.work / "tokenizer.model"), options.work / "language.pt"
    model, state = new_model(tokenizer), read_checkpoint(checkpoint)
    if not state:
        raise FileNotFoundError(f"There is no {checkpoint}; train the language stages first.")
    load_language_weights(model, state["model"])
    model.requires_grad_(False).eval()
    decoder = MusicGenDecoder.from_folder(options.work / "decoder")
    hidden, states = collect_states(model, decoder, load_library(options.work / "data", "train"), options.rows, seed=900)
    print(f"{len(hidden)} rows", flush=True)
    fit(model, hidden, states, options.minutes)
    with atomic_path(checkpoint) as partial:
        torch.save({"model": model.state_dict(), "stage": "voice", "step": 0, "spent": 0.0}, partial)


if __name__ == "__main__":
    main()
