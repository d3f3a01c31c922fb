"""Demuxing and decoding with PyAV: opening by content, the choice of a stream, its frames, and one net for the library's errors."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from llama.media.containers import HEIC, ContentReader, Encoded, describe_file

# Containers that hold media themselves. Playlists (HLS, DASH, concat, SDP) are excluded: they make the reader open other
# files and addresses, which the sender of the file could choose.
CONTAINERS = ("wav,w64,mp3,flac,ogg,mov,mp4,m4a,matroska,webm,aac,aiff,caf,au,amr,ac3,eac3,asf,avi,flv,mpeg,mpegts,"
              "mpegvideo,m4v,h264,hevc,ivf,gif,apng,wv,ape,tta,dsf")
StreamKind = Literal["audio", "video"]
NEEDED = {"audio": "give a recording, or a video with sound", "video": "give a clip such as mp4, webm or gif"}
CHANNEL_LIST = " channels ("  # in the name of a layout whose channels are listed one by one, as "2 channels (FR+FL)"; not "5.1(side)"


@contextmanager
def media_errors(path: Path | Encoded) -> Iterator[None]:
    """Turns every error of FFmpeg inside into one sentence about the file: reading it can fail for its content alone.

    Some of the library's classes are OSErrors too, such as PermissionError for a packet that a codec refuses; they would
    blame the disk.
    """
    import av

    try:
        yield
    except MemoryError as error:  # FFmpeg's for a damaged header, too
        raise ValueError(f"{path} is damaged, or needs more memory than there is; give a smaller one that plays elsewhere.") from error
    except av.error.FFmpegError as error:
        raise ValueError(f"{path} is damaged and cannot be decoded; give one that plays elsewhere.") from error


@contextmanager
def open_container(path: Path | Encoded) -> Iterator[Any]:
    """Opens `path` with PyAV as a single file of a known container, whatever its name; no other file or address is opened.

    All errors of FFmpeg until it is closed are ValueErrors of one sentence, so what is decoded is converted inside.
    """
    import av

    options = {"protocol_whitelist": "none", "format_whitelist": CONTAINERS}
    with media_errors(path), path.open("rb") as file:
        content = describe_file(path)
        if content == HEIC:  # FFmpeg reads it as a clip of the picture's tiles
            raise _no_container(path, content)
        try:
            container = av.open(ContentReader(file), options=options, metadata_errors="replace")
        except av.error.FFmpegError as error:
            raise _no_container(path, content) from error
        with container:
            yield container


def _no_container(path: Path | Encoded, content: str) -> ValueError:
    what = "damaged, or of a format unknown here" if content == "not a known format" else content
    return ValueError(f"Cannot read {path}: it is {what}; give a sound or video file such as wav, mp3, flac, ogg, m4a, mp4 or webm.")


def media_streams(container: Any, kind: StreamKind) -> list[Any]:
    """Streams of a kind. The cover of an album and the thumbnails of chapters are no video."""
    import av

    return [stream for stream in getattr(container.streams, kind) if not stream.disposition & av.stream.Disposition.attached_pic]


def best_stream(path: Path | Encoded, container: Any, kind: StreamKind) -> Any:
    """The stream that a player takes: the container's default, else the first, of those for which there is a decoder."""
    import av

    streams = media_streams(container, kind)
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        name = "sound" if kind == "audio" else "video"
        problem = f"{name} of a kind unknown here, or is damaged" if streams else f"no {name}"
        raise ValueError(f"{path} holds {problem}; {NEEDED[kind]}.")
    default = av.stream.Disposition.default
    return next((stream for stream in decodable if stream.disposition & default), decodable[0])


def decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a stream. Skips damaged packets, as players do, and empty ones, with which Theora repeats a frame."""
    import av

    packets = (packet for packet in container.demux(stream) if packet.size)
    for packet in chain(packets, [None]):  # None: the frames that the decoder still holds
        try:
            frames = stream.decode(packet)
        except MemoryError:
            raise
        except av.error.FFmpegError:
            continue
        yield from frames


def stream_channels(stream: Any) -> int:
    """Channels of an audio stream that is not decoded yet; makes an unusual order of them safe to decode.

    PyAV 18 frees a listed order with each layout that it hands out, and FFmpeg frees it once more with the codec, which
    ends the process. Setting the layout leaves the list to the first alone.
    """
    layout = stream.codec_context.layout
    if layout.nb_channels:
        stream.codec_context.layout = f"{layout.nb_channels} channels" if CHANNEL_LIST in layout.name else layout.name
    return int(layout.nb_channels)


def frame_layout(path: Path | Encoded, frame: Any) -> Any:
    """The layout of a decoded frame. Refuses one whose decoder lists an order of its own (see `stream_channels`)."""
    if CHANNEL_LIST in frame.layout.name:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(frame.layout))  # kept for good, so that the list is freed only once
        raise ValueError(f"{path} has its channels in an unusual order ({frame.layout.name}); export it in stereo.")
    return frame.layout
