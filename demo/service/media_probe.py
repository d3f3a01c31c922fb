"""Detects the kind and length of a media file from its content, whatever its name, and checks the limits.

A file is tried as a picture, then as a recording, then as a clip. Its length is the longer of the header's and the packets',
so a wrong header cannot bypass a limit; only one block of audio or one frame is decoded, to check that it is readable. Every
error is one sentence: what was given, what is allowed, what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import soundfile
from PIL import Image

from llama.media.audio_reader import UNKNOWN_LENGTH, check_duration, check_format, open_soundfile
from llama.media.containers import MEDIA_FORMATS, Encoded, describe_file
from llama.media.demuxer import (
    StreamKind,
    best_stream,
    decoded,
    frame_layout,
    media_streams,
    open_container,
    stream_channels,
)
from llama.media.image import available_formats, check_pixels, load_image, picture_errors
from llama.media.sound_headers import ogg_links

MEGABYTE = 1_000_000
MAX_FRAME_RATE = 60  # frames per second assumed for an animated picture, whose header has no length
PROBE_SAMPLES = 4096  # samples decoded to check that a recording is readable
NEGATIVE_DURATION = 1 << 31  # PyAV returns negative packet durations (such as Ogg's end trimming) as numbers from here on
ACCEPTED_MEDIA = ("give a sound (wav, mp3, flac, ogg, m4a), a picture (png, jpg, heic, webp, gif), a clip (mp4, webm, mov) or a score "
                  "(mid, musicxml)")
SUFFIXES = {name: item.suffix for item in MEDIA_FORMATS for name in item.library_names}  # browsers choose a player by the suffix

Kind = Literal["audio", "image", "video", "score"]


@dataclass(frozen=True)
class Limits:
    """Limits on uploads. bytes: of the file; seconds: of a recording; video_seconds: of a clip; pixels: of a picture or frame.

    samples: decoded, of all channels together (minutes of silence at a high rate are a small file). session_bytes: of all
    files of a session, uploaded and generated, since both are on one disk and generated audio takes more of it.
    """

    bytes: int = 50 * MEGABYTE
    seconds: float = 600.0
    video_seconds: float = 120.0
    pixels: int = 50_000_000
    samples: int = 120_000_000
    session_bytes: int = 1000 * MEGABYTE


def probe(content: Encoded, limits: Limits) -> tuple[Kind, float | None, str]:
    """(kind, seconds or None, suffix) of a file. Raises ValueError if it is not media, damaged, too long or too large."""
    for probe_format in (_probe_picture, _probe_recording, _probe_container):
        result = probe_format(content, limits)
        if result is not None:
            return result
    description = describe_file(content)
    problem = description if description != "not a known format" else "damaged, or of a format unknown here"
    raise ValueError(f"{content} is {problem}; {ACCEPTED_MEDIA}.")


def _probe_picture(content: Encoded, limits: Limits) -> tuple[Kind, float | None, str] | None:
    try:
        with picture_errors(str(content)), Image.open(content.open(), formats=available_formats()) as picture:
            kind, size, frames = str(picture.format), picture.size, _frame_count(picture)
    except ValueError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise ValueError(f"{content} has too many pixels, at most {_millions(limits.pixels)} are taken; make it smaller.") from error
        if "picture" not in (description := describe_file(content)):
            return None
        raise ValueError(f"{content} begins as {description} and is damaged; give a picture that opens elsewhere.") from error
    _check_pixels(content, *size, limits)
    _check_pixels(content, *load_image(content).size, limits)  # decoded: the header may be wrong or the data damaged
    if frames == 1:
        return "image", None, SUFFIXES[kind]
    if kind == "GIF":
        return _probe_container(content, limits)
    if frames > MAX_FRAME_RATE * limits.video_seconds:
        raise ValueError(f"{content} has {frames} frames, at most {MAX_FRAME_RATE * limits.video_seconds:g} are taken; cut it.")
    return "video", None, SUFFIXES[kind]


def _frame_count(picture: Image.Image) -> int:
    """Number of frames; 2 for any animated GIF, since counting its frames reads the whole file."""
    if picture.format == "GIF":
        return 2 if getattr(picture, "is_animated", False) else 1
    return getattr(picture, "n_frames", 1) if picture.format in ("WEBP", "PNG") else 1


def _probe_recording(content: Encoded, limits: Limits) -> tuple[Kind, float | None, str] | None:
    """Recording that soundfile can read; its length is the sum of its links', if it is a chained Ogg file."""
    links = [_probe_link(link, limits) for link in ogg_links(content)]
    known = [link for link in links if link is not None]
    if len(known) < len(links):
        return None
    seconds = sum(link.seconds for link in known)
    _check_length(content, seconds, max(link.rate for link in known), max(link.channels for link in known), limits)
    check_duration(str(content), seconds)
    return "audio", seconds, SUFFIXES.get(known[0].format, ".audio")


@dataclass(frozen=True)
class _Link:
    format: str
    seconds: float
    rate: int
    channels: int


def _probe_link(content: Path | Encoded, limits: Limits) -> _Link | None:
    """A file for soundfile; its length is the longer of the header's and the packets'. None: it cannot read it."""
    try:
        with open_soundfile(content) as file:
            frames, rate, channels, format_name = file.frames, file.samplerate, file.channels, file.format
            announced = frames / rate if frames < UNKNOWN_LENGTH else 0.0
            _check_length(content, announced, rate, channels, limits)
            samples_decoded = len(file.read(PROBE_SAMPLES))
    except soundfile.LibsndfileError:
        return None
    if not samples_decoded:
        raise ValueError(f"{content} holds no sound (0 samples); send a recording.")
    seconds = max(announced, _packet_seconds(content, "audio", limits.seconds) if format_name in _PACKET_FORMATS else 0.0)
    _check_length(content, seconds, rate, channels, limits)
    return _Link(format_name, seconds, rate, channels)


_PACKET_FORMATS = ("FLAC", "OGG")  # formats whose header may state a wrong length; for others the file size determines it


def _probe_container(content: Encoded, limits: Limits) -> tuple[Kind, float | None, str] | None:
    """Any other media: a clip if it has a video stream (album covers do not count), else a recording."""
    import av

    with open_container(content) as container:
        kind: StreamKind = "video" if media_streams(container, "video") else "audio"
        stream = best_stream(content, container, kind)
        format_name, header = container.format.name.split(",")[0], (container.duration or 0) / av.time_base
        shape = _stream_shape(stream, kind)
        _check_stream(content, kind, header, shape, limits)
        frame = next(iter(decoded(container, stream)), None)
        if frame is None:
            raise ValueError(f"{content} is damaged: nothing in it can be decoded; send one that plays elsewhere.")
        if kind == "audio":
            check_format(content, frame.sample_rate, frame_layout(content, frame).nb_channels)
    seconds = max(header, _packet_seconds(content, kind, _max_seconds(kind, limits)))
    _check_stream(content, kind, seconds, shape, limits)
    if kind == "audio":
        check_duration(str(content), seconds)
    return kind, seconds, SUFFIXES.get(format_name, SUFFIXES.get(format_name.upper(), f".{kind}"))


def _stream_shape(stream: Any, kind: Kind) -> tuple[int, int]:
    """(width, height) of a clip's frames, or (rate, channels) of a recording."""
    context = stream.codec_context
    return (context.width, context.height) if kind == "video" else (context.rate, stream_channels(stream))


def _packet_seconds(content: Path | Encoded, kind: StreamKind, limit: float) -> float:
    """Duration of the stream's packets in seconds, without decoding; stops counting beyond `limit`."""
    with open_container(content) as container:
        stream = best_stream(content, container, kind)
        first, last, total = None, 0.0, 0.0
        for packet in container.demux(stream):
            length = packet.duration or 0
            step = float(length * packet.time_base) if packet.time_base and length < NEGATIVE_DURATION else 0.0
            total += step
            if packet.pts is not None:
                timestamp = float(packet.pts * packet.time_base)
                first = timestamp if first is None else min(first, timestamp)
                last = max(last, timestamp + step - first)
            if max(total, last) > limit:
                break
    return max(total, last)


# -- limits -------------------------------------------------------------------------------------------------------------


def _max_seconds(kind: Kind, limits: Limits) -> float:
    return limits.video_seconds if kind == "video" else limits.seconds


def _check_stream(content: Encoded, kind: Kind, seconds: float, shape: tuple[int, int], limits: Limits) -> None:
    if kind == "audio":
        _check_length(content, seconds, *shape, limits)
        return
    _check_seconds(content, seconds, limits.video_seconds)
    _check_pixels(content, *shape, limits)


def _check_length(content: Path | Encoded, seconds: float, rate: int, channels: int, limits: Limits) -> None:
    _check_seconds(content, seconds, limits.seconds)
    samples = seconds * rate * channels
    if samples > limits.samples:
        raise ValueError(f"{content} has {channels} channels at {rate} Hz, {_millions(samples)} samples, at most "
                         f"{_millions(limits.samples)} are taken; export it in stereo at 48000 Hz or cut it.")


def _check_seconds(content: Path | Encoded, seconds: float, limit: float) -> None:
    if seconds > limit:
        raise ValueError(f"{content} is longer than {limit:g} seconds, the most that is taken; cut it.")


def _check_pixels(content: Encoded, width: int, height: int, limits: Limits) -> None:
    check_pixels(str(content), max(width, 1), max(height, 1))  # a clip may know its size only when it is decoded
    if width * height > limits.pixels:
        raise ValueError(f"{content} has {width} x {height} pixels, at most {_millions(limits.pixels)} are taken; make it smaller.")


def _millions(number: float) -> str:
    return f"{number / 1e6:.1f} million"


def check_bytes(name: str, size: int, limits: Limits) -> None:
    if size > limits.bytes:
        limit = limits.bytes / MEGABYTE
        raise ValueError(f"{name} has {size / MEGABYTE:.1f} MB, at most {limit:g} MB are taken; send a shorter or smaller one.")
