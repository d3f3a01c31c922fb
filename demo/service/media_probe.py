"""Detects the kind and length of a media file from its content, whatever its name, and checks the limits.

A file is tried as a picture, then as a recording, then as a clip. Its length is the longer of the header's and the packets',
so a wrong header cannot bypass a limit; only one block of audio or one frame is decoded, to check that it is readable. Every
error is one sentence: what was given, what is allowed, what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import soundfile
from PIL import Image

from llama.media.audio import UNKNOWN_LENGTH
from llama.media.containers import MEDIA_FORMATS, Encoded, decoded, describe_file, open_container
from llama.media.image import PICTURES, load_image

MEGABYTE = 1_000_000
MAX_FRAME_RATE = 60  # frames per second assumed for an animated picture, whose header has no length
PROBE_SAMPLES = 4096  # samples decoded to check that a recording is readable
NEGATIVE_DURATION = 1 << 31  # PyAV returns negative packet durations (such as Ogg's end trimming) as numbers from here on
ACCEPTED_MEDIA = "give a sound (wav, mp3, flac, ogg, m4a), a picture (png, jpg, webp, gif) or a clip (mp4, webm, mov)"
SUFFIXES = {name: item.suffix for item in MEDIA_FORMATS for name in item.library_names}  # browsers choose a player by the suffix

Kind = Literal["audio", "image", "video"]


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
        with Image.open(content.open(), formats=_pillow_formats()) as picture:
            kind, size, frames = str(picture.format), picture.size, _frame_count(picture)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{content} has too many pixels, at most {_millions(limits.pixels)} are taken; make it smaller.") from error
    except (OSError, SyntaxError, ValueError) as error:
        if "picture" not in (description := describe_file(content)):
            return None
        raise ValueError(f"{content} begins as {description} and is damaged; give a picture that opens elsewhere.") from error
    _check_pixels(content, *size, limits)
    _check_pixels(content, *load_image(content).size, limits)  # decoded: the header may be wrong or the data damaged
    if frames == 1:
        return "image", None, SUFFIXES.get(kind, ".img")
    if kind == "GIF":
        return _probe_container(content, limits)
    if frames > MAX_FRAME_RATE * limits.video_seconds:
        raise ValueError(f"{content} has {frames} frames, at most {MAX_FRAME_RATE * limits.video_seconds:g} are taken; cut it.")
    return "video", None, SUFFIXES.get(kind, ".img")


def _pillow_formats() -> list[str]:
    Image.init()
    return [name for name in PICTURES if name in Image.OPEN]


def _frame_count(picture: Image.Image) -> int:
    """Number of frames; 2 for any animated GIF, since counting its frames reads the whole file."""
    if picture.format == "GIF":
        return 2 if getattr(picture, "is_animated", False) else 1
    return getattr(picture, "n_frames", 1) if picture.format in ("WEBP", "PNG") else 1


def _probe_recording(content: Encoded, limits: Limits) -> tuple[Kind, float | None, str] | None:
    """Recording that soundfile can read; its length is the longer of the header's and the packets'."""
    try:
        with soundfile.SoundFile(content.open()) as file:
            frames, rate, channels, format_name = file.frames, file.samplerate, file.channels, file.format
            frames_announced = frames if frames < UNKNOWN_LENGTH else 0
            _check_length(content, frames_announced / rate, rate, channels, limits)
            samples_decoded = len(file.read(PROBE_SAMPLES))
    except soundfile.LibsndfileError:
        return None
    if not samples_decoded:
        raise ValueError(f"{content} holds no sound (0 samples); send a recording.")
    seconds = max(frames_announced / rate, _packet_seconds(content, "audio", limits.seconds) if format_name in _PACKET_FORMATS else 0.0)
    _check_length(content, seconds, rate, channels, limits)
    return "audio", seconds, SUFFIXES.get(format_name, ".audio")


_PACKET_FORMATS = ("FLAC", "OGG", "MPEG", "MP3")  # formats whose header may state a wrong length; for others the file size determines it


def _probe_container(content: Encoded, limits: Limits) -> tuple[Kind, float | None, str] | None:
    """Any other media: a clip if it has a video stream (album covers do not count), else a recording."""
    import av

    try:
        with open_container(content) as container:
            kind: Kind = "video" if _video_streams(container) else "audio"
            stream = next(iter(_video_streams(container) or container.streams.audio), None)
            if stream is None or stream.codec_context is None:  # None: no decoder for it
                raise ValueError(f"{content} holds neither sound nor pictures that can be decoded; {ACCEPTED_MEDIA}.")
            format_name, header = container.format.name.split(",")[0], (container.duration or 0) / av.time_base
            shape = _stream_shape(stream, kind)
            _check_stream(content, kind, header, shape, limits)
            if next(iter(decoded(container, stream)), None) is None:
                raise ValueError(f"{content} is damaged: nothing in it can be decoded; send one that plays elsewhere.")
    except av.error.FFmpegError as error:
        raise ValueError(f"{content} is damaged ({error.strerror}); send one that plays elsewhere.") from error
    seconds = max(header, _packet_seconds(content, kind, _max_seconds(kind, limits)))
    _check_stream(content, kind, seconds, shape, limits)
    return kind, seconds, SUFFIXES.get(format_name.upper(), SUFFIXES.get(format_name, f".{kind}"))


def _video_streams(container: Any) -> list[Any]:
    import av

    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def _stream_shape(stream: Any, kind: Kind) -> tuple[int, int]:
    """(width, height) of a clip's frames, or (rate, channels) of a recording."""
    return (stream.codec_context.width, stream.codec_context.height) if kind == "video" else (stream.rate, stream.channels)


def _packet_seconds(content: Encoded, kind: Kind, limit: float) -> float:
    """Duration of the first stream's packets in seconds, without decoding; stops counting beyond `limit`."""
    with open_container(content) as container:
        stream = (_video_streams(container) if kind == "video" else container.streams.audio)[0]
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


def _check_length(content: Encoded, seconds: float, rate: int, channels: int, limits: Limits) -> None:
    _check_seconds(content, seconds, limits.seconds)
    samples = seconds * rate * channels
    if samples > limits.samples:
        raise ValueError(f"{content} has {channels} channels at {rate} Hz, {_millions(samples)} samples, at most "
                         f"{_millions(limits.samples)} are taken; export it in stereo at 48000 Hz or cut it.")


def _check_seconds(content: Encoded, seconds: float, limit: float) -> None:
    if seconds > limit:
        raise ValueError(f"{content} is longer than {limit:g} seconds, the most that is taken; cut it.")


def _check_pixels(content: Encoded, width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise ValueError(f"{content} has {width} x {height} pixels, at most {_millions(limits.pixels)} are taken; make it smaller.")


def _millions(number: float) -> str:
    return f"{number / 1e6:.1f} million"


def check_bytes(name: str, size: int, limits: Limits) -> None:
    if size > limits.bytes:
        limit = limits.bytes / MEGABYTE
        raise ValueError(f"{name} has {size / MEGABYTE:.1f} MB, at most {limit:g} MB are taken; send a shorter or smaller one.")
