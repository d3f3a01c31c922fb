"""Pool training: augmentation keeps labels, batch normalization folds into the convolutions, non-music has only a kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from llama.media.score import Attributes, Note, Score
from recipes.nano.audio_encoder.harmony_pretraining import pretrain_harmony
from recipes.nano.audio_encoder.pools import (
    CROP_FRAMES,
    IGNORE_INDEX,
    JoinedClipSets,
    PoolsWithHeads,
    accuracy,
    augment,
    pool_losses,
    pool_vectors,
)
from recipes.nano.rendering import audio_mix, non_music
from recipes.nano.rendering.clip_set import (
    AUDIO,
    CLIP_SAMPLES,
    FRAMES,
    ROLL_FRAMES,
    ROLL_WIDTH,
    SPECTRUM,
    clip_spectrum,
    pack_spectrum,
    unpack_spectrum,
)
from recipes.nano.rendering.soundfonts import Sample, write_soundfont

LABELS = {"lead": "flute", "accompaniment": "pad", "style": "rock", "tempo": 120, "mode": "minor", "metre": 4, "drums": True,
          "key": 11, "kind": "music"}
NO_MUSIC = {**dict.fromkeys(LABELS), "kind": "speech"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One piece and one clip of speech, as the renderer stores them."""
    rng = np.random.default_rng(0)
    np.zeros((2, CLIP_SAMPLES), np.int16).tofile(tmp_path / "train.i16")
    np.zeros((2, ROLL_FRAMES, ROLL_WIDTH), np.uint8).tofile(tmp_path / "train.roll")
    rng.integers(0, 160, (2, FRAMES, SPECTRUM.bands)).astype(np.uint8).tofile(tmp_path / "train.bands")
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(labels) + "\n" for labels in (LABELS, NO_MUSIC)))
    return tmp_path


def test_speech_has_only_a_kind(folder: Path) -> None:
    torch.manual_seed(0)
    clips, model = JoinedClipSets(folder, ("train",)), PoolsWithHeads()
    assert clips.classes["lead"].tolist()[1] == IGNORE_INDEX and clips.classes["kind"].tolist() == [0, 3]
    bands, rolls = clips.bands([0, 1]), clips.rolls([0, 1])
    found = pool_losses(model, bands, rolls, clips.classes, clips.log_tempo)
    assert all(loss.isfinite() for loss in found.values())
    shares = accuracy(model, pool_vectors(model, clips), clips.labels)
    assert set(shares) >= {"lead", "tempo", "kind"} and all(0 <= share <= 100 for share in shares.values())


def test_folding_batch_normalization_keeps_the_outputs() -> None:
    torch.manual_seed(1)
    model, bands = PoolsWithHeads(), torch.rand(4, 100, AUDIO.feature_dim) * 2 - 1
    for _ in range(3):
        model.pooled_vectors(bands)  # the running averages of training
    model.eval()
    with torch.no_grad():
        for name, vector in model.without_batch_norm().pooled_vectors(bands).items():
            torch.testing.assert_close(vector, model.pooled_vectors(bands)[name], atol=1e-4, rtol=1e-4)
    assert not any("norm.running" in name for name in model.without_batch_norm().pool_state())


def test_labels_follow_the_key() -> None:
    bands, rolls = torch.full((1, FRAMES, SPECTRUM.bands), -1.0), torch.zeros(1, FRAMES, ROLL_WIDTH)
    bands[..., 80], rolls[..., 3] = 1.0, 1.0
    for seed in range(8):
        moved, sounded, semitones, speed = augment(bands, rolls, np.random.default_rng(seed))
        assert moved.shape[1] == sounded.shape[1] == CROP_FRAMES and 0.93 < speed < 1.08
        assert int(moved[0].mean(0).argmax()) == 80 + 2 * semitones
        assert sounded[0, 0].nonzero().flatten().tolist() == [(3 + semitones) % 12]


def test_silence_stays_silent() -> None:
    silent = torch.full((6, FRAMES, SPECTRUM.bands), -1.0)
    assert (augment(silent, torch.zeros(6, FRAMES, ROLL_WIDTH), np.random.default_rng(0))[0] == -1).all()


def test_a_byte_a_band_is_enough() -> None:
    spectrum = clip_spectrum(torch.randn(1, CLIP_SAMPLES))
    assert spectrum.shape == (1, FRAMES, SPECTRUM.bands)
    assert (unpack_spectrum(pack_spectrum(spectrum)) - spectrum).abs().max() < 0.01


def test_pretraining_learns_the_mode() -> None:
    from llama.modules.adapters import build_pool

    rng = np.random.default_rng(0)
    scales = {0: (0, 4, 7, 5, 9), 1: (0, 3, 7, 5, 8)}
    modes, keys = rng.integers(0, 2, 60), rng.integers(0, 12, 60)
    rolls = torch.zeros(60, 60, ROLL_WIDTH)
    for index, (mode, key) in enumerate(zip(modes, keys, strict=True)):
        rolls[index, :, [(key + step) % 12 + 12 for step in scales[mode]]] = 1
        rolls[index, :, key] = 1
    torch.manual_seed(0)
    pool, labels = build_pool("harmony", AUDIO), {"mode": torch.from_numpy(modes), "key": torch.from_numpy(keys)}
    readers = pretrain_harmony(pool, rolls, labels, steps=120)
    with torch.no_grad():
        assert (readers["mode"](pool(rolls)).argmax(1) == labels["mode"]).float().mean() > 0.9


@pytest.mark.parametrize("kind", ["noise", "silence"])
def test_non_music_has_the_requested_length(kind: str) -> None:
    for seed in range(12):
        sound = non_music.sample_sound(np.random.default_rng(seed), kind, 1.0)
        assert sound.shape == (audio_mix.SAMPLE_RATE,) and np.isfinite(sound).all()
        assert np.abs(sound).max() < 1e-3 if kind == "silence" else 0.99 < np.abs(sound).max() < 1.01


def test_the_balance_does_not_depend_on_the_preset() -> None:
    rng = np.random.default_rng(0)
    lead, bass = (rng.standard_normal(48_000).astype(np.float32) for _ in range(2))
    loud, soft = (audio_mix.mix({"lead": lead * gain, "bass": bass}) for gain in (1.0, 0.001))
    assert np.allclose(loud, soft, atol=1e-3)
    treated = audio_mix.apply_effects(rng, loud)
    assert treated.shape == loud.shape and np.isfinite(treated).all()


def test_a_written_soundfont_is_played(tmp_path: Path) -> None:
    pytest.importorskip("tinysoundfont")
    from DataSet.synthesis.rendering import Voice, render_stems

    wave = (20_000 * np.sin(2 * np.pi * 441 * np.arange(22_050) / 22_050)).astype(np.int16)
    write_soundfont({(0, 73): [Sample(wave, 22_050, 69 + 12 * np.log2(441 / 440), 0, 127, (50, 22_000))]}, tmp_path / "one.sf2")
    attributes = Attributes("flute", "pad", "rock", 120, "minor", 4, False, 0)
    score = Score(attributes, 1.5, (Note(0.0, 1.4, 81, 100),), (), (), (), ())
    heard = render_stems(score, {"lead": Voice(tmp_path / "one.sf2", 73)}, 24_000)["lead"]
    spectrum = np.abs(np.fft.rfft(heard[2000:26_000] * np.hanning(24_000)))
    assert abs(int(spectrum.argmax()) - 880) <= 4  # an octave above the sample
    with pytest.raises(RuntimeError):
        render_stems(score, {"lead": Voice(tmp_path / "one.sf2", 0)}, 24_000)
