"""Rows and pieces in company are what they are alone, whenever they join and whoever leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from test_generation import turns
from test_musicgen import condition, tiny
from torch import Tensor

import llama
from llama.decoders.base import SynthesisRequest
from llama.decoders.musicgen.continuous_batch import CACHE_GROWTH as COLUMNS
from llama.decoders.musicgen.continuous_batch import CodeSequence
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.dialogue import Turn
from llama.generation import GenerationOptions, RowState, tokenize
from llama.modules.kv_cache import KVCache
from llama.serving.batch import find_failing
from llama.serving.text_batch import CACHE_GROWTH, TextBatch, TextSequence

ROOT = Path(__file__).resolve().parents[3]


class Writers:
    """Turns that join `words` one after the other and leave when they have ended."""

    def __init__(self, model: llama.MuMuLLaMA, wishes: Sequence[tuple[Turn, GenerationOptions]], every: int):
        self.model, self.wishes, self.every = model, wishes, every
        self.words = TextBatch(model)
        self.lines: dict[int, TextSequence] = {}
        self.most = 0

    def join(self, index: int) -> None:
        turn, options = self.wishes[index]
        prompt = tokenize(self.model, [turn])[0]
        row = RowState(self.model, min(options.max_tokens, self.model.config.llama.max_seq_len - len(prompt)))
        with torch.no_grad():
            features = self.model.encode([turn])
        self.lines[index] = TextSequence(row, options)
        self.words.add(self.lines[index], prompt, features)
        self._leave()

    def run(self) -> list[RowState]:
        step = 0
        while step < self.every * len(self.wishes) or self.words.members:
            if step % self.every == 0 and step // self.every < len(self.wishes):
                self.join(step // self.every)
            if self.words.members:
                assert not self.words.step()
                self.most = max(self.most, self.words._cache.capacity)
            self._leave()
            step += 1
        return [self.lines[index].row for index in range(len(self.wishes))]

    def _leave(self) -> None:
        for line in [line for line in self.words.members if line.row.finish]:
            self.words.remove(line)


def options(count: int, tokens: int = 12) -> list[GenerationOptions]:
    """Greedy and sampled, each with its own seed and limit."""
    return [
        GenerationOptions(max_tokens=tokens + index, temperature=(0.0, 0.9, 1.3)[index % 3], top_p=0.95, seed=index, music=False)
        for index in range(count)
    ]


@pytest.mark.parametrize("every", [1, 3, 20])
def test_words_in_company_are_those_alone(published: llama.MuMuLLaMA, golden: Path, every: int) -> None:
    wishes = list(zip(turns(golden), options(5), strict=True))
    rows = Writers(published, wishes, every).run()
    for (turn, wish), row in zip(wishes, rows, strict=True):
        alone = published.respond(turn, wish)
        assert (tuple(row.tokens), row.finish, row.text()) == (alone.tokens, alone.finish, alone.text)


def test_a_longer_newcomer_and_one_near_the_context(published: llama.MuMuLLaMA) -> None:
    """The rows that are there move to the right; the one whose context is full ends alone."""
    room = published.config.llama.max_seq_len
    greedy = GenerationOptions(max_tokens=100, music=False)
    wishes = [(Turn("Hm"), greedy), (Turn("piano " * (room - 100)), greedy), (Turn("Well?"), options(2)[1])]
    rows = Writers(published, wishes, 2).run()
    for (turn, wish), row in zip(wishes, rows, strict=True):
        assert tuple(row.tokens) == published.respond(turn, wish).tokens
    assert rows[1].finish == "length" and len(rows[1].tokens) < 100


def test_the_cache_stays_as_long_as_its_longest_row(published: llama.MuMuLLaMA) -> None:
    """However long the company goes on: columns that nobody sees are dropped."""
    wish = GenerationOptions(max_tokens=30, temperature=1.0, music=False)
    writers = Writers(published, [(Turn("Hm"), wish)] * 12, 15)
    writers.run()
    longest = len(tokenize(published, [Turn("Hm")])[0]) + 30
    assert writers.most <= longest + CACHE_GROWTH


def test_together_keeps_what_each_cache_holds(published: llama.MuMuLLaMA) -> None:
    config = published.config.llama
    caches = [KVCache.empty(config, 1, length, device=torch.device("cpu"), dtype=torch.float32) for length in (3, 5)]
    for number, cache in enumerate(caches):
        cache.length = cache.capacity
        cache.keys.fill_(number + 1)
        cache.values.fill_(-number - 1)
    whole = KVCache.cat(caches, 2)
    assert (whole.length, whole.capacity, whole.start.tolist()) == (5, 7, [2, 0])
    assert whole.keys[0, :, 0, :5, 0].tolist() == [[0, 0, 1, 1, 1], [2, 2, 2, 2, 2]]
    assert bool(whole.keys[..., 5:, :].isnan().all()) and not bool(whole.values[..., :5, :].isnan().any())
    again = whole.select([0])
    assert (again.length, again.start.tolist()) == (3, [0]) and torch.equal(again.keys, caches[0].keys)


def test_who_fails_alone_is_to_blame_and_otherwise_who_came_last() -> None:
    def attempt(row: str) -> None:
        if row == "bad":
            raise ValueError("mine")

    found = find_failing(["a", "bad", "b"], attempt, RuntimeError("ours"))
    assert list(found) == ["bad"] and str(found["bad"]) == "mine"
    assert list(find_failing(["a", "b"], attempt, error := RuntimeError("ours")).items()) == [("b", error)]
    assert list(find_failing(["bad", "b"], attempt, MemoryError())) == ["b"]


def test_a_line_that_cannot_be_read_is_named_and_the_others_go_on(published: llama.MuMuLLaMA) -> None:
    writers = Writers(published, list(zip([Turn("Hm"), Turn("Well"), Turn("So")], options(3), strict=True)), 1)
    for index in range(3):
        writers.join(index)
    writers.words.step()
    bad = writers.lines[1]
    bad.row.tokens[-1] = 10**6  # no such word
    with pytest.raises(IndexError) as told:
        writers.words.step()
    assert list(find_failing(writers.words.members, writers.words.probe_step, told.value)) == [bad]
    writers.words.remove(bad)
    while writers.words.members:
        writers.words.step()
        writers._leave()
    for index in (0, 2):
        assert tuple(writers.lines[index].row.tokens) == published.respond(*writers.wishes[index]).tokens


# -- music ------------------------------------------------------------------------------------------------------


def requests(decoder: MusicGenDecoder) -> list[SynthesisRequest]:
    """Of every length, guidance, temperature, seed and mask."""
    mask = torch.ones(1, decoder.condition_shape[0], dtype=torch.long)
    mask[0, 3:] = 0
    kinds = [(1.5, 3.0, 1.0, None), (3.0, 1.0, 0.7, mask), (0.5, 2.0, 0.0, None), (2.0, 1.0, 0.0, None), (4.0, 4.0, 1.0, mask)]
    return [
        decoder.request(condition(decoder, 1, seed), seconds, mask=held, guidance=guidance, temperature=temperature, seeds=[seed])
        for seed, (seconds, guidance, temperature, held) in enumerate(kinds)
    ]


def alone(decoder: MusicGenDecoder, request: SynthesisRequest) -> Tensor:
    """[K, F]."""
    known = torch.zeros(1, decoder.model.config.decoder.num_codebooks, 0, dtype=torch.long)
    return list(decoder.codes(request, known))[-1][0][0].clone()


def in_company(decoder: MusicGenDecoder, wanted: Sequence[SynthesisRequest], every: int, leaving: int | None = None) -> list[np.ndarray]:
    """The codes of pieces of which another joins after so many steps; one may leave soon after it has joined."""
    batch, parts, step = decoder.code_batch(), list[CodeSequence](), 0
    while len(parts) < len(wanted) or batch.members:
        if step % every == 0 and len(parts) < len(wanted):
            frames = decoder.frames(wanted[len(parts)])
            parts.append(batch.add(wanted[len(parts)], frames, decoder.grammar(frames)))
        if batch.members:
            assert not batch.step()
        for part in list(batch.members):
            if part.done or (parts.index(part) == leaving and part.column == 5):
                batch.remove(part)
        if batch._state is not None:
            assert batch._state.cache.shape[-2] <= max(part.capacity for part in parts) + COLUMNS
        step += 1
    return [part.codes for part in parts]


@pytest.mark.parametrize("kind", [{}, {"stereo": True}, {"window_seconds": 1.0}], ids=["mono", "stereo", "window"])
@pytest.mark.parametrize("every", [1, 7])
def test_pieces_in_company_are_those_alone(kind: dict[str, float], every: int) -> None:
    decoder = tiny(**kind)
    wanted = requests(decoder)
    found = in_company(decoder, wanted, every)
    assert all(torch.equal(torch.from_numpy(codes), alone(decoder, request)) for codes, request in zip(found, wanted, strict=True))


def test_a_piece_that_leaves_takes_nothing_with_it() -> None:
    decoder = tiny()
    wanted = requests(decoder)
    found = in_company(decoder, wanted, 3, leaving=1)
    for index in (0, 2, 3, 4):
        assert torch.equal(torch.from_numpy(found[index]), alone(decoder, wanted[index]))


def test_notes_in_company_keep_their_grammar() -> None:
    decoder = llama.load(ROOT / "ckpts/nano").music_decoder
    states, mask = decoder.embed(["a slow waltz for piano", "fast rock with drums at 150 bpm", "a swing for violin"])
    wanted = [
        decoder.request(states[row : row + 1], seconds, mask=mask[row : row + 1], guidance=guidance, seeds=[row])
        for row, (seconds, guidance) in enumerate([(6.0, None), (3.0, 1.0), (8.5, 3.0)])
    ]
    for codes, request in zip(in_company(decoder, wanted, 5), wanted, strict=True):
        assert torch.equal(torch.from_numpy(codes), alone(decoder, request))


def test_a_piece_that_cannot_be_written_is_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = tiny()
    wanted, batch = requests(decoder)[:3], decoder.code_batch()
    parts = [batch.add(request, decoder.frames(request), None) for request in wanted]
    batch.step()
    bad, newest = parts[1], CodeSequence.last_column
    monkeypatch.setattr(CodeSequence, "last_column", lambda part: [10**6] * 4 if part is bad else newest(part))
    with pytest.raises((IndexError, RuntimeError)) as told:
        batch.step()
    assert list(find_failing(batch.members, batch.probe_step, told.value)) == [bad]
    batch.remove(bad)
    while batch.members:
        batch.step()
        for part in [part for part in batch.members if part.done]:
            batch.remove(part)
    for index in (0, 2):
        assert torch.equal(torch.from_numpy(parts[index].codes), alone(decoder, wanted[index]))
