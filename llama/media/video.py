"""Video: frames spread evenly over a whole clip, read with PyAV in bounded memory.

Of T frames, `round(linspace(0, T - 1, count))` are read: each once if T == count, repeated in a shorter clip, from the first
to the last in a longer one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from llama.media.containers import Encoded, MediaFile, decoded, media_file, open_container, readable
from llama.media.image import _available, _check_pixels, _open_picture, load_image

MAX_SIDE = 1024  # pixels; larger frames are scaled down when they are read; the encoders take far smaller ones
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
    if isinstance(video, (np.ndarray, Tensor)):
        source = _checked_frames(video)
        return np.stack([_scale_down(source[index]) for index in frame_indices(len(source), count)])
    path = media_file(video)
    frames = _animation_frames(path, count) if _is_animation(path) else _video_frames(path, count)
    sizes = sorted({f"{frame.shape[1]} x {frame.shape[0]}" for frame in frames})
    if len(sizes) > 1:
        raise ValueError(f"{path} changes its frame size on the way ({', '.join(sizes)}); give a clip of one size.")
    return np.stack(frames)


def frame_indices(total: int, count: int) -> np.ndarray:
    """Indices of the `count` frames that are read of `total`: `round(linspace(0, total - 1, count))`."""
    return np.round(np.linspace(0, total - 1, count)).astype(np.int64)


def _checked_frames(video: np.ndarray | Tensor) -> np.ndarray:
    frames = video.detach().cpu().numpy() if isinstance(video, Tensor) else video
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"The video is {frames.dtype} of shape {tuple(frames.shape)}; give uint8 frames [T, H, W, 3].")
    if frames.size == 0:
        raise ValueError(f"The video has no frames (shape {tuple(frames.shape)}); give at least one.")
    _check_pixels("The video", frames.shape[2], frames.shape[1])
    return frames


def _is_animation(path: Path | Encoded) -> bool:
    try:
        with Image.open(readable(path), formats=_available(ANIMATIONS)):
            return True
    except OSError:
        return False


def _animation_frames(path: Path | Encoded, count: int) -> list[np.ndarray]:
    """Frames of an animated (or still) GIF, WebP or PNG; transparent parts are white."""
    frames: dict[int, np.ndarray] = {}
    with _open_picture(path) as picture:
        indices = frame_indices(getattr(picture, "n_frames", 1), count).tolist()
        for index in sorted(set(indices)):
            try:
                picture.seek(index)
                frames[index] = _scale_down(np.asarray(load_image(picture)))
            except (OSError, EOFError) as error:
                raise ValueError(f"{path} is damaged at frame {index}; give a clip that plays elsewhere.") from error
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
        chosen = set(requested)
        frames = {at: _pixels(frame) for at, frame in enumerate(_decoded_video(path)) if at in chosen}
    if not frames:
        raise ValueError(f"{path} has no frames that can be decoded; give a clip that plays elsewhere.")
    return [frames[_at_or_before(at, frames)] for at in requested]


def _at_or_before(at: int, times: Iterable[int]) -> int:
    """The last time not after `at`: a truncated clip lists frames that cannot be decoded, and the frame before replaces them."""
    return max((time for time in times if time <= at), default=min(times))


def _video_stream(path: Path | Encoded, container):  # noqa: ANN001, ANN202 - av is imported only where it is used
    if not container.streams.video:
        raise ValueError(f"{path} holds no video; give a clip such as mp4, webm or gif.")
    stream = container.streams.video[0]
    if stream.codec_context is None:  # a video stream whose codec is unknown or damaged
        raise ValueError(f"{path} holds video of a kind unknown here, or is damaged; give a clip such as mp4, webm or gif.")
    _check_pixels(str(path), max(stream.codec_context.width, 1), max(stream.codec_context.height, 1))
    stream.thread_type = "AUTO"
    return stream


def _decoded_video(path: Path | Encoded) -> Iterator:
    with open_container(path) as container:
        yield from decoded(container, _video_stream(path, container))


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
            frames |= decoded_frames if decoded_frames is not None else _pick(_decoded_video(path), times)
    return frames


def _by_key_frame(requested: list[int], keys: list[int]) -> Iterable[tuple[int | None, list[int]]]:
    """Groups the times by the key frame that decoding starts from; None: the beginning of the file."""
    groups: dict[int | None, list[int]] = {}  # keeps the order of the times
    for time in requested:
        position = bisect_right(keys, time)
        groups.setdefault(keys[position - 1] if position > 1 else None, []).append(time)
    return groups.items()


def _after_key_frame(container, stream, key: int | None, times: list[int]) -> dict[int, np.ndarray] | None:  # noqa: ANN001
    """The frames from a key frame on; None where the container cannot seek, or lands behind the first time."""
    import av

    if key is None:
        return _pick(decoded(container, stream), times)
    try:
        container.seek(key, stream=stream, backward=True)
    except av.error.FFmpegError:
        return None
    frames = decoded(container, stream)
    first = next(frames, None)
    if first is None or first.pts is None or first.pts > times[0]:
        return None
    return _pick(chain([first], frames), times)


def _pick(frames: Iterable, times: list[int]) -> dict[int, np.ndarray]:
    picked: dict[int, np.ndarray] = {}
    left = list(times)
    for frame in frames:
        while left and frame.pts is not None and frame.pts >= left[0]:
            picked[left.pop(0)] = _pixels(frame)
        if not left:
            break
    return picked


def _pixels(frame) -> np.ndarray:  # noqa: ANN001
    """The frame as upright `[H, W, 3]`: telephones store rotated pictures together with the angle."""
    pixels = _scale_down(frame.to_ndarray(format="rgb24"))
    return np.ascontiguousarray(np.rot90(pixels, k=round(frame.rotation / 90) % 4))


def _scale_down(pixels: np.ndarray) -> np.ndarray:
    """`[H, W, 3]` with a longer side of at most `MAX_SIDE`."""
    height, width = pixels.shape[:2]
    if max(height, width) <= MAX_SIDE:
        return pixels
    scale = MAX_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BICUBIC))
