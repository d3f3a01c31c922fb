"""Waveforms: reading from any sound or video file, mixing down, resampling, writing.

Shapes: samples `[C, N]` float32, C channels of N samples, nominally in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from llama.errors import importing
from llama.files import atomic_path
from llama.media.containers import (
    MEDIA_FORMATS,
    Encoded,
    MediaFile,
    decoded,
    media_file,
    native_path,
    open_container,
    readable,
)

MINUTE = 60  # seconds
MAX_RECORDING_SECONDS = 120 * MINUTE  # longest recording that is read
MAX_RATE = 768_000  # samples per second; no converter goes beyond
RESAMPLE_BLOCK = MINUTE  # seconds resampled at a time, which bounds the memory for long recordings
MAX_KERNEL = 4_000_000  # numbers in the resampler's kernel; common pairs of rates need a few thousand
WRITE_BLOCK = 1 << 16  # samples handed to the file library at a time: its Ogg encoder overflows on whole minutes
UNKNOWN_LENGTH = 1 << 40  # samples; a header with this many or more was written before the length was known

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
        """The mean of the channels, `[1, N]`."""
        return self if len(self.samples) == 1 else Waveform(self.samples.mean(0, keepdim=True), self.sample_rate)

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
        if path.is_dir():
            raise ValueError(f"Cannot write {path}: it is a folder; give the name of a file.")
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
        try:
            return _read_soundfile(file)
        except soundfile.LibsndfileError:  # not one of its formats: m4a, opus in webm, the sound of a video
            return _read_av(file)


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


def _check_seconds(path: Path | Encoded, seconds: float) -> None:
    if seconds > MAX_RECORDING_SECONDS:
        raise ValueError(f"{path} is longer than {MAX_RECORDING_SECONDS // MINUTE} minutes, the limit; cut it into parts.")


def _finite(samples: Tensor) -> bool:
    """Whether all values are finite. Checks the minimum and maximum, which NaN propagates to: a mask would double the memory."""
    return bool(torch.stack(samples.aminmax()).isfinite().all())


def _concatenate(blocks: list[np.ndarray]) -> np.ndarray:
    """Concatenates to `[C, N]`; frees each block once it is copied, so that a long recording is not in memory twice."""
    joined = np.empty((len(blocks[0]), sum(block.shape[1] for block in blocks)), np.float32)
    blocks.reverse()
    end = 0
    while blocks:
        block = blocks.pop()
        joined[:, end : end + block.shape[1]] = block
        end += block.shape[1]
    return joined


def _waveform(path: Path | Encoded, blocks: list[np.ndarray], rate: int) -> Waveform:
    if not blocks:
        raise ValueError(f"{path} holds no sound (0 samples); give a recording.")
    samples = torch.from_numpy(_concatenate(blocks))
    if not _finite(samples):
        raise ValueError(f"{path} holds values that are not finite (NaN or infinity); export the sound again.")
    return Waveform(samples, rate)


def _read_soundfile(path: Path | Encoded) -> Waveform:
    with soundfile.SoundFile(readable(path)) as file:
        rate, blocks, samples_read = file.samplerate, [], 0
        _check_seconds(path, file.frames / rate if file.frames < UNKNOWN_LENGTH else 0)
        while len(block := file.read(MINUTE * rate, dtype="float32", always_2d=True)):
            blocks.append(block.T)
            samples_read += len(block)
            _check_seconds(path, samples_read / rate)
    return _waveform(path, blocks, rate)


def _read_av(path: Path | Encoded) -> Waveform:
    import av

    with open_container(path) as container:
        if not container.streams.audio:
            raise ValueError(f"{path} holds no sound; give a recording, or a video with sound.")
        _check_seconds(path, (container.duration or 0) / av.time_base)
        stream = container.streams.audio[0]
        blocks, rate = _av_blocks(path, container, stream)
    return _waveform(path, blocks, rate)


def _av_blocks(path: Path | Encoded, container, stream) -> tuple[list[np.ndarray], int]:  # noqa: ANN001
    import av

    rate, layout = stream.rate, stream.layout.name
    convert = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    blocks, samples_read = [], 0
    for frame in decoded(container, stream):
        for planar in convert.resample(frame):
            blocks.append(planar.to_ndarray())
            samples_read += planar.samples
        _check_seconds(path, samples_read / rate)  # the header may not know the length
    if samples_read:
        blocks += [planar.to_ndarray() for planar in convert.resample(None) if planar.samples]
    return blocks, rate


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
