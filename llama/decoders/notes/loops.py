"""Loops: bars of a piece played over and over, of which one time is cut out that begins with what rings on from its end."""

from __future__ import annotations

from dataclasses import replace

from llama.decoders.notes.mixer import SAMPLE_RATE
from llama.media.bar_edits import check_bars
from llama.media.score import TRACKS, Note, Score
from llama.media.score_edits import CLOSE, score_line

RINGING = 3.0  # seconds after which no released note, nor its room, is heard


def loop_samples(score: Score, first: int, last: int) -> int:
    """Length in samples of bars `first` to `last`, from 1. Raises ValueError for bars that the piece does not have."""
    line = score_line(score)
    check_bars(first, last, line.bar_count)
    return round((last - first + 1) * line.metre * line.beat * SAMPLE_RATE)


def unrolled(score: Score, first: int, last: int) -> tuple[Score, int]:
    """The bars so often that nothing of the silence before them is heard in the last time but one, and the sample where that begins.

    Notes end with the bars at the latest.
    """
    line, length = score_line(score), loop_samples(score, first, last)
    begin = (first - 1) * line.metre * line.beat
    seconds = length / SAMPLE_RATE
    before = int(RINGING / seconds) + 1

    def repeated(track: str) -> tuple[Note, ...]:
        notes = [note for note in score.track(track) if begin - CLOSE <= note.start < begin + seconds - CLOSE]
        inside = [(max(note.start - begin, 0.0), note) for note in notes]
        return tuple(
            replace(note, start=start + time * seconds, duration=min(note.duration, seconds - start))
            for time in range(before + 2) for start, note in inside
        )

    tracks = {track: repeated(track) for track in TRACKS}
    return Score(score.attributes, (before + 2) * seconds, chords=score.chords[first - 1 : last], **tracks), before * length
