"""Streamed notes: the sound of a piece that is still being written equals that of the whole, sample for sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import llama
from DataSet.synthesis.composer import compose, sample_attributes
from DataSet.synthesis.made_set import load_sampler
from llama import GenerationOptions, MusicChunk, Turn
from llama.decoders.musicgen.sampling import CodeSampler
from llama.decoders.notes.level import CEILING, TARGET, integrated_loudness
from llama.decoders.notes.mixer import SAMPLE_RATE
from llama.decoders.notes.sampler import Sampler
from llama.decoders.notes.stream import NoteStream
from llama.decoders.notes.tokens import (
    BASS,
    CHORD,
    CODEBOOKS,
    FRAME_RATE,
    LEAD,
    ONSET,
    SUSTAIN,
    Codes,
    decode,
    encode,
)
from llama.media.score import Attributes, timeline

NANO = Path(__file__).resolve().parents[3] / "ckpts/nano"


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return load_sampler(NANO / "decoder")


def composed(seed: int, seconds: float, attributes: Attributes | None = None) -> Codes:
    rng = np.random.default_rng(seed)
    return encode(compose(rng, attributes or sample_attributes(rng), seconds))


def pieces() -> dict[str, Codes]:
    """Codes [K, F]: composed pieces, a piece that is shorter than its level's bars, noise, and a melody of one note."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (len(CODEBOOKS), 61))
    one_note = composed(3, 12.0, Attributes("violin", "pad", "dance", 96, "minor", 3, False, 5))
    one_note[LEAD, 1:] = np.where(one_note[LEAD, 1:] > 0, SUSTAIN, 0)
    one_note[LEAD, 0] = ONSET + 30
    silent = composed(2, 9.0, Attributes("piano", "piano", "ballad", 100, "major", 4, False, 0))
    silent[CHORD + 1 :, :17] = 1
    made = {f"composed {seed}": composed(seed, 8.0 + 2 * seed) for seed in range(4)}
    return {**made, "short": composed(5, 1.5), "noise": noise, "one note": one_note, "late": silent}


@pytest.mark.parametrize("name", pieces())
def test_a_streamed_piece_equals_the_whole(sampler: Sampler, name: str) -> None:
    codes, rng = pieces()[name], np.random.default_rng(1)
    frames = codes.shape[1]
    whole = sampler.render(decode(codes))
    cuts = sorted({*rng.integers(1, frames, 12).tolist(), frames})
    stream = NoteStream(sampler, frames)
    parts = [stream.feed(torch.from_numpy(codes[None, :, :cut]), last=cut == frames)[0].numpy() for cut in cuts]
    assert whole.shape == (2, round(frames / FRAME_RATE * SAMPLE_RATE)) and np.abs(whole).max() > 0.01
    assert np.array_equal(np.concatenate(parts, 1), whole)


def test_rows_of_different_tempo_stream_together(sampler: Sampler) -> None:
    rows = [composed(seed, 10.0, Attributes("flute", "organ", "waltz", tempo, "major", 3, True, 2)) for seed, tempo in ((1, 60), (2, 180))]
    codes = torch.from_numpy(np.stack(rows))
    stream = NoteStream(sampler, 60)
    parts = [stream.feed(codes[..., :frames], last=frames == 60) for frames in range(6, 61, 6)]
    assert sum(part.shape[-1] > 0 for part in parts) > 2
    for row, sound in zip(rows, torch.cat(parts, -1).numpy(), strict=True):
        assert np.array_equal(sound, sampler.render(decode(row)))


def test_later_codes_change_nothing_that_is_decided(sampler: Sampler) -> None:
    """The same beginning with noise after it sounds the same, up to the sample that the stream has returned."""
    rock = Attributes("trumpet", "organ", "rock", 150, "minor", 4, True, 9)
    codes, rng = composed(1, 12.0, rock), np.random.default_rng(2)
    frames = codes.shape[1]
    whole = sampler.render(decode(codes))
    level_end = round(timeline(rock, 12.0).time(16) * SAMPLE_RATE)
    for cut in (30, 37, 45):
        other = codes.copy()
        other[BASS:, cut:] = rng.integers(0, 40, other[BASS:, cut:].shape)
        sound, stream = sampler.render(decode(other)), NoteStream(sampler, frames)
        known = stream.feed(torch.from_numpy(codes[None, :, :cut]), last=False).shape[-1]
        assert level_end < known < whole.shape[1]
        assert np.array_equal(sound[:, :known], whole[:, :known])
        assert not np.array_equal(sound, whole)


def test_the_level_of_the_first_bars_is_that_of_the_piece(sampler: Sampler) -> None:
    sounds = [sampler.render(decode(composed(seed, 15.0))) for seed in range(12)]
    levels = np.array([integrated_loudness(sound) for sound in sounds]) - TARGET
    assert np.abs(levels).max() < 2 and levels.std() < 0.8 and abs(levels.mean()) < 0.5
    assert all(np.abs(sound).max() <= 1.02 * CEILING for sound in sounds)


def test_a_silent_beginning_makes_nothing_loud(sampler: Sampler) -> None:
    whole = sampler.render(decode(pieces()["late"]))
    loudness = integrated_loudness(whole)
    assert not np.abs(whole[:, :SAMPLE_RATE]).any() and loudness is not None and loudness < TARGET + 6


def test_the_embedded_model_sounds_while_it_composes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sound comes before a third of the columns is sampled, and the chunks make the whole piece."""
    model, columns = llama.load(NANO), list[int]()
    sample_column = CodeSampler.sample_column

    def count(self: CodeSampler, logits: torch.Tensor, column: int) -> None:
        columns.append(column)
        sample_column(self, logits, column)

    monkeypatch.setattr(CodeSampler, "sample_column", count)
    turn, options = Turn("A fast dance for trumpet with drums"), GenerationOptions(seconds=24.0)
    *events, done = model.stream(turn, options)
    sampled, columns[:] = len(columns), []
    chunks = [event.music.samples for event in events if isinstance(event, MusicChunk)]
    assert len(chunks) > 4 and torch.equal(torch.cat(chunks, -1), done.reply.music.samples)
    whole = model.music_decoder.model.audio_encoder.sampler.render(done.reply.score)
    assert np.array_equal(done.reply.music.samples.numpy(), whole)
    first = next(event for event in model.stream(turn, options) if isinstance(event, MusicChunk))
    assert torch.equal(first.music.samples, chunks[0]) and len(columns) < sampled / 3
