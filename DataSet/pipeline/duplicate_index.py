"""Index of fingerprints in which the near copies of millions of items are found with bounded memory.

Sound: items that share rare keys are candidates, and each candidate pair is aligned in time. A key joins two pairs of peaks that begin at
one peak (39 bits), so that chance agreement is rare in a large set. Pictures: two hashes of 64 bits that differ by at most six agree in
one of seven parts, so only hashes that share a part are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from DataSet.pipeline.fingerprints import DHASH_BITS, Alignment, PeakFingerprint, align

KEY_SAMPLE = 2  # of so many keys one is indexed, the same ones in every item
PARTNER_BITS = 15  # of a hash that follow those of the first frequency
LEAST_KEYS = 3  # common keys of a candidate pair
ALL_PAIRS = 32  # items that share a key and are all paired; of more, each is paired with the next and with the first
KEYS_AT_ONCE = 16_000_000  # of a pass: 400 MB while they are sorted
ITEM_BITS = 24  # of a sorted number, below the 40 bits of its key
SHIFT = np.uint64(32)
MIXER = np.uint64(0x9E3779B97F4A7C15)  # spreads keys evenly over the passes

Fingerprints = Callable[[], Iterable[tuple[int, PeakFingerprint]]]  # (number of the item, its fingerprint); called once a pass
Pairs = NDArray[np.uint64]  # first item << 32 | second item, the first below the second


def fingerprint_keys(fingerprint: PeakFingerprint) -> NDArray[np.uint64]:
    """Distinct sampled keys of a recording, of 40 bits: for each peak, every two of the pairs that begin at it."""
    anchors = fingerprint.times.astype(np.uint64) << 32 | fingerprint.hashes >> PARTNER_BITS
    order = np.lexsort((fingerprint.hashes, anchors))
    anchors, hashes = anchors[order], fingerprint.hashes[order].astype(np.uint64)
    keys = [hashes[:-step] << PARTNER_BITS | hashes[step:] & (1 << PARTNER_BITS) - 1 for step in (1, 2, 3) if len(hashes) > step]
    same = [anchors[:-step] == anchors[step:] for step in (1, 2, 3) if len(hashes) > step]
    if not keys:
        return np.empty(0, np.uint64)
    mixed = np.concatenate([key[inside] for key, inside in zip(keys, same, strict=True)]) * MIXER >> np.uint64(ITEM_BITS)
    return np.unique(mixed[mixed % np.uint64(KEY_SAMPLE) == 0])


def candidate_pairs(fingerprints: Fingerprints, keys_at_once: int = KEYS_AT_ONCE) -> Pairs:
    """Pairs of items with LEAST_KEYS common keys. The keys are sorted in passes of `keys_at_once`, whatever the size of the set."""
    total = sum(len(fingerprint_keys(fingerprint)) for _, fingerprint in fingerprints())
    passes = max(1, -(-total // keys_at_once))
    found, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    for number in range(passes):
        pairs, votes = np.unique(_pairs_of_pass(fingerprints, number, passes), return_counts=True)
        found, counts = _summed(np.concatenate([found, pairs]), np.concatenate([counts, votes]))
    return found[counts >= LEAST_KEYS]


def _pairs_of_pass(fingerprints: Fingerprints, number: int, passes: int) -> Pairs:
    parts = [np.empty(0, np.uint64)]
    for item, fingerprint in fingerprints():
        if item >> ITEM_BITS:
            raise ValueError(f"The set has more than {1 << ITEM_BITS} items, the limit of one search for copies; divide it.")
        keys = fingerprint_keys(fingerprint)
        parts.append(keys[keys // np.uint64(KEY_SAMPLE) % np.uint64(passes) == number] << np.uint64(ITEM_BITS) | np.uint64(item))
    numbers = np.concatenate(parts)
    del parts
    numbers.sort()
    numbers = _repeated(numbers)
    edges = np.flatnonzero(numbers[1:] >> np.uint64(ITEM_BITS) != numbers[:-1] >> np.uint64(ITEM_BITS)) + 1
    return _pairs_of_runs(numbers & np.uint64((1 << ITEM_BITS) - 1), np.concatenate([[0], edges]), np.concatenate([edges, [len(numbers)]]))


def _repeated(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The sorted numbers whose key stands beside an equal one: few, which the rest of the work then takes."""
    keys = numbers >> np.uint64(ITEM_BITS)
    same = keys[1:] == keys[:-1]
    kept = np.zeros(len(numbers), bool)
    kept[1:] |= same
    kept[:-1] |= same
    return numbers[kept]


def _pairs_of_runs(owners: NDArray[np.uint64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Pairs:
    """Pairs of the items of each run of equal keys."""
    sizes = ends - starts
    result: list[Pairs] = [np.empty(0, np.uint64)]
    for size in np.unique(sizes[(sizes > 1) & (sizes <= ALL_PAIRS)]):
        rows = owners[starts[sizes == size][:, None] + np.arange(size)]
        result += [rows[:, first] << SHIFT | rows[:, second] for first, second in combinations(range(size), 2)]
    for start, end in zip(starts[sizes > ALL_PAIRS], ends[sizes > ALL_PAIRS], strict=True):
        run = owners[start:end]
        result += [run[:-1] << SHIFT | run[1:], run[0] << SHIFT | run[1:]]
    return np.concatenate(result)


def _summed(pairs: Pairs, counts: NDArray[np.int64]) -> tuple[Pairs, NDArray[np.int64]]:
    distinct, places = np.unique(pairs, return_inverse=True)
    return distinct, np.bincount(places, counts, len(distinct)).astype(np.int64)


def split_pairs(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip((pairs >> 32).tolist(), (pairs & 0xFFFFFFFF).tolist(), strict=True))


def aligned_pairs(fingerprints: Fingerprints) -> Iterator[tuple[int, int, Alignment]]:
    """The candidate pairs with their alignment; only the fingerprints of candidates are held."""
    pairs = split_pairs(candidate_pairs(fingerprints))
    needed = {item for pair in pairs for item in pair}
    held = {item: fingerprint for item, fingerprint in fingerprints() if item in needed} if needed else {}
    for first, second in pairs:
        yield first, second, align(held[first], held[second])


def similar_hashes(hashes: NDArray[np.uint64], most: int) -> Iterator[tuple[int, int, int]]:
    """Pairs of rows of `hashes` [N] that differ by at most `most` bits: (row, row, bits)."""
    widths = np.diff(np.linspace(0, DHASH_BITS, most + 2).round().astype(int)).tolist()
    seen, low = set[tuple[int, int]](), 0
    for width in widths:
        part = hashes >> np.uint64(low) & np.uint64((1 << width) - 1)
        low += width
        order = np.argsort(part, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            for first, second, bits in _close_rows(hashes, np.sort(rows), most):
                if (first, second) not in seen:
                    seen.add((first, second))
                    yield first, second, bits


def _close_rows(hashes: NDArray[np.uint64], rows: NDArray[np.int64], most: int) -> Iterator[tuple[int, int, int]]:
    for place, row in enumerate(rows[:-1]):
        later = rows[place + 1 :]
        bits = np.bitwise_count(hashes[later] ^ hashes[row])
        for other in np.flatnonzero(bits <= most):
            yield int(row), int(later[other]), int(bits[other])
