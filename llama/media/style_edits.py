"""Another style or metre for a score: the melody keeps its notes in their place in the bar, and the chords their bars.

The parts that belong to a style (accompaniment, bass and drums) are composed anew for it by a music decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from llama.media.score import GATES, TRACKS, Note, Score, Timeline, timeline
from llama.media.score_edits import CLOSE, fitting_seconds, replace_notes, score_line

SWUNG = 2 / 3  # place of a swung off-beat in its beat
SHORTEST = 0.5  # beats: notes of an adapted melody begin on eighths


def set_style(score: Score, style: str) -> Score:
    """The piece in another style: notes and chords stay, off-beats are swung or straight, and lengths are as the style plays them."""
    old, new = score.attributes, replace(score.attributes, style=style)
    if new == old:
        return score
    line, after = score_line(score), timeline(new, score.seconds)

    def moved(track: str) -> tuple[Note, ...]:
        gate = {name: GATES[name].get(track, 1.0) for name in (old.style, style)}
        written = [(note, *_written(note, line, gate[old.style])) for note in score.track(track)]
        return tuple(_played(note, track, start, stop, after, gate[style]) for note, start, stop in written)

    tracks = {name: moved(name) for name in TRACKS}
    tracks["lead"] = _without_overlaps(tracks["lead"], score.lead)
    return replace_notes(score, tracks, attributes=new)


def set_metre(score: Score, metre: int) -> Score:
    """The piece with other bars. From three beats to four each bar's last notes become longer; from four to three the second half of
    each bar is played twice as fast, and notes that then meet on one eighth are left out but for the first.

    Accompaniment, bass and drums move likewise, until they are composed anew.
    """
    old, new = score.attributes, replace(score.attributes, metre=metre)
    if new == old:
        return score
    line = score_line(score)
    seconds = fitting_seconds(line, new, line.bar_count, line.end - line.time(line.eighths), tag=min(line.tag, metre - 1))
    after, place = timeline(new, seconds), _bar_map(line, metre)

    def moved(track: str) -> tuple[Note, ...]:
        gate = GATES[old.style].get(track, 1.0)
        notes: dict[tuple[int, int], Note] = {}
        for note in score.track(track):
            start, stop = _written(note, line, gate)
            start, stop = place(start), place(stop)
            key = (round(start * 4), 0 if track == "lead" else note.pitch)
            notes.setdefault(key, _played(note, track, start, max(stop, start + SHORTEST), after, gate))
        return tuple(sorted(notes.values(), key=lambda note: (note.start, note.pitch)))

    tracks = {name: moved(name) for name in TRACKS}
    tracks["lead"] = _without_overlaps(tracks["lead"], ())
    starts = [after.beat * metre * index for index in range(len(score.chords))] + [after.end]
    chords = tuple(
        replace(chord, start=start, duration=stop - start) for chord, start, stop in zip(score.chords, starts, starts[1:], strict=False)
    )
    return replace_notes(score, tracks, attributes=new, seconds=seconds, chords=chords)


def _bar_map(line: Timeline, metre: int) -> Callable[[float], float]:
    """Where a place in the piece, in beats, is when its bars have `metre` beats."""
    final = line.eighths / 2

    def place(beats: float) -> float:
        bar, within = divmod(beats + CLOSE, line.metre)
        within = max(0.0, within - CLOSE)
        if beats >= final - CLOSE:  # the final chord
            return line.bar_count * metre + min(line.tag, metre - 1) + beats - final
        if metre < line.metre:
            return bar * metre + (within if within < 2 else 2 + int((within - 2) + CLOSE) / 2)
        return bar * metre + within

    return place


def _written(note: Note, line: Timeline, gate: float) -> tuple[float, float]:
    """Begin and end of a note in straight beats, with the length that is written for what its style plays."""
    start = _straight(note.start, line)
    return start, max(start, _straight(note.start + note.duration / gate, line))


def _played(note: Note, track: str, start: float, stop: float, line: Timeline, gate: float) -> Note:
    """A note from `start` to `stop`, in straight beats, as a style plays it; strokes keep their nominal length."""
    begin = _second(start, line)
    note, length = replace(note, start=begin), (_second(stop, line) - begin) * gate
    if track == "drums":
        return note
    return replace(note, duration=line.end - begin if begin >= line.time(line.eighths) - CLOSE else length)


def _straight(second: float, line: Timeline) -> float:
    """A time in straight beats: off-beats of swing become halves."""
    beats = second / line.beat
    whole, part = divmod(beats, 1.0)
    if not line.swing:
        return beats
    return whole + (part * 0.5 / SWUNG if part <= SWUNG else 0.5 + (part - SWUNG) * 0.5 / (1 - SWUNG))


def _second(beats: float, line: Timeline) -> float:
    """The inverse of `_straight`."""
    whole, part = divmod(beats, 1.0)
    if line.swing:
        part = part * SWUNG / 0.5 if part <= 0.5 else SWUNG + (part - 0.5) * (1 - SWUNG) / 0.5
    return (whole + part) * line.beat


def _without_overlaps(notes: Sequence[Note], source: Sequence[Note]) -> tuple[Note, ...]:
    """A melody whose notes end where the next one begins, at the latest; those that overlapped in the source may go on doing so."""
    together = [note.start + note.duration > after.start + CLOSE for note, after in zip(source, source[1:], strict=False)]
    out = list(notes)
    for index, (note, after) in enumerate(zip(notes, notes[1:], strict=False)):
        overlapped = index < len(together) and together[index]
        if not overlapped and after.start > note.start + CLOSE:
            out[index] = replace(note, duration=min(note.duration, after.start - note.start))
    return tuple(out)
