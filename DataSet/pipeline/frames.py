"""Frames of a clip: the one that stands for it, and the clip written anew at a constant rate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from llama.files import atomic_path
from llama.media.video import sample_frames

LOOKS_PER_SECOND = 4  # frames a second among which the one that stands for the clip is chosen
THUMBNAIL = 32  # pixels of a side, at which frames are compared
CUT, CUT_RATIO = 18.0, 4.0  # of 255: mean difference from one look to the next at a cut, and its ratio to the median difference
FLAT = 4.0  # of 255: standard deviation of the brightness of a black or grey frame
H264 = {"crf": "20", "threads": "1"}


@dataclass(frozen=True)
class ClipFrames:
    """What was written of a clip. seconds: frames by rate; sha256: of their pixels."""

    frames: int
    seconds: float
    sha256: str


def steadiest_frame(clip: Path, start: float = 0.0, end: float = inf) -> Image.Image:
    """The frame in the middle of the shot that moves least, black and grey shots left out: the same in every run.

    A random frame, as the published sets take, may lie in a fade or a cut. Raises ValueError for a clip without a picture.
    """
    looks = [_thumbnail(frame) for frame in sample_frames(clip, LOOKS_PER_SECOND, start, end)]
    if not looks:
        raise _no_frame(clip, start)
    index = steadiest_look(np.stack(looks))
    time = start + index / LOOKS_PER_SECOND
    return Image.fromarray(next(sample_frames(clip, LOOKS_PER_SECOND, time, inf)))


def _no_frame(clip: Path, start: float) -> ValueError:
    return ValueError(f"{clip} shows nothing after {start:g} s; correct the times, or give a clip that lasts longer.")


def steadiest_look(looks: NDArray[np.float32]) -> int:
    """Index of the middle of the steadiest shot. looks: grey frames `[T, H, W]`, 0 to 255, at equal steps of time."""
    shots = [shot for shot in shots_of(looks) if looks[(shot.start + shot.stop - 1) // 2].std() >= FLAT] or [range(len(looks))]
    long = [shot for shot in shots if len(shot) >= min(3, max(map(len, shots)))]  # a shot of one look has no motion to compare
    best = min(long, key=lambda shot: (_motion(looks, shot), shot.start))
    return (best.start + best.stop - 1) // 2


def shots_of(looks: NDArray[np.float32]) -> list[range]:
    """The shots between the cuts, as ranges of looks."""
    steps = np.abs(np.diff(looks, axis=0)).mean((1, 2))
    threshold = max(CUT, CUT_RATIO * float(np.median(steps))) if len(steps) else CUT
    edges = [0, *(np.flatnonzero(steps > threshold) + 1).tolist(), len(looks)]
    return [range(first, last) for first, last in zip(edges, edges[1:], strict=False)]


def _motion(looks: NDArray[np.float32], shot: range) -> float:
    return float(np.abs(np.diff(looks[shot.start : shot.stop], axis=0)).mean()) if len(shot) > 1 else 255.0


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(frame).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float32)


def write_clip(clip: Path, path: Path, rate: Fraction, side: int, start: float = 0.0, end: float = inf) -> ClipFrames:
    """Writes a clip's segment without sound as H.264 at a constant rate, upright, its longer side at most `side` pixels, atomically.

    Raises ValueError for a clip without a picture. Frames that change their size on the way are brought to that of the first.
    """
    import av

    frames = _scaled(sample_frames(clip, float(rate), start, end), side)
    first = next(frames, None)
    if first is None:
        raise _no_frame(clip, start)
    checksum, count = hashlib.sha256(f"{first.width}x{first.height};".encode()), 0
    with atomic_path(path, fsync=False) as draft, av.open(str(draft), "w") as container:
        stream = container.add_stream("h264", rate=rate, options=H264)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
        for picture in chain([first], frames):
            fitted = picture if picture.size == first.size else picture.resize(first.size, Image.Resampling.BICUBIC)
            checksum.update(fitted.tobytes())
            container.mux(stream.encode(av.VideoFrame.from_image(fitted)))
            count += 1
        container.mux(stream.encode(None))
    return ClipFrames(count, count / float(rate), checksum.hexdigest())


def _scaled(frames: Iterable[NDArray[np.uint8]], side: int) -> Iterator[Image.Image]:
    """Pictures of even width and height, which the pixel format needs, within `side`."""
    for frame in frames:
        picture = Image.fromarray(frame)
        scale = min(1.0, side / max(picture.size))
        width, height = (max(2, 2 * round(length * scale / 2)) for length in picture.size)
        yield picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.BICUBIC)
