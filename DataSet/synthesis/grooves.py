"""Accompaniment and drum patterns of each style: one character per eighth note, readable like a tracker line.

Accompaniment: `x` all voices, `X` accented, `u` upper voices, `1`..`4` one voice from below, `-` hold, `.` rest.
Bass: `R` accented root, `r` root, `5` fifth, `8` octave, `3` third, `6` sixth, `l` lower fifth, `-` hold, `.` rest.
Drums: kick, snare / clap and cymbal lines; `x` strikes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Groove:
    accompaniment: str
    bass: str
    kick: str
    snare: str
    hat: str
    backbeat: int = 38  # General MIDI key of the snare line
    cymbal: int = 42  # of the hat line; section B plays the ride instead
    offbeat: str = ""  # open hats


GROOVES: Mapping[tuple[str, int], tuple[Groove, ...]] = {
    ("ballad", 4): (
        Groove("12324232", "R---5---", "x...x...", "..x...x.", "xxxxxxxx"),
        Groove("X---u---", "R---r---", "x....x..", "....x...", "x.x.x.x."),
        Groove("1-2-3-2-", "R-----5-", "x...x...", "....x...", "xxxxxxxx"),
    ),
    ("ballad", 3): (
        Groove("123232", "R---5-", "x.....", "....x.", "xxxxxx"),
        Groove("1-u-u-", "R-----", "x.....", "..x...", "x.x.x."),
    ),
    ("rock", 4): (
        Groove("X..xx.x.", "Rrrrrrrr", "x...x...", "..x...x.", "xxxxxxxx"),
        Groove("X.xx.xx.", "Rrr.rrr5", "x....x..", "..x...x.", "xxxxxxxx"),
        Groove("X-x-X-xx", "R.rrR.r8", "x.x..x..", "..x...x.", "x.x.x.x."),
    ),
    ("rock", 3): (
        Groove("X.x.xx", "Rrrrrr", "x.....", "....x.", "xxxxxx"),
        Groove("X-xxx.", "R.rr5.", "x..x..", "..x.x.", "x.x.x."),
    ),
    ("dance", 4): (
        Groove(".X.X.X.X", "R8r8R8r8", "x.x.x.x.", "..x...x.", "........", 39, 42, ".x.x.x.x"),
        Groove("X..X..X.", ".R.r.R.r", "x.x.x.x.", "..x...x.", "xxxxxxxx", 39, 42, "........"),
        Groove("XxX.xX.x", "R.rR.rR.", "x.x.x.x.", "..x...x.", "x.x.x.x.", 39, 42, ".x.x.x.x"),
    ),
    ("dance", 3): (
        Groove(".X.X.X", "R8r8r8", "x.x.x.", "..x...", "......", 39, 42, ".x.x.x"),
        Groove("X..X.x", "R.rr.r", "x.x.x.", "....x.", "xxxxxx", 39, 42, "......"),
    ),
    ("waltz", 3): (
        Groove("..x.x.", "R-----", "x.....", "..x.x.", "......"),
        Groove("..u.u.", "R---5-", "x.....", "......", "..x.x."),
        Groove("1.x.x.", "R-3-5-", "x.....", "....x.", "x.x.x."),
    ),
    ("waltz", 4): (
        Groove("..x...x.", "R---5---", "x...x...", "..x...x.", "........"),
        Groove("1.u.1.u.", "R---l---", "x.......", "......x.", "x.x.x.x."),
    ),
    ("swing", 4): (
        Groove("x..x....", "R-3-5-6-", "x.......", "........", "x.xxx.xx", 38, 51),
        Groove("..x..x..", "R-5-8-5-", "x...x...", "..x...x.", "x.xxx.xx", 38, 51),
        Groove("...x..x.", "R-3-5-3-", "x.......", ".......x", "x.xxx.xx", 38, 51),
    ),
    ("swing", 3): (
        Groove("x..x..", "R-3-5-", "x.....", "......", "x.xxx.", 38, 51),
        Groove("..x..x", "R---5-", "x.....", "....x.", "x.xxxx", 38, 51),
    ),
    ("ambient", 4): (
        Groove("X-------", "R-------", "x.......", "........", "..x...x.", 38, 51),
        Groove("1-3-4-3-", "R-------", "x...x...", "........", "x...x...", 38, 51),
        Groove("X---x---", "R---l---", "x.......", "....x...", "x.x.x.x.", 38, 42),
    ),
    ("ambient", 3): (
        Groove("X-----", "R-----", "x.....", "......", "..x...", 38, 51),
        Groove("1-3-2-", "R-----", "x.....", "....x.", "x.x.x.", 38, 42),
    ),
}

FILLS: Mapping[int, tuple[str, ...]] = {4: ("....xxxx", "......xx", "...x.xxx"), 3: ("..xxxx", "....xx", "...xxx")}

# Melodic rhythms of a bar in eighths; a negative number rests.
CELLS: Mapping[tuple[str, int], tuple[tuple[int, ...], ...]] = {
    ("ballad", 4): ((4, 2, 2), (3, 1, 4), (2, 2, 4), (2, 1, 1, 4), (6, 2), (3, 1, 2, 2), (-2, 2, 2, 2)),
    ("rock", 4): ((2, 1, 1, 2, 2), (1, 1, 2, 1, 1, 2), (3, 3, 2), (-1, 1, 1, 1, 2, 2), (1, 1, 1, 1, 4), (2, 2, 1, 1, 2)),
    ("dance", 4): ((1, 1, 2, 1, 1, 2), (3, 3, 2), (1, 2, 1, 2, 2), (1, 1, 1, 1, 2, 2), (2, 1, 1, 1, 1, 2), (-1, 2, 1, 2, 2)),
    ("waltz", 4): ((4, 2, 2), (3, 1, 2, 2), (2, 2, 4), (2, 2, 2, 2)),
    ("swing", 4): ((3, 1, 1, 3), (2, 1, 1, 1, 3), (1, 1, 1, 1, 4), (-1, 1, 1, 1, 3, 1), (3, 3, 2), (2, 1, 1, 2, 1, 1)),
    ("ambient", 4): ((8,), (4, 4), (6, 2), (-2, 6), (3, 5), (-4, 4)),
    ("ballad", 3): ((4, 2), (3, 1, 2), (2, 2, 2), (2, 4), (2, 1, 1, 2)),
    ("rock", 3): ((2, 1, 1, 2), (1, 1, 1, 1, 2), (3, 3), (1, 1, 2, 2)),
    ("dance", 3): ((1, 1, 1, 1, 2), (3, 3), (2, 1, 1, 2), (1, 2, 1, 2)),
    ("waltz", 3): ((4, 2), (2, 2, 2), (3, 1, 2), (4, 1, 1), (2, 1, 1, 2), (1, 1, 2, 2)),
    ("swing", 3): ((3, 1, 2), (2, 1, 1, 2), (1, 1, 4), (3, 3), (1, 1, 1, 1, 2)),
    ("ambient", 3): ((6,), (4, 2), (-2, 4), (3, 3)),
}
# Halves of a bar (of three beats: two beats and one), any of which go together.
_EVEN: tuple[tuple[int, ...], ...] = ((4,), (2, 2), (3, 1), (2, 1, 1), (1, 1, 2), (1, 1, 1, 1))
_PUSHED: tuple[tuple[int, ...], ...] = ((2, 2), (1, 1, 2), (2, 1, 1), (1, 2, 1), (1, 1, 1, 1), (-1, 1, 1, 1), (1, 1, -1, 1), (3, 1))
_BEAT: tuple[tuple[int, ...], ...] = ((2,), (1, 1))
HALVES: Mapping[tuple[str, int], tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]] = {
    ("ballad", 4): (_EVEN, _EVEN), ("ballad", 3): (_EVEN, _BEAT), ("rock", 4): (_PUSHED, _PUSHED), ("rock", 3): (_PUSHED, _BEAT),
    ("dance", 4): (_PUSHED, _PUSHED), ("dance", 3): (_PUSHED, _BEAT), ("waltz", 4): (_EVEN, _EVEN), ("waltz", 3): (_EVEN, _BEAT),
    ("swing", 4): (_PUSHED, _PUSHED), ("swing", 3): (_PUSHED, _BEAT), ("ambient", 4): (_EVEN[:5], _EVEN[:4]),
    ("ambient", 3): (_EVEN[:4], _BEAT),
}
PACES: Mapping[str, float] = {  # melody notes a second that a style likes
    "ballad": 2.4, "rock": 3.5, "dance": 3.8, "waltz": 3.5, "swing": 3.9, "ambient": 1.6,
}
CLOSES: Mapping[int, tuple[tuple[int, ...], ...]] = {  # the last bar of a phrase: a long note, and perhaps an upbeat after it
    4: ((2, 2, 4), (2, 6), (1, 1, 6), (1, 1, 2, 4), (2, 1, 1, 4), (1, 1, 1, 1, 4), (1, 1, 4, 1, 1), (2, 4, 1, 1), (1, 1, 1, 3, 1, 1), (4, -2, 1, 1)),
    3: ((2, 4), (1, 1, 4), (1, 1, 3, 1), (2, 3, 1), (4, 1, 1), (1, 1, 2, 1, 1)),
}

PROGRESSIONS: Mapping[str, tuple[tuple[int, ...], ...]] = {  # scale degrees, a bar each; sections A then differ from B
    "major": ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 1, 4, 0), (0, 2, 3, 4), (0, 3, 0, 4), (0, 5, 1, 4), (0, 3, 5, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 4), (0, 5, 3, 4), (0, 3, 5, 4), (0, 2, 5, 4), (0, 3, 6, 2), (0, 0, 3, 4)),
}
BRIDGES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "major": ((3, 0, 1, 4), (5, 3, 0, 4), (3, 4, 2, 5), (1, 4, 0, 4), (5, 2, 3, 4), (3, 3, 0, 4)),
    "minor": ((3, 0, 3, 4), (5, 6, 0, 4), (2, 6, 3, 4), (3, 6, 2, 4), (5, 2, 3, 4), (6, 5, 3, 4)),
}
TRIADS: Mapping[str, tuple[str, ...]] = {
    "major": ("major", "minor", "minor", "major", "major", "minor", "diminished"),
    "minor": ("minor", "diminished", "major", "minor", "major", "major", "major"),  # the dominant is raised
}
SEVENTHS: Mapping[str, tuple[str, ...]] = {
    "major": ("major7", "minor7", "minor7", "major7", "dominant7", "minor7", "diminished"),
    "minor": ("minor7", "diminished", "major7", "minor7", "dominant7", "major7", "dominant7"),
}
TEMPO_RANGE: Mapping[str, tuple[int, int]] = {
    "ballad": (60, 100), "rock": (96, 170), "dance": (104, 150), "waltz": (84, 180), "swing": (100, 180), "ambient": (60, 96),
}
