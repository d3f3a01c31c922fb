"""LRU cache of encoder features, keyed by the SHA-256 of the media's content.

Questions about the same recording then encode it once. Names are not part of the key: a changed file is encoded again, and
the same file under another name is not.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from llama.dialogue import MEDIA, Turn
from llama.media.audio import Waveform
from llama.media.score import Score

if TYPE_CHECKING:
    from llama.mumu_model import ModalityFeatures

MAX_ENTRIES = 256  # an entry holds a few prompt positions: kilobytes

Key = tuple[bytes | None, ...]


class EncoderCache:
    """LRU cache of the features of turns. Thread-safe. max_entries: 0 caches nothing."""

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries, self._lock = max_entries, threading.Lock()
        self._entries: OrderedDict[Key, ModalityFeatures] = OrderedDict()  # the most recently used last

    def features(self, turn: Turn, encode: Callable[[Turn], ModalityFeatures], *, hears_score: bool = False) -> ModalityFeatures:
        """The features of the turn's media, from the cache or from `encode`, whose errors are raised and not cached.

        hears_score: `encode` plays the turn's score, which then stands for the recording.
        """
        key = _key(turn, hears_score) if self._max_entries else None
        if key is None:
            return encode(turn)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        features = encode(turn)
        if key == _key(turn, hears_score):  # otherwise a file changed meanwhile
            self._put(key, features)
        return features

    def _put(self, key: Key, features: ModalityFeatures) -> None:
        with self._lock:
            self._entries[key] = features
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)


def _key(turn: Turn, hears_score: bool) -> Key | None:
    """Digests of a turn's media; None where the bytes of one do not identify it, so that it cannot be cached."""
    media = [turn.score if hears_score and name == "audio" else getattr(turn, name) for name in MEDIA]
    digests = tuple(None if medium is None else _digest(medium) for medium in media)
    return None if b"" in digests else digests


def _digest(medium: object) -> bytes:
    """SHA-256 of a medium's kind and content; b"" for one without a known content, such as an open PIL image."""
    if isinstance(medium, (str, Path)):
        try:
            with Path(medium).open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return b""  # the encoder's reader reports what is wrong with the file
    if isinstance(medium, Score):
        return hashlib.sha256(f"score {medium!r}".encode()).digest()
    if isinstance(medium, Waveform):
        return _array_digest(medium.samples, f"sound at {medium.sample_rate}")
    return _array_digest(medium, "frames") if isinstance(medium, (np.ndarray, Tensor)) else b""


def _array_digest(array: np.ndarray | Tensor, kind: str) -> bytes:
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
    digest = hashlib.sha256(f"{kind} {values.dtype} {values.shape} ".encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.digest()
