"""The sound of rendered notes: no offset, limited true peaks, a wide image that mono keeps, and an ending that dies away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio

from DataSet.synthesis.composer import compose
from DataSet.synthesis.made_set import load_sampler
from llama.decoders.notes.level import CEILING, HISTORY, integrated_loudness, limiter_gains, true_peaks
from llama.decoders.notes.mixer import BLOCK, REFLECTIONS, SAMPLE_RATE, Mixer, TrackBus, room
from llama.decoders.notes.sampler import Sampler
from llama.media.score import ACCOMPANIMENTS, QUALITIES, Attributes, Note, chord_voicing

TIME = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return load_sampler(Path(__file__).resolve().parents[3] / "ckpts/nano/decoder")


def piece(sampler: Sampler, accompaniment: str, seed: int = 0) -> np.ndarray:
    attributes = Attributes("trumpet", accompaniment, "ambient", 90, "major", 4, drums=False, key=seed)
    return sampler.render(compose(np.random.default_rng(seed), attributes, 12.0))


@pytest.mark.parametrize("accompaniment", ACCOMPANIMENTS)
def test_sound_has_no_offset_and_is_wide_where_no_bass_is(sampler: Sampler, accompaniment: str) -> None:
    sound = piece(sampler, accompaniment)
    power, hertz = np.abs(np.fft.rfft(sound)) ** 2, np.fft.rfftfreq(sound.shape[1], 1 / SAMPLE_RATE)
    assert np.abs(sound.mean(1)).max() < 2e-4 and power[:, hertz < 18].sum() < 1e-3 * power.sum()
    side, middle = ((np.abs(np.fft.rfft(sound[0] + sign * sound[1])) ** 2) for sign in (-1, 1))
    assert 0.05 < side.sum() / middle.sum() < 0.4  # correlation 0.4 to 0.9; the mean of both channels loses 1.5 dB at most
    assert side[hertz < 100].sum() < 0.08 * middle[hertz < 100].sum()


def test_width_cancels_in_mono() -> None:
    """The mean of both channels is the note and its room alone."""
    rng, buses = np.random.default_rng(0), []
    for _ in range(2):
        bus = TrackBus("accompaniment")
        bus.add(Note(0.0, 1.0, 60, 80), rng.standard_normal(2000).astype(np.float32), 7000)
        buses.append(bus)
    mixer = Mixer()
    sound = np.concatenate([mixer.mix([bus]) for bus in buses], 1)
    early = sound[:, 7000:7160] / buses[0].notes[7000:7160]  # before the first reflection, while the room has hardly begun
    assert np.median(early[0]) == pytest.approx(2**0.5 * np.cos(0.8 * np.pi / 4), abs=0.02)
    assert sum(gain for _, gain in REFLECTIONS) == pytest.approx(0) and room().shape[1] < 2 * BLOCK
    difference, mean = sound[0] - sound[1], sound.mean(0)
    assert np.abs(np.corrcoef(difference[7600:9000], mean[7600:9000])[0, 1]) < 0.4


def test_the_room_is_its_impulse_response_over_block_borders() -> None:
    bus, mixer = TrackBus("bass"), Mixer()
    bus.add(Note(0.0, 1.0, 30, 80), np.ones(1, np.float32), BLOCK - 3)
    sound = np.concatenate([mixer.mix([bus]), *(mixer.mix([TrackBus("bass")]) for _ in range(3))], 1)
    sound[:, BLOCK - 3] -= 1
    scale = sound[0] @ np.pad(room()[0], (BLOCK - 3, 3 * BLOCK + 3 - room().shape[1]))
    assert scale == pytest.approx(0.22 * 0.25, rel=1e-3)
    assert np.abs(sound[:, BLOCK - 3 :][:, : room().shape[1]] - scale * room()).max() < 1e-6


def test_true_peaks_between_samples_are_found_and_limited() -> None:
    """A tone at a quarter of the rate whose samples all lie 3 dB below its peaks."""
    tone = np.sin(2 * np.pi * SAMPLE_RATE / 4 * TIME + np.pi / 4).astype(np.float32)
    loud = np.stack([tone, tone]) * np.float32(1.2)
    assert np.abs(loud).max() < CEILING < true_peaks(loud)[HISTORY:-HISTORY].min()
    assert true_peaks(loud).max() == pytest.approx(1.2, abs=0.01)
    limited = torch.from_numpy((loud * limiter_gains(loud))[:, HISTORY:-HISTORY])
    raised = torchaudio.functional.resample(limited, 1, 4, lowpass_filter_width=32, rolloff=1.0)[:, 2000:-2000]
    assert float(raised.abs().max()) < 0.891  # -1 dB


def test_the_limiter_moves_slowly_and_leaves_low_sound_alone() -> None:
    quiet = 0.5 * np.sin(2 * np.pi * 200 * TIME).astype(np.float32)[None].repeat(2, 0)
    assert np.array_equal(limiter_gains(quiet), np.ones(quiet.shape[1], np.float32))
    quiet[:, SAMPLE_RATE : SAMPLE_RATE + 40] *= 3
    gains = limiter_gains(quiet)
    assert np.abs(quiet * gains).max() <= CEILING + 1e-6 and np.abs(np.diff(gains)).max() < 0.02
    assert (gains[: SAMPLE_RATE - 300] == 1).all() and (gains[SAMPLE_RATE + 1600 :] == 1).all()


@pytest.mark.parametrize("hertz", [60.0, 440.0, 6000.0])
def test_loudness_is_that_of_the_standard(hertz: float) -> None:
    """Beside torchaudio's; a tone of 997 Hz at full scale in one channel has -3.01 LUFS."""
    tone = (0.3 * np.sin(2 * np.pi * hertz * TIME)).astype(np.float32)
    sound = np.stack([tone, 0.5 * tone])
    sound[:, SAMPLE_RATE :] *= 0.01  # below the relative gate
    assert integrated_loudness(sound) == pytest.approx(float(torchaudio.functional.loudness(torch.from_numpy(sound), SAMPLE_RATE)), abs=0.1)
    full = np.stack([np.sin(2 * np.pi * 997 * TIME), 0 * TIME]).astype(np.float32)
    assert integrated_loudness(full) == pytest.approx(-3.01, abs=0.05)
    assert integrated_loudness(0 * full) is None and integrated_loudness(full[:, :3000]) is None


def test_no_voicing_holds_a_semitone() -> None:
    for quality, steps in QUALITIES.items():
        for root in range(12):
            voices = chord_voicing(root, quality)
            assert {voice % 12 for voice in voices} == {(root + step) % 12 for step in steps}
            assert min(np.diff(voices)) > 1 and 50 <= voices[0] and voices[-1] <= 72 and voices[-1] - voices[0] < 12


def test_the_last_chord_dies_away_until_the_end(sampler: Sampler) -> None:
    for seed, accompaniment in enumerate(ACCOMPANIMENTS):
        last = piece(sampler, accompaniment, seed)[:, -round(1.5 * SAMPLE_RATE) :]
        levels = 10 * np.log10((last.reshape(2, 15, -1) ** 2).mean((0, 2)) + 1e-20)
        falls = -np.diff(levels[levels > levels.max() - 50])  # dB in a tenth of a second
        assert falls.max() < 16 and len(falls) >= 8  # it took 0.2 s when it was cut
        assert np.abs(last[:, -1]).max() < 1e-6
