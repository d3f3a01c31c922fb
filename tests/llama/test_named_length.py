"""The length that words name becomes an option; what is given otherwise, and what is no new music, stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import llama
from llama import GenerationOptions, Turn, Waveform
from llama.media.edit import Edit
from llama.media.score_edits import score_line
from llama.named_length import with_named_length

OPTIONS = GenerationOptions(seconds=10.0, seed=3)


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(Path(__file__).resolve().parents[2] / "ckpts/nano")


def test_seconds_and_bars_become_options(nano: llama.MuMuLLaMA) -> None:
    turn, options = with_named_length(nano.music_decoder, Turn("20 seconds of happy piano"), OPTIONS)
    assert turn.text == "happy piano" and (options.seconds, options.bar_count) == (20.0, None)
    turn, options = with_named_length(nano.music_decoder, Turn("a slow waltz, 16 bars"), OPTIONS)
    assert turn.text == "a slow waltz" and (options.seconds, options.bar_count) == (10.0, 16)


def test_other_turns_stay_as_they_are(nano: llama.MuMuLLaMA) -> None:
    tone = Waveform(torch.zeros(1, 800), 800)
    for decoder, turn, options in (
        (nano.music_decoder, Turn("Make it 30 seconds long", audio=tone), OPTIONS),
        (nano.music_decoder, Turn("How many bars are 20 seconds of a waltz?"), OPTIONS),
        (nano.music_decoder, Turn("20 seconds of happy piano"), GenerationOptions(music=False)),
        (nano.music_decoder, Turn("20 seconds of happy piano"), GenerationOptions(edit=Edit(transpose=1))),
        (None, Turn("a slow waltz, 16 bars"), OPTIONS),  # a decoder of sound knows no bars
    ):
        same, kept = with_named_length(decoder, turn, options)
        assert same is turn and kept is options


def test_a_length_out_of_range_is_refused(nano: llama.MuMuLLaMA) -> None:
    with pytest.raises(ValueError, match="seconds"):
        with_named_length(nano.music_decoder, Turn("90000 seconds of rock"), OPTIONS)


def test_a_piece_is_as_long_as_its_words_say(nano: llama.MuMuLLaMA) -> None:
    turn, options = with_named_length(nano.music_decoder, Turn("A fast dance for trumpet with drums, 6 bars"), OPTIONS)
    piece = nano.respond(turn, options).score
    assert piece is not None and score_line(piece).bar_count == 6
