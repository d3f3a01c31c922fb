"""A composer with rules: sections that return, motifs, voice-led chords, cadences and a real ending, all from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from DataSet.grooves import BRIDGES, CELLS, CLOSES, FILLS, GROOVES, PROGRESSIONS, SEVENTHS, TEMPO_RANGE, TRIADS, Groove
from llama.notes import (
    ACCOMPANIMENTS,
    DRUM_VELOCITY,
    GATES,
    LEADS,
    METRES,
    MODES,
    SCALES,
    STYLES,
    TEMPI,
    Attributes,
    Bar,
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

__all__ = ["Attributes", "Note", "Score", "compose", "is_held_out", "sample_attributes"]

LOWEST, HIGHEST = 1, 14  # degrees a melody moves within (tonic = 0)
ACCENT, PLAIN = {"lead": 106, "accompaniment": 82, "bass": 92}, {"lead": 92, "accompaniment": 66, "bass": 80}
BASS_STEPS = {"R": 0, "r": 0, "5": 7, "8": 12, "6": 9, "l": -5}
CONTOURS = ("aaba", "abac", "abab", "aabc")


def is_held_out(attributes: Attributes) -> bool:
    """True for about 8 % of the combinations, which no training set may contain."""
    code = (
        tuple(LEADS).index(attributes.lead) * 7 + tuple(ACCOMPANIMENTS).index(attributes.accompaniment) * 5
        + STYLES.index(attributes.style) * 11 + (attributes.mode == "minor") * 3 + attributes.drums * 17
    )
    return code % 12 == 5


def sample_attributes(rng: np.random.Generator, held_out: bool = False) -> Attributes:
    """Draw a combination: from the held-out ones if `held_out`, else from all others."""
    while True:
        drawn = _draw(rng)
        if is_held_out(drawn) == held_out:
            return drawn


def _draw(rng: np.random.Generator) -> Attributes:
    style = str(rng.choice(STYLES))
    low, high = TEMPO_RANGE[style] if rng.random() < 0.75 else (TEMPI[0], TEMPI[-1])
    common = 3 if style == "waltz" else 4
    metre = common if rng.random() < 0.85 else METRES[0] + METRES[1] - common
    return Attributes(
        lead=str(rng.choice(list(LEADS))), accompaniment=str(rng.choice(list(ACCOMPANIMENTS))), style=style,
        tempo=int(rng.choice([tempo for tempo in TEMPI if low <= tempo <= high])), mode=str(rng.choice(MODES)),
        metre=metre, drums=bool(rng.random() < (0.25 if style == "ambient" else 0.55)), key=int(rng.integers(12)),
    )


@dataclass(frozen=True)
class Tone:
    """One melody note in written form. `degree` None rests; times are eighths within the bar."""

    start: int
    length: int
    degree: int | None
    raised: bool = False


@dataclass(frozen=True)
class Section:
    """What returns when its letter returns."""

    degrees: tuple[int, ...]  # a chord a bar
    melody: tuple[tuple[Tone, ...], ...]
    groove: Groove


@dataclass(frozen=True)
class Harmony:
    mode: str
    key: int
    sevenths: bool

    def chord(self, degree: int) -> tuple[int, str]:
        """Root pitch class and quality of the chord on a scale degree."""
        table = SEVENTHS if self.sevenths else TRIADS
        return (self.key + SCALES[self.mode][degree]) % 12, table[self.mode][degree]

    def raised(self, degree: int, tone: int) -> bool:
        """Whether a melody tone over this chord is the raised leading note."""
        return self.mode == "minor" and degree == 4 and tone % 7 == 6


def _nearest_chord_tone(rng: np.random.Generator, degree: int, wanted: int) -> int:
    tones = [tone for tone in range(LOWEST, HIGHEST + 1) if (tone - degree) % 7 in (0, 2, 4)]
    best = min(abs(tone - wanted) for tone in tones)
    return int(rng.choice([tone for tone in tones if abs(tone - wanted) == best]))


def _strong(start: int, metre: int) -> bool:
    return start % 4 == 0 if metre == 4 else start == 0


def _bar_melody(
    rng: np.random.Generator, cell: Sequence[int], steps: Sequence[int], degree: int, current: int, harmony: Harmony, metre: int
) -> tuple[tuple[Tone, ...], int]:
    tones: list[Tone] = []
    start = 0
    for length, step in zip(cell, steps, strict=False):
        if length > 0:
            wanted = current + step
            wanted = wanted if LOWEST <= wanted <= HIGHEST else current - step
            current = _nearest_chord_tone(rng, degree, wanted) if _strong(start, metre) or length >= 4 else wanted
            tones.append(Tone(start, length, current, harmony.raised(degree, current)))
        start += abs(length)
    return tuple(tones), current


def _section(rng: np.random.Generator, attributes: Attributes, harmony: Harmony, letter: str, bars: int) -> Section:
    table = (PROGRESSIONS if letter == "A" else BRIDGES)[attributes.mode]
    degrees = table[int(rng.integers(len(table)))]
    degrees = degrees if bars == 4 else (degrees[0], degrees[-1])[:bars]
    cells, closes = CELLS[attributes.style, attributes.metre], CLOSES[attributes.metre]
    motifs = {name: (cells[int(rng.integers(len(cells)))], _steps(rng)) for name in "abc"}
    contour = str(rng.choice(CONTOURS))
    current = 7 + int(rng.integers(-2, 3)) + (2 if letter == "B" else 0)
    melody = []
    for place, degree in enumerate(degrees):
        cell, steps = motifs[contour[place]]
        if bars > 1 and place == bars - 1:
            cell = closes[int(rng.integers(len(closes)))]
        tones, current = _bar_melody(rng, cell, steps, degree, current, harmony, attributes.metre)
        melody.append(tones)
    grooves = GROOVES[attributes.style, attributes.metre]
    return Section(tuple(degrees), tuple(melody), grooves[int(rng.integers(len(grooves)))])


def _steps(rng: np.random.Generator) -> tuple[int, ...]:
    """A contour: mostly steps, few leaps, one direction more likely than the other."""
    up = rng.random() < 0.5
    weights = (0.05, 0.1, 0.2, 0.08, 0.4, 0.12, 0.05) if up else (0.05, 0.12, 0.4, 0.08, 0.2, 0.1, 0.05)
    return tuple(int(step) for step in rng.choice((-3, -2, -1, 0, 1, 2, 3), size=8, p=weights))


def _cadence(rng: np.random.Generator, harmony: Harmony, metre: int, current: int) -> tuple[Tone, ...]:
    """The bar before the final chord: down or up to the neighbour of the tonic."""
    target = 7 if current < 11 else 14
    neighbour = target - 1 if rng.random() < 0.5 or target == 14 else target + 1
    first = _nearest_chord_tone(rng, 4, current)
    cell = (2, 2, 4) if metre == 4 else (2, 4)
    path = [first, (first + neighbour) // 2, neighbour][-len(cell):] if metre == 4 else [first, neighbour]
    starts = np.cumsum((0, *cell))[:-1]
    return tuple(
        Tone(int(s), n, d, harmony.raised(4, d)) for s, n, d in zip(starts, cell, path, strict=True)
    )


class _Writer:
    """Collects notes in seconds from written eighths."""

    def __init__(self, attributes: Attributes, line: Timeline) -> None:
        self.attributes, self.line = attributes, line
        self.notes: dict[str, list[Note]] = {"lead": [], "accompaniment": [], "bass": [], "drums": []}

    def tone(self, track: str, first: int, length: int, pitch: int, accent: bool) -> None:
        start = self.line.time(first)
        end = self.line.time(min(first + length, self.line.eighths))
        gate = GATES[self.attributes.style][track]
        velocity = (ACCENT if accent else PLAIN)[track]
        self.notes[track].append(Note(start, (end - start) * gate, pitch, velocity))

    def final(self, track: str, pitch: int) -> None:
        start = self.line.time(self.line.eighths)
        self.notes[track].append(Note(start, self.line.end - start, pitch, ACCENT[track]))

    def drum(self, eighth: int, key: int) -> None:
        self.notes["drums"].append(Note(self.line.time(eighth), 0.1, key, DRUM_VELOCITY[key]))

    def accompaniment(self, first: int, pattern: str, voices: Sequence[int]) -> None:
        for start, length, symbol in _strikes(pattern):
            chosen = {"x": voices, "X": voices, "u": voices[1:]}.get(symbol)
            for pitch in chosen or (voices[min(int(symbol), len(voices)) - 1],):
                self.tone("accompaniment", first + start, length, pitch, symbol == "X")

    def bass(self, first: int, pattern: str, root: int, quality: str) -> None:
        third = 4 if quality in ("major", "major7", "dominant7") else 3
        fifth = 6 if quality == "diminished" else 7
        steps = {**BASS_STEPS, "3": third, "5": fifth, "l": fifth - 12}
        for start, length, symbol in _strikes(pattern):
            self.tone("bass", first + start, length, bass_root(root) + steps[symbol], symbol == "R")

    def percussion(self, first: int, groove: Groove, ride: bool, fill: str | None, crash: bool) -> None:
        cymbal = 51 if ride and groove.cymbal == 42 else groove.cymbal
        lines = [(36, groove.kick), (groove.backbeat, groove.snare), (cymbal, groove.hat), (46, groove.offbeat)]
        if fill:
            lines[1] = (38, fill)
        for key, pattern in lines:
            for eighth, symbol in enumerate(pattern):
                if symbol == "x":
                    self.drum(first + eighth, key)
        if crash:
            self.drum(first, 49)


def _strikes(pattern: str) -> list[tuple[int, int, str]]:
    """(start, length, symbol) of every struck note of a groove line; holds lengthen it."""
    found: list[tuple[int, int, str]] = []
    for place, symbol in enumerate(pattern):
        if symbol == "-" and found:
            start, length, held = found[-1]
            found[-1] = (start, length + 1, held)
        elif symbol not in ".-":
            found.append((place, 1, symbol))
    return found


def compose(rng: np.random.Generator, attributes: Attributes, seconds: float) -> Score:
    """Write a piece of the given length in seconds; it cadences and its final chord fades before the end."""
    if not 1.5 <= seconds <= 600:
        raise ValueError(f"A piece of {seconds} seconds cannot be written; ask for 1.5 to 600 seconds.")
    line = timeline(attributes, seconds)
    harmony = Harmony(attributes.mode, attributes.key, attributes.style == "swing" or rng.random() < 0.2)
    sections = {letter: _section(rng, attributes, harmony, letter, line.phrase) for letter in "AB"}
    writer, chords = _Writer(attributes, line), []
    for index, bar in enumerate(line.bars):
        chords.append(_write_bar(rng, writer, sections[bar.section], harmony, bar, index))
    chords.append(_write_ending(writer, harmony))
    tracks = {name: tuple(sorted(notes, key=lambda n: (n.start, n.pitch))) for name, notes in writer.notes.items()}
    return Score(attributes, float(seconds), chords=tuple(chords), **tracks)


def _write_bar(
    rng: np.random.Generator, writer: _Writer, section: Section, harmony: Harmony, bar: Bar, index: int
) -> Chord:
    attributes, line = writer.attributes, writer.line
    first, width = index * line.metre * 2, line.metre * 2
    closing = bar.left == 1 and line.bar_count > 1
    degree = 4 if closing else section.degrees[bar.place]
    root, quality = harmony.chord(degree)
    melody = section.melody[bar.place]
    if closing:
        melody = _cadence(rng, harmony, line.metre, melody[0].degree or 7 if melody else 7)
    for tone in melody:
        pitch = scale_pitch(lead_tonic(attributes), attributes.mode, tone.degree or 0, tone.raised)
        writer.tone("lead", first + tone.start, tone.length, pitch, tone.start == 0)
    writer.accompaniment(first, section.groove.accompaniment, chord_voicing(root, quality))
    writer.bass(first, section.groove.bass, root, quality)
    if attributes.drums:
        turn = bar.place == line.phrase - 1 and line.phrase > 1 and attributes.style in ("rock", "dance", "swing")
        fill = FILLS[line.metre][(bar.left + line.bar_count) % 3] if turn else None
        crash = bar.place == 0 and line.phrase > 1 and attributes.style in ("rock", "dance")
        writer.percussion(first, section.groove, bar.section == "B", fill, crash)
    return Chord(line.time(first), line.time(first + width) - line.time(first), root, quality)


def _write_ending(writer: _Writer, harmony: Harmony) -> Chord:
    attributes, line = writer.attributes, writer.line
    root, quality = harmony.chord(0)
    start = line.time(line.eighths)
    tonic = lead_tonic(attributes)
    last = writer.notes["lead"][-1].pitch if writer.notes["lead"] else tonic + 12
    writer.final("lead", min((tonic, tonic + 12, tonic + 24), key=lambda pitch: abs(pitch - last)))
    for pitch in chord_voicing(root, quality):
        writer.final("accompaniment", pitch)
    writer.final("bass", bass_root(root))
    if attributes.drums:
        writer.drum(line.eighths, 36)
        writer.drum(line.eighths, 49 if attributes.style in ("rock", "dance") else 51)
    return Chord(start, line.end - start, root, quality)
