"""The style of a score whose file names none: by its metre, its drums, its bass and how long its notes are.

It decides how parts that are composed for the piece are played, and which bass is heard; notes do not depend on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

KICKS = (35, 36)
SYNTHESIZER_BASSES = (38, 39)
PADS = range(88, 104)
SWUNG = (0.6, 0.72)  # place of a swung off-beat in its beat
OFF_BEATS = 8  # so many are needed to tell
LONG = 2.0  # beats: mean length of the notes of ambient music


def find_style(
    metre: int, drums: Sequence[tuple[float, int]], begins: NDArray[np.float64], lengths: NDArray[np.float64], programs: Sequence[int]
) -> str:
    """The style of a piece.

    drums: begin in beats and key of each stroke. begins, lengths: of the other notes [n], in beats. programs: of their parts.
    """
    if metre == 3:
        return "waltz"
    if is_swung(np.concatenate([begins, [start for start, _ in drums]])):
        return "swing"
    if drums:
        beats = max(start for start, _ in drums) + 1
        kicks = {round(start) for start, key in drums if key in KICKS and abs(start - round(start)) < 0.1}
        steady = len(kicks) > 0.8 * beats
        return "dance" if steady or set(programs) & {*SYNTHESIZER_BASSES} else "rock"
    long = len(lengths) > 0 and float(lengths.mean()) >= LONG
    return "ambient" if long or programs and sum(program in PADS for program in programs) * 2 > len(programs) else "ballad"


def is_swung(begins: NDArray[np.float64]) -> bool:
    """Whether most notes off the beat begin after two thirds of it."""
    places = begins % 1.0
    off = places[(places > 0.2) & (places < 0.9)]
    swung = (off > SWUNG[0]) & (off < SWUNG[1])
    return len(off) >= OFF_BEATS and float(swung.mean()) > 0.6
