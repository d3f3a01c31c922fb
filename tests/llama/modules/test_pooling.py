"""The rhythm pool measures recurrence, the harmony pool treats all keys alike; both take any length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from llama.modules.pooling import HarmonyPool, RhythmPool, TimbrePool, autocorrelation, log_lags, segments

RATE = 37.5


def pulses(bpm: float, seconds: float, curves: int = 16) -> Tensor:
    """Frames [1, T, curves] that jump on every beat."""
    frames = round(seconds * RATE)
    beat = (torch.arange(frames) / RATE / (60 / bpm)).floor()
    struck = torch.cat([beat.new_ones(1), beat.diff()]) > 0
    return (8.0 * struck.float()).view(1, frames, 1).expand(1, frames, curves).contiguous()


def rhythm_pool(channels: int = 3, width: int = 8) -> RhythmPool:
    torch.manual_seed(0)
    return RhythmPool(channels, width, RATE, out_dim=10).eval()


def harmony_pool(channels: int = 3, width: int = 8) -> HarmonyPool:
    torch.manual_seed(0)
    return HarmonyPool(channels, width, out_dim=10).eval()


def test_autocorrelation_is_the_sum_of_lagged_products() -> None:
    torch.manual_seed(1)
    signal = torch.randn(2, 50)
    centred = signal - signal.mean(-1, keepdim=True)
    found = autocorrelation(signal, 30)
    for lag in (0, 1, 7, 29):
        product = (centred[:, : 50 - lag] * centred[:, lag:]).sum(-1)
        expected = product / (centred.square().sum(-1) + 1e-4) / (max(50 - lag, 16) / 50)
        assert torch.allclose(found[:, lag], expected, atol=1e-5)


def test_lags_beyond_the_recording_are_zero() -> None:
    assert autocorrelation(torch.randn(1, 20), 60)[:, 20:].abs().max() < 1e-5


def test_log_lags_turn_tempo_into_shift() -> None:
    lags = log_lags(0.25, 4.0, 5, RATE)
    assert torch.allclose(lags / RATE, torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0]), rtol=1e-5)


@pytest.mark.parametrize("seconds", [4.0, 7.0, 20.0, 180.0])
@pytest.mark.parametrize("bpm", [75.0, 120.0, 150.0])
def test_pulses_recur_at_their_beat(bpm: float, seconds: float) -> None:
    pool = rhythm_pool()
    curve = pool.correlogram(pulses(bpm, seconds))[0, 0]
    lags = (pool.lag_floor + pool.lag_part) / RATE
    beat = 60 / bpm
    near, between = (lags - beat).abs().argmin(), (lags - 1.5 * beat).abs().argmin()
    assert curve[near - 1 : near + 2].max() > 0.5
    assert curve[between] < 0.2


def test_a_long_recording_sounds_like_its_beginning() -> None:
    pool = rhythm_pool()
    with torch.no_grad():
        short, long = pool(pulses(120, 7)), pool(pulses(120, 120))
        other = pool(pulses(97, 7))
    assert (short - long).norm() < 0.25 * (short - other).norm()


def test_segments_cover_everything() -> None:
    signal = torch.arange(1000.0).view(1, 1, 1000)
    pieces = segments(signal, 262)
    assert set(pieces.flatten().tolist()) == set(range(1000))
    assert segments(signal[..., :100], 262).shape == (1, 1, 1, 100)


def test_transposing_rotates_the_matches_and_leaves_their_best() -> None:
    pool = harmony_pool()
    frames = torch.rand(2, 200, 24)
    higher = frames.view(2, 200, 2, 12).roll(5, -1).reshape(2, 200, 24)
    with torch.no_grad():
        here, there = pool.rotations(frames), pool.rotations(higher)
    assert torch.allclose(here.roll(5, 1), there, atol=1e-5)
    assert torch.allclose(here.amax(1), there.amax(1), atol=1e-5)
    assert not torch.allclose(pool(frames), pool(higher), atol=1e-3)  # the tonic itself is told


@pytest.mark.parametrize("pool", [rhythm_pool(), harmony_pool()], ids=["rhythm", "harmony"])
@pytest.mark.parametrize("frames", [1, 2, 75, 262, 263, 2000])
def test_any_length_and_every_row_alone(pool: RhythmPool | HarmonyPool, frames: int) -> None:
    states = torch.randn(2, 3, frames, 8)
    with torch.no_grad():
        both = pool(pool.frames(states))
        alone = pool(pool.frames(states[1:]))
    assert both.shape == (2, pool.out_dim) and both.isfinite().all()
    assert torch.allclose(both[1:], alone, atol=1e-4)


@pytest.mark.parametrize("pool", [rhythm_pool(), harmony_pool()], ids=["rhythm", "harmony"])
def test_silence_is_finite(pool: nn.Module) -> None:
    states = torch.zeros(1, 3, 150, 8)
    assert pool(pool.frames(states)).isfinite().all()  # type: ignore[operator]


@pytest.mark.parametrize("pool", [rhythm_pool(), harmony_pool()], ids=["rhythm", "harmony"])
def test_gradient_reaches_every_parameter(pool: RhythmPool | HarmonyPool) -> None:
    vector = pool(pool.frames(torch.randn(2, 3, 150, 8)))
    (vector * torch.randn_like(vector)).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in pool.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_frames_of_windows_join_in_time() -> None:
    pool = harmony_pool()
    states = torch.randn(1, 3, 120, 8)
    joined = torch.cat([pool.frames(states[:, :, :50]), pool.frames(states[:, :, 50:])], dim=1)
    assert torch.allclose(joined, pool.frames(states), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_pools_agree_with_float32(dtype: torch.dtype) -> None:
    for pool in (rhythm_pool(), harmony_pool()):
        states = torch.randn(1, 3, 120, 8)
        with torch.no_grad():
            whole = pool(pool.frames(states))
            half = pool.to(dtype)(pool.frames(states.to(dtype)))
        assert half.dtype == dtype
        assert float((half.float() - whole).abs().mean()) < 0.1


def test_a_spectrum_is_read_alone() -> None:
    """The pools that hear a spectrum do not see the other states."""
    torch.manual_seed(0)
    states, other = torch.randn(1, 3, 80, 24), torch.randn(1, 2, 80, 24)
    for pool in (RhythmPool(3, 24, RATE, 10, spectrum=True), HarmonyPool(3, 24, 10, spectrum=True), TimbrePool(24, 10)):
        changed = torch.cat([other, states[:, 2:]], dim=1)
        assert torch.equal(pool.frames(states), pool.frames(changed))
        assert pool(pool.frames(states)).shape == (1, 10)
        assert all("mix" not in name for name, _ in pool.named_parameters())


@pytest.mark.parametrize("frames", [1, 2, 75, 2000])
def test_timbre_takes_any_length_and_every_row_alone(frames: int) -> None:
    torch.manual_seed(0)
    pool, states = TimbrePool(48, 10).eval(), torch.randn(2, 2, frames, 48)
    with torch.no_grad():
        both, alone = pool(pool.frames(states)), pool(pool.frames(states[1:]))
    assert both.shape == (2, 10) and both.isfinite().all() and torch.allclose(both[1:], alone, atol=1e-4)


def test_timbre_learns_from_every_parameter() -> None:
    pool = TimbrePool(48, 10)
    vector = pool(pool.frames(torch.randn(2, 2, 100, 48)))
    (vector * torch.randn_like(vector)).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in pool.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
