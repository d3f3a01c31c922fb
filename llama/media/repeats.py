"""The order in which the bars of a score are played: repeats and first and second endings written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Barlines:
    """What the bar lines of a bar say. forward: a repeat begins here; backward: how often the music up to here is played, 0 where no
    repeat ends; ending: the numbers of the ending that begins here; ends: an ending ends here."""

    forward: bool = False
    backward: int = 0
    ending: tuple[int, ...] = ()
    ends: bool = False


def play_order(bars: Sequence[Barlines], limit: int) -> list[int]:
    """Indices of the bars as they are played, at most `limit`: what follows is left out."""
    endings = _endings(bars)
    order, index, first, time = list[int](), 0, 0, 1
    while index < len(bars) and len(order) < limit:
        bar, ending = bars[index], endings.get(index)
        if bar.forward and index != first:
            first, time = index, 1
        if ending and index == ending.start and time not in ending.numbers:
            index = ending.stop
            if not (index in endings and endings[index].start == index):  # the endings are over
                first, time = index, 1
            continue
        order.append(index)
        again = _goes_back(ending, endings, time) if ending else time < bar.backward
        if bar.backward and again:
            index, time = first, time + 1
            continue
        if bar.backward or ending and index == ending.stop - 1 and ending.stop not in endings:
            first, time = index + 1, 1
        index += 1
    return order


@dataclass(frozen=True)
class _Ending:
    """Bars from `start` up to `stop`, which is not in it, that are played at these times."""

    start: int
    stop: int
    numbers: tuple[int, ...]


def _endings(bars: Sequence[Barlines]) -> dict[int, _Ending]:
    """The ending in which a bar lies. One without an end stops at the next repeat sign or ending, or else is one bar."""
    found: dict[int, _Ending] = {}
    for start, bar in enumerate(bars):
        if bar.ending:
            later = range(start + 1, len(bars) + 1)
            stop = next((stop for stop in later if _closes(bars, stop)), start + 1)
            found |= dict.fromkeys(range(start, stop), _Ending(start, stop, bar.ending))
    return found


def _closes(bars: Sequence[Barlines], stop: int) -> bool:
    """Whether the bar line before `stop` ends an ending."""
    before, after = bars[stop - 1], bars[stop] if stop < len(bars) else Barlines()
    return before.ends or before.backward > 0 or bool(after.ending) or after.forward


def _goes_back(ending: _Ending, endings: Mapping[int, _Ending], time: int) -> bool:
    """Whether the repeat sign at the end of an ending is followed: there is an ending for the next time, or none is marked."""
    later = endings.get(ending.stop)
    return time + 1 in (*ending.numbers, *(later.numbers if later else ())) or 1 in ending.numbers and later is None
