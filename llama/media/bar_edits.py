"""Exact edits of a score's length: excerpts, repeats, a number of bars, a length in seconds.

Bars are counted from 1, before the piece's ending (the tonic's return and the final chord), which every result keeps.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from llama.config import MAX_MUSIC_SECONDS
from llama.media.score import TRACKS, Note, Score, Timeline, closing_bars, timeline
from llama.media.score_edits import CLOSE, final_length, fitting_seconds, replace_notes, score_line

FORM = "AABA"


def check_bars(first: int, last: int, bar_count: int) -> None:
    """Raises ValueError for bars that the piece does not have."""
    if 1 <= first <= last <= bar_count:
        return
    allowed = f"give bars from 1 to {bar_count}"
    if last == bar_count + 1 and first >= 1:
        raise ValueError(f"Bar {last} is the ending of the piece, its final chord, which every edit keeps; {allowed}.")
    bars = f"Bar {first} is" if first == last else f"Bars {first} to {last} are"
    raise ValueError(f"{bars} not in the piece, which has {bar_count} bar{'' if bar_count == 1 else 's'} and an ending; {allowed}.")


def excerpt(score: Score, first: int, last: int) -> Score:
    """Bars `first` to `last`, followed by the piece's ending."""
    check_bars(first, last, score_line(score).bar_count)
    return arrange_bars(score, range(first - 1, last))


def repeat(score: Score, first: int, last: int, times: int) -> Score:
    """The piece with bars `first` to `last` played `times` times in their place."""
    bar_count = score_line(score).bar_count
    check_bars(first, last, bar_count)
    if times < 1:
        raise ValueError(f"The bars were to be played {times} times; give a whole number from 1.")
    return arrange_bars(score, [*range(first - 1), *[*range(first - 1, last)] * times, *range(last, bar_count)])


def play_in_order(score: Score, order: Sequence[tuple[int, int]]) -> Score:
    """The piece with these ranges of bars, (first, last) from 1, one after the other, followed by its ending."""
    bar_count = score_line(score).bar_count
    for first, last in order:
        check_bars(first, last, bar_count)
    return arrange_bars(score, [bar for first, last in order for bar in range(first - 1, last)])


def set_bar_count(score: Score, bar_count: int) -> Score:
    """The piece with so many bars before its ending, which its last bars, the cadence, lead to as before.

    A shorter piece has its first bars; a longer one goes on in the order of its form, AABA, before the cadence.
    """
    return arrange_bars(score, bar_order(score_line(score), bar_count))


def bar_order(line: Timeline, bar_count: int) -> list[int]:
    """Indices of the bars of a piece of which a piece of `bar_count` bars is made. Raises ValueError if either has none."""
    if bar_count < 1:
        raise ValueError(f"The piece was to have {bar_count} bars; give a whole number from 1.")
    if not line.bar_count:
        raise ValueError("The piece is shorter than a bar, so its number of bars cannot change; give a longer one.")
    closing = min(closing_bars(line), bar_count // 2, line.bar_count)
    body = line.bar_count - closing
    order = [index if index < body else _bar_of_form(line, index, body) for index in range(bar_count - closing)]
    return [*order, *range(body, line.bar_count)]


def _bar_of_form(line: Timeline, index: int, body: int) -> int:
    """The bar, out of the first `body`, that the form has at `index`: of the same section and place, in the same phrase if it can be."""
    phrase, place = divmod(index, line.phrase)
    section = FORM[phrase % len(FORM)]

    def distance(bar: int) -> tuple[bool, bool, bool, int]:
        other, position = divmod(bar, line.phrase)
        return (position != place, line.bars[bar].section != section, other % len(FORM) != phrase % len(FORM), bar)

    return min(range(body), key=distance, default=0)


def set_seconds(score: Score, seconds: float) -> Score:
    """The piece with the number of bars whose length is nearest to `seconds`; see `set_bar_count`."""
    return set_bar_count(score, bars_in(score, seconds))


def bars_in(score: Score, seconds: float) -> int:
    """Number of bars before the ending of the piece that is nearest to `seconds` long; at least one."""
    line = score_line(score)
    bar = line.beat * line.metre
    return max(1, line.bar_count + round((min(seconds, MAX_MUSIC_SECONDS) - score.seconds) / bar))


def arrange_bars(score: Score, order: Sequence[int]) -> Score:
    """The bars of these indices in this order, then the ending. A note ends with its bar where another one follows than did."""
    line = score_line(score)
    if list(order) == list(range(line.bar_count)):
        return score
    bar, ending = line.beat * line.metre, line.bar_count * line.beat * line.metre
    seconds = fitting_seconds(line, score.attributes, len(order), line.end - line.time(line.eighths))
    following = [*order[1:], line.bar_count]

    def moved(track: str) -> tuple[Note, ...]:
        source, notes = sorted(score.track(track), key=attrgetter("start")), list[Note]()
        for place, (index, after) in enumerate(zip(order, following, strict=True)):
            for note in _between(source, index * bar, (index + 1) * bar):
                room = (index + 1) * bar - note.start if after != index + 1 else math.inf
                notes.append(replace(note, start=note.start + (place - index) * bar, duration=min(note.duration, room)))
        shift = (len(order) - line.bar_count) * bar
        end = timeline(score.attributes, seconds).end - shift
        for note in _between(source, ending, math.inf):
            length = final_length(note, track, line, note.duration, end - note.start)
            notes.append(replace(note, start=note.start + shift, duration=length))
        return tuple(notes)

    chords = [replace(score.chords[index], start=score.chords[index].start + (place - index) * bar) for place, index in enumerate(order)]
    final = replace(score.chords[-1], start=len(order) * bar, duration=timeline(score.attributes, seconds).end - len(order) * bar)
    tracks = {name: moved(name) for name in TRACKS}
    return replace_notes(score, tracks, seconds=seconds, chords=(*chords, final))


def _between(notes: Sequence[Note], start: float, stop: float) -> Sequence[Note]:
    """Notes that begin in this span of time, out of notes in the order of their begin."""
    first, end = (bisect_left(notes, time - CLOSE, key=attrgetter("start")) for time in (start, stop))
    return notes[first:end]
