"""Fingerprints by which copies are found: of samples, of spectral peaks, of pictures, of words.

Exact copies have equal SHA-256 of their decoded samples. Peak fingerprints follow the constellation of A. Wang, "An industrial-strength
audio search algorithm", ISMIR 2003: pairs of peaks of the spectrum, by their two frequencies and the time between them. They do not
depend on the level, survive mp3, and those of a cut or shifted copy are a part of the original's, at another time. Pictures have a
difference hash (dHash) of 64 bits: whether each of 8 x 8 fields is brighter than its neighbour.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from llama.media.audio import Waveform

HASH_RATE = 16_000  # Hz, of the samples whose SHA-256 is taken
PEAK_RATE = 8_000  # Hz; above 4 kHz codecs of low rate keep little
WINDOW, HOP = 1024, 128  # samples: 128 ms and 16 ms; bins of 7.8 Hz
LOWEST, HIGHEST = 13, 448  # bins, 100 to 3500 Hz
NEIGHBOURHOOD = (31, 25)  # bins, frames; a peak is the highest of them
PEAKS_PER_SECOND = 12
FLOOR = 1e-4  # of the loudest value (-80 dB); what is lower is noise of a codec
PARTNERS = 4  # later peaks that each peak is paired with
GAP = (2, 95)  # frames between the peaks of a pair: up to 1.5 s
HASH_BITS = 24  # of a pair: 9 and 9 of frequencies, 6 of the time between
TOLERANCE = 1  # frames by which matching pairs may be apart: the frames of a copy lie elsewhere
DHASH_BITS = 64
FLAT = 3.0  # of 255: a picture of fields that differ less is a fade, and its hash says nothing


@dataclass(frozen=True, eq=False)
class PeakFingerprint:
    """Pairs of peaks: `hashes` [N] uint32 of HASH_BITS, and `times` [N] uint32, in frames of 16 ms, of the first peak of each."""

    hashes: NDArray[np.uint32]
    times: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.hashes)

    def encode(self) -> str:
        """As text for JSON: base64 of the hashes and then the times, little-endian."""
        return base64.b64encode(np.concatenate([self.hashes, self.times]).astype("<u4").tobytes()).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        values = np.frombuffer(base64.b64decode(text), "<u4").astype(np.uint32)
        return cls(values[: len(values) // 2], values[len(values) // 2 :])


def sound_sha256(wave: Waveform) -> str:
    """SHA-256 of the recording as mono 16-bit samples at HASH_RATE; equal for the same sound in another file."""
    samples = wave.mono().resample(HASH_RATE).samples[0].clamp(-1, 1)
    return hashlib.sha256((samples * 32767).round().to(torch.int16).numpy().astype("<i2").tobytes()).hexdigest()


def picture_sha256(picture: Image.Image) -> str:
    """SHA-256 of the upright picture's size and RGB values."""
    return hashlib.sha256(f"{picture.width}x{picture.height};".encode() + picture.convert("RGB").tobytes()).hexdigest()


# -- peaks --------------------------------------------------------------------------------------------------------------


def peak_fingerprint(wave: Waveform) -> PeakFingerprint:
    """The pairs of spectral peaks of a recording; none of silence, or of less than a window."""
    samples = wave.mono().resample(PEAK_RATE).samples[0]
    if len(samples) < WINDOW:
        return PeakFingerprint(np.empty(0, np.uint32), np.empty(0, np.uint32))
    frames, bins = _peaks(samples)
    fingerprint = _pairs(frames, bins)
    order = np.argsort(fingerprint.times, kind="stable")
    return PeakFingerprint(fingerprint.hashes[order], fingerprint.times[order])


def _peaks(samples: torch.Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frames and bins of the highest peaks, sorted by frame."""
    spectrum = torch.stft(samples, WINDOW, HOP, window=_window(), center=True, return_complex=True).abs()[LOWEST:HIGHEST]
    highest = spectrum[None]
    for size in ((NEIGHBOURHOOD[0], 1), (1, NEIGHBOURHOOD[1])):  # one direction after the other: 14 times less work
        highest = torch.nn.functional.max_pool2d(highest, size, 1, (size[0] // 2, size[1] // 2))
    is_peak = (spectrum == highest[0]) & (spectrum > FLOOR * spectrum.max())
    bins, frames = (index.numpy() for index in torch.nonzero(is_peak, as_tuple=True))
    strength = spectrum.numpy()[bins, frames]
    kept = _strongest(frames, strength)
    order = np.lexsort((bins[kept], frames[kept]))
    return frames[kept][order], bins[kept][order]


@lru_cache(maxsize=1)
def _window() -> torch.Tensor:
    return torch.hann_window(WINDOW)


def _strongest(frames: NDArray[np.int64], strength: NDArray[np.float32]) -> NDArray[np.int64]:
    """Indices of the PEAKS_PER_SECOND strongest peaks of each second."""
    second = frames * HOP // PEAK_RATE
    order = np.lexsort((-strength, second))
    starts = np.searchsorted(second[order], second[order])
    return order[np.arange(len(order)) - starts < PEAKS_PER_SECOND]


def _pairs(frames: NDArray[np.int64], bins: NDArray[np.int64]) -> PeakFingerprint:
    """Each peak with the PARTNERS next ones that are late enough; the time between them is rounded to 2 frames."""
    hashes, times = [], []
    first_partner = np.searchsorted(frames, frames + GAP[0])
    for offset in range(PARTNERS):
        partner = first_partner + offset
        inside = partner < len(frames)
        here, there = np.nonzero(inside)[0], partner[inside]
        near = frames[there] - frames[here] <= GAP[1]
        here, there = here[near], there[near]
        hashes.append(bins[here] << 15 | bins[there] << 6 | (frames[there] - frames[here]) >> 1)
        times.append(frames[here])
    return PeakFingerprint(np.concatenate(hashes).astype(np.uint32), np.concatenate(times).astype(np.uint32))


@dataclass(frozen=True)
class Alignment:
    """How two recordings match at the best shift. shift: seconds from the beginning of the first to that of the second.

    matches: pairs of peaks that both have. share: of the pairs that the poorer one has while both sound.
    """

    matches: int = 0
    share: float = 0.0
    shift: float = 0.0


def align(first: PeakFingerprint, second: PeakFingerprint) -> Alignment:
    """The shift in time at which most pairs of two recordings match."""
    order = np.argsort(second.hashes, kind="stable")
    hashes, times = second.hashes[order], second.times[order].astype(np.int64)
    low, high = np.searchsorted(hashes, first.hashes, "left"), np.searchsorted(hashes, first.hashes, "right")
    counts = high - low
    if not counts.sum():
        return Alignment()
    positions = np.repeat(low, counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    shifts, votes = np.unique(np.repeat(first.times.astype(np.int64), counts) - times[positions], return_counts=True)
    candidates = shifts[np.argsort(-votes, kind="stable")[:8]]
    near = [int(votes[np.abs(shifts - shift) <= TOLERANCE].sum()) for shift in candidates]
    matches, shift = max(zip(near, candidates.tolist(), strict=True))
    return Alignment(matches, matches / max(1, _poorer(first, second, shift)), shift * HOP / PEAK_RATE)


def _poorer(first: PeakFingerprint, second: PeakFingerprint, shift: int) -> int:
    """Pairs of the recording that has fewer, in the time in which both sound."""
    start, end = max(0, shift), min(int(first.times[-1]), int(second.times[-1]) + shift) if len(first) and len(second) else 0
    inside = [int(((times >= begin - TOLERANCE) & (times <= begin + end - start + TOLERANCE)).sum())
              for times, begin in ((first.times.astype(np.int64), start), (second.times.astype(np.int64), start - shift))]
    return min(inside)


# -- pictures -----------------------------------------------------------------------------------------------------------


def dhashes(picture: Image.Image) -> list[str]:
    """The difference hash of a picture and of its mirror image, 16 hex digits each; empty for a picture of one brightness."""
    fields = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), np.float32)
    if fields.std() < FLAT:
        return []
    return [_dhash(fields), _dhash(fields[:, ::-1])]


def _dhash(fields: NDArray[np.float32]) -> str:
    return np.packbits(fields[:, 1:] > fields[:, :-1]).tobytes().hex()


def hamming(first: str, second: str) -> int:
    """Bits by which two difference hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


# -- words --------------------------------------------------------------------------------------------------------------


def normalized_words(text: str) -> str:
    """The words of a text without case, accents, punctuation and spaces, by which equal captions are found."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(re.findall(r"[^\W_]+", letters))


def words_sha256(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(map(normalized_words, texts)).encode()).hexdigest()
