"""Traditional tunes, harmonized and arranged: music that the composer did not generate.

`read_abc` parses melodies in ABC notation (the fiddle tunes that come with music21, among others), `harmonise` finds a
chord for every bar, `arrange` sets a tune in a style, metre, key and tempo with the composer's grooves. No tune is
shipped; `collect` reads them from the installed corpus, and one in eight is held out for testing.

    python -m DataSet.synthesis.tunes build/nano/tunes.json
"""

from __future__ import annotations

import argparse
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from DataSet.synthesis.composer import Harmony, ScoreWriter, write_ending
from DataSet.synthesis.grooves import FILLS, GROOVES, TRIADS, Groove
from llama.files import write_text
from llama.json_yaml import read_json
from llama.media.score import (
    GATES,
    LEAD_FLOOR,
    MODES,
    QUALITIES,
    SCALES,
    TEMPI,
    Attributes,
    Chord,
    Note,
    Score,
    Timeline,
    chord_voicing,
    timeline,
)

COLLECTIONS = ("oneills1850", "ryansMammoth", "airdsAirs")  # of music21's corpus; gathered between 1778 and 1903
TEST_COLLECTIONS = ("miscFolk",)  # of the same corpus; none of it is trained on
HELD_OUT_EVERY = 8  # one tune in so many is never trained on
LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
SHARPS = "FCGDAEB"
METRE_OF = {"C": (4, 1), "C|": (4, 1), "4/4": (4, 1), "2/4": (4, 2), "3/4": (3, 1), "3/8": (3, 2)}  # metre, stretch
MIN_BARS = 8  # a shorter tune is left out
TOKEN = re.compile(
    r"(?P<bar>\|+:?|:\|+:?|::|\[\|)|(?P<ending>\[\d)|(?P<tuplet>\(\d(?::\d*)*)|(?P<chord>\[[^\]|:]*\])"
    r"|(?P<note>(?:\^\^?|__?|=)?[A-Ga-gzx][,']*)(?P<length>\d*/*\d*)(?P<broken>[<>]*)"
)
NOISE = re.compile(r'"[^"]*"|![^!]*!|\+[a-z]+\+|\{[^}]*\}|\[[A-Za-z]:[^\]]*\]|%.*')


@dataclass(frozen=True)
class Tune:
    """A melody: (first beat, beats, MIDI pitch) from the first whole bar on."""

    name: str
    tonic: int
    mode: str
    metre: int
    notes: tuple[tuple[float, float, int], ...]

    @property
    def bars(self) -> int:
        return int(max(start for start, _, _ in self.notes) // self.metre) + 1

    @property
    def held_out(self) -> bool:
        return self.name.partition("/")[0] in TEST_COLLECTIONS or zlib.crc32(self.name.encode()) % HELD_OUT_EVERY == 0


def read_abc(text: str, source: str = "") -> Iterator[Tune]:
    """The tunes of an ABC file that are in major or minor, in two, three or four, and end on their tonic."""
    for number, block in enumerate(re.split(r"(?m)^(?=X:)", text)):
        tune = _tune(block, f"{source}/{number}")
        if tune:
            yield tune


def _tune(block: str, name: str) -> Tune | None:
    fields: dict[str, str] = {}
    body: list[str] = []
    for line in block.splitlines():
        match = re.match(r"([A-Za-z]):\s*(.*)", line)
        if match and match[1] in "MLKTX":
            if body and match[1] in "MLK":
                break  # the rest is in another key or metre
            fields.setdefault(match[1], match[2].split("%")[0].strip())
        elif not match and "K" in fields:
            body.append(NOISE.sub("", line))
    metre, key = METRE_OF.get(fields.get("M", "")), _key(fields.get("K", ""))
    if not metre or not key or not body:
        return None
    return _melody(" ".join(body), name, key, metre, _unit(fields))


def _key(text: str) -> tuple[int, str, int] | None:
    """"Em", "A Dorian" -> (tonic, our mode, fifths of the signature)."""
    match = re.match(r"([A-G])([#b]?)\s*([A-Za-z]*)", text)
    if not match:
        return None
    shift = {"#": 1, "b": -1, "": 0}[match[2]]
    kind, fifths = match[3].lower()[:3], FIFTHS[match[1]] + 7 * shift
    known = {"": ("major", 0), "maj": ("major", 0), "m": ("minor", -3), "min": ("minor", -3), "dor": ("minor", -2), "aeo": ("minor", -3)}
    if kind not in known:
        return None
    mode, offset = known[kind]
    return (LETTERS[match[1]] + shift) % 12, mode, fifths + offset


def _unit(fields: dict[str, str]) -> Fraction:
    """Length of a plain note in beats (quarters)."""
    return 4 * Fraction(fields["L"].replace(" ", "")) if re.fullmatch(r"\s*\d+/\d+\s*", fields.get("L", "")) else Fraction(1, 2)


def _length(text: str) -> Fraction:
    if not text:
        return Fraction(1)
    above, slash, below = text.partition("/")
    if not slash:
        return Fraction(int(above))
    below = below.strip("/") or str(2 ** text.count("/"))
    return Fraction(int(above or 1), int(below))


def _melody(body: str, name: str, key: tuple[int, str, int], metre: tuple[int, int], unit: Fraction) -> Tune | None:
    tonic, mode, fifths = key
    beats, stretch = metre
    signature = {SHARPS[k]: 1 for k in range(fifths)} if fifths > 0 else {SHARPS[-1 - k]: -1 for k in range(-fifths)}
    notes: list[list[Fraction | int]] = []
    now, offset, accidentals = Fraction(0), None, dict[str, int]()
    tuplet, factor, pending = 0, Fraction(1), Fraction(1)
    for token in TOKEN.finditer(body):
        if token["bar"]:
            accidentals = {}
            if offset is None and now > 0:
                offset = now % beats
            elif offset is not None and (now - offset) % beats and ":" not in token["bar"] and token["bar"] != "||":
                break  # what follows is not in this metre
            continue
        if token["tuplet"]:
            count = int(token["tuplet"][1])
            tuplet, factor = count, {2: Fraction(3, 2), 3: Fraction(2, 3), 4: Fraction(3, 4)}.get(count, Fraction(2, count))
            continue
        if not token["note"]:
            continue
        length = _length(token["length"]) * unit * stretch * pending
        pending = Fraction(1)
        if tuplet:
            length, tuplet = length * factor, tuplet - 1
        if token["broken"]:
            share = Fraction(1, 2 ** len(token["broken"]))
            longer, shorter = 2 - share, share
            length, pending = (length * longer, shorter) if ">" in token["broken"] else (length * shorter, longer)
        pitch = _pitch(token["note"], signature, accidentals)
        if pitch is not None:
            notes.append([now, length, pitch])
        now += length
    if offset is None or len(notes) < 16:
        return None
    whole = [(float(start - offset), float(length), int(pitch)) for start, length, pitch in notes if start >= offset]
    if not whole or whole[-1][0] < MIN_BARS * beats - beats or whole[-1][2] % 12 != tonic:
        return None
    return Tune(name, tonic, mode, beats, tuple(whole))


def _pitch(note: str, signature: dict[str, int], accidentals: dict[str, int]) -> int | None:
    letter = re.sub(r"[^A-Ga-gzx]", "", note)
    if letter in "zx":
        return None
    step = letter.upper() + ("'" if letter.islower() else "") + note.count("'") * "'" + note.count(",") * ","
    sign = re.match(r"\^\^?|__?|=", note)
    if sign:
        accidentals[step] = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}[sign[0]]
    bent = accidentals.get(step, signature.get(letter.upper(), 0))
    return 60 + LETTERS[letter.upper()] + 12 * (letter.islower() + note.count("'") - note.count(",")) + bent


def collect(folder: Path) -> list[Tune]:
    """All usable tunes of music21's collections, read from the folder of its corpus."""
    return [tune for name in (*COLLECTIONS, *TEST_COLLECTIONS) for path in sorted((folder / name).glob("*.abc"))
            for tune in read_abc(path.read_text(encoding="utf-8", errors="replace"), f"{name}/{path.stem}")]


def save(tunes: Sequence[Tune], path: Path) -> None:
    write_text(path, json.dumps([asdict(tune) for tune in tunes], separators=(",", ":")))


def load(path: Path) -> list[Tune]:
    return [Tune(**{**row, "notes": tuple(tuple(note) for note in row["notes"])}) for row in read_json(path)]


DEGREE_PRIORS = {"major": (0.5, 0.0, -0.5, 0.35, 0.4, 0.05, -9.0), "minor": (0.5, -9.0, 0.0, 0.25, 0.25, 0.1, 0.25)}


def harmonise(tune: Tune, first: int, count: int) -> list[int]:
    """A scale degree for each of `count` bars from bar `first` on: what fits the notes, moves well and comes home."""
    fits = np.array([[_fit(tune, bar, degree) + DEGREE_PRIORS[tune.mode][degree] for degree in range(7)] for bar in range(first, first + count)])
    moves = np.full((7, 7), -0.35)
    np.fill_diagonal(moves, -0.25)
    moves[4, 0] = moves[3, 0] = moves[3, 4] = moves[1, 4] = 0.25
    best, came = fits[0], []
    for row in fits[1:]:
        paths = best[:, None] + moves
        came.append(paths.argmax(0))
        best = paths.max(0) + row
    degrees = [int(best.argmax())]
    for pointers in reversed(came):
        degrees.append(int(pointers[degrees[-1]]))
    return degrees[::-1]


def _fit(tune: Tune, bar: int, degree: int) -> float:
    """How well the triad on a degree carries a bar's notes."""
    root, quality = tune.tonic + SCALES[tune.mode][degree], TRIADS[tune.mode][degree]
    tones = {(root + step) % 12 for step in QUALITIES[quality]}
    found = 0.0
    for start, length, pitch in tune.notes:
        if start // tune.metre == bar:
            weight = length * (1.6 if start % (2 if tune.metre == 4 else 3) == 0 else 1.0)
            found += weight * (1.0 if pitch % 12 in tones else -0.8)
    return 3 * found / tune.metre


def second(line: Timeline, eighth: float) -> float:
    """The time in seconds of an eighth or a fraction of one."""
    whole = int(eighth)
    return line.time(whole) + (eighth - whole) * (line.time(whole + 1) - line.time(whole))


def arrange(rng: np.random.Generator, tune: Tune, attributes: Attributes, seconds: float) -> Score:
    """Set a tune with accompaniment, bass and drums in the attributes' style, key and tempo, `seconds` long.

    Raises ValueError where mode or metre of tune and attributes differ: those are the tune's own.
    """
    if (tune.mode, tune.metre) != (attributes.mode, attributes.metre):
        raise ValueError(f"{tune.name} is in {tune.mode} and {tune.metre}, not in {attributes.mode} and {attributes.metre}.")
    line = timeline(attributes, seconds)
    starts = range(0, max(1, tune.bars - line.bar_count), 4)
    first = int(rng.choice(starts)) if rng.random() < 0.7 else 0
    count = min(line.bar_count, tune.bars - first)
    degrees = harmonise(tune, first, count) if count else []
    writer, harmony, grooves = ScoreWriter(attributes, line), Harmony(attributes.mode, attributes.key, False), _grooves(rng, attributes)
    chords = []
    lift = int(rng.integers(-1, 3))
    for index, bar in enumerate(line.bars):
        root, quality = harmony.chord(degrees[index % count])
        start = index * line.width
        groove = grooves[bar.section == "B"]
        writer.accompaniment(start, groove.accompaniment, _voicing(root, quality, lift))
        writer.bass(start, groove.bass, root, quality)
        if attributes.drums:
            fill = FILLS[line.metre][index % 3] if bar.place == line.phrase - 1 and attributes.style in ("rock", "dance", "swing") else None
            writer.percussion(start, groove, bar.section == "B", fill, bar.place == 0 and attributes.style in ("rock", "dance"))
        chords.append(Chord(line.time(start), line.time(start + line.width) - line.time(start), root, quality))
    writer.notes["lead"] = _lead(rng, tune, attributes, line, first, count)
    chords.append(write_ending(writer, harmony))
    tracks = {name: tuple(sorted(notes, key=lambda n: (n.start, n.pitch))) for name, notes in writer.notes.items()}
    return Score(attributes, float(seconds), chords=tuple(chords), **tracks)


def _lead(rng: np.random.Generator, tune: Tune, attributes: Attributes, line: Timeline, first: int, count: int) -> list[Note]:
    """The melody in the lead's register; a tune shorter than the piece begins again."""
    shift = attributes.key - tune.tonic
    taken = [(start - first * tune.metre, length, pitch + shift) for start, length, pitch in tune.notes
             if first <= start // tune.metre < first + count]
    if not taken:
        return []
    low = min(pitch for _, _, pitch in taken)
    raised = 12 * -(-(LEAD_FLOOR[attributes.lead] - 2 - low) // 12)
    gate, notes, close = GATES[attributes.style]["lead"], [], line.bar_count * line.width
    for turn in range(0, close, 2 * count * tune.metre):
        for start, length, pitch in taken:
            begin, end = turn + 2 * start, min(turn + 2 * (start + length), close)
            if end - begin > 0.01:
                at, until = second(line, begin), second(line, end)
                velocity = 106 if begin % line.width == 0 else 92 + int(rng.integers(-4, 5))
                notes.append(Note(at, (until - at) * gate, pitch + raised, velocity))
    return notes


def _grooves(rng: np.random.Generator, attributes: Attributes) -> tuple[Groove, Groove]:
    """For sections A and B: accompaniment, bass and drums of the style, each line from any of its grooves."""
    grooves = GROOVES[attributes.style, attributes.metre]
    made = []
    for _ in "AB":
        chords, bass, drums = (grooves[int(rng.integers(len(grooves)))] for _ in range(3))
        made.append(Groove(chords.accompaniment, bass.bass, drums.kick, drums.snare, drums.hat, drums.backbeat, drums.cymbal, drums.offbeat))
    return made[0], made[1]


def _voicing(root: int, quality: str, lift: int) -> tuple[int, ...]:
    """The chord with its lowest voices an octave higher (or its highest lower)."""
    voices = list(chord_voicing(root, quality))
    for _ in range(abs(lift)):
        voices = [voices[-1] - 12, *voices[:-1]] if lift < 0 else [*voices[1:], voices[0] + 12]
    return tuple(voices)


def attributes_for(rng: np.random.Generator, tune: Tune, attributes: Attributes) -> Attributes:
    """Attributes with the tune's mode and metre, and a tempo that keeps its notes distinct."""
    assert tune.mode in MODES
    busy = len(tune.notes) / (tune.bars * tune.metre)  # notes a beat
    fastest = min(TEMPI[-1], int(420 / max(busy, 1.0)))
    tempo = attributes.tempo if attributes.tempo <= fastest else int(rng.choice([value for value in TEMPI if value <= fastest]))
    return Attributes(**{**asdict(attributes), "mode": tune.mode, "metre": tune.metre, "tempo": tempo})


def corpus() -> Path:
    """Where music21's corpus lies; raises FileNotFoundError if music21 is not installed."""
    spec = find_spec("music21")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("music21, whose corpus holds the tunes, is not installed; pip install music21.")
    return Path(spec.origin).parent / "corpus"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="JSON file for the parsed tunes")
    options = parser.parse_args()
    collected = collect(corpus())
    save(collected, options.out)
    print(f"{len(collected)} tunes, {sum(tune.held_out for tune in collected)} of them held out")


if __name__ == "__main__":
    main()
