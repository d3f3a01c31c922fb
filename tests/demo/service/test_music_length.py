"""The length of music before it is made: that of the edited piece, or the most where it is not known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import llama
from DataSet.synthesis.composer import compose
from demo.service.audio_files import pcm_bytes
from demo.service.music_length import longest_seconds
from demo.service.service import ChatService
from demo.service.sessions import Sessions
from llama import GenerationOptions, Turn
from llama.config import MAX_MUSIC_SECONDS
from llama.media.edit import Edit
from llama.media.score import Attributes
from tests.scripted_engine import ScriptedEngine

ROOT = Path(__file__).resolve().parents[3]
SCORE = compose(np.random.default_rng(8), Attributes("piano", "strings", "ballad", 90, "minor", 4, drums=False, key=6), 24.0)


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(ROOT / "ckpts/nano")


@pytest.mark.parametrize("edit", [
    Edit(), Edit(change={"tempo": 45}), Edit(bar_count=60), Edit(seconds=90.0), Edit(continuation=30.0), Edit(excerpt=(1, 2)),
])  # fmt: skip
def test_an_edit_is_as_long_as_it_will_be(nano: llama.MuMuLLaMA, edit: Edit) -> None:
    plan = nano.music_decoder.edit_plan(SCORE, edit)
    assert longest_seconds(nano, Turn("x", score=SCORE), GenerationOptions(edit=edit, seconds=5.0)) == plan.seconds


def test_words_count_as_the_edit_that_they_name(nano: llama.MuMuLLaMA) -> None:
    options = GenerationOptions(seconds=5.0)
    slow = nano.music_decoder.edit_plan(SCORE, Edit(change={"tempo": 45})).seconds
    assert longest_seconds(nano, Turn("Make it 45 bpm", score=SCORE), options) == slow > 1.9 * SCORE.seconds
    assert longest_seconds(nano, Turn("Make it like a rainy evening", score=SCORE), options) == MAX_MUSIC_SECONDS
    assert longest_seconds(nano, Turn("How fast is it?", score=SCORE), options) == 5.0
    assert longest_seconds(nano, Turn("Take out the drums", audio="song.wav"), options) == MAX_MUSIC_SECONDS
    assert longest_seconds(nano, Turn("What is this?", audio="song.wav"), options) == 5.0
    assert longest_seconds(nano, Turn("A waltz"), GenerationOptions(bar_count=99)) == MAX_MUSIC_SECONDS


def test_the_room_for_all_takes_is_that_of_the_edit(nano: llama.MuMuLLaMA, tmp_path: Path) -> None:
    sessions, engine = Sessions(tmp_path), ScriptedEngine()
    engine.model = nano
    takes, decoder = [GenerationOptions(edit=Edit(seconds=300.0), seed=seed) for seed in range(2)], nano.music_decoder
    size = ChatService(engine, sessions)._music_bytes(takes, Turn("x", score=SCORE))  # type: ignore[arg-type]
    assert size == 2 * pcm_bytes(decoder.edit_plan(SCORE, takes[0].edit).seconds, decoder.sample_rate, decoder.channels)
    sessions.close_all()
