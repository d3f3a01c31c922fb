"""New pieces whose length is given in bars: exactly so many, each with its own tempo, alone and in a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import llama
from llama import GenerationOptions, Turn
from llama.media.edit import Edit
from llama.media.score_edits import score_line

TURNS = [Turn("A slow, sad piano piece"), Turn("A fast dance for trumpet with drums"), Turn("A waltz for violin")]


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(Path(__file__).resolve().parents[2] / "ckpts/nano")


def test_a_new_piece_has_as_many_bars_as_asked(nano: llama.MuMuLLaMA) -> None:
    replies = nano.respond(TURNS, GenerationOptions(bar_count=4, seed=3))
    for reply in replies:
        line = score_line(reply.score)
        assert (line.bar_count, line.tag) == (4, 0)
        assert reply.music.samples.shape[-1] == int(reply.score.seconds * reply.music.sample_rate)
    assert len({reply.score.seconds for reply in replies}) == 3
    alone = nano.respond(TURNS[2], GenerationOptions(bar_count=4, seed=3))
    assert alone.score == replies[2].score and torch.equal(alone.music.samples, replies[2].music.samples)


def test_a_length_in_bars_is_checked_first(nano: llama.MuMuLLaMA, published: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="at most 600 are made; take a faster tempo or fewer bars"):
        nano.respond(TURNS[0], GenerationOptions(bar_count=600))
    monkeypatch.setattr("llama.responding.generate_text", lambda *_: pytest.fail("the work began"))
    with pytest.raises(ValueError, match="does not count bars"):
        published.respond(TURNS[0], GenerationOptions(bar_count=8))
    with pytest.raises(ValueError, match="bar_count 0 is out of range"):
        GenerationOptions(bar_count=0)
    with pytest.raises(ValueError, match="give the edit's own bar_count"):
        GenerationOptions(bar_count=8, edit=Edit(transpose=1))
