"""Edits of recordings: equal level, channels and rate, no clipping and no wrap; each operation does what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from DataSet.pipeline.audio_edits import FULL_SCALE, HEADROOM, VALUES, AudioEdit, edit_recording, loop, loop_seconds
from llama.evaluation.editing_metrics import level_difference, measure_edit
from llama.media.audio import Waveform

RATE = 16_000
EXAMPLES = Path(__file__).resolve().parents[3] / "assets/examples"
ALL = [AudioEdit(operation, asked) for operation, values in VALUES.items() for asked in values]


def noise(seconds: float = 3.0, channels: int = 2, level: float = 1.0) -> Waveform:
    """Full-scale noise, of which a stretch overshoots where frames overlap."""
    samples = torch.rand(channels, round(seconds * RATE), generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Waveform(samples.sign() * samples.abs().clamp(0.9, 1.0) * level, RATE)


@pytest.fixture(scope="module")
def waltz() -> Waveform:
    return Waveform.read(EXAMPLES / "piano_waltz.flac").resample(RATE)


@pytest.mark.parametrize("edit", ALL, ids=lambda edit: f"{edit.operation}-{'-'.join(map(str, edit.asked.values()))}")
def test_source_and_edit_differ_by_the_edit_alone(edit: AudioEdit, tmp_path: Path) -> None:
    source, result = edit_recording(noise(), edit)
    pair = []
    for name, wave in (("source.flac", source), ("edit.flac", result)):
        assert float(wave.samples.abs().max()) <= FULL_SCALE
        wave.write(tmp_path / name)
        pair.append(Waveform.read(tmp_path / name))
        assert torch.allclose(pair[-1].samples, wave.samples, atol=1e-4)  # a wrap would change a sample by 2
    assert pair[0].sample_rate == pair[1].sample_rate and len(pair[0].samples) == len(pair[1].samples) == 2
    assert level_difference(pair[0].samples.numpy(), pair[1].samples.numpy()) == pytest.approx(edit.level, abs=0.02)


def test_the_source_is_the_same_for_all_its_edits() -> None:
    sources = [edit_recording(noise(), edit)[0] for edit in ALL]
    assert all(torch.equal(source.samples, sources[0].samples) for source in sources)
    assert float(sources[0].samples.abs().max()) == pytest.approx(HEADROOM, rel=1e-5)


def test_both_fall_where_the_edit_would_clip() -> None:
    """A lone click carries its recording's level: as its half is cut away, the rest would have to be louder than full scale."""
    samples = torch.zeros(1, 8 * RATE)
    samples[0, 100:4000] = 0.02
    samples[0, 200] = 0.3
    samples[0, 5 * RATE :] = 0.3
    source, result = edit_recording(Waveform(samples, RATE), AudioEdit("loop", {"loop": 4}))
    assert float(result.samples.abs().max()) == pytest.approx(FULL_SCALE, rel=1e-5)
    assert float(source.samples.abs().max()) < 0.3
    assert level_difference(source.samples.numpy(), result.samples.numpy()) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("edit", [edit for edit in ALL if edit.operation in ("speed", "pitch", "both")],
                         ids=lambda edit: "-".join(map(str, edit.asked.values())))  # fmt: skip
def test_music_changes_as_asked(edit: AudioEdit, waltz: Waveform) -> None:
    source, result = edit_recording(waltz, edit)
    measured = measure_edit(source.samples[0].numpy(), result.samples[0].numpy(), RATE)
    assert measured.speed == pytest.approx(edit.asked.get("speed", 1.0), rel=0.01)
    assert measured.cents == pytest.approx(edit.asked.get("cents", 0.0), abs=5)
    assert measured.chroma > 0.7 and abs(measured.level) < 0.01


def test_a_phase_vocoder_agrees(waltz: Waveform) -> None:
    """A second opinion: librosa's stretch, another method, measures the same and sounds in the same places."""
    librosa = pytest.importorskip("librosa")
    source, result = edit_recording(waltz, AudioEdit("speed", {"speed": 1.25}))
    other = librosa.effects.time_stretch(source.samples[0].numpy(), rate=1.25)
    theirs = measure_edit(source.samples[0].numpy(), other, RATE)
    ours = measure_edit(source.samples[0].numpy(), result.samples[0].numpy(), RATE)
    assert theirs.speed == pytest.approx(1.25, rel=0.01) and theirs.cents == pytest.approx(ours.cents, abs=3)
    assert measure_edit(other, result.samples[0].numpy(), RATE).speed == pytest.approx(1.0, rel=0.01)


def test_reverse_twice_is_the_source() -> None:
    source, result = edit_recording(noise(level=0.4), AudioEdit("reverse", {"reverse": True}))
    assert torch.equal(result.samples.flip(1), source.samples)


def test_a_loop_plays_the_stretch_again_without_a_click() -> None:
    phase = 2 * np.pi * 100.3 * np.arange(3 * RATE) / RATE
    samples = (0.4 * np.sin(phase)).astype(np.float32)[None]
    result = loop(samples, RATE, 0.777, 3)
    length = round(0.777 * RATE)
    assert result.shape == (1, 3 * length)
    assert np.array_equal(result[0, length + 200 : 2 * length], samples[0, 200:length])
    assert np.abs(np.diff(result)).max() < 1.5 * np.abs(np.diff(samples)).max()


def test_a_loop_takes_whole_beats() -> None:
    assert loop_seconds(10.0, 3) == pytest.approx(10 / 3)
    assert loop_seconds(10.0, 3, beat=0.5) == pytest.approx(3.0)
    assert loop_seconds(1.0, 4, beat=0.5) == pytest.approx(0.25)


@pytest.mark.parametrize(("operation", "asked", "words"), [
    ("louder", {}, "choose one of speed"), ("speed", {}, "give speed"), ("speed", {"cents": 100}, "give speed"),
    ("pitch", {"cents": 100, "speed": 2}, "give cents"), ("reverse", {}, "give reverse"),
])  # fmt: skip
def test_unknown_edits_are_refused(operation: str, asked: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AudioEdit(operation, asked)


@pytest.mark.parametrize("edit", ALL, ids=lambda edit: f"{edit.operation}-{'-'.join(map(str, edit.asked.values()))}")
def test_silence_and_clicks_are_refused_in_a_sentence(edit: AudioEdit) -> None:
    with pytest.raises(ValueError, match="is silent; an edit needs a recording with sound"):
        edit_recording(Waveform(torch.zeros(1, RATE), RATE), edit)
    with pytest.raises(ValueError, match=r"give at least 0.25 s"):
        edit_recording(Waveform(torch.ones(1, 100), RATE), edit)


def test_odd_channels_and_rates_pass() -> None:
    for channels, rate in ((1, 8000), (6, 11_025), (2, 48_000)):
        wave = Waveform(noise(channels=channels).samples[:, : rate], rate)
        source, result = edit_recording(wave, AudioEdit("both", {"speed": 0.8, "cents": 200}))
        assert len(result.samples) == channels and result.sample_rate == source.sample_rate == rate
