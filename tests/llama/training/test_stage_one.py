"""After stage 1 the model listens: with another recording it says what that one is, and of its own it knows nothing more.

The question is the same for every recording, and each of four answers is right equally often, so that words alone are right
in one case of four.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from DataSet.synthesis.made_set import LISTENING_LEADS, LISTENING_QUESTION, listening_set
from llama import GenerationOptions, MuMuLLaMA, Turn, Waveform, load
from llama.data.source import Source
from llama.training.config import ModelSettings, TrainConfig
from llama.training.launch import fit
from recipes.smoke import tiny_model

LEARNED, HELD_OUT = 48, 32  # recordings
STEPS, BATCH = 64, 8  # about eleven epochs; after eight it answers three of eight right
Heard = list[tuple[Waveform, str]]  # a recording and its lead


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("listening")
    listening_set(root / "learned", LEARNED, seed=0, log=lambda line: None)
    listening_set(root / "held out", HELD_OUT, seed=1, log=lambda line: None)
    return root


@pytest.fixture(scope="module")
def model(root: Path) -> MuMuLLaMA:
    """A LLaMA and adapters that knew nothing, on trained ears, after a short stage 1; as its user loads it."""
    tiny_model(0).save_pretrained(root / "base")
    learned = Source("musicqa", str(root / "learned/MusicQA.json"), str(root / "learned/audios"))
    config = TrainConfig(
        model=ModelSettings(path=str(root / "base")), data={1: (learned,)}, output_dir=str(root / "run"),
        cache_dir=str(root / "features"), device="cpu", max_steps=STEPS, batch_size=BATCH, max_tokens=96, lr=2e-2,
        warmup_steps=STEPS // 10, validate_every=0, save_every=STEPS, tensorboard=False,
    )  # fmt: skip
    return load(fit(config, 1))


@pytest.fixture(scope="module")
def held_out(root: Path) -> Heard:
    rows = json.loads((root / "held out/MusicQA.json").read_text())
    waves = [Waveform.read(root / "held out/audios" / row["audio_name"]) for row in rows]
    return [(wave, lead_of(row["conversation"][1]["value"])) for wave, row in zip(waves, rows, strict=True)]


def lead_of(answer: str) -> str:
    """The one lead that an answer names; "" for an answer that names none, or several."""
    named = [lead for lead in LISTENING_LEADS if lead in answer]
    return named[0] if len(named) == 1 else ""


def answered(model: MuMuLLaMA, waves: Sequence[Waveform | None]) -> list[str]:
    """The leads that the model names, greedily."""
    replies = model.respond([Turn(LISTENING_QUESTION, audio=wave) for wave in waves], GenerationOptions(max_tokens=16))
    return [lead_of(reply.text) for reply in replies]


def share(found: Sequence[str], right: Sequence[str]) -> float:
    return sum(one == other for one, other in zip(found, right, strict=True)) / len(right)


def test_it_hears_what_it_never_heard(model: MuMuLLaMA, held_out: Heard) -> None:
    waves, leads = zip(*held_out, strict=True)
    assert share(answered(model, waves), leads) >= 0.8


def test_with_another_recording_it_knows_no_more_than_chance(model: MuMuLLaMA, held_out: Heard) -> None:
    """Each is asked about with the recording of a piece that another instrument leads, the next but one of the set."""
    leads, (others, other_leads) = [lead for _, lead in held_out], zip(*held_out[2:], *held_out[:2], strict=True)
    assert all(mine != other for mine, other in zip(leads, other_leads, strict=True))
    found = answered(model, others)
    assert share(found, leads) <= 0.35
    assert share(found, other_leads) >= 0.8


def test_without_a_recording_it_can_only_guess(model: MuMuLLaMA, held_out: Heard) -> None:
    (guess,) = answered(model, [None])
    assert share([guess] * len(held_out), [lead for _, lead in held_out]) <= 0.25
