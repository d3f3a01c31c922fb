"""Symbolic music: attributes, notes, scores, and the timeline that follows from tempo, metre and length.

Legend: a bar has `metre` beats, a beat has two eighths; pitches are MIDI numbers, times are seconds, keys are pitch classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from llama.errors import quoted

LEADS: Mapping[str, int] = {  # name -> General MIDI program
    "piano": 0, "organ": 19, "guitar": 24, "violin": 40, "cello": 42, "trumpet": 56,
    "flute": 73, "saxophone": 65, "clarinet": 71, "harp": 46, "marimba": 12, "synthesizer": 81,
}
LEAD_FLOOR: Mapping[str, int] = {  # lowest tonic pitch of a melody, by instrument
    "piano": 60, "organ": 60, "guitar": 52, "violin": 60, "cello": 41, "trumpet": 55,
    "flute": 64, "saxophone": 50, "clarinet": 55, "harp": 57, "marimba": 57, "synthesizer": 57,
}
ACCOMPANIMENTS: Mapping[str, int] = {"piano": 0, "organ": 16, "guitar": 25, "strings": 48, "pad": 89}
BASSES: Mapping[str, int] = {"ballad": 32, "rock": 33, "dance": 38, "waltz": 32, "swing": 32, "ambient": 43}
STYLES: tuple[str, ...] = tuple(BASSES)
MODES: tuple[str, ...] = ("major", "minor")
METRES: tuple[int, ...] = (3, 4)
TEMPI: tuple[int, ...] = tuple(range(60, 181, 2))  # that are composed, and that note codes can hold
TEMPO_RANGE = (30, 300)  # beats a minute that a score may have: a piece from a file keeps its own, which need not be whole
KEYS: tuple[str, ...] = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")
DRUMS: tuple[int, ...] = (36, 38, 42, 46, 51, 49, 39)  # kick, snare, closed hat, open hat, ride, crash, clap
DRUM_VELOCITY: Mapping[int, int] = {36: 108, 38: 98, 42: 70, 46: 80, 51: 84, 49: 96, 39: 98}
TRACKS: tuple[str, ...] = ("lead", "accompaniment", "bass", "drums")
SCALES: Mapping[str, tuple[int, ...]] = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
QUALITIES: Mapping[str, tuple[int, ...]] = {  # semitones above the root
    "major": (0, 4, 7), "minor": (0, 3, 7), "diminished": (0, 3, 6),
    "dominant7": (0, 4, 7, 10), "major7": (0, 4, 7, 11), "minor7": (0, 3, 7, 10),
}
GATES: Mapping[str, Mapping[str, float]] = {  # sounding part of a written length: how a style is articulated
    "ballad": {"lead": 0.98, "accompaniment": 1.0, "bass": 0.97},
    "rock": {"lead": 0.92, "accompaniment": 0.88, "bass": 0.9},
    "dance": {"lead": 0.84, "accompaniment": 0.75, "bass": 0.8},
    "waltz": {"lead": 0.95, "accompaniment": 0.7, "bass": 0.92},
    "swing": {"lead": 0.93, "accompaniment": 0.7, "bass": 0.95},
    "ambient": {"lead": 1.0, "accompaniment": 1.0, "bass": 1.0},
}
FINAL_SECONDS = 1.0  # the last chord sounds at least this long
MIN_CHORD = 0.3  # seconds that the last chord sounds at least, if there is room for a bar before it
ENDING_REST = 0.4  # seconds of silence at the end, in which the last chord fades


def check_tempo(tempo: object) -> None:
    """Raises ValueError for a tempo that no score can have."""
    low, high = TEMPO_RANGE
    if isinstance(tempo, bool) or not isinstance(tempo, (int, float)) or not low <= tempo <= high:
        raise ValueError(f"tempo {quoted(tempo)} is out of range; give beats a minute from {low} to {high}.")


def nearest_tempo(tempo: float) -> int:
    """The nearest tempo that note codes can hold."""
    return min(TEMPI, key=lambda candidate: abs(candidate - tempo))


def _one_of(name: str, value: object, allowed: Mapping[str, int] | tuple[object, ...]) -> None:
    if value not in allowed:
        choices = ", ".join(str(choice) for choice in allowed)
        raise ValueError(f"{name} {value!r} is not known; choose one of: {choices}.")


@dataclass(frozen=True)
class Attributes:
    """Attributes of a piece. `metre` is in beats a bar, `key` a pitch class.

    tempo: beats a minute, any number within TEMPO_RANGE; a whole one is an int. What is composed has one of TEMPI.
    """

    lead: str
    accompaniment: str
    style: str
    tempo: float
    mode: str
    metre: int
    drums: bool
    key: int

    def __post_init__(self) -> None:
        _one_of("lead", self.lead, LEADS)
        _one_of("accompaniment", self.accompaniment, ACCOMPANIMENTS)
        _one_of("style", self.style, STYLES)
        check_tempo(self.tempo)
        if isinstance(self.tempo, float) and self.tempo.is_integer():
            object.__setattr__(self, "tempo", int(self.tempo))
        _one_of("mode", self.mode, MODES)
        _one_of("metre", self.metre, METRES)
        _one_of("key", self.key, tuple(range(12)))

    @property
    def programs(self) -> dict[str, int]:
        """Track name -> General MIDI program (drums use 128, the percussion bank)."""
        return {
            "lead": LEADS[self.lead], "accompaniment": ACCOMPANIMENTS[self.accompaniment],
            "bass": BASSES[self.style], "drums": 128,
        }

    @property
    def swing(self) -> bool:
        return self.style == "swing"


@dataclass(frozen=True)
class Note:
    start: float  # seconds
    duration: float  # seconds
    pitch: int  # MIDI; for drums the General MIDI percussion key
    velocity: int  # 1..127


@dataclass(frozen=True)
class Chord:
    start: float
    duration: float
    root: int  # pitch class
    quality: str  # key of QUALITIES

    @property
    def tones(self) -> tuple[int, ...]:
        """Pitch classes of the chord."""
        return tuple((self.root + step) % 12 for step in QUALITIES[self.quality])


@dataclass(frozen=True)
class Score:
    """A piece: the notes of four tracks in seconds, its chords bar by bar, and the requested attributes."""

    attributes: Attributes
    seconds: float
    lead: tuple[Note, ...]
    accompaniment: tuple[Note, ...]
    bass: tuple[Note, ...]
    drums: tuple[Note, ...]
    chords: tuple[Chord, ...]

    def track(self, name: str) -> tuple[Note, ...]:
        _one_of("track", name, TRACKS)
        return getattr(self, name)  # type: ignore[no-any-return]

    @property
    def programs(self) -> dict[str, int]:
        return self.attributes.programs


@dataclass(frozen=True)
class Bar:
    """Position of a bar in the form."""

    section: str  # "A" or "B"
    place: int  # index of the bar in its phrase
    left: int  # bars still to come before the final chord, this one included
    returns: bool  # the section occurred before


@dataclass(frozen=True)
class Timeline:
    """Bars, eighths and form of a piece, as a function of tempo, metre, swing and length."""

    tempo: float
    metre: int
    swing: bool
    seconds: float

    @property
    def beat(self) -> float:
        return 60.0 / self.tempo

    @cached_property
    def bar_count(self) -> int:
        """Whole bars before the tonic's return."""
        free, bar = self.seconds - ENDING_REST - max(FINAL_SECONDS, 1.5 * self.beat), self.beat * self.metre
        # A piece too short for a bar and a full last chord has the bar all the same, and a shorter chord.
        return max(int(free / bar + 1e-9), int(self.seconds - ENDING_REST >= bar + MIN_CHORD))

    @cached_property
    def tag(self) -> int:
        """Beats of the tonic between the last whole bar and the final chord, which fill the piece to its length."""
        free = self.seconds - ENDING_REST - max(FINAL_SECONDS, 1.5 * self.beat) - self.bar_count * self.beat * self.metre
        return min(max(int(free / self.beat + 1e-9), 0), self.metre - 1)

    @cached_property
    def eighths(self) -> int:
        """Eighths before the final chord; the final chord starts at `time(eighths)`."""
        return self.bar_count * self.width + 2 * self.tag

    def time(self, eighth: int) -> float:
        """Second at which an eighth begins; swung off-beats come after two thirds of the beat."""
        beats, off = divmod(eighth, 2)
        return (beats + off * (2 / 3 if self.swing else 0.5)) * self.beat

    @property
    def end(self) -> float:
        """Second at which the final chord ends."""
        return max(self.time(self.eighths) + 0.1, self.seconds - ENDING_REST)

    @cached_property
    def width(self) -> int:
        """Eighths in a bar."""
        return self.metre * 2

    @cached_property
    def phrase(self) -> int:
        """Bars in a phrase."""
        return 4 if self.bar_count >= 8 else 2 if self.bar_count >= 3 else 1

    @cached_property
    def bars(self) -> tuple[Bar, ...]:
        """The form: AABA of four phrases (over and over), ABA of three, AA of two."""
        phrases = -(-self.bar_count // self.phrase)
        letters = {1: "A", 2: "AA", 3: "ABA"}.get(phrases, "AABA")
        bars: list[Bar] = []
        for index in range(self.bar_count):
            number, position = divmod(index, self.phrase)
            section = letters[number % len(letters)]
            seen = any(letters[k % len(letters)] == section for k in range(number))
            bars.append(Bar(section, position, self.bar_count - index, seen))
        return tuple(bars)


@lru_cache(maxsize=512)
def _timeline(tempo: float, metre: int, swing: bool, seconds: float) -> Timeline:
    return Timeline(tempo, metre, swing, seconds)


def timeline(attributes: Attributes, seconds: float) -> Timeline:
    """The timeline of a piece, cached."""
    return _timeline(attributes.tempo, attributes.metre, attributes.swing, float(seconds))


def closing_bars(line: Timeline) -> int:
    """Number of bars before the final tonic that lead to it and so differ from the first time of their section."""
    return 2 if line.phrase == 4 else 1


def scale_pitch(tonic: int, mode: str, degree: int, raised: bool = False) -> int:
    """Pitch of a scale degree (0 is the tonic, 7 the tonic an octave above); `raised` adds a semitone."""
    octave, step = divmod(degree, 7)
    return tonic + 12 * octave + SCALES[mode][step] + int(raised)


def lead_tonic(attributes: Attributes) -> int:
    """Lowest tonic of the lead's register."""
    floor = LEAD_FLOOR[attributes.lead]
    return floor + (attributes.key - floor) % 12


def chord_voicing(root: int, quality: str) -> tuple[int, ...]:
    """The accompaniment's notes, low to high: all chord tones folded into one octave from G3, so that voices move little.

    A chord with a major seventh stands on its root, between D3 and C sharp 4: in every other order its seventh lies a semitone
    below the root, which rubs.
    """
    steps = QUALITIES[quality]
    if 11 in steps:
        return tuple(50 + (root - 50) % 12 + step for step in steps)
    return tuple(sorted(55 + (root + step - 55) % 12 for step in steps))


def bass_root(root: int) -> int:
    """The bass note of a chord, between E1 and E flat 2."""
    return 28 + (root - 28) % 12
