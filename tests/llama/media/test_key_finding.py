"""Keys by notes and by signatures."""

from __future__ import annotations

import numpy as np
import pytest

from llama.media.key_finding import in_scale, mode_of_chroma, signature_key


def test_mode_of_chroma() -> None:
    scale = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
    for mode, steps in scale.items():
        for tonic in (0, 7, 10):
            chroma = np.zeros(12)
            chroma[[(tonic + step) % 12 for step in steps]] = 1
            chroma[[tonic, (tonic + 7) % 12]] += 1
            chroma[(tonic + (4 if mode == "major" else 3)) % 12] += 1
            assert mode_of_chroma(chroma) == (tonic, mode)
    with pytest.raises(ValueError, match="twelve"):
        mode_of_chroma([1.0] * 24)


@pytest.mark.parametrize(
    ("fifths", "mode", "key"), [(0, "major", 0), (0, "minor", 9), (1, "major", 7), (-3, "minor", 0), (6, "major", 6), (-7, "major", 11)]
)
def test_signatures(fifths: int, mode: str, key: int) -> None:
    assert signature_key(fifths, mode) == key


def test_minor_has_a_raised_sixth_and_seventh() -> None:
    chroma = np.zeros(12)
    chroma[[9, 0, 4, 8]] = 1
    assert in_scale(chroma, 9, "minor") == 1.0 and in_scale(chroma, 0, "major") == 0.75
    assert in_scale(np.zeros(12), 0, "major") == 1.0
