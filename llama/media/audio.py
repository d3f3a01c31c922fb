"""Waveforms: reading from any sound or video file, mixing down, resampling, writing.

Shapes: samples `[C, N]` float32, C channels of N samples, nominally in [-1, 1].
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from llama.errors import importing
from llama.files import atomic_path, check_writable
from llama.media.audio_reader import MAX_RATE, MIN_RECORDING_SECONDS, MINUTE, Part, check_duration, read_parts
from llama.media.containers import MEDIA_FORMATS, Encoded, MediaFile, media_file, native_path

EDGE_SILENCE, KEPT_SILENCE = 2.0, 0.5  # seconds of silence at an end beyond which it is cut, and to which
SILENCE = 1e-3  # of the loudest sample (-60 dB); what lies below is silence beside it
CANCELLED = 0.1  # of the loudest channel (-20 dB); a quieter mean has lost the music
RESAMPLE_BLOCK = MINUTE  # seconds resampled at a time, which bounds the memory for long recordings
MAX_KERNEL = 4_000_000  # numbers in the resampler's kernel; common pairs of rates need a few thousand
WRITE_BLOCK = 1 << 16  # samples handed to the file library at a time: its Ogg encoder overflows on whole minutes

WRITTEN_FORMATS = {item.suffix: item.encoding for item in MEDIA_FORMATS if item.encoding is not None}


@dataclass(frozen=True, eq=False)
class Waveform:
    """A recording: `samples` [C, N] float32 and its `sample_rate` in Hz.

    Raises `ValueError` for another shape or type, an empty tensor, values that are not finite, and a rate that is not a
    positive integer. Silence is allowed.
    """

    samples: Tensor  # [C, N] float32
    sample_rate: int

    def __post_init__(self) -> None:
        _check_samples(self.samples)
        _check_rate(self.sample_rate)
        object.__setattr__(self, "sample_rate", int(self.sample_rate))

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / self.sample_rate

    def mono(self) -> Waveform:
        """The mean of the channels, `[1, N]`; the loudest channel where they cancel out, as when one of two is inverted."""
        if len(self.samples) == 1:
            return self
        mean = self.samples.mean(0, keepdim=True)
        levels = torch.linalg.vector_norm(self.samples, dim=1)
        if not mean.is_meta and torch.linalg.vector_norm(mean) < CANCELLED * levels.max():
            mean = self.samples[levels.argmax()][None]
        return Waveform(mean, self.sample_rate)

    def trim_silence(self) -> Waveform:
        """The recording without long near-silence before and after its sound, which would count as music of no tempo.

        Silence of up to `EDGE_SILENCE` stays as it is, and so does a recording that is all silence.
        """
        step = max(1, round(MIN_RECORDING_SECONDS * self.sample_rate))
        count = self.samples.shape[1] // step
        if not count:
            return self
        low, high = torch.aminmax(self.samples[:, : count * step].unflatten(1, (count, step)), dim=2)
        levels = torch.maximum(-low, high).amax(0)  # of each tenth of a second
        loud = torch.nonzero(levels > SILENCE * levels.max()).flatten()
        if not len(loud):
            return self
        first, last = int(loud[0]) * step, (int(loud[-1]) + 1) * step
        kept, allowed = round(KEPT_SILENCE * self.sample_rate), EDGE_SILENCE * self.sample_rate
        start = first - kept if first > allowed else 0
        end = last + kept if self.samples.shape[1] - last > allowed else self.samples.shape[1]
        return Waveform(self.samples[:, start:end], self.sample_rate) if end - start < self.samples.shape[1] else self

    def resample(self, rate: int) -> Waveform:
        """The same sound at `rate` Hz, `[C, ceil(N * rate / sample_rate)]`, by torchaudio's windowed sinc."""
        _check_rate(rate)
        if rate == self.sample_rate:
            return self
        return Waveform(_resample(self.samples, self.sample_rate, int(rate)), int(rate))

    def write(self, path: str | Path) -> None:
        """Writes wav, flac, ogg or mp3, chosen by the suffix, atomically."""
        path = Path(path)
        if path.suffix.lower() not in WRITTEN_FORMATS:
            suffixes = ", ".join(WRITTEN_FORMATS)
            raise ValueError(f"Cannot write sound to {path.name}: its suffix is none of {suffixes}; choose one of these.")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"Cannot write {path}: the folder {path.parent} does not exist; make it first.")
        if os.path.isdir(path):  # unlike Path.is_dir, also of a name that is too long
            raise ValueError(f"Cannot write {path}: it is a folder; give the name of a file.")
        check_writable(path)  # libsndfile names no cause
        try:
            with atomic_path(path) as partial:
                _write_file(partial, self, *WRITTEN_FORMATS[path.suffix.lower()])
        except soundfile.LibsndfileError as error:
            channels, rate = len(self.samples), self.sample_rate
            raise ValueError(f"Cannot write {path}: {path.suffix} takes no sound of {channels} channel(s) at {rate} Hz "
                             f"({error.error_string}); resample it or choose .wav.") from error

    @staticmethod
    def read(path: MediaFile) -> Waveform:
        """Reads a sound file, or the sound of a video, of up to two hours, from disk or from memory.

        Raises `FileNotFoundError` if the file does not exist, `ValueError` if it is a folder, empty, no sound or too long.
        """
        file = media_file(path)
        return join_parts(file, read_parts(file))


def prepare_recording(wave: Waveform) -> Waveform:
    """A recording as the encoder hears it: without long silence around it. Raises ValueError if it is too short to be heard."""
    check_duration("The recording", wave.seconds)
    return wave.trim_silence()


def _check_samples(samples: Tensor) -> None:
    if not isinstance(samples, Tensor) or samples.dtype != torch.float32 or samples.ndim != 2:
        shape = f"{samples.dtype} {list(samples.shape)}" if isinstance(samples, Tensor) else type(samples).__name__
        raise ValueError(f"Samples are {shape}; give a float32 tensor [channels, samples].")
    if samples.numel() == 0:
        raise ValueError(f"The sound has no samples (shape {tuple(samples.shape)}); give at least one.")
    if not samples.is_meta and not _finite(samples):
        raise ValueError("The sound holds values that are not finite (NaN or infinity); give a sound without them.")


def _check_rate(rate: int) -> None:
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)) or not 0 < rate <= MAX_RATE:
        raise ValueError(f"The sample rate is {rate!r}; give a whole number of Hz from 1 to {MAX_RATE}.")


def _finite(samples: Tensor) -> bool:
    """Whether all values are finite. Checks the minimum and maximum, which NaN propagates to: a mask would double the memory."""
    return bool(torch.stack(samples.aminmax()).isfinite().all())


def join_parts(path: Path | Encoded, parts: list[Part]) -> Waveform:
    """One recording of the parts, resampled to the rate and mixed to the channels of the first that is not just a glitch."""
    first = next((part for part in parts if part.seconds >= MIN_RECORDING_SECONDS), parts[0])
    waves = [_mixed(as_waveform(path, part.samples(), part.rate), first.channels).resample(first.rate) for part in parts]
    return waves[0] if len(waves) == 1 else Waveform(torch.cat([wave.samples for wave in waves], 1), first.rate)


def as_waveform(path: Path | Encoded, array: np.ndarray, rate: int) -> Waveform:
    """The samples of a file, `[C, N]`. Raises ValueError if they are not finite."""
    samples = torch.from_numpy(array)
    if not _finite(samples):
        raise ValueError(f"{path} holds values that are not finite (NaN or infinity); export the sound again.")
    return Waveform(samples, rate)


def _mixed(wave: Waveform, channels: int) -> Waveform:
    if len(wave.samples) == channels:
        return wave
    return Waveform(wave.mono().samples.expand(channels, -1), wave.sample_rate)


def _resample(samples: Tensor, source: int, target: int) -> Tensor:
    """Resamples in blocks of whole kernel periods with enough context on both sides, so that the result equals one pass."""
    with importing("torchaudio"):
        from torchaudio.functional import resample  # heavy to import, and needed only here

    ratio = _simple_ratio(Fraction(source, target))
    step, output_step = ratio.numerator, ratio.denominator
    length = -(-samples.shape[1] * target // source)  # integer ceiling: in float32 it loses samples of long files
    margin = step * ceil(8 * max(step / output_step, 1) / step)  # input samples; the filter reaches 6 / 0.99 of either rate
    block = step * max(1, RESAMPLE_BLOCK * source // step)
    parts = []
    for start in range(0, samples.shape[1], block):
        before = min(margin, start)
        with torch.autocast(samples.device.type, enabled=False):  # audio stays float32 under autocast
            piece = resample(samples[:, start - before : start + block + margin], step, output_step)
        first = before // step * output_step
        parts.append(piece[:, first : first + block // step * output_step])
    joined = torch.cat(parts, dim=1)[:, :length]
    return torch.nn.functional.pad(joined, (0, length - joined.shape[1])).contiguous()


def _simple_ratio(ratio: Fraction) -> Fraction:
    """The ratio itself, unless its terms are so large that the kernel would need gigabytes (44101 to 24000 Hz).

    Then the nearest ratio with a kernel of bounded size: off by less than a millionth, a millisecond in an hour.
    """
    if ratio.numerator * ratio.denominator <= MAX_KERNEL:
        return ratio
    bound = max(1, int(sqrt(MAX_KERNEL / ratio)))
    return max(ratio.limit_denominator(bound), Fraction(1, bound))


def _write_file(path: Path, wave: Waveform, kind: str, subtype: str) -> None:
    samples = wave.samples.detach().cpu().clamp(-1.0, 1.0).T.numpy()  # [N, C]
    with soundfile.SoundFile(native_path(path), "w", wave.sample_rate, samples.shape[1], subtype, format=kind) as file:
        for start in range(0, len(samples), WRITE_BLOCK):
            file.write(samples[start : start + WRITE_BLOCK])
