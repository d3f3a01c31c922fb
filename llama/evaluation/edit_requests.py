"""Requests for edits of pieces whose notes are known, and measures of what they did: the melody kept, the asked change made, all
else kept.

Some requests are fulfilled already, and must change nothing. "melody kept" and "rest kept" are of what a request leaves: outside
its bars, and all parts but its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from llama.media.edit import Edit
from llama.media.score import SCALES, TEMPI, TRACKS, Note, Score, timeline
from llama.media.score_edits import set_part

INTERVAL = 7  # semitones of a fifth
STEP = 30  # beats a minute by which a piece becomes faster or slower


@dataclass(frozen=True)
class Request:
    """A request in words, the edit that it means for a piece (None: nothing to ask of this piece), and whether it happened."""

    text: str
    edit: Callable[[Score], Edit | None]
    happened: Callable[[Score, Score], bool]
    source: Callable[[Score], Score] = lambda score: score  # what the piece is made to be before
    outside: Callable[[Score, Score], bool] | None = None  # for requests of bars, parts and lengths: whether the rest is the source's


def _tempo(sign: int) -> Callable[[Score], Edit | None]:
    def edit(score: Score) -> Edit | None:
        tempo = score.attributes.tempo + sign * STEP
        return Edit(change={"tempo": tempo}) if tempo in TEMPI else None

    return edit


def _ratio(before: Score, after: Score) -> float:
    """How many times as fast the edited piece is, by when its last melody note begins."""
    return before.lead[-1].start / after.lead[-1].start


def _is_minor(score: Score) -> bool:
    thirds = [(chord.root - score.attributes.key) % 12 == 0 and chord.quality.startswith("minor") for chord in score.chords]
    return score.attributes.mode == "minor" and any(thirds)


REQUESTS: Mapping[str, Request] = {
    "faster": Request("Make it faster", _tempo(1), lambda a, b: _ratio(a, b) > 1.1),
    "slower": Request("Make it slower", _tempo(-1), lambda a, b: _ratio(a, b) < 0.9),
    "minor": Request("Play it in minor", lambda a: Edit(change={"mode": "minor"}) if a.attributes.mode == "major" else None,
                     lambda a, b: _is_minor(b)),
    "with flute": Request("Play it on a flute", lambda a: Edit(change={"lead": "flute"}) if a.attributes.lead != "flute" else None,
                          lambda a, b: b.programs["lead"] == 73),
    "without drums": Request("Remove the drums", lambda a: Edit(change={"drums": False}) if a.drums else None, lambda a, b: not b.drums),
    "with drums": Request("Add drums", lambda a: Edit(change={"drums": True}),
                          lambda a, b: len(b.drums) >= timeline(b.attributes, b.seconds).bar_count, lambda a: set_part(a, "drums", ())),
    "up a fifth": Request("Transpose it up a fifth", lambda a: Edit(transpose=INTERVAL),
                          lambda a, b: [note.pitch + INTERVAL for note in a.lead] == [note.pitch for note in b.lead]),
    "no drums there": Request("Remove the drums", lambda a: Edit(change={"drums": False}), lambda a, b: a == b,
                              lambda a: set_part(a, "drums", ()), lambda a, b: a == b),
    "drums there": Request("Add drums", lambda a: Edit(change={"drums": True}) if a.drums else None, lambda a, b: a == b,
                           outside=lambda a, b: a == b),
    "bars 2 to 4": Request("Rewrite bars 2 to 4", lambda a: Edit(bars=(2, 4)) if bars(a) >= 4 else None,
                           lambda a, b: _inside(a, 2, 4) != _inside(b, 2, 4), outside=lambda a, b: _outside(a, 2, 4) == _outside(b, 2, 4)),
    "second half": Request("Write a new melody for the second half", lambda a: _second_half(a) if bars(a) >= 4 else None,
                           lambda a, b: _inside(a, bars(a) // 2 + 1, bars(a)) != _inside(b, bars(a) // 2 + 1, bars(a)),
                           outside=lambda a, b: _outside(a, bars(a) // 2 + 1, bars(a)) == _outside(b, bars(a) // 2 + 1, bars(a))
                           and all(a.track(name) == b.track(name) for name in TRACKS[1:])),
    "another bass": Request("Compose a new bass line", lambda a: Edit(parts=("bass",)) if a.bass else None, lambda a, b: a.bass != b.bass,
                            outside=lambda a, b: all(a.track(name) == b.track(name) for name in TRACKS if name != "bass")),
    "twice as long": Request("Make it twice as long", lambda a: Edit(bar_count=2 * bars(a)), lambda a, b: bars(b) == 2 * bars(a),
                             outside=lambda a, b: _body(a) == _body(b)[: len(_body(a))]),
    "four bars": Request("Shorten it to four bars", lambda a: Edit(bar_count=4) if bars(a) > 4 else None, lambda a, b: bars(b) == 4,
                         outside=lambda a, b: _body(b) == _body(a)[: len(_body(b))]),
}  # fmt: skip
MAY_CHANGE = {"faster": {"tempo"}, "slower": {"tempo"}, "minor": {"mode"}, "with flute": {"lead"}, "without drums": {"drums"},
              "with drums": {"drums"}, "up a fifth": {"key"}}  # fmt: skip


def bars(score: Score) -> int:
    """Number of bars before the ending."""
    return timeline(score.attributes, score.seconds).bar_count


def _second_half(score: Score) -> Edit:
    return Edit(parts=("lead",), bars=(bars(score) // 2 + 1, bars(score)))


def _is_inside(score: Score, note: Note, first: int, last: int) -> bool:
    line = timeline(score.attributes, score.seconds)
    bar = line.beat * line.metre
    return (first - 1) * bar - 1e-6 <= note.start < last * bar - 1e-6


def _inside(score: Score, first: int, last: int) -> list[Note]:
    """Melody notes that begin in bars `first` to `last`."""
    return [note for note in score.lead if _is_inside(score, note, first, last)]


def _outside(score: Score, first: int, last: int) -> list[list[Note]]:
    """Notes of all parts that begin outside bars `first` to `last`."""
    return [[note for note in score.track(name) if not _is_inside(score, note, first, last)] for name in TRACKS]


def _body(score: Score) -> list[tuple[int, ...]]:
    """Place and pitch of the melody notes before the two last bars."""
    return [(*_steps(score, note)[:1], note.pitch) for note in _inside(score, 1, max(bars(score) - 2, 1))]


def melody(score: Score) -> list[tuple[int, int, int]]:
    """(step, eighths, degree) of every note of the lead; degrees count from its first note, octaves included."""
    attributes, scale = score.attributes, SCALES[score.attributes.mode]
    intervals = [note.pitch - attributes.key for note in score.lead]
    heights = [interval // 12 * 7 + sum(step <= interval % 12 for step in scale) for interval in intervals]
    return [(*_steps(score, note), height - heights[0]) for note, height in zip(score.lead, heights, strict=True)]


def _steps(score: Score, note: Note) -> tuple[int, int]:
    """Begin and length of a note in sixths of a beat; the final chord has no length."""
    line = timeline(score.attributes, score.seconds)
    begin = round(note.start / line.beat * 6)
    return begin, 0 if note.start >= line.time(line.eighths) - 1e-6 else round(note.duration / line.beat * 6)


def rest_is_kept(name: str, before: Score, after: Score) -> bool:
    """Whether attributes, bars, and the notes of all parts but those that the request is about are the source's."""
    attributes = replace(before.attributes, **{field: getattr(after.attributes, field) for field in MAY_CHANGE[name]})
    lines = [timeline(score.attributes, score.seconds) for score in (before, after)]
    if attributes != after.attributes or (lines[0].bar_count, lines[0].tag) != (lines[1].bar_count, lines[1].tag):
        return False
    tracks = [track for track in TRACKS if track != "lead" and not (track == "drums" and "drums" in MAY_CHANGE[name])]
    return all(_events(name, track, before, INTERVAL) == _events(name, track, after, 0) for track in tracks)


def _events(name: str, track: str, score: Score, shift: int) -> list[tuple[int, ...]]:
    """Place, length, velocity and pitch of a track's notes; only the place where the mode changes pitches."""
    move = shift if name == "up a fifth" and track != "drums" else 0
    pitched = name != "minor" or track == "drums"
    size = 1 if track == "drums" else 2  # a stroke has no length
    return [(*_steps(score, note)[:size], note.velocity, note.pitch + move if pitched else 0) for note in score.track(track)]


@dataclass(frozen=True)
class Outcome:
    """What an edit did to one piece."""

    melody_kept: bool
    happened: bool
    rest_kept: bool


NOT_DONE = Outcome(False, False, False)


def judge(name: str, before: Score, after: Score) -> Outcome:
    """What the request of this name did."""
    request = REQUESTS[name]
    if request.outside is None:
        return Outcome(melody(before) == melody(after), request.happened(before, after), rest_is_kept(name, before, after))
    same = request.outside(before, after)
    return Outcome(same, request.happened(before, after), same and after.attributes == before.attributes)
