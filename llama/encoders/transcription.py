"""Transcription: from what the transcriber hears in a recording to a score on the grid of its beats.

Onsets are peaks of the activations, placed on eighths (swung ones where the music swings) or, where they are clearly between
those, on sixteenths and triplets. Melody and bass have one note at a time. A score begins at bar 1: what the recording has
before it is left out, and `Transcription` says how long that is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from llama.config import MAX_MUSIC_SECONDS
from llama.encoders.beat_grid import BeatGrid, find_grid
from llama.encoders.transcriber import ATTRIBUTES, PARTS, Activations, Transcriber
from llama.media.audio import Waveform
from llama.media.score import (
    DRUM_VELOCITY,
    DRUMS,
    ENDING_REST,
    GATES,
    QUALITIES,
    SCALES,
    STYLES,
    Attributes,
    Chord,
    Note,
    Score,
    timeline,
)
from llama.media.score_edits import fitting_seconds

Floats = NDArray[np.float64]

MIN_SECONDS = 3.0  # a shorter recording holds no bar that could be told
MIN_LEVEL = 1e-4  # of full scale: quieter recordings are silence (-80 dB)
MIN_NOTES = 4
ONSET, DRUM_ONSET = {"lead": 0.55, "bass": 0.65, "accompaniment": 0.5}, 0.4  # activations from which there is an onset
SOUNDING = 0.3  # activation below which a note has ended
RELEASED = 3  # frames that it stays below
STRAIGHT = {0.0: 0.0, 0.5: 0.0, 0.25: 0.012, 0.75: 0.012, 1 / 3: 0.02, 2 / 3: 0.02}  # place in the beat -> seconds of penalty
SWUNG = {0.0: 0.0, 2 / 3: 0.0, 1 / 3: 0.012, 5 / 6: 0.02, 0.5: 0.03}
SPREAD = 0.025  # seconds, standard deviation of an onset's place
MIN_STROKES = 1.6  # drum strokes a bar, by the sum of their activations; fewer are no drums
CLOSED_HAT, OPEN_HAT, RIDE = 42, 46, 51
LATE = 0.07  # beats by which the release of a note is heard late
VELOCITY = {"lead": (106, 92), "accompaniment": (82, 66), "bass": (92, 80)}  # on a bar's first beat, elsewhere
KEY_WEIGHT = 0.25  # of a note in or out of the scale, beside the network's own opinion of the key


@dataclass(frozen=True)
class Onset:
    """seconds, duration: in the recording. pitch: MIDI, or General MIDI percussion key. weight: the activation."""

    seconds: float
    pitch: int
    weight: float
    duration: float = 0.1


@dataclass(frozen=True)
class Transcription:
    """A score, and the second of the recording at which its first bar begins (negative if it began before the recording)."""

    score: Score
    first_bar: float

    def seconds(self, note: Note) -> float:
        """The second of the recording at which a note begins."""
        return self.first_bar + note.start


def transcribe(transcriber: Transcriber | None, wave: Waveform) -> Transcription:
    """Transcribes a recording. transcriber: a model's, which may have none.

    Raises ValueError for a model without one, silence, a recording that is too short or too long, and one without notes.
    """
    if transcriber is None:
        raise ValueError("This model has no transcriber, so it cannot write down a recording; load one that has, such as ckpts/nano.")
    if wave.seconds < MIN_SECONDS:
        allowed = f"give one of {MIN_SECONDS:g} seconds or more"
        raise ValueError(f"The recording lasts {wave.seconds:.1f} seconds, which is too short to tell its bars; {allowed}.")
    if wave.seconds > MAX_MUSIC_SECONDS:
        allowed = f"at most {MAX_MUSIC_SECONDS:g} are written down, so give a part of it"
        raise ValueError(f"The recording lasts {wave.seconds:.0f} seconds; {allowed}.")
    if float(wave.samples.abs().max()) < MIN_LEVEL:
        raise ValueError("I hear no notes in this recording: it is silent; give one with music.")
    return score_of(transcriber.listen(wave))


def score_of(heard: Activations) -> Transcription:
    """The score of the transcribed notes, chords and beats. Raises ValueError where there are too few notes."""
    onsets = {part: _onsets(heard, part) for part in PARTS}
    onsets["drums"] = _strokes(heard)
    pitched = [onset for part in PARTS for onset in onsets[part]]
    if len(pitched) < MIN_NOTES:
        raise ValueError("I hear no notes in this recording; give one with music.")
    everything = sorted(onset.seconds for part in onsets for onset in onsets[part])
    grid = find_grid(heard.beats.double().numpy(), heard.frame_rate, np.array(everything))
    style, swing = _style(heard, grid, pitched)
    places = SWUNG if swing else STRAIGHT
    tracks = {part: _on_grid(found, grid, places) for part, found in onsets.items()}
    for part in ("lead", "bass"):
        tracks[part] = _one_at_a_time(tracks[part])
    tracks["drums"] = _one_cymbal(tracks["drums"], grid.metre)
    return _assemble(heard, grid, style, tracks)


# -- onsets -------------------------------------------------------------------------------------------------------


def _peaks(line: Floats, threshold: float) -> list[tuple[float, float]]:
    """(frame, height) of the local maxima of an activation [T] from `threshold` on; frames between two by a parabola."""
    padded = np.pad(line, 1)
    middle = padded[1:-1]
    found = np.nonzero((middle >= threshold) & (middle > padded[:-2]) & (middle >= padded[2:]))[0]
    peaks = list[tuple[float, float]]()
    for frame in found:
        before, height, after = (float(value) for value in padded[frame : frame + 3])
        bend = before - 2 * height + after
        shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
        peaks.append((int(frame) + max(-0.5, min(0.5, shift)), height))
    return peaks


def _onsets(heard: Activations, part: str) -> list[Onset]:
    number, rate = PARTS.index(part), heard.frame_rate
    onsets, sounding = heard.onsets[number].double().numpy(), heard.sounding[number].numpy()
    found = []
    for pitch in np.nonzero(onsets.max(0) >= ONSET[part])[0]:
        peaks = _peaks(onsets[:, pitch], ONSET[part])
        ends = [frame for frame, _ in peaks[1:]] + [float(len(onsets))]
        for (frame, height), following in zip(peaks, ends, strict=True):
            end = _release(sounding[:, pitch], round(frame) + 2, int(following))
            found.append(Onset(frame / rate, int(pitch) + heard.lowest, height, max(end - frame, 2.0) / rate))
    return sorted(found, key=lambda onset: (onset.seconds, onset.pitch))


def _release(sounding: NDArray[np.float32], first: int, last: int) -> int:
    """The frame at which a note has ended: the first of RELEASED quiet ones."""
    quiet = 0
    for frame in range(first, last):
        quiet = quiet + 1 if sounding[frame] < SOUNDING else 0
        if quiet == RELEASED:
            return frame - RELEASED + 1
    return last


def _strokes(heard: Activations) -> list[Onset]:
    lines, found = heard.drums.double().numpy(), list[Onset]()
    for column, key in enumerate(DRUMS):
        found += [Onset(frame / heard.frame_rate, key, height) for frame, height in _peaks(lines[:, column], DRUM_ONSET)]
    return sorted(found, key=lambda onset: (onset.seconds, onset.pitch))


# -- the grid -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GridNote:
    """An onset on the grid: begin and length in beats from bar 1."""

    begin: float
    length: float
    pitch: int
    weight: float


def _style(heard: Activations, grid: BeatGrid, onsets: Sequence[Onset]) -> tuple[str, bool]:
    """The style, and whether it swings: what the network says of the whole, and where the onsets between beats lie."""
    shares = np.array([grid.beats(onset.seconds) % 1 for onset in onsets])
    between = shares[(shares > 0.4) & (shares < 0.77)] * grid.beat

    def fits(place: float) -> float:
        return float(-np.minimum(((between - place * grid.beat) / SPREAD) ** 2 / 2, 4.0).sum())

    likelihood = {False: fits(0.5), True: fits(2 / 3)}
    opinions = {style: float(heard.attributes["style"][index]) + likelihood[style == "swing"] for index, style in enumerate(STYLES)}
    best = max(opinions, key=opinions.__getitem__)
    return best, best == "swing"


def _snap(beats: float, beat: float, places: dict[float, float]) -> float:
    """The nearest place of the grid, in beats; finer places must be nearer by their penalty. beat: seconds."""
    whole = math.floor(beats)
    choices = [(abs(beats - whole - place) * beat + penalty, whole + place) for place, penalty in places.items()]
    return min([*choices, (abs(beats - whole - 1) * beat, whole + 1.0)])[1]


def _on_grid(onsets: Sequence[Onset], grid: BeatGrid, places: dict[float, float]) -> list[GridNote]:
    """Onsets on the grid; two of one pitch that fall together become one."""
    placed: dict[tuple[float, int], GridNote] = {}
    for onset in onsets:
        begin = _snap(grid.beats(onset.seconds), grid.beat, places)
        note = GridNote(begin, onset.duration / grid.beat, onset.pitch, onset.weight)
        if begin >= 0 and ((begin, onset.pitch) not in placed or placed[begin, onset.pitch].weight < note.weight):
            placed[begin, onset.pitch] = note
    return sorted(placed.values(), key=lambda note: (note.begin, note.pitch))


def _one_at_a_time(notes: Sequence[GridNote]) -> list[GridNote]:
    """The likeliest note of each place, none longer than to the next."""
    best: dict[float, GridNote] = {}
    for note in notes:
        if note.begin not in best or best[note.begin].weight < note.weight:
            best[note.begin] = note
    line = sorted(best.values(), key=lambda note: note.begin)
    rooms = [after.begin - note.begin for note, after in pairwise(line)] + [math.inf]
    return [replace(note, length=min(note.length, room)) for note, room in zip(line, rooms, strict=False)]


def _one_cymbal(strokes: Sequence[GridNote], metre: int) -> list[GridNote]:
    """One of closed hat, open hat and ride at a place, and either closed hat or ride in a bar: they sound alike, and a hand plays one."""
    hands, rest = [[stroke for stroke in strokes if (stroke.pitch in (CLOSED_HAT, OPEN_HAT, RIDE)) == cymbal] for cymbal in (True, False)]
    kept = _one_at_a_time(hands)
    weights: dict[int, float] = {}  # bar -> weight of its rides less that of its closed hats
    for stroke in kept:
        sign = {RIDE: 1.0, CLOSED_HAT: -1.0}.get(stroke.pitch, 0.0)
        weights[int(stroke.begin // metre)] = weights.get(int(stroke.begin // metre), 0.0) + sign * stroke.weight
    named = [
        stroke if stroke.pitch == OPEN_HAT else replace(stroke, pitch=RIDE if weights[int(stroke.begin // metre)] > 0 else CLOSED_HAT)
        for stroke in kept
    ]
    return sorted([*named, *rest], key=lambda stroke: (stroke.begin, stroke.pitch))


# -- the score ----------------------------------------------------------------------------------------------------


def _assemble(heard: Activations, grid: BeatGrid, style: str, tracks: dict[str, list[GridNote]]) -> Transcription:
    """The score: whole bars, the beats that follow them, and the last beat that has an onset as the final chord."""
    last = math.floor(max(note.begin for part in PARTS for note in tracks[part]) + 1e-6)
    bar_count, tag = max(1, last // grid.metre), last % grid.metre if last >= grid.metre else 0
    final = bar_count * grid.metre + tag
    chords = [_chord(heard, grid, bar * grid.metre, (bar + 1) * grid.metre) for bar in range(bar_count)]
    chords.append(_chord(heard, grid, final, final + grid.metre))
    if sum(stroke.weight for stroke in tracks["drums"]) < MIN_STROKES * bar_count:
        tracks["drums"] = []
    mode, key = _mode_and_key(heard, tracks)
    attributes = Attributes(_attribute(heard, "lead"), _attribute(heard, "accompaniment"), style, grid.tempo, mode, grid.metre,
                            bool(tracks["drums"]), key)  # fmt: skip
    beat, music = 60.0 / attributes.tempo, final * 60.0 / attributes.tempo
    rest = len(heard.beats) / heard.frame_rate - grid.first - final * grid.beat - ENDING_REST
    seconds = fitting_seconds(timeline(attributes, music), attributes, bar_count, max(rest, beat), tag)
    line = timeline(attributes, seconds)
    end, bar = line.end, grid.metre * beat

    def notes(part: str) -> tuple[Note, ...]:
        return tuple(_note(part, note, attributes, final, end) for note in tracks[part] if note.begin * beat < end)

    timed = [Chord(index * bar, bar, root, quality) for index, (root, quality) in enumerate(chords[:-1])]
    timed.append(Chord(bar_count * bar, end - bar_count * bar, *chords[-1]))
    score = Score(attributes, seconds, notes("lead"), notes("accompaniment"), notes("bass"), notes("drums"), tuple(timed))
    return Transcription(score, grid.first)


def _note(part: str, note: GridNote, attributes: Attributes, final: int, end: float) -> Note:
    beat, start = 60.0 / attributes.tempo, note.begin * 60.0 / attributes.tempo
    if part == "drums":
        return Note(start, 0.1, note.pitch, DRUM_VELOCITY[note.pitch])
    gate = GATES[attributes.style][part]
    written = _written_end(note.begin, note.begin + note.length / gate, attributes.swing) - note.begin
    duration = end - start if note.begin >= final else min(written * gate * beat, end - start)
    accent, plain = VELOCITY[part]
    return Note(start, duration, note.pitch, accent if note.begin % attributes.metre == 0 else plain)


def _written_end(begin: float, end: float, swing: bool) -> float:
    """The eighth at which a note ends as it is written, in beats: the nearest, a little before rather than after."""
    off, first = (2 / 3 if swing else 0.5), math.floor(begin)
    places = [beat + place for beat in range(first, max(first, math.ceil(end)) + 2) for place in (0.0, off)]
    return min((place for place in places if place > begin + 0.05), key=lambda place: abs(place - end + LATE))


def _attribute(heard: Activations, name: str) -> str:
    return str(ATTRIBUTES[name][int(heard.attributes[name].argmax())])


def _mode_and_key(heard: Activations, tracks: dict[str, list[GridNote]]) -> tuple[str, int]:
    """Mode and key: what the network says, and how many notes of lead and bass are of the scale."""
    pitches = [note.pitch for part in ("lead", "bass") for note in tracks[part]]

    def judged(mode: str, key: int) -> float:
        inside = sum((pitch - key) % 12 in SCALES[mode] for pitch in pitches)
        opinion = heard.attributes["key"][key] + heard.attributes["mode"][ATTRIBUTES["mode"].index(mode)]
        return float(opinion) + KEY_WEIGHT * (inside - len(pitches))

    return max(((mode, key) for mode in SCALES for key in range(12)), key=lambda choice: judged(*choice))


def _chord(heard: Activations, grid: BeatGrid, first: int, last: int) -> tuple[int, str]:
    """Root and quality of the chord that sounds from beat `first` to beat `last`."""
    times = [round((grid.first + beats * grid.beat) * heard.frame_rate) for beats in (first, last)]
    start, stop = max(0, min(times[0], len(heard.root) - 1)), max(1, min(times[1], len(heard.root)))
    span = slice(start, max(stop, start + 1))
    return int(heard.root[span].sum(0).argmax()), tuple(QUALITIES)[int(heard.quality[span].sum(0).argmax())]
