"""Scores as codes [K, T] for a language model of music, and the grammar that computes what need not be guessed.

Ten books at ten frames a second, each below 256. Three headers say what the piece is (held through all frames), clock and
form say where in the bar and in the form a frame lies, chord holds through its bar, and four books carry the notes. Notes
begin on eighths only, so the note books speak at the first frame of each eighth and are 0 elsewhere; exact times come back
from tempo and metre, not from frames. Melody is written in degrees of the key and bass in steps above the chord's root,
which makes twelve keys one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import LongTensor, Tensor

from llama.notes import (
    ACCOMPANIMENTS,
    DRUM_VELOCITY,
    DRUMS,
    GATES,
    LEADS,
    METRES,
    MODES,
    QUALITIES,
    SCALES,
    STYLES,
    TEMPI,
    Attributes,
    Chord,
    Note,
    Score,
    Timeline,
    bass_root,
    chord_voicing,
    lead_tonic,
    scale_pitch,
    timeline,
)

BOOKS = ("tempo", "voices", "style", "clock", "form", "chord", "drums", "bass", "accompaniment", "lead")
TEMPO, VOICES, STYLE, CLOCK, FORM, CHORD, DRUM, BASS, ACCOMPANIMENT, LEAD = range(len(BOOKS))
CODEBOOK_SIZE = 256
FRAME_RATE = 10  # frames a second; the shortest swung eighth at 180 bpm lasts 0.111 s, so no two eighths share a frame
SILENT, REST, HOLD, STRIKE = 0, 1, 2, 3  # of the note books: between eighths, rest, hold on, first strike code
FREE, AGAIN = -1, -2  # of a plan: sample, repeat the frame before
QUALITY_NAMES = tuple(QUALITIES)
LOWEST_STEP, STEPS = -6, 21  # bass: semitones above the chord's root
VELOCITY = {"lead": (92, 106), "accompaniment": (66, 82), "bass": (80, 92)}  # plain, accented
TEMPERATURES = (1.0, 1.0, 1.0, 1.0, 1.0, 0.9, 0.6, 0.5, 0.5, 0.85)

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """Which frame an eighth begins at. Arrays are per eighth (the final chord is the last) or per frame."""

    line: Timeline
    frames: int
    first: Codes  # [eighths + 1] first frame of each eighth, the final chord's included
    eighth: Codes  # [frames] eighth a frame lies in
    since: Codes  # [frames] frames since that eighth began

    @property
    def width(self) -> int:
        """Eighths in a bar."""
        return self.line.metre * 2

    @property
    def starts(self) -> Codes:
        """Bar starts as frames, the final chord's included."""
        return self.first[:: self.width]


@lru_cache(maxsize=4096)
def grid(tempo: int, metre: int, swing: bool, frames: int) -> Grid:
    """The grid of a piece of `frames` frames."""
    line = Timeline(tempo, metre, swing, frames / FRAME_RATE)
    times = np.array([line.time(eighth) for eighth in range(line.eighths + 1)])
    first = np.minimum(np.floor(times * FRAME_RATE + 0.5).astype(np.int64), frames - 1)
    eighth = np.searchsorted(first, np.arange(frames), side="right") - 1
    return Grid(line, frames, first, eighth, np.arange(frames) - first[eighth])


def header_codes(attributes: Attributes) -> tuple[int, int, int]:
    """Codes of the three header books."""
    tempo = TEMPI.index(attributes.tempo) * 4 + METRES.index(attributes.metre) * 2 + MODES.index(attributes.mode)
    voices = tuple(LEADS).index(attributes.lead) * len(ACCOMPANIMENTS) + tuple(ACCOMPANIMENTS).index(attributes.accompaniment)
    style = (STYLES.index(attributes.style) * 2 + int(attributes.drums)) * 12 + attributes.key
    return tempo, voices, style


def read_headers(codes: Sequence[int]) -> Attributes:
    """Attributes from header codes; a code that no piece has is read as the nearest that one has."""
    tempo, metre_mode = divmod(min(int(codes[TEMPO]), len(TEMPI) * 4 - 1), 4)
    lead, accompaniment = divmod(min(int(codes[VOICES]), len(LEADS) * len(ACCOMPANIMENTS) - 1), len(ACCOMPANIMENTS))
    style, key = divmod(min(int(codes[STYLE]), len(STYLES) * 24 - 1), 12)
    return Attributes(
        lead=tuple(LEADS)[lead], accompaniment=tuple(ACCOMPANIMENTS)[accompaniment], style=STYLES[style // 2],
        tempo=TEMPI[tempo], mode=MODES[metre_mode % 2], metre=METRES[metre_mode // 2], drums=bool(style % 2), key=key,
    )


def clock_codes(place: Grid) -> Codes:
    """[frames] eighth within the bar and frame within the eighth; frames since the final chord began in the tail."""
    inside = 1 + (place.eighth % place.width) * 8 + np.minimum(place.since, 7)
    return np.where(place.eighth == place.line.eighths, 65 + np.minimum(place.since, 15), inside)


def form_codes(place: Grid) -> Codes:
    """[frames] bars left (up to 8), bar in the phrase, section, whether it returns; 129 for the final chord."""
    per_bar = [
        1 + ((min(bar.left, 8) - 1) * 4 + bar.place) * 4 + (bar.section == "B") * 2 + int(bar.returns) for bar in place.line.bars
    ]
    return np.array([*per_bar, 129], np.int64)[np.minimum(place.eighth // place.width, len(per_bar))]


def plan(attributes: Attributes, frames: int) -> Codes:
    """[K, frames] what a piece with these headers must hold: a code, FREE or AGAIN."""
    place = grid(attributes.tempo, attributes.metre, attributes.swing, frames)
    out = np.full((len(BOOKS), frames), SILENT, np.int64)
    out[: STYLE + 1] = np.array(header_codes(attributes))[:, None]
    out[CLOCK], out[FORM] = clock_codes(place), form_codes(place)
    out[CHORD] = AGAIN
    out[CHORD, place.starts] = FREE
    out[DRUM:, place.first] = FREE
    if not attributes.drums:
        out[DRUM] = SILENT
    return out


class CodeGrammar:
    """What a decoder of `frames` frames may take as given: headers held, clock and form computed, notes on eighths only."""

    def __init__(self, frames: int) -> None:
        if frames < 1:
            raise ValueError(f"A piece of {frames} frames cannot be written; ask for at least 1.")
        self.frames = frames
        self._plans: dict[tuple[int, ...], Tensor] = {}
        self._stacked: tuple[list[list[int]], Tensor] | None = None

    def _plan(self, headers: list[list[int]]) -> Tensor:
        """[B, K, frames]; rows are planned once, batches stacked once."""
        if self._stacked is None or self._stacked[0] != headers:
            for row in headers:
                if tuple(row) not in self._plans:
                    self._plans[tuple(row)] = torch.from_numpy(plan(read_headers(row), self.frames))
            self._stacked = headers, torch.stack([self._plans[tuple(row)] for row in headers])
        return self._stacked[1]

    def forced(self, codes: LongTensor, book: int, frame: int) -> LongTensor | None:
        """Codes that must stand at (book, frame): [B], -1 where a row is free; None where all are.

        Args:
            codes: [B, K, frames], known at all earlier frames and at the lower books of this one.
        """
        if book <= STYLE:
            return None if frame == 0 else codes[:, book, 0]  # type: ignore[return-value]
        known = self._plan(codes[:, : STYLE + 1, 0].tolist())[:, book, frame].to(codes.device)
        if frame > 0:
            known = torch.where(known == AGAIN, codes[:, book, frame - 1], known)
        return None if bool((known == FREE).all()) else known  # type: ignore[return-value]

    def temperature(self, book: int) -> float | None:
        """Sampling temperature of a book: plans may vary, grooves should be steady."""
        return TEMPERATURES[book]


def encode(score: Score) -> Codes:
    """[K, T] codes of a score whose notes lie on eighths (any score of the composer's)."""
    attributes, frames = score.attributes, round(score.seconds * FRAME_RATE)
    place = grid(attributes.tempo, attributes.metre, attributes.swing, frames)
    if place.line.eighths != timeline(attributes, score.seconds).eighths:
        raise ValueError(f"A score of {score.seconds} seconds is not on the frame grid; use a multiple of {1 / FRAME_RATE} s.")
    out = plan(attributes, frames)
    _write_chords(score, place, out)
    out[DRUM:] = SILENT
    for track, book in (("lead", LEAD), ("accompaniment", ACCOMPANIMENT), ("bass", BASS)):
        out[book, place.first] = _note_events(score, track, place)
    for note in score.drums:
        out[DRUM, place.first[_eighth_at(place.line, note.start)]] |= 1 << DRUMS.index(note.pitch)
    return out


def _write_chords(score: Score, place: Grid, out: Codes) -> None:
    edges = [*place.starts.tolist(), place.frames]
    for chord, first, last in zip(score.chords, edges[:-1], edges[1:], strict=True):
        root = (chord.root - score.attributes.key) % 12
        out[CHORD, first:last] = 1 + root * len(QUALITY_NAMES) + QUALITY_NAMES.index(chord.quality)


def _eighth_at(line: Timeline, second: float) -> int:
    beats = int(second / line.beat + 1e-6)
    return beats * 2 + int(second - beats * line.beat > 0.25 * line.beat)


def _note_events(score: Score, track: str, place: Grid) -> Codes:
    """[eighths + 1] rest, hold or strike of one track."""
    line, out = place.line, np.full(place.line.eighths + 1, REST, np.int64)
    gate = GATES[score.attributes.style][track]
    struck: dict[int, list[Note]] = {}
    for note in score.track(track):
        struck.setdefault(_eighth_at(line, note.start), []).append(note)
    for eighth, notes in sorted(struck.items()):
        chord = score.chords[eighth // place.width]
        out[eighth] = _strike_code(score.attributes, track, notes, chord)
        if eighth < line.eighths:
            end = _eighth_at(line, notes[0].start + notes[0].duration / gate + 1e-6)
            out[eighth + 1 : end] = HOLD
    return out


def _strike_code(attributes: Attributes, track: str, notes: Sequence[Note], chord: Chord) -> int:
    accent = int(notes[0].velocity >= VELOCITY[track][1])
    if track == "accompaniment":
        voices = chord_voicing(chord.root, chord.quality)
        mask = sum(1 << voices.index(note.pitch) for note in notes)
        return STRIKE + (mask - 1) * 2 + accent
    if track == "bass":
        return STRIKE + (notes[0].pitch - bass_root(chord.root) - LOWEST_STEP) * 2 + accent
    octave, semitone = divmod(notes[0].pitch - lead_tonic(attributes), 12)
    scale = SCALES[attributes.mode]
    raised = semitone not in scale
    degree = octave * 7 + scale.index(semitone - int(raised))
    return STRIKE + (degree * 2 + int(raised)) * 2 + accent


def decode(codes: Codes) -> Score:
    """The score that codes [K, T] stand for. Never fails on codes that a model made up: what has no meaning is a rest."""
    frames = codes.shape[1]
    attributes = read_headers(codes[:, 0].tolist())
    place = grid(attributes.tempo, attributes.metre, attributes.swing, frames)
    chords = _read_chords(codes, attributes, place)
    tracks = {
        track: _read_notes(codes[book, place.first], track, attributes, chords, place)
        for track, book in (("lead", LEAD), ("accompaniment", ACCOMPANIMENT), ("bass", BASS))
    }
    drums = _read_drums(codes[DRUM, place.first], place.line) if attributes.drums else ()
    return Score(attributes, frames / FRAME_RATE, chords=chords, drums=drums, **tracks)


def _read_chords(codes: Codes, attributes: Attributes, place: Grid) -> tuple[Chord, ...]:
    line = place.line
    times = [line.time(bar * place.width) for bar in range(line.bar_count + 1)] + [line.end]
    chords = []
    for bar, first in enumerate(place.starts):
        root, quality = divmod(min(max(int(codes[CHORD, first]) - 1, 0), 71), len(QUALITY_NAMES))
        root = (root + attributes.key) % 12
        chords.append(Chord(times[bar], times[bar + 1] - times[bar], root, QUALITY_NAMES[quality]))
    return tuple(chords)


def _read_notes(
    events: Codes, track: str, attributes: Attributes, chords: Sequence[Chord], place: Grid
) -> tuple[Note, ...]:
    line, notes = place.line, []
    gate = GATES[attributes.style][track]
    for eighth in np.flatnonzero(events >= STRIKE).tolist():
        after = events[eighth + 1 : line.eighths]
        held = int(np.argmax(after != HOLD)) if (after != HOLD).any() else len(after)
        start = line.time(eighth)
        last = eighth == line.eighths
        duration = line.end - start if last else (line.time(eighth + 1 + held) - start) * gate
        chord = chords[eighth // place.width]
        pitches, accent = _strike_pitches(int(events[eighth]) - STRIKE, track, attributes, chord)
        notes += [Note(start, duration, pitch, VELOCITY[track][accent]) for pitch in pitches]
    return tuple(notes)


def _strike_pitches(code: int, track: str, attributes: Attributes, chord: Chord) -> tuple[tuple[int, ...], int]:
    value, accent = divmod(code, 2)
    if track == "accompaniment":
        voices = chord_voicing(chord.root, chord.quality)
        return tuple(pitch for bit, pitch in enumerate(voices) if (value + 1) >> bit & 1), accent
    if track == "bass":
        return (bass_root(chord.root) + min(value, STEPS - 1) + LOWEST_STEP,), accent
    degree, raised = divmod(min(value, 43), 2)
    return (scale_pitch(lead_tonic(attributes), attributes.mode, degree, bool(raised)),), accent


def _read_drums(masks: Codes, line: Timeline) -> tuple[Note, ...]:
    return tuple(
        Note(line.time(eighth), 0.1, key, DRUM_VELOCITY[key])
        for eighth, mask in enumerate(masks.tolist())
        for key in sorted(key for bit, key in enumerate(DRUMS) if mask >> bit & 1)
    )
