"""Trains the embedded music decoder: a MusicGen language model on note codes with a small text encoder.

    python -m recipes.nano.music_decoder.train --work FOLDER --codec FOLDER --out FOLDER --minutes 45

Music and captions are composed during training. Step n of a seed is the same on every machine; a stopped run resumes from its
last checkpoint. One thread.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import MusicgenForCausalLM, PreTrainedTokenizerFast, T5EncoderModel

from DataSet.synthesis.composer import compose, sample_attributes
from llama.decoders.notes.tokens import (
    CODEBOOK_SIZE,
    CODEBOOKS,
    FRAME_RATE,
    SAMPLE,
    STYLE,
    Codes,
    constraint_plan,
    encode,
    frame_count,
    frame_line,
    header_codes,
)
from llama.files import atomic_path
from llama.media.score import ENDING_REST, FINAL_SECONDS, Attributes
from recipes.nano.music_decoder.model import (
    CONDITION_TOKENS,
    REGISTERS,
    AttributeHeads,
    build,
    export,
    init_number_embeddings,
    music_caption,
    sample_contrasting,
    tokenize,
    train_tokenizer,
)

HEADERS = STYLE + 1
MAX_STEP_SECONDS = 10.0  # seconds that one step counts at most, so that a pause does not count as training
WEIGHTS = (1.2, 0.6, 1.2, 0.0, 0.0, 0.8, 0.5, 0.5, 0.5, 1.8)  # of each book's loss; clock and form are computed


@dataclass(frozen=True)
class Options:
    """Hyperparameters of the training."""

    seed: int = 1
    frames: int = 500  # eighths of music in a step
    captions: int = 40  # captions a step; those beyond the pieces train only the headers, which costs little
    rate: float = 1.8e-3
    unconditional: float = 0.1
    reading: float = 0.1  # share of the time, at the beginning, that trains the text encoder alone
    read_captions: int = 96  # a step of it
    bf16: bool = False  # multiply in bfloat16: two thirds more steps a minute on processors that can


@dataclass(frozen=True)
class Batch:
    """A batch of composed pieces, and captions of them and of further pieces."""

    codes: Tensor  # [B, K, T]
    free: Tensor  # [B, K, T] bool: where there is something to predict
    headers: Tensor  # [N, 3] of all captions; the first B are those of `codes`
    texts: tuple[str, ...]  # N
    keyed: Tensor  # [N] bool: whether the caption names the key


def sample_batch(rng: np.random.Generator, options: Options, steps: int | None = None, held_out: bool = False) -> Batch:
    """Composes a batch of pieces of about `steps` steps, with captions of them and of further pieces without codes."""
    # Mostly up to four phrases: what follows repeats them and has nothing to learn.
    longest = 300 if rng.random() < 0.1 else 160
    steps = steps or round(float(np.exp(rng.uniform(math.log(18), math.log(longest)))))
    pieces = max(2, round(options.frames / steps))
    attributes = [sample_attributes(rng, held_out) for _ in range(pieces)]
    attributes += [sample_attributes(rng, True) if held_out else sample_contrasting(rng) for _ in range(options.captions - pieces)]
    played = [_piece(rng, each, steps) for each in attributes[:pieces]]
    width = max(codes.shape[1] for codes, _ in played)
    # Beyond its end a piece holds the padding code, as in generation.
    codes, free = np.full((pieces, len(CODEBOOKS), width), CODEBOOK_SIZE), np.zeros((pieces, len(CODEBOOKS), width), bool)
    for row, (notes, open_cells) in enumerate(played):
        codes[row, :, : notes.shape[1]], free[row, :, : notes.shape[1]] = notes, open_cells
    headers = [header_codes(each) for each in attributes]
    texts, keyed = zip(*(music_caption(rng, each) for each in attributes), strict=True)
    return Batch(torch.from_numpy(codes), torch.from_numpy(free), torch.tensor(headers), texts, torch.tensor(keyed))


def _piece(rng: np.random.Generator, attributes: Attributes, steps: int) -> tuple[Codes, NDArray[np.bool_]]:
    """Codes of a piece of about `steps` eighths, and the mask of those that are not determined by the constraints.

    The silent end is cut, except for the steps that the delay pattern needs after the last chord.
    """
    beat = 60 / attributes.tempo
    seconds = steps * beat / 2 + FINAL_SECONDS + ENDING_REST + rng.uniform(0, attributes.metre * beat)
    frames = frame_count(min(max(seconds, 2.0), 150.0))
    used = frame_line(attributes, frames).eighths + len(CODEBOOKS)
    codes = encode(compose(rng, attributes, frames / FRAME_RATE))
    return codes[:, :used], constraint_plan(attributes, frames)[:, :used] == SAMPLE


def delay_codes(codes: Tensor) -> Tensor:
    """Inputs [B, K, T + K - 1] of the delay pattern: book k at step s is frame s - 1 - k, else the start code."""
    rows, books, frames = codes.shape
    out = codes.new_full((rows, books, frames + books - 1), CODEBOOK_SIZE)
    for book in range(books):
        out[:, book, book + 1 : book + 1 + frames] = codes[:, book, : frames + books - 2 - book]
    return out


class Conditioner:
    """Text states with the variations of projected ones: exact, noisy, or without the states of the words."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, text: T5EncoderModel, options: Options) -> None:
        self.tokenizer, self.text, self.options = tokenizer, text, options

    def exact(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States [B, CONDITION_TOKENS, width] and mask of the text."""
        ids, mask = tokenize(self.tokenizer, list(texts))
        return self.text(input_ids=ids, attention_mask=mask).last_hidden_state, mask

    def varied(self, states: Tensor, mask: Tensor, rng: np.random.Generator, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Randomly varied states and attention mask; `unconditional` of the rows are zero (no text)."""
        rows = len(states)
        chance = torch.from_numpy(rng.random((5, rows)).astype(np.float32))[:, :, None, None]
        words = (torch.arange(CONDITION_TOKENS) >= len(REGISTERS))[None, :, None]
        padded = (mask == 0)[..., None]
        states = torch.where(padded & (chance[0] < 0.5), 0.0, states)
        level = torch.where(chance[1] < 0.3, 0.0, torch.where(chance[1] < 0.5, chance[2], 1.0))  # of the words
        noise = torch.where(chance[3] < 0.5, 0.4 * chance[2], 0.0) * torch.randn(states.shape, generator=generator)
        states = torch.where(words, states * level, states) + noise
        states = torch.where(chance[4] < self.options.unconditional, 0.0, states)
        attended = torch.where(torch.from_numpy(rng.random((rows, 1))) < 0.2, mask, torch.ones_like(mask))
        return states, attended


def book_losses(
    decoder: MusicgenForCausalLM, batch: Batch, states: Tensor, mask: Tensor
) -> Tensor:
    """[K] mean cross entropy of each book where it is free (0 for books that never are)."""
    music = len(batch.codes)
    hidden = _hidden(decoder, delay_codes(batch.codes), states[:music], mask[:music])
    losses = [hidden.new_zeros(()) for _ in CODEBOOKS]
    for book in range(HEADERS, len(CODEBOOKS)):
        free = batch.free[:, book]
        if bool(free.any()):
            seen = hidden[:, book : book + free.shape[1]][free]
            losses[book] = F.cross_entropy(decoder.lm_heads[book](seen), batch.codes[:, book][free])
    first = [hidden[:, :HEADERS]]
    if len(batch.headers) > music:
        header_codes_only = torch.zeros(len(batch.headers) - music, len(CODEBOOKS), HEADERS, dtype=torch.long)
        header_codes_only[:, :HEADERS] = batch.headers[music:, :, None]
        first.append(_hidden(decoder, delay_codes(header_codes_only)[:, :, :HEADERS], states[music:], mask[music:]))
    heads = torch.cat(first)
    for book in range(HEADERS):
        losses[book] = F.cross_entropy(decoder.lm_heads[book](heads[:, book]), batch.headers[:, book])
    return torch.stack(losses)


def _hidden(decoder: MusicgenForCausalLM, inputs: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """[B, S, width]"""
    return decoder.model.decoder(
        input_ids=inputs.reshape(-1, inputs.shape[-1]), encoder_hidden_states=states, encoder_attention_mask=mask, use_cache=False
    ).last_hidden_state


class DecoderTrainer:
    """Trains decoder and text encoder for a given time; resumes from WORK/checkpoint.pt."""

    def __init__(self, work: Path, options: Options) -> None:
        self.work, self.options = work, options
        work.mkdir(parents=True, exist_ok=True)
        self.tokenizer = self._tokenizer(work / "tokenizer")
        torch.manual_seed(options.seed)
        self.decoder, self.text = build(len(self.tokenizer))
        init_number_embeddings(self.text, self.tokenizer)
        if options.bf16:  # the backward pass of fused attention is slow in bfloat16
            self.decoder.set_attn_implementation("eager")
        self.reader = AttributeHeads()
        self.conditioner = Conditioner(self.tokenizer, self.text, options)
        parameters = [*self.decoder.parameters(), *self.text.parameters(), *self.reader.parameters()]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.parameters = parameters
        self.optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.97), fused=True)
        self.step, self.spent, self.frames, self.keys_read = 0, 0.0, 0, 0.0

    @staticmethod
    def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
        """Trains the tokenizer once and stores it: a later change of the captions must not renumber the tokens of a run."""
        if not folder.exists():
            train_tokenizer().save_pretrained(folder)
        return PreTrainedTokenizerFast.from_pretrained(folder)

    @property
    def checkpoint(self) -> Path:
        return self.work / "checkpoint.pt"

    def save(self) -> None:
        state = {
            "decoder": self.decoder.state_dict(), "text": self.text.state_dict(), "reader": self.reader.state_dict(),
            "optimizer": self.optimizer.state_dict(), "step": self.step, "spent": self.spent, "frames": self.frames,
        }
        with atomic_path(self.checkpoint) as draft:
            torch.save(state, draft)

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True)
        self.decoder.load_state_dict(state["decoder"])
        self.text.load_state_dict(state["text"])
        self.reader.load_state_dict(state["reader"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent, self.frames = state["step"], state["spent"], state["frames"]

    @torch.no_grad()
    def warm(self, folder: Path) -> None:
        """Starts from the weights of an earlier run of equal sizes; known tokens keep their embeddings under their new ids."""
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        old_vocabulary = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer").get_vocab()
        self.decoder.load_state_dict(state["decoder"])
        self.reader.load_state_dict(state["reader"])
        table = self.text.get_input_embeddings().weight.clone()
        for word, row in self.tokenizer.get_vocab().items():
            if word in old_vocabulary:
                table[row] = state["text"]["shared.weight"][old_vocabulary[word]]
        self.text.load_state_dict(state["text"] | {name: table for name in state["text"] if name.endswith(("shared.weight", "embed_tokens.weight"))})

    def train_step(self, progress: float) -> Tensor:
        """One optimizer step at `progress`, the share of the planned time; returns the loss of each book [K]."""
        warm = min(1.0, (self.step + 1) / 80)
        rate = self.options.rate * warm * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng((self.options.seed, self.step))
        generator = torch.Generator().manual_seed(self.options.seed * 1_000_003 + self.step)
        if progress < self.options.reading:
            losses, loss = self._read(rng)
        else:
            losses, loss = self._compose(rng, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return losses.detach()

    def _half(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.options.bf16)

    def _compose(self, rng: np.random.Generator, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Losses of the books on newly composed music, and the total to minimize."""
        batch = sample_batch(rng, self.options)
        self.frames += batch.codes.shape[0] * batch.codes.shape[2]
        with self._half():
            exact, mask = self.conditioner.exact(batch.texts)
            losses = book_losses(self.decoder, batch, *self.conditioner.varied(exact, mask, rng, generator))
            return losses, (losses * losses.new_tensor(WEIGHTS)).sum() + self.reader(exact, batch.headers, batch.keyed)

    def _read(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Loss of the attribute heads on captions alone; the losses of the books are zero."""
        attributes = [sample_contrasting(rng) for _ in range(self.options.read_captions)]
        texts, keyed = zip(*(music_caption(rng, each) for each in attributes), strict=True)
        with self._half():
            exact, _ = self.conditioner.exact(texts)
            headers = torch.tensor([header_codes(each) for each in attributes])
            return torch.zeros(len(CODEBOOKS)), self.reader(exact, headers, torch.tensor(keyed))

    @torch.no_grad()
    def validate(self) -> tuple[Tensor, Tensor]:
        """[K] losses on unseen combinations with their captions, and with captions of other pieces."""
        batch = sample_batch(np.random.default_rng(77), Options(frames=1000, captions=80), steps=64, held_out=True)
        with self._half():
            return self._validated(batch)

    def _validated(self, batch: Batch) -> tuple[Tensor, Tensor]:
        states = self.conditioner.exact(batch.texts)[0]
        self.keys_read = float((self.reader.keys(states) == batch.headers[:, STYLE] % 12)[batch.keyed].float().mean())
        mask = torch.ones(states.shape[:2], dtype=torch.long)  # as at inference, where all positions are attended
        right = book_losses(self.decoder, batch, states, mask)
        return right, book_losses(self.decoder, batch, states.roll(1, 0), mask)

    def fit(self, minutes: float, report_every: float = 120.0, save_every: float = 150.0) -> None:
        """Trains until `minutes` are spent, including those before a resumption."""
        recent: list[Tensor] = []
        before = reported = saved = time.monotonic()
        while self.spent < minutes * 60:
            recent.append(self.train_step(self.spent / (minutes * 60)))
            now = time.monotonic()
            self.spent += min(now - before, MAX_STEP_SECONDS)
            before = now
            if now - reported > report_every:
                self.report(torch.stack(recent).mean(0))
                recent, reported = [], now
            if now - saved > save_every:
                self.save()
                saved = now
        self.save()

    def report(self, losses: Tensor) -> None:
        right, wrong = self.validate()
        path = self.work / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                names = [f"{kind}_{book}" for kind in ("train", "held_out", "wrong_text") for book in CODEBOOKS]
                writer.writerow(["seconds", "step", "frames", "keys_read", *names])
            values = [f"{value:.4f}" for row in (losses, right, wrong) for value in row.tolist()]
            writer.writerow([round(self.spent), self.step, self.frames, f"{self.keys_read:.3f}", *values])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and the log")
    parser.add_argument("--codec", type=Path, help="folder that recipes.nano.music_decoder.sample_bank wrote; needed with --out")
    parser.add_argument("--out", type=Path, help="stock MusicGen folder to write at the end")
    parser.add_argument("--minutes", type=float, default=45.0, help="training time; 0 only exports the checkpoint")
    parser.add_argument("--warm", type=Path, help="work folder of an earlier run to begin with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16, for processors that do it fast")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    trainer = DecoderTrainer(arguments.work, Options(seed=arguments.seed, bf16=arguments.bf16))
    if arguments.warm and not trainer.checkpoint.exists():
        trainer.warm(arguments.warm)
    trainer.resume()
    if trainer.spent < arguments.minutes * 60:
        trainer.fit(arguments.minutes)
    if arguments.out:
        export(arguments.out, trainer.decoder, trainer.text, trainer.tokenizer, arguments.codec)


if __name__ == "__main__":
    main()
