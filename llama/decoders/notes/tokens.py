"""Note tokens: scores as codes [K, T] for a language model of music, and the constraint plan of codes that are computed.

Ten codebooks of 256 codes; a step (frame) is one eighth note. Three header codebooks describe the piece and repeat at all
steps. Clock and form give the position of a step in the bar and in the form, the chord is constant within a bar, and four
codebooks contain the notes. The duration of a step follows tempo and swing, so codes are exact at any tempo and repeats
always lie the same number of steps apart. The frame rate is that of the fastest tempo; slower pieces leave their last steps
empty. Melody is coded in scale degrees and bass in semitones above the chord's root, so codes do not depend on the key.
Sections that return are copied instead of sampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llama.media.score import (
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
    closing_bars,
    lead_tonic,
    scale_pitch,
    timeline,
)

CODEBOOKS = ("tempo", "voices", "style", "clock", "form", "chord", "drums", "bass", "accompaniment", "lead")
TEMPO, VOICES, STYLE, CLOCK, FORM, CHORD, DRUM, BASS, ACCOMPANIMENT, LEAD = range(len(CODEBOOKS))
CODEBOOK_SIZE = 256
FRAME_RATE = TEMPI[-1] * 2 / 60  # steps a second at the fastest tempo: 6
SILENT, REST, SUSTAIN, ONSET = 0, 1, 2, 3  # codes of note codebooks: after the end, rest, sustain, first onset
FINAL_CLOCK, FINAL_FORM = 9, 129  # codes of the final chord; the steps after it have the next code
TAG_FORM = 131  # form code of the steps between the tonic's return and the final chord
SAMPLE, REPEAT, COPY = -1, -2, -3  # in a plan: sample, repeat the previous step, copy step n (written as COPY - n)
QUALITY_NAMES = tuple(QUALITIES)
FULL_CHORD = ONSET + (0b111 - 1) * 2 + 1  # accompaniment: three notes at once, accented
WHOLE_CHORD = ONSET + (0b1111 - 1) * 2 + 1  # accompaniment of the last step: all notes of the chord, three or four
LOWEST_STEP, STEPS = -6, 21  # bass: semitones above the chord's root
FINAL_BASS = ONSET - LOWEST_STEP * 2 + 1  # the root, accented
VELOCITY = {"lead": (92, 106), "accompaniment": (66, 82), "bass": (80, 92)}  # plain, accented
TEMPERATURES = (0.35, 0.6, 0.6, 1.0, 1.0, 0.9, 0.6, 0.5, 0.5, 0.85)  # of each codebook

Codes = NDArray[np.int64]


def frame_count(seconds: float) -> int:
    """Number of steps of a piece of this length, including the empty ones at its end."""
    return max(1, math.ceil(seconds * FRAME_RATE - 1e-6))


def frame_seconds(frames: int) -> float:
    """Length of a piece with `frames` steps."""
    return frames / FRAME_RATE


def frame_line(attributes: Attributes, frames: int) -> Timeline:
    """The timeline of a piece with `frames` steps."""
    return timeline(attributes, frame_seconds(frames))


def header_codes(attributes: Attributes) -> tuple[int, int, int]:
    """Codes of the three header codebooks. Raises ValueError for a tempo that is none of TEMPI."""
    if attributes.tempo not in TEMPI:
        raise ValueError(f"Note codes hold even tempi from {TEMPI[0]} to {TEMPI[-1]}, not {attributes.tempo:g}; set the nearest tempo.")
    tempo = TEMPI.index(int(attributes.tempo)) * 4 + METRES.index(attributes.metre) * 2 + MODES.index(attributes.mode)
    voices = tuple(LEADS).index(attributes.lead) * len(ACCOMPANIMENTS) + tuple(ACCOMPANIMENTS).index(attributes.accompaniment)
    style = (STYLES.index(attributes.style) * 2 + int(attributes.drums)) * 12 + attributes.key
    return tempo, voices, style


def read_headers(codes: Sequence[int]) -> Attributes:
    """Attributes of header codes; a code outside the range is read as the nearest valid one."""
    tempo, metre_mode = divmod(min(int(codes[TEMPO]), len(TEMPI) * 4 - 1), 4)
    lead, accompaniment = divmod(min(int(codes[VOICES]), len(LEADS) * len(ACCOMPANIMENTS) - 1), len(ACCOMPANIMENTS))
    style, key = divmod(min(int(codes[STYLE]), len(STYLES) * 24 - 1), 12)
    return Attributes(
        lead=tuple(LEADS)[lead], accompaniment=tuple(ACCOMPANIMENTS)[accompaniment], style=STYLES[style // 2],
        tempo=TEMPI[tempo], mode=MODES[metre_mode % 2], metre=METRES[metre_mode // 2], drums=bool(style % 2), key=key,
    )


def clock_codes(line: Timeline, frames: int) -> Codes:
    """Clock codes [frames]: eighth within the bar, from 1; 9 for the final chord, 10 after it."""
    step = np.arange(frames)
    return np.where(step < line.eighths, 1 + step % line.width, np.where(step == line.eighths, FINAL_CLOCK, FINAL_CLOCK + 1))


def form_codes(line: Timeline, frames: int) -> Codes:
    """Form codes [frames]: bars left (up to 8), bar in the phrase, section, whether it returns; 129 for the final chord, 130 after."""
    out = np.full(frames, FINAL_FORM + 1, np.int64)
    out[line.bar_count * line.width : line.eighths] = TAG_FORM
    for index, bar in enumerate(line.bars):
        code = 1 + ((min(bar.left, 8) - 1) * 4 + bar.place) * 4 + (bar.section == "B") * 2 + int(bar.returns)
        out[index * line.width : (index + 1) * line.width] = code
    out[line.eighths] = FINAL_FORM
    return out


def constraint_plan(attributes: Attributes, frames: int) -> Codes:
    """Constraint plan [K, frames] of a piece with these headers: a code, SAMPLE, REPEAT, or COPY - n for a copy of step n.

    A section that returns is copied, except for the drums in the last bar of a phrase, the second half of section A, which
    has another ending when it returns, and the cadence before the end.
    """
    line = frame_line(attributes, frames)
    used = line.eighths + 1
    out = np.full((len(CODEBOOKS), frames), SILENT, np.int64)
    out[: STYLE + 1] = np.array(header_codes(attributes))[:, None]
    out[CLOCK], out[FORM] = clock_codes(line, frames), form_codes(line, frames)
    out[CHORD] = REPEAT
    out[CHORD, : used : line.width] = SAMPLE
    out[DRUM:, :used] = SAMPLE
    first: dict[tuple[str, int, bool], int] = {}
    for index, bar in enumerate(line.bars):
        answers = bar.section == "A" and bar.place >= line.phrase // 2 and line.phrase > 1 and bar.returns
        source = first.setdefault((bar.section, bar.place, answers), index)
        if source < index and bar.left > closing_bars(line):
            turn = bar.place == line.phrase - 1
            steps = np.arange(source * line.width, (source + 1) * line.width)
            out[CHORD if not turn else BASS :, index * line.width + steps - steps[0]] = COPY - steps
            out[CHORD, index * line.width] = COPY - steps[0]
    # A piece ends on its first chord, complete, over its root; `home_code` gives the melody's last note.
    out[ACCOMPANIMENT, line.eighths], out[BASS, line.eighths] = WHOLE_CHORD, FINAL_BASS
    if line.bar_count:
        out[CHORD, line.bar_count * line.width] = COPY
    if not attributes.drums:
        out[DRUM] = SILENT
    return out


def encode(score: Score) -> Codes:
    """Codes [K, T] of a score whose notes lie on eighths, as all scores of the composer do. ValueError for another length."""
    attributes, frames = score.attributes, frame_count(score.seconds)
    line = frame_line(attributes, frames)
    if line.eighths != timeline(attributes, score.seconds).eighths:
        raise ValueError(f"A score of {score.seconds} s ends between two steps; use a multiple of 1/{FRAME_RATE:g} s.")
    out = constraint_plan(attributes, frames)
    _write_chords(score, line, out)
    out[DRUM:] = SILENT
    for track, codebook in (("lead", LEAD), ("accompaniment", ACCOMPANIMENT), ("bass", BASS)):
        out[codebook, : line.eighths + 1] = _note_events(score, track, line)
    for note in score.drums:
        out[DRUM, _step_at(line, note)] |= 1 << DRUMS.index(note.pitch)
    return out


def _write_chords(score: Score, line: Timeline, out: Codes) -> None:
    """Write the chord of each bar into all of its steps."""
    for bar, chord in enumerate(score.chords):
        root = (chord.root - score.attributes.key) % 12
        out[CHORD, bar * line.width :] = 1 + root * len(QUALITY_NAMES) + QUALITY_NAMES.index(chord.quality)


def _eighth_at(line: Timeline, second: float) -> int:
    """Step at a time in seconds."""
    beats = int(second / line.beat + 1e-6)
    return beats * 2 + int(second - beats * line.beat > 0.25 * line.beat)


def _step_at(line: Timeline, note: Note) -> int:
    """Step of a note's onset: what a recording has after its last chord's onset belongs to that chord."""
    return min(_eighth_at(line, note.start), line.eighths)


def _note_events(score: Score, track: str, line: Timeline) -> Codes:
    """Codes [eighths + 1] of one track: rest, sustain or onset."""
    out = np.full(line.eighths + 1, REST, np.int64)
    gate = GATES[score.attributes.style][track]
    onsets: dict[int, list[Note]] = {}
    for note in score.track(track):
        onsets.setdefault(_step_at(line, note), []).append(note)
    for eighth, notes in sorted(onsets.items()):
        chord = score.chords[eighth // line.width]
        out[eighth] = _onset_code(score.attributes, track, notes, chord, eighth == line.eighths)
        if eighth < line.eighths:
            end = _eighth_at(line, notes[0].start + notes[0].duration / gate + 1e-6)
            out[eighth + 1 : end] = SUSTAIN
    return out


def _onset_code(attributes: Attributes, track: str, notes: Sequence[Note], chord: Chord, final: bool = False) -> int:
    accent = int(notes[0].velocity >= VELOCITY[track][1])
    if track == "accompaniment":
        voices = chord_voicing(chord.root, chord.quality)
        mask = sum(1 << voices.index(pitch) for pitch in {note.pitch for note in notes}) if not final else 0b1111
        return ONSET + (mask - 1) * 2 + accent
    if track == "bass":
        return ONSET + (notes[0].pitch - bass_root(chord.root) - LOWEST_STEP) * 2 + accent
    octave, semitone = divmod(notes[0].pitch - lead_tonic(attributes), 12)
    scale = SCALES[attributes.mode]
    raised = semitone not in scale
    degree = octave * 7 + scale.index(semitone - int(raised))
    return ONSET + (degree * 2 + int(raised)) * 2 + accent


def decode(codes: Codes) -> Score:
    """The score of codes [K, T]. Accepts any sampled codes; those without a meaning become rests."""
    frames = codes.shape[1]
    attributes = read_headers(codes[:, 0].tolist())
    line = frame_line(attributes, frames)
    codes = codes[:, : line.eighths + 1]
    chords = _read_chords(codes, attributes, line)
    tracks = {
        track: _read_notes(codes[codebook], track, attributes, chords, line)
        for track, codebook in (("lead", LEAD), ("accompaniment", ACCOMPANIMENT), ("bass", BASS))
    }
    drums = _read_drums(codes[DRUM], line) if attributes.drums else ()
    return Score(attributes, frame_seconds(frames), chords=chords, drums=drums, **tracks)


def _read_chords(codes: Codes, attributes: Attributes, line: Timeline) -> tuple[Chord, ...]:
    times = [line.time(bar * line.width) for bar in range(line.bar_count + 1)] + [line.end]
    chords = []
    for bar in range(line.bar_count + 1):
        root, quality = divmod(min(max(int(codes[CHORD, bar * line.width]) - 1, 0), 71), len(QUALITY_NAMES))
        root = (root + attributes.key) % 12
        chords.append(Chord(times[bar], times[bar + 1] - times[bar], root, QUALITY_NAMES[quality]))
    return tuple(chords)


def _read_notes(
    events: Codes, track: str, attributes: Attributes, chords: Sequence[Chord], line: Timeline
) -> tuple[Note, ...]:
    notes: list[Note] = []
    gate = GATES[attributes.style][track]
    for eighth in np.flatnonzero(events >= ONSET).tolist():
        after = events[eighth + 1 : line.eighths] != SUSTAIN
        sustained = int(np.argmax(after)) if after.any() else len(after)
        start = line.time(eighth)
        duration = line.end - start if eighth == line.eighths else (line.time(eighth + 1 + sustained) - start) * gate
        pitches, accent = _onset_pitches(int(events[eighth]) - ONSET, track, attributes, chords[eighth // line.width])
        notes += [Note(start, duration, pitch, VELOCITY[track][accent]) for pitch in pitches]
    return tuple(notes)


def _onset_pitches(code: int, track: str, attributes: Attributes, chord: Chord) -> tuple[tuple[int, ...], int]:
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
        for eighth, mask in enumerate(masks.tolist()) if mask
        for key in sorted(key for bit, key in enumerate(DRUMS) if mask >> bit & 1)
    )
