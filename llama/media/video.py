"""Video: frames spread evenly over a whole clip, read with PyAV in bounded memory.

Of T frames, `round(linspace(0, T - 1, count))` are read: each once if T == count, repeated in a shorter clip, from the first
to the last in a longer one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from llama.media.containers import Encoded, MediaFile, media_file
from llama.media.demuxer import best_stream, decoded, open_container
from llama.media.image import MAX_PIXELS, check_pixels, open_picture, picture_errors, upright_rgb

if TYPE_CHECKING:
    from torch import Tensor

MAX_SIDE = 1024  # pixels; larger frames are scaled down when they are read; the encoders take far smaller ones
MAX_ASPECT = 10  # of a pixel; a header that says more is damaged
SQUARE = Fraction(1)
FALLBACK_RATE = 25  # frames a second, of a stream that does not say
TICK_TOLERANCE = 1e-4  # seconds by which a frame may come too late: times in a file are rounded, to 0.1 ms at most
AV_TIME_BASE = 1_000_000  # FFmpeg's units a second of a container's times
ANIMATIONS = ("GIF", "WEBP", "PNG")
INDEXED = ("mov", "mp4", "matroska", "webm")  # containers that seek exactly to key frames; others are decoded from the start


def load_frames(video: MediaFile | np.ndarray | Tensor, count: int) -> np.ndarray:
    """`count` RGB frames `[count, H, W, 3]` uint8, spread evenly over the whole clip.

    video: a file on disk or in memory, or frames `[T, H, W, 3]` uint8. Only the chosen frames are converted to RGB, and
    scaled down to `MAX_SIDE`, so memory grows neither with the length nor with the resolution. Raises `FileNotFoundError`
    or `ValueError`.
    """
    if count < 1:
        raise ValueError(f"Asked for {count} frames; ask for at least 1.")
    if hasattr(video, "shape"):  # an array or a tensor; the media worker reads clips without torch, whose import takes 250 MB
        source = _checked_frames(cast("np.ndarray | Tensor", video))
        return np.stack([_scale(source[index]) for index in frame_indices(len(source), count)])
    path = media_file(cast(MediaFile, video))
    frames = _animation_frames(path, count) if _is_animation(path) else _video_frames(path, count)
    sizes = sorted({f"{frame.shape[1]} x {frame.shape[0]}" for frame in frames})
    if len(sizes) > 1:
        raise ValueError(f"{path} changes its frame size on the way ({', '.join(sizes)}); give a clip of one size.")
    return np.stack(frames)


def sample_frames(video: MediaFile, rate: float, start: float = 0.0, end: float = inf) -> Iterator[np.ndarray]:
    """RGB frames `[H, W, 3]` uint8 of a clip's segment at a constant rate: every `1 / rate` seconds, the frame that is shown then.

    start, end: of the segment, in seconds from the clip's beginning; the first tick is at `start`. Frames come one at a time, so
    memory does not grow with the length. Raises `FileNotFoundError` or `ValueError` as `load_frames` does.
    """
    path = media_file(video)
    with open_container(path) as container:
        stream = _video_stream(path, container)
        aspect, step = _pixel_aspect(stream), float(1 / (stream.average_rate or FALLBACK_RATE))
        _seek_before(container, stream, start)
        tick, shown, until = 0, None, 0.0
        for frame in decoded(container, stream):
            until = _seconds(container, stream, frame, until)
            while shown is not None and start + tick / rate < min(until - TICK_TOLERANCE, end):
                yield _pixels(shown, aspect)
                tick += 1
            if start + tick / rate >= end:
                return
            shown, until = frame, until + step
        while shown is not None and start + tick / rate < min(until - TICK_TOLERANCE, end):
            yield _pixels(shown, aspect)
            tick += 1


def _seek_before(container: Any, stream: Any, start: float) -> None:
    """Moves to the key frame before `start`, where the container can do so exactly."""
    if start > 0 and any(name in INDEXED for name in container.format.name.split(",")):
        position = round(start / stream.time_base) + (stream.start_time or 0)
        container.seek(position, stream=stream, backward=True)


def _seconds(container: Any, stream: Any, frame: Any, otherwise: float) -> float:
    """When a frame is shown, from the beginning of the container; `otherwise` where the file does not say."""
    if frame.pts is None:
        return otherwise
    return float(frame.pts * stream.time_base) - (container.start_time or 0) / AV_TIME_BASE


def frame_indices(total: int, count: int) -> np.ndarray:
    """Indices of the `count` frames that are read of `total`: `round(linspace(0, total - 1, count))`."""
    return np.round(np.linspace(0, total - 1, count)).astype(np.int64)


def _checked_frames(video: np.ndarray | Tensor) -> np.ndarray:
    frames = video if isinstance(video, np.ndarray) else video.detach().cpu().numpy()
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"The video is {frames.dtype} of shape {tuple(frames.shape)}; give uint8 frames [T, H, W, 3].")
    if frames.size == 0:
        raise ValueError(f"The video has no frames (shape {tuple(frames.shape)}); give at least one.")
    check_pixels("The video", frames.shape[2], frames.shape[1])
    return frames


def _is_animation(path: Path | Encoded) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith((b"GIF8", b"\x89PNG")) or (head[:4], head[8:]) == (b"RIFF", b"WEBP")


def _animation_frames(path: Path | Encoded, count: int) -> list[np.ndarray]:
    """Frames of an animated (or still) GIF, WebP or PNG; transparent parts are white."""
    frames: dict[int, np.ndarray] = {}
    with open_picture(path, ANIMATIONS) as picture:
        with picture_errors(str(path)):
            indices = frame_indices(getattr(picture, "n_frames", 1), count).tolist()
        for index in sorted(set(indices)):
            with picture_errors(f"{path}, at frame {index},"):
                picture.seek(index)
                frames[index] = _scale(np.asarray(upright_rgb(picture)))
    return [frames[index] for index in indices]


@dataclass
class _Timeline:
    """Presentation times of a clip's frames, in the stream's time units, from its packets without decoding."""

    times: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    complete: bool = True  # False: some packets have no presentation time


def _video_frames(path: Path | Encoded, count: int) -> list[np.ndarray]:
    """Counts the frames in a pass over the packets (a browser's webm does not store the number), then decodes the chosen ones."""
    timeline = _timeline(path)
    if timeline.complete:
        times = timeline.times or [0]
        requested = [times[index] for index in frame_indices(len(times), count)]
        frames = _frames_at_times(path, sorted(set(requested)), timeline.keys)
    else:
        requested = frame_indices(max(1, sum(1 for _ in _decoded_video(path))), count).tolist()
        frames = _frames_at_indices(path, set(requested))
    if not frames:
        raise ValueError(f"{path} has no frames that can be decoded; give a clip that plays elsewhere.")
    return [frames[_at_or_before(at, frames)] for at in requested]


def _at_or_before(at: int, times: Iterable[int]) -> int:
    """The last time not after `at`: a truncated clip lists frames that cannot be decoded, and the frame before replaces them."""
    return max((time for time in times if time <= at), default=min(times))


def _video_stream(path: Path | Encoded, container: Any) -> Any:
    stream = best_stream(path, container, "video")
    check_pixels(str(path), max(stream.codec_context.width, 1), max(stream.codec_context.height, 1))
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # a stream may change its size on the way
    stream.thread_type = "AUTO"
    return stream


def _pixel_aspect(stream: Any) -> Fraction:
    """Width of a pixel by its height as it is to be shown; 1 where the file does not say so, or says nonsense."""
    aspect = stream.sample_aspect_ratio
    return aspect if aspect is not None and Fraction(1, MAX_ASPECT) <= aspect <= MAX_ASPECT else SQUARE


def _decoded_video(path: Path | Encoded) -> Iterator[Any]:
    with open_container(path) as container:
        yield from decoded(container, _video_stream(path, container))


def _frames_at_indices(path: Path | Encoded, chosen: set[int]) -> dict[int, np.ndarray]:
    with open_container(path) as container:
        stream = _video_stream(path, container)
        frames = enumerate(decoded(container, stream))
        return {index: _pixels(frame, _pixel_aspect(stream)) for index, frame in frames if index in chosen}


def _timeline(path: Path | Encoded) -> _Timeline:
    timeline = _Timeline()
    with open_container(path) as container:
        indexed = any(name in INDEXED for name in container.format.name.split(","))
        for packet in container.demux(_video_stream(path, container)):
            if packet.size == 0 or packet.is_discard:
                continue
            if packet.pts is None:
                timeline.complete = False
                break
            timeline.times.append(packet.pts)
            timeline.keys += [packet.pts] if packet.is_keyframe and indexed else []
    timeline.times.sort()
    timeline.keys.sort()
    return timeline


def _frames_at_times(path: Path | Encoded, requested: list[int], keys: list[int]) -> dict[int, np.ndarray]:
    """The frame at each requested time, after seeking to the key frame before it where that skips work."""
    frames: dict[int, np.ndarray] = {}
    with open_container(path) as container:
        stream = _video_stream(path, container)
        for key, times in _by_key_frame(requested, keys):
            decoded_frames = _after_key_frame(container, stream, key, times)
            frames |= decoded_frames if decoded_frames is not None else _pick(_decoded_video(path), times, _pixel_aspect(stream))
    return frames


def _by_key_frame(requested: list[int], keys: list[int]) -> Iterable[tuple[int | None, list[int]]]:
    """Groups the times by the key frame that decoding starts from; None: the beginning of the file."""
    groups: dict[int | None, list[int]] = {}  # keeps the order of the times
    for time in requested:
        position = bisect_right(keys, time)
        groups.setdefault(keys[position - 1] if position > 1 else None, []).append(time)
    return groups.items()


def _after_key_frame(container: Any, stream: Any, key: int | None, times: list[int]) -> dict[int, np.ndarray] | None:
    """The frames from a key frame on; None where the container cannot seek, or lands behind the first time."""
    import av

    if key is None:
        return _pick(decoded(container, stream), times, _pixel_aspect(stream))
    try:
        container.seek(key, stream=stream, backward=True)
    except av.error.FFmpegError:
        return None
    frames = decoded(container, stream)
    first = next(frames, None)
    if first is None or first.pts is None or first.pts > times[0]:
        return None
    return _pick(chain([first], frames), times, _pixel_aspect(stream))


def _pick(frames: Iterable[Any], times: list[int], aspect: Fraction = SQUARE) -> dict[int, np.ndarray]:
    picked: dict[int, np.ndarray] = {}
    left = list(times)
    for frame in frames:
        while left and frame.pts is not None and frame.pts >= left[0]:
            picked[left.pop(0)] = _pixels(frame, aspect)
        if not left:
            break
    return picked


def _pixels(frame: Any, aspect: Fraction = SQUARE) -> np.ndarray:
    """The frame as upright `[H, W, 3]` of square pixels: telephones store rotated pictures together with the angle."""
    check_pixels("A frame of the clip", frame.width, frame.height)
    pixels = _scale(frame.to_ndarray(format="rgb24"), aspect)
    return np.ascontiguousarray(np.rot90(pixels, k=round(frame.rotation / 90) % 4))


def _scale(pixels: np.ndarray, aspect: Fraction = SQUARE) -> np.ndarray:
    """`[H, W, 3]` of square pixels with a longer side of at most `MAX_SIDE`. aspect: width of a pixel by its height."""
    height, width = pixels.shape[:2]
    wide, high = width * float(max(aspect, SQUARE)), height / float(min(aspect, SQUARE))  # enlarged: nothing is lost
    scale = min(1.0, MAX_SIDE / max(wide, high))
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    if size == (width, height):
        return pixels
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BICUBIC))
