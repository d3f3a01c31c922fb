"""Audio encoder recipe: labels follow the augmentation, and sets can be read while they grow."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from llama.media.score import Attributes, Note, Score
from recipes.nano.audio_encoder.harmony_pretraining import rotate
from recipes.nano.audio_encoder.model import EncoderWithHeads, TargetExtractor
from recipes.nano.rendering.clip_set import (
    CLIP_SAMPLES,
    HOP,
    RECEPTIVE_FIELD,
    ROLL_FRAMES,
    ROLL_WIDTH,
    SAMPLE_RATE,
    ClipSet,
    decode_tempo,
    frame_count,
    tempo_targets,
)
from recipes.nano.rendering.render_clips import pitch_class_roll

LABELS = {"lead": "flute", "accompaniment": "pad", "style": "rock", "tempo": 120, "mode": "minor", "metre": 4, "drums": True,
          "key": 11}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three clips of noise, the last of which is still being written: its line of labels has no end."""
    rng = np.random.default_rng(0)
    rng.integers(-9000, 9000, (3, CLIP_SAMPLES)).astype(np.int16).tofile(tmp_path / "train.i16")
    pitches = np.zeros((3, ROLL_FRAMES, ROLL_WIDTH), np.uint8)
    pitches[:, :, [11, 12]] = 1  # a B in the bass, a C above
    pitches.tofile(tmp_path / "train.roll")
    (tmp_path / "train.jsonl").write_text("\n".join([json.dumps(LABELS)] * 2) + "\n" + json.dumps(LABELS)[:20])
    return tmp_path


def test_incomplete_clips_are_not_read(folder: Path) -> None:
    clips = ClipSet(folder, "train")
    assert len(clips) == 2
    batch = clips.excerpts(range(2))
    assert batch.samples.shape == (2, CLIP_SAMPLES)
    assert batch.samples.mean(1).abs().max() < 1e-4 and (batch.samples.var(1) - 1).abs().max() < 1e-3


def test_a_missing_set_names_the_script(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="render_clips.py"):
        ClipSet(tmp_path, "train")


def test_labels_follow_the_speed(folder: Path) -> None:
    clips, rng = ClipSet(folder, "train"), np.random.default_rng(3)
    seen = set()
    for _ in range(12):
        batch = clips.augmented(np.array([0]), 2 * SAMPLE_RATE, rng)
        shift = (int(batch.classes["key"][0]) - LABELS["key"] + 6) % 12 - 6
        speed = math.exp(float(batch.log_tempo[0])) / LABELS["tempo"]
        assert abs(12 * math.log2(speed) - shift) < 0.3  # a semitone higher is a semitone faster
        assert set(batch.roll[0, 0].nonzero().flatten().tolist()) == {(11 + shift) % 12, 12 + shift % 12}
        seen.add(shift)
    assert seen == {-1, 0, 1}


def test_tempo_survives_its_bins() -> None:
    tempi = torch.tensor([60.0, 97.0, 133.0, 180.0])
    found = decode_tempo(tempo_targets(tempi.log()).log()).exp()
    assert ((found / tempi).log().abs() < 0.003).all()


def test_roll_says_when_a_note_sounds() -> None:
    attributes = Attributes("flute", "pad", "rock", 120, "minor", 4, True, 0)
    score = Score(attributes, 9.0, (Note(1.0, 2.0, 64, 90),), (), (Note(0.0, 1.0, 36, 90),), (), ())
    found = pitch_class_roll(score, 0.5)
    bass, lead = found[:, 0].nonzero()[0], found[:, 12 + 4].nonzero()[0]
    assert bass[0] == 0 and abs(bass[-1] + 1 - 0.5 * SAMPLE_RATE / HOP) <= 1
    assert abs(lead[0] - 0.5 * SAMPLE_RATE / HOP) <= 1 and abs(lead[-1] + 1 - 2.5 * SAMPLE_RATE / HOP) <= 1
    assert found.sum() == len(bass) + len(lead)


def test_rotation_keeps_the_ranges_apart() -> None:
    frames = torch.zeros(1, 1, 24)
    frames[..., 11] = 1
    assert rotate(frames, 1)[0, 0].nonzero().item() == 0


def test_targets_and_states_have_the_same_frames() -> None:
    torch.manual_seed(0)
    model, samples = EncoderWithHeads().eval(), torch.randn(1, SAMPLE_RATE)
    with torch.no_grad():
        states, conv = model.states(samples, fast=False)
    config = model.encoder.config
    seen, step = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        seen, step = seen + (kernel - 1) * step, step * stride
    assert (seen, step) == (RECEPTIVE_FIELD, HOP)
    assert states.shape[2] == conv.shape[1] == TargetExtractor()(samples).shape[1] == frame_count(SAMPLE_RATE)


def test_targets_locate_the_pitch_of_a_tone() -> None:
    time = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    bands = TargetExtractor()(torch.sin(2 * math.pi * 440 * time)[None])[0, 10]
    assert int(bands[80:].argmax()) == 33  # semitones above C2
