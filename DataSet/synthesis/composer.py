"""Rule-based composer: returning sections, motifs, voice-led chords, cadences and an ending, all from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from DataSet.synthesis.grooves import BRIDGES, FILLS, GROOVES, PROGRESSIONS, SEVENTHS, TEMPO_RANGE, TRIADS, Groove
from DataSet.synthesis.melody import ANSWERS, MIDDLE, QUESTIONS, Ideas, Tone, arrange_motifs, find_ideas, write_bars
from DataSet.synthesis.melody import BRIDGES as BRIDGE_FORMS
from llama.media.score import (
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
    closing_bars,
    lead_tonic,
    scale_pitch,
    timeline,
)

__all__ = ["Attributes", "Note", "Score", "compose", "is_held_out", "sample_attributes"]

ACCENT, PLAIN = {"lead": 106, "accompaniment": 82, "bass": 92}, {"lead": 92, "accompaniment": 66, "bass": 80}
BASS_STEPS = {"R": 0, "r": 0, "5": 7, "8": 12, "6": 9, "l": -5}


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
        attributes = _draw(rng)
        if is_held_out(attributes) == held_out:
            return attributes


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
class Section:
    """Material of one section (A or B). `answer` replaces the second half of a repeated phrase."""

    degrees: tuple[int, ...]  # a chord a bar
    melody: tuple[tuple[Tone, ...], ...]
    answer: tuple[tuple[int, tuple[Tone, ...]], ...]  # (chord, melody) of its bars
    ending: tuple[tuple[int, tuple[Tone, ...]], ...]  # of the last bars before the final chord
    groove: Groove

    def bar(self, index: int, returns: bool, left: int) -> tuple[int, tuple[Tone, ...]]:
        """Chord and melody of a bar of the phrase, `left` bars from the final chord."""
        if left <= len(self.ending):
            return self.ending[-left]
        early = len(self.degrees) - len(self.answer)
        if returns and index >= early:
            return self.answer[index - early]
        return self.degrees[index], self.melody[index]


@dataclass(frozen=True)
class Harmony:
    """The key of a piece, and whether its chords have sevenths."""

    mode: str
    key: int
    sevenths: bool

    def chord(self, degree: int) -> tuple[int, str]:
        """Root pitch class and quality of the chord on a scale degree."""
        table = SEVENTHS if self.sevenths else TRIADS
        return (self.key + SCALES[self.mode][degree]) % 12, table[self.mode][degree]


PHRASE_ENDINGS = {0: (0, 0, 4), 4: (4, 4, 1), 3: (0, 3), 5: (0, 5), 2: (4, 2), 6: (1, 4), 1: (1, 4)}  # chord -> last notes of a phrase


def _section(rng: np.random.Generator, attributes: Attributes, ideas: Ideas, letter: str, bars: int, endings: int) -> Section:
    """A phrase of `bars` bars, for section A its answer, and the `endings` last bars of a piece that ends in this section."""
    mode, metre, half = attributes.mode, attributes.metre, bars // 2
    table = (PROGRESSIONS if letter == "A" else BRIDGES)[mode]
    degrees = table[int(rng.integers(len(table)))]
    degrees = degrees if bars == 4 else (degrees[0], degrees[-1])[:bars]
    forms = QUESTIONS if letter == "A" else BRIDGE_FORMS
    letters = forms[int(rng.integers(len(forms)))]
    letters = letters if bars == 4 else f"{letters[0]}c"[:bars]
    start = MIDDLE + int(rng.integers(-2, 3)) + (2 if letter == "B" else 0)
    question = arrange_motifs(rng, ideas, letters, _home(rng, degrees[-1]))
    opening = question[:half]

    def with_close(form: str, last: Sequence[int], home: tuple[int, ...]) -> tuple[tuple[int, tuple[Tone, ...]], ...]:
        motifs, chords = [*opening, *arrange_motifs(rng, ideas, form, home)], [*degrees[:half], *last]
        return tuple(zip(last, write_bars(ideas, motifs, chords, mode, metre, start)[half:], strict=True))

    answer = with_close(_choose(rng, ANSWERS)[-half:], ((4, 0), (4, 0), (3, 0))[int(rng.integers(3))][-half:], (0,)) if letter == "A" and half else ()
    ending = with_close("bc"[-endings:], (int(rng.choice((1, 3))), 4)[-endings:], ((1,), (6,), (4,))[int(rng.integers(3))]) if endings else ()
    grooves = GROOVES[attributes.style, metre]
    melody = write_bars(ideas, question, degrees, mode, metre, start)
    return Section(tuple(degrees), tuple(melody), answer, ending, grooves[int(rng.integers(len(grooves)))])


def _choose(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _home(rng: np.random.Generator, chord: int) -> tuple[int, ...]:
    return (PHRASE_ENDINGS[chord][int(rng.integers(len(PHRASE_ENDINGS[chord])))],)


class ScoreWriter:
    """Converts notes in eighths to notes in seconds, by track."""

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
            pitches = {"x": voices, "X": voices, "u": voices[1:]}.get(symbol)
            for pitch in pitches or (voices[min(int(symbol), len(voices)) - 1],):
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
    """(start, length, symbol) of every note of a groove line; holds lengthen the note before."""
    strikes: list[tuple[int, int, str]] = []
    for index, symbol in enumerate(pattern):
        if symbol == "-" and strikes:
            start, length, symbol_held = strikes[-1]
            strikes[-1] = (start, length + 1, symbol_held)
        elif symbol not in ".-":
            strikes.append((index, 1, symbol))
    return strikes


def compose(rng: np.random.Generator, attributes: Attributes, seconds: float) -> Score:
    """Composes a piece of `seconds` with a cadence and a final chord that fades before the end.

    Raises ValueError for a length outside 1.5 to 600 seconds.
    """
    if not 1.5 <= seconds <= 600:
        raise ValueError(f"A piece of {seconds} seconds cannot be written; ask for 1.5 to 600 seconds.")
    line = timeline(attributes, seconds)
    harmony = Harmony(attributes.mode, attributes.key, attributes.style == "swing" or rng.random() < 0.2)
    ideas, endings = find_ideas(rng, attributes), 0 if line.bar_count < 2 else closing_bars(line)
    sections = {letter: _section(rng, attributes, ideas, letter, line.phrase, endings) for letter in "AB"}
    writer, chords = ScoreWriter(attributes, line), []
    for index, bar in enumerate(line.bars):
        chords.append(_write_bar(writer, sections[bar.section], harmony, bar, index))
    chords.append(write_ending(writer, harmony))
    tracks = {name: tuple(sorted(notes, key=lambda n: (n.start, n.pitch))) for name, notes in writer.notes.items()}
    return Score(attributes, float(seconds), chords=tuple(chords), **tracks)


def _write_bar(writer: ScoreWriter, section: Section, harmony: Harmony, bar: Bar, index: int) -> Chord:
    attributes, line = writer.attributes, writer.line
    first, width = index * line.width, line.width
    degree, melody = section.bar(bar.place, bar.returns, bar.left)
    root, quality = harmony.chord(degree)
    for tone in melody:
        pitch = scale_pitch(lead_tonic(attributes), attributes.mode, tone.degree, tone.raised)
        writer.tone("lead", first + tone.start, tone.length, pitch, tone.start == 0)
    writer.accompaniment(first, section.groove.accompaniment, chord_voicing(root, quality))
    writer.bass(first, section.groove.bass, root, quality)
    if attributes.drums:
        turn = bar.place == line.phrase - 1 and line.phrase > 1 and attributes.style in ("rock", "dance", "swing")
        fill = FILLS[line.metre][(bar.left + line.bar_count) % 3] if turn else None
        crash = bar.place == 0 and line.phrase > 1 and attributes.style in ("rock", "dance")
        writer.percussion(first, section.groove, bar.section == "B", fill, crash)
    return Chord(line.time(first), line.time(first + width) - line.time(first), root, quality)


def write_ending(writer: ScoreWriter, harmony: Harmony) -> Chord:
    """Writes the tonic for the beats that the length leaves, then the final chord."""
    attributes, line = writer.attributes, writer.line
    root, quality = harmony.chord(0)
    voices, tonic, begin = chord_voicing(root, quality), lead_tonic(attributes), line.bar_count * line.width
    last = writer.notes["lead"][-1].pitch if writer.notes["lead"] else tonic + 12
    home = min((tonic, tonic + 12, tonic + 24), key=lambda pitch: abs(pitch - last))
    if line.eighths > begin:
        _write_tag(writer, begin, home, voices, bass_root(root))
    writer.final("lead", home)
    for pitch in voices:
        writer.final("accompaniment", pitch)
    writer.final("bass", bass_root(root))
    if attributes.drums:
        writer.drum(line.eighths, 36)
        writer.drum(line.eighths, 49 if attributes.style in ("rock", "dance") else 51)
    start = line.time(begin)
    return Chord(start, line.end - start, root, quality)


TAGS = {1: ((2, 0),), 2: ((2, 0), (2, -2)), 3: ((2, 0), (2, -2), (2, -3))}  # (eighths, steps from the tonic) a beat


def _write_tag(writer: ScoreWriter, begin: int, home: int, voices: Sequence[int], bass: int) -> None:
    """Writes the beats between the return of the tonic and the final chord."""
    attributes, line = writer.attributes, writer.line
    tonic, eighth = lead_tonic(attributes), begin
    around = 7 * ((home - tonic) // 12)
    for length, step in TAGS[(line.eighths - begin) // 2]:
        degree = around + step + (7 if around + step < 0 else 0)
        writer.tone("lead", eighth, length, scale_pitch(tonic, attributes.mode, degree), eighth == begin)
        eighth += length
    for pitch in voices:
        writer.tone("accompaniment", begin, line.eighths - begin, pitch, True)
    writer.tone("bass", begin, line.eighths - begin, bass, True)
    if attributes.drums:
        writer.drum(begin, 36)
        for eighth in range(begin, line.eighths, 2):
            writer.drum(eighth, 42)
