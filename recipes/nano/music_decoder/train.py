"""Trains the embedded music decoder: a MusicGen language model on note codes with a small text encoder.

    python -m recipes.nano.music_decoder.train --work FOLDER --codec FOLDER --out FOLDER --minutes 45

Music and captions are composed during training. Step n of a seed is the same on every machine; a stopped run resumes from its
last checkpoint. One thread.
"""

from __future__ import annotations

import argparse
import math
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
from recipes.nano.timed_loop import Schedule, TimedTrainer, append_csv, cosine

HEADERS = STYLE + 1
WARMUP_STEPS, REPORT_SECONDS, SAVE_SECONDS = 80, 120.0, 150.0
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


def validation_batch() -> Batch:
    return sample_batch(np.random.default_rng(77), Options(frames=1000, captions=80), steps=64, held_out=True)


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

    def __init__(self, work: Path, options: Options, minutes: float) -> None:
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
        parts = {"decoder": self.decoder, "text": self.text, "reader": self.reader}
        parameters = [value for part in parts.values() for value in part.parameters()]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.01},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.97), fused=True)
        schedule = Schedule(minutes, options.rate, WARMUP_STEPS, decay=lambda progress: 0.03 + 0.97 * cosine(progress))
        self.trainer = TimedTrainer(parts, optimizer, schedule, checkpoint=work / "checkpoint.pt", save_every=SAVE_SECONDS, values={"frames": 0})

    @staticmethod
    def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
        """Trains the tokenizer once and stores it: a later change of the captions must not renumber the tokens of a run."""
        if not folder.exists():
            train_tokenizer().save_pretrained(folder)
        return PreTrainedTokenizerFast.from_pretrained(folder)

    def resume(self, warm: Path | None = None) -> None:
        """Goes on from the last checkpoint; without one, begins with the weights of the run in the folder `warm`, if given."""
        if (checkpoint := self.work / "checkpoint.pt").exists():
            self.trainer.load_state_dict(torch.load(checkpoint, weights_only=True))
        elif warm:
            self.warm(warm)

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

    def loss(self) -> tuple[Tensor, Tensor]:
        """The loss of the next step, and the loss of each book [K]."""
        seed, step = self.options.seed, self.trainer.step
        rng = np.random.default_rng((seed, step))
        if self.trainer.progress < self.options.reading:
            return self._read(rng)
        return self._compose(rng, torch.Generator().manual_seed(seed * 1_000_003 + step))

    def _half(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.options.bf16)

    def _compose(self, rng: np.random.Generator, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The total to minimize, and the losses of the books, on newly composed music."""
        batch = sample_batch(rng, self.options)
        self.trainer.values["frames"] += batch.codes.shape[0] * batch.codes.shape[2]
        with self._half():
            exact, mask = self.conditioner.exact(batch.texts)
            losses = book_losses(self.decoder, batch, *self.conditioner.varied(exact, mask, rng, generator))
            return (losses * losses.new_tensor(WEIGHTS)).sum() + self.reader(exact, batch.headers, batch.keyed), losses.detach()

    def _read(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Loss of the attribute heads on captions alone; the losses of the books are zero."""
        attributes = [sample_contrasting(rng) for _ in range(self.options.read_captions)]
        texts, keyed = zip(*(music_caption(rng, each) for each in attributes), strict=True)
        with self._half():
            exact, _ = self.conditioner.exact(texts)
            headers = torch.tensor([header_codes(each) for each in attributes])
            return self.reader(exact, headers, torch.tensor(keyed)), torch.zeros(len(CODEBOOKS))

    @torch.no_grad()
    def validate(self) -> tuple[Tensor, Tensor, float]:
        """[K] losses on unseen combinations with their captions, and with captions of other pieces; share of keys read."""
        batch = validation_batch()
        with self._half():
            states = self.conditioner.exact(batch.texts)[0]
            keys_read = float((self.reader.keys(states) == batch.headers[:, STYLE] % 12)[batch.keyed].float().mean())
            mask = torch.ones(states.shape[:2], dtype=torch.long)  # as at inference, where all positions are attended
            right = book_losses(self.decoder, batch, states, mask)
            return right, book_losses(self.decoder, batch, states.roll(1, 0), mask), keys_read

    def fit(self) -> None:
        """Trains until the time is spent, including that before a resumption; writes WORK/log.csv."""
        recent: list[Tensor] = []
        for losses in self.trainer.steps(self.loss):
            recent.append(losses)
            if self.trainer.due(REPORT_SECONDS):
                self.report(torch.stack(recent).mean(0))
                recent = []

    def report(self, losses: Tensor) -> None:
        right, wrong, keys_read = self.validate()
        values = {
            f"{kind}_{book}": f"{value:.4f}"
            for kind, row in (("train", losses), ("held_out", right), ("wrong_text", wrong))
            for book, value in zip(CODEBOOKS, row.tolist(), strict=True)
        }
        run = {"seconds": round(self.trainer.seconds), "step": self.trainer.step, "frames": self.trainer.values["frames"]}
        append_csv(self.work / "log.csv", {**run, "keys_read": f"{keys_read:.3f}", **values})


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
    trainer = DecoderTrainer(arguments.work, Options(seed=arguments.seed, bf16=arguments.bf16), arguments.minutes)
    trainer.resume(arguments.warm)
    trainer.fit()
    if arguments.out:
        export(arguments.out, trainer.decoder, trainer.text, trainer.tokenizer, arguments.codec)


if __name__ == "__main__":
    main()
