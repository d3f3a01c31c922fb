"""Edits of recordings with asked values: speed, pitch, both, reverse, level, loop.

Source and edit have the same channels, rate and level, so that nothing but the edit tells them apart: both have the same RMS (but for
a change of level), and if one of them would clip, both are lowered by the same factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from DataSet.pipeline.time_stretch import MIN_SECONDS, change_speed_and_pitch
from llama.errors import quoted
from llama.media.audio import Waveform

HEADROOM = 0.45  # highest peak of a source: the largest change of level, and the overshoot of a stretch, still fit
FULL_SCALE = 32767 / 32768  # highest sample of a 16-bit file
SILENCE = 1e-4  # RMS, -80 dB
SEAM_SECONDS = 0.01  # crossfade between the rounds of a loop

# Operation -> the values that are asked for, in the fields that DataSet.pipeline.edit_words reads. speed: times as fast. cents: higher.
# level_db: louder. loop: how many times a stretch plays. `notes` edits the score of a composed piece; see score_edits.
VALUES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "speed": tuple({"speed": speed} for speed in (0.5, 0.7, 0.8, 1.25, 1.5, 2.0)),
    "pitch": tuple({"cents": cents} for cents in (-500, -200, -100, 100, 200, 500)),
    "both": tuple({"speed": speed, "cents": cents} for speed in (0.8, 1.25) for cents in (-200, 200)),
    "reverse": ({"reverse": True},),
    "level": tuple({"level_db": level} for level in (-12, -6, 6)),
    "loop": tuple({"loop": times} for times in (2, 3, 4)),
}
OPERATIONS = (*VALUES, "notes")


@dataclass(frozen=True)
class AudioEdit:
    """One change of a recording. Raises ValueError for an operation, or values of it, that do not exist."""

    operation: str
    asked: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.operation not in VALUES:
            raise ValueError(f"The operation {quoted(self.operation)} is unknown; choose one of {', '.join(VALUES)}.")
        if set(self.asked) != set(VALUES[self.operation][0]):
            needed = ", ".join(VALUES[self.operation][0])
            raise ValueError(f"The operation {self.operation} does not take {quoted(dict(self.asked))}; give {needed}.")

    @property
    def level(self) -> float:
        """dB by which the edit is to be louder than its source."""
        return float(self.asked.get("level_db", 0.0))


def edit_recording(wave: Waveform, edit: AudioEdit, beat: float | None = None) -> tuple[Waveform, Waveform]:
    """The source and its edit, of equal channels, rate and level, no sample beyond full scale. The source keeps its form.

    beat: seconds, if they are known: a loop then takes whole beats. Raises ValueError for a recording that is too short or silent.
    """
    if wave.seconds < MIN_SECONDS:
        raise ValueError(f"The recording is {wave.seconds:.3f} s long; give at least {MIN_SECONDS:g} s to edit it.")
    samples, asked = wave.samples.numpy(), edit.asked
    match edit.operation:
        case "reverse":
            changed = np.ascontiguousarray(samples[:, ::-1])
        case "level":
            changed = samples
        case "loop":
            changed = loop(samples, wave.sample_rate, loop_seconds(wave.seconds, asked["loop"], beat), asked["loop"])
        case _:
            changed = change_speed_and_pitch(samples, wave.sample_rate, asked.get("speed", 1.0), asked.get("cents", 0.0))
    return match_levels(wave, Waveform(torch.from_numpy(changed), wave.sample_rate), edit.level)


def loop_seconds(seconds: float, times: int, beat: float | None = None) -> float:
    """Length of the stretch that plays `times` over: together as long as the recording, or less by what makes whole beats."""
    length = seconds / times
    return length if beat is None or length < beat else int(length / beat + 1e-6) * beat


def loop(samples: NDArray[np.float32], rate: int, seconds: float, times: int) -> NDArray[np.float32]:
    """The first `seconds` of the sound [C, N], `times` times over, [C, times * seconds * rate].

    Rounds are crossfaded with what follows the stretch in the recording, so that no seam clicks; the last fades out as long.
    """
    length, fade = round(seconds * rate), round(SEAM_SECONDS * rate)
    if times < 1 or length < 2 * fade or length > samples.shape[1]:
        have = samples.shape[1] / rate
        raise ValueError(f"A loop of {seconds:g} s, {times} times, does not fit a recording of {have:.2f} s; ask for a part of it.")
    stretch = samples[:, : length + fade]
    stretch = np.pad(stretch, ((0, 0), (0, length + fade - stretch.shape[1])))
    rise = np.linspace(0, 1, fade, dtype=np.float32)
    result = np.tile(stretch[:, :length], times)
    for index in range(1, times):
        result[:, index * length :][:, :fade] = stretch[:, :fade] * rise + stretch[:, length:] * (1 - rise)
    result[:, -fade:] *= 1 - rise
    return result


def match_levels(source: Waveform, edit: Waveform, level: float = 0.0) -> tuple[Waveform, Waveform]:
    """Both recordings with the edit `level` dB louder than the source, by RMS, and no sample of either beyond full scale.

    The source is lowered to a peak of HEADROOM at most, by a factor that depends on it alone; only where the edit would clip even
    then, both are lowered by one factor more. Raises ValueError for silence and for other channels or another rate.
    """
    if len(source.samples) != len(edit.samples) or source.sample_rate != edit.sample_rate:
        raise ValueError(f"The source has {len(source.samples)} channel(s) at {source.sample_rate} Hz, the edit {len(edit.samples)} at "
                         f"{edit.sample_rate} Hz; give both the same.")  # fmt: skip
    first, second = _rms(source), _rms(edit)
    if min(first, second) < SILENCE:
        raise ValueError(f"The {'source' if first < SILENCE else 'edit'} is silent; an edit needs a recording with sound.")
    gain = min(1.0, HEADROOM / _peak(source))
    ratio = gain * first / second * 10 ** (level / 20)
    fall = min(1.0, FULL_SCALE / (_peak(edit) * ratio))
    return _scaled(source, gain * fall), _scaled(edit, ratio * fall)


def _scaled(wave: Waveform, factor: float) -> Waveform:
    return Waveform((wave.samples.double() * factor).float(), wave.sample_rate)


def _rms(wave: Waveform) -> float:
    return math.sqrt(float(wave.samples.double().square().mean()))


def _peak(wave: Waveform) -> float:
    return float(wave.samples.abs().max())
