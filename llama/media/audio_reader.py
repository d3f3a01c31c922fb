"""Reads the samples of sound files, and of the sound of videos: libsndfile where it knows the format, else FFmpeg.

A recording is read to its end, also where its sample rate or its channels change on the way: in parts, each of one rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from llama.media.containers import SNIFF_BYTES, ContentReader, Encoded
from llama.media.demuxer import best_stream, decoded, frame_layout, open_container, stream_channels
from llama.media.sound_headers import ogg_links, unfinished_sizes

MINUTE = 60  # seconds
MAX_RECORDING_SECONDS = 120 * MINUTE  # longest recording that is read
MAX_RECORDING_SAMPLES = 1 << 31  # of all channels together, 8 GB; two hours of 5.1 at 48 kHz have fewer
MAX_RATE = 768_000  # samples per second; no converter goes beyond
MAX_CHANNELS = 64  # ambisonics of the seventh order
MIN_RECORDING_SECONDS = 0.1  # of a recording that is heard; a shorter one is a click
MAX_PARTS = 1000  # a damaged file may change its rate with each frame
READ_BLOCK = 1 << 22  # numbers that are read at a time
MPEG_TAGS = (b"\x50\0", b"\x55\0")  # the format in a WAV header: MPEG layers 1 and 2, 3
UNKNOWN_LENGTH = 1 << 40  # samples; a header with this many or more was written before the length was known


@dataclass
class Part:
    """A part of a recording, of one rate and number of channels. blocks: `[C, n]` float32."""

    rate: int
    channels: int
    blocks: list[np.ndarray] = field(default_factory=list)
    length: int = 0  # samples

    def add(self, block: np.ndarray) -> None:
        self.blocks.append(block)
        self.length += block.shape[1]

    def samples(self) -> np.ndarray:
        """All samples, `[C, N]`. Frees each block once it is copied, so that a long recording is not in memory twice."""
        samples = np.empty((self.channels, self.length), np.float32)
        self.blocks.reverse()
        end = 0
        while self.blocks:
            block = self.blocks.pop()
            samples[:, end : end + block.shape[1]] = block
            end += block.shape[1]
        return samples

    @property
    def seconds(self) -> float:
        return self.length / self.rate


def read_parts(path: Path | Encoded) -> list[Part]:
    """The parts of a recording; one, but for files that change on the way. Raises ValueError if nothing in it can be decoded."""
    parts: list[Part] = []
    for link in ogg_links(path):
        parts += _read_link(link)
        _check_size(path, sum(part.seconds for part in parts), sum(part.length * part.channels for part in parts))
    parts = [part for part in parts if part.length]
    if not parts:
        raise ValueError(f"{path} holds no sound that can be decoded (0 samples); give a recording that plays elsewhere.")
    return parts


def check_duration(name: str, seconds: float) -> None:
    """Raises ValueError for a recording that is too short to be heard as anything but a click."""
    if seconds < MIN_RECORDING_SECONDS:
        raise ValueError(f"{name} is {seconds:.3f} s long, too short to be heard; give at least {MIN_RECORDING_SECONDS:g} s of sound.")


def _read_link(path: Path | Encoded) -> list[Part]:
    try:
        with open_soundfile(path) as file:
            return [_soundfile_part(path, file)]
    except soundfile.LibsndfileError:  # not one of its formats: mp3, m4a, opus in webm, the sound of a video
        return _av_parts(path)


# -- libsndfile ---------------------------------------------------------------------------------------------------------


@contextmanager
def open_soundfile(path: Path | Encoded) -> Iterator[soundfile.SoundFile]:
    """Opens a file with libsndfile, by its content. Raises LibsndfileError if that is not one of its formats.

    mp3 counts as none of them: libsndfile stops where the rate or the channels of one change, and prints what is damaged.
    """
    with path.open("rb") as content:
        if _is_mpeg_audio(content.read(SNIFF_BYTES)):
            raise soundfile.LibsndfileError(1)  # "Format not recognised."
        with soundfile.SoundFile(ContentReader(content, unfinished_sizes(content))) as file:
            check_format(path, file.samplerate, file.channels)
            yield file


def check_format(path: Path | Encoded, rate: int, channels: int) -> None:
    """Raises ValueError for a sample rate or a number of channels that no recording has."""
    if not 0 < rate <= MAX_RATE:
        raise ValueError(f"{path} has a sample rate of {rate} Hz; give a recording of 1 to {MAX_RATE} Hz.")
    if not 0 < channels <= MAX_CHANNELS:
        raise ValueError(f"{path} has {channels} channels; give a recording of 1 to {MAX_CHANNELS}, such as stereo.")


def _is_mpeg_audio(head: bytes) -> bool:
    """Whether a file begins as mp3 (or as AAC), or is a WAV file of mp3."""
    wav = head.find(b"fmt ") + 8 if head.startswith((b"RIFF", b"RF64")) else len(head)
    synchronized = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    return head.startswith(b"ID3") or synchronized or head[wav : wav + 2] in MPEG_TAGS


def _soundfile_part(path: Path | Encoded, file: soundfile.SoundFile) -> Part:
    part = Part(file.samplerate, file.channels)
    announced = file.frames if file.frames < UNKNOWN_LENGTH else 0
    _check_size(path, announced / part.rate, announced * part.channels)
    while len(block := file.read(max(1, READ_BLOCK // part.channels), dtype="float32", always_2d=True)):
        part.add(block.T)
        _check_size(path, part.seconds, part.length * part.channels)
    return part


# -- FFmpeg -------------------------------------------------------------------------------------------------------------


def _av_parts(path: Path | Encoded) -> list[Part]:
    import av

    with open_container(path) as container:
        stream = best_stream(path, container, "audio")
        _check_size(path, (container.duration or 0) / av.time_base)
        check_format(path, stream.rate or 1, stream_channels(stream) or 1)  # 0: known when it is decoded
        return _decode_parts(path, decoded(container, stream))


def _decode_parts(path: Path | Encoded, frames: Iterator[Any]) -> list[Part]:
    """Decodes to packed samples: PyAV 18 counts the planes of a planar frame wrongly, and reads beyond them, from eight channels on."""
    import av

    parts: list[Part] = []
    previous, seconds, samples = None, 0.0, 0
    for frame in frames:
        rate, layout = frame.sample_rate, frame_layout(path, frame)
        kind = (rate, layout.name, frame.format.name)
        if kind != previous:
            check_format(path, rate, layout.nb_channels)
            _begin_part(path, parts, rate, layout.nb_channels)
            convert, previous = av.AudioResampler(format="flt"), kind
        for packed in convert.resample(frame):
            parts[-1].add(packed.to_ndarray().reshape(-1, layout.nb_channels).T)
        seconds, samples = seconds + frame.samples / rate, samples + frame.samples * layout.nb_channels
        _check_size(path, seconds, samples)  # the header may not know the length
    return parts


def _begin_part(path: Path | Encoded, parts: list[Part], rate: int, channels: int) -> None:
    if parts and (parts[-1].rate, parts[-1].channels) == (rate, channels):
        return
    if len(parts) == MAX_PARTS:
        raise ValueError(f"{path} changes its sample rate or channels more than {MAX_PARTS} times; export it again.")
    parts.append(Part(rate, channels))


def _check_size(path: Path | Encoded, seconds: float, samples: int = 0) -> None:
    """samples: of all channels together; hours of silence in many channels are a small file."""
    if seconds > MAX_RECORDING_SECONDS:
        raise ValueError(f"{path} is longer than {MAX_RECORDING_SECONDS // MINUTE} minutes, the limit; cut it into parts.")
    if samples > MAX_RECORDING_SAMPLES:
        raise ValueError(f"{path} has more than {MAX_RECORDING_SAMPLES / 1e6:.0f} million samples in all its channels, the limit; "
                         "export it in stereo at 48000 Hz.")
