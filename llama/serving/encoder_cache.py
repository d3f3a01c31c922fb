"""What media became, kept for a while: the same recording is asked about again and again, and is listened to once.

Kept by content, never by name: a file that has changed is read anew, and one that is uploaded twice is known.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from llama.dialogue import MEDIA, Turn
from llama.media.audio import Waveform

if TYPE_CHECKING:
    from llama.mumu_model import ModalityFeatures

MAX_ENTRIES = 256  # media; what is kept of each is a few prompt positions, kilobytes

Key = tuple[bytes | None, ...]


class EncoderCache:
    """Features of the media that came last, for any thread. most: how many are kept; 0 keeps none."""

    def __init__(self, most: int = MAX_ENTRIES) -> None:
        self._most, self._guard = most, threading.Lock()
        self._kept: OrderedDict[Key, ModalityFeatures] = OrderedDict()  # the newest last

    def features(self, turn: Turn, encode: Callable[[Turn], ModalityFeatures]) -> ModalityFeatures:
        """What `encode` makes of the turn's media, or made of the same ones before. Raises what it raises, and keeps that not."""
        key = _key(turn) if self._most else None
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = encode(turn)
        if key is not None and key == _key(turn):  # else a file has changed meanwhile
            self._keep(key, found)
        return found

    def _keep(self, key: Key, found: ModalityFeatures) -> None:
        with self._guard:
            self._kept[key] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


def _key(turn: Turn) -> Key | None:
    """Digests of a turn's media, None where one cannot be told apart from others by its bytes."""
    media = [getattr(turn, name) for name in MEDIA]
    digests = tuple(None if one is None else _digest(one) for one in media)
    return None if any(one is not None and not digest for one, digest in zip(media, digests, strict=True)) else digests


def _digest(medium: Any) -> bytes:
    """Of the content and its kind; empty for what has none that is known, such as an opened picture, or is not there."""
    if isinstance(medium, (str, Path)):
        try:
            with Path(medium).open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return b""  # whoever reads it says what is wrong with it
    if isinstance(medium, Waveform):
        return _digest_numbers(medium.samples, f"sound at {medium.sample_rate}")
    return _digest_numbers(medium, "frames") if isinstance(medium, (np.ndarray, Tensor)) else b""


def _digest_numbers(numbers: np.ndarray | Tensor, kind: str) -> bytes:
    values = numbers.detach().cpu().numpy() if isinstance(numbers, Tensor) else numbers
    made = hashlib.sha256(f"{kind} {values.dtype} {values.shape} ".encode())
    made.update(np.ascontiguousarray(values).data)
    return made.digest()
