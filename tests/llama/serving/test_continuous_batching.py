"""Continuous batching: text and code sequences equal those decoded alone, whenever they join and whichever leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from test_generation import turns
from test_musicgen import condition, tiny
from test_musicgen_melody import tiny_melody, tune
from torch import Tensor

import llama
from llama.decoders.base import SynthesisRequest
from llama.decoders.musicgen.continuous_batch import CACHE_GROWTH as COLUMNS
from llama.decoders.musicgen.continuous_batch import CodeSequence
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.dialogue import Turn
from llama.generation import GenerationOptions, RowState, tokenize
from llama.media.edit import Edit
from llama.modules.kv_cache import KVCache
from llama.serving.batch import find_failing
from llama.serving.text_batch import CACHE_GROWTH, TextBatch, TextSequence

ROOT = Path(__file__).resolve().parents[3]


class TextRunner:
    """Adds a turn to a `TextBatch` every few steps, and removes each when it has ended."""

    def __init__(self, model: llama.MuMuLLaMA, cases: Sequence[tuple[Turn, GenerationOptions]], every: int):
        self.model, self.cases, self.every = model, cases, every
        self.batch = TextBatch(model)
        self.sequences: dict[int, TextSequence] = {}
        self.max_capacity = 0

    def add(self, index: int) -> None:
        turn, options = self.cases[index]
        prompt = tokenize(self.model, [turn])[0]
        row = RowState(self.model, min(options.max_tokens, self.model.config.llama.max_seq_len - len(prompt)))
        with torch.no_grad():
            features = self.model.encode([turn])
        self.sequences[index] = TextSequence(row, options)
        self.batch.add(self.sequences[index], prompt, features)
        self._remove_finished()

    def run(self) -> list[RowState]:
        step = 0
        while step < self.every * len(self.cases) or self.batch.members:
            if step % self.every == 0 and step // self.every < len(self.cases):
                self.add(step // self.every)
            if self.batch.members:
                assert not self.batch.step()
                self.max_capacity = max(self.max_capacity, self.batch._cache.capacity)
            self._remove_finished()
            step += 1
        return [self.sequences[index].row for index in range(len(self.cases))]

    def _remove_finished(self) -> None:
        for sequence in [sequence for sequence in self.batch.members if sequence.row.finish]:
            self.batch.remove(sequence)


def options(count: int, tokens: int = 12) -> list[GenerationOptions]:
    """Greedy and sampled, each with its own seed and limit."""
    return [
        GenerationOptions(max_tokens=tokens + index, temperature=(0.0, 0.9, 1.3)[index % 3], top_p=0.95, seed=index, music=False)
        for index in range(count)
    ]


@pytest.mark.parametrize("every", [1, 3, 20])
def test_batched_text_equals_single(published: llama.MuMuLLaMA, golden: Path, every: int) -> None:
    cases = list(zip(turns(golden), options(5), strict=True))
    rows = TextRunner(published, cases, every).run()
    for (turn, case_options), row in zip(cases, rows, strict=True):
        alone = published.respond(turn, case_options)
        assert (tuple(row.tokens), row.finish, row.text()) == (alone.tokens, alone.finish, alone.text)


def test_a_longer_new_prompt_and_one_near_the_context_limit(published: llama.MuMuLLaMA) -> None:
    """Existing rows shift to the right; the row whose context is full ends alone."""
    room = published.config.llama.max_seq_len
    greedy = GenerationOptions(max_tokens=100, music=False)
    cases = [(Turn("Hm"), greedy), (Turn("piano " * (room - 100)), greedy), (Turn("Well?"), options(2)[1])]
    rows = TextRunner(published, cases, 2).run()
    for (turn, case_options), row in zip(cases, rows, strict=True):
        assert tuple(row.tokens) == published.respond(turn, case_options).tokens
    assert rows[1].finish == "length" and len(rows[1].tokens) < 100


def test_the_cache_stays_as_long_as_its_longest_row(published: llama.MuMuLLaMA) -> None:
    """However long the batch runs: unused columns are dropped."""
    case_options = GenerationOptions(max_tokens=30, temperature=1.0, music=False)
    runner = TextRunner(published, [(Turn("Hm"), case_options)] * 12, 15)
    runner.run()
    longest = len(tokenize(published, [Turn("Hm")])[0]) + 30
    assert runner.max_capacity <= longest + CACHE_GROWTH


def test_cat_keeps_the_contents_of_each_cache_and_row_is_its_reverse(published: llama.MuMuLLaMA) -> None:
    config = published.config.llama
    caches = [KVCache.empty(config, 1, length, device=torch.device("cpu"), dtype=torch.float32) for length in (3, 5)]
    for number, cache in enumerate(caches):
        cache.length = cache.capacity
        cache.keys.fill_(number + 1)
        cache.values.fill_(-number - 1)
    joined = KVCache.cat(caches, 2)
    assert (joined.length, joined.capacity, joined.start.tolist()) == (5, 7, [2, 0])
    assert joined.keys[0, :, 0, :5, 0].tolist() == [[0, 0, 1, 1, 1], [2, 2, 2, 2, 2]]
    assert bool(joined.keys[..., 5:, :].isnan().all()) and not bool(joined.values[..., :5, :].isnan().any())
    again = joined.row(0)
    assert (again.length, again.start.tolist()) == (3, [0]) and torch.equal(again.keys, caches[0].keys)


def test_failing_members_are_found_and_otherwise_the_newest_is_blamed() -> None:
    def probe_step(row: str) -> None:
        if row == "bad":
            raise ValueError("mine")

    results = find_failing(["a", "bad", "b"], probe_step, RuntimeError("ours"))
    assert list(results) == ["bad"] and str(results["bad"]) == "mine"
    assert list(find_failing(["a", "b"], probe_step, error := RuntimeError("ours")).items()) == [("b", error)]
    assert list(find_failing(["bad", "b"], probe_step, MemoryError())) == ["b"]


def test_a_failing_text_sequence_is_found_and_the_others_go_on(published: llama.MuMuLLaMA) -> None:
    runner = TextRunner(published, list(zip([Turn("Hm"), Turn("Well"), Turn("So")], options(3), strict=True)), 1)
    for index in range(3):
        runner.add(index)
    runner.batch.step()
    bad = runner.sequences[1]
    bad.row.tokens[-1] = 10**6  # no such word
    with pytest.raises(IndexError) as raised:
        runner.batch.step()
    assert list(find_failing(runner.batch.members, runner.batch.probe_step, raised.value)) == [bad]
    runner.batch.remove(bad)
    while runner.batch.members:
        runner.batch.step()
        runner._remove_finished()
    for index in (0, 2):
        assert tuple(runner.sequences[index].row.tokens) == published.respond(*runner.cases[index]).tokens


# -- music ------------------------------------------------------------------------------------------------------


def requests(decoder: MusicGenDecoder) -> list[SynthesisRequest]:
    """Requests with different lengths, guidance, temperatures, seeds and masks."""
    mask = torch.ones(1, decoder.condition_shape[0], dtype=torch.long)
    mask[0, 3:] = 0
    kinds = [(1.5, 3.0, 1.0, None), (3.0, 1.0, 0.7, mask), (0.5, 2.0, 0.0, None), (2.0, 1.0, 0.0, None), (4.0, 4.0, 1.0, mask)]
    return [
        decoder.request(condition(decoder, 1, seed), seconds, mask=held, guidance=guidance, temperature=temperature, seeds=[seed])
        for seed, (seconds, guidance, temperature, held) in enumerate(kinds)
    ]


def alone(decoder: MusicGenDecoder, request: SynthesisRequest) -> Tensor:
    """[K, F]."""
    return list(decoder.codes(request, decoder.prompt_codes(request)))[-1][0][0].clone()


def batched_codes(decoder: MusicGenDecoder, wanted: Sequence[SynthesisRequest], every: int, leaving: int | None = None) -> list[np.ndarray]:
    """The codes of requests, one of which is added every so many steps; the one at `leaving` is removed soon after."""
    batch, sequences, step = decoder.code_batch(), list[CodeSequence](), 0
    while len(sequences) < len(wanted) or batch.members:
        if step % every == 0 and len(sequences) < len(wanted):
            frames = decoder.frames(wanted[len(sequences)])
            sequences.append(batch.add(wanted[len(sequences)], frames, decoder.grammar(frames)))
        if batch.members:
            assert not batch.step()
        for sequence in list(batch.members):
            if sequence.done or (sequences.index(sequence) == leaving and sequence.column == 5):
                batch.remove(sequence)
        if batch._state is not None:
            longest = max(sequence.capacity + sequence.code_lm.prefix for sequence in sequences)
            assert batch._state.cache.shape[-2] <= longest + COLUMNS
        step += 1
    return [sequence.codes for sequence in sequences]


@pytest.mark.parametrize("kind", [{}, {"stereo": True}, {"window_seconds": 1.0}], ids=["mono", "stereo", "window"])
@pytest.mark.parametrize("every", [1, 7])
def test_batched_codes_equal_single(kind: dict[str, float], every: int) -> None:
    decoder = tiny(**kind)
    wanted = requests(decoder)
    results = batched_codes(decoder, wanted, every)
    assert all(torch.equal(torch.from_numpy(codes), alone(decoder, request)) for codes, request in zip(results, wanted, strict=True))


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("window", [30.0, 1.0])
@pytest.mark.parametrize("make", [tiny, tiny_melody], ids=["plain", "melody"])
def test_batched_edits_of_recordings_equal_single(make: Callable[..., MusicGenDecoder], window: float, every: int) -> None:
    """New pieces, continuations of a recording and, where the decoder can, a kept melody in one batch."""
    decoder = make(window_seconds=window)
    edits = [Edit(continuation=1.0), Edit(keep=("melody",)) if decoder.keeps_melody else Edit(continuation=1.5)]
    edited = [
        decoder.request(condition(decoder, 1, seed), 1.0, guidance=guidance, seeds=[seed], source=tune(1.5), edit=edit)
        for seed, (edit, guidance) in enumerate([(edits[0], 3.0), (edits[1], 1.0), (edits[1], 2.0)])
    ]
    wanted = [edited[0], requests(decoder)[0], edited[1], requests(decoder)[1], edited[2]]
    for codes, request in zip(batched_codes(decoder, wanted, every), wanted, strict=True):
        assert torch.equal(torch.from_numpy(codes), alone(decoder, request))


def test_a_removed_sequence_does_not_change_the_others() -> None:
    decoder = tiny()
    wanted = requests(decoder)
    results = batched_codes(decoder, wanted, 3, leaving=1)
    for index in (0, 2, 3, 4):
        assert torch.equal(torch.from_numpy(results[index]), alone(decoder, wanted[index]))


def test_batched_note_codes_equal_single() -> None:
    decoder = llama.load(ROOT / "ckpts/nano").music_decoder
    states, mask = decoder.embed(["a slow waltz for piano", "fast rock with drums at 150 bpm", "a swing for violin"])
    wanted = [
        decoder.request(states[row : row + 1], seconds, mask=mask[row : row + 1], guidance=guidance, seeds=[row])
        for row, (seconds, guidance) in enumerate([(6.0, None), (3.0, 1.0), (8.5, 3.0)])
    ]
    for codes, request in zip(batched_codes(decoder, wanted, 5), wanted, strict=True):
        assert torch.equal(torch.from_numpy(codes), alone(decoder, request))


def test_a_failing_code_sequence_is_found_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = tiny()
    wanted, batch = requests(decoder)[:3], decoder.code_batch()
    sequences = [batch.add(request, decoder.frames(request), None) for request in wanted]
    batch.step()
    bad, last_column = sequences[1], CodeSequence.last_column
    monkeypatch.setattr(CodeSequence, "last_column", lambda sequence: [10**6] * 4 if sequence is bad else last_column(sequence))
    with pytest.raises((IndexError, RuntimeError)) as raised:
        batch.step()
    assert list(find_failing(batch.members, batch.probe_step, raised.value)) == [bad]
    batch.remove(bad)
    while batch.members:
        batch.step()
        for sequence in [sequence for sequence in batch.members if sequence.done]:
            batch.remove(sequence)
    for index in (0, 2):
        assert torch.equal(torch.from_numpy(sequences[index].codes), alone(decoder, wanted[index]))
