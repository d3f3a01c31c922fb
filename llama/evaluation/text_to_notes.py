"""Table of text-to-notes systems: tempo bin, key and compression ratio of the pieces that they make for captions.

The measures are those of Text2midi (arXiv 2412.16526); its own row and MuseCoco's are quoted from its repository.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llama.evaluation.caption_adherence import Key, key_agrees, key_of_notes, tempo_bin, tempo_bin_agrees
from llama.evaluation.compression import MAX_POINTS, compression_ratio
from llama.evaluation.statistics import bootstrap_interval, difference_interval, mean, share, wilson_interval
from llama.evaluation.symbolic_metrics import tempo_from_onsets
from llama.evaluation.tables import Measurement, Row, Table
from llama.media.midi_notes import MidiNotes

GRID = 12  # steps of a beat on which onsets are compared: sixteenths and triplets are whole numbers of them
TB, TBT, CK, CKD, CR = "TB %", "TBT %", "CK %", "CKD %", "CR"
TB_NOTES = "TB % by the notes"
CR_DRUMS = "CR with drums"
COLUMNS = (TB, TBT, TB_NOTES, CK, CKD, CR, CR_DRUMS)
QUOTED = {
    "Text2midi (quoted, other captions)": {TB: "39.70", TBT: "65.80", CK: "33.60", CKD: "35.60", CR: "2.31"},
    "MuseCoco (quoted, other captions)": {TB: "21.71", TBT: "54.63", CK: "13.70", CKD: "14.59", CR: "2.12"},
}
COMPARABLE = (
    "The quoted rows are of captions that Text2midi's authors drew from MidiCaps, with real pieces of any instruments and tempi, and of "
    "their programs; ours are captions of the same form whose tempi and keys the embedded model can play: they say how well each does its "
    "own task, not which of them would win on one set."
)
NOTES = (
    COMPARABLE,
    "TB, TBT: the tempo that the MIDI file declares lies in the caption's bin of nine, or in a neighbouring one. By the notes: the tempo "
    "is estimated from the onsets alone. CK: the key by Krumhansl's profiles is the caption's; CKD also accepts the relative key.",
    "CR: how much repeats, 1 where nothing does; neither high nor low is right by itself. COSIATEC on onsets and MIDI pitches, without "
    "percussion; the quoted values are of OMNISIA, which spells pitches first.",
    "Swapped: each piece is judged by the caption of another one. Constant: the commonest tempo and key for every caption.",
)


@dataclass(frozen=True)
class CaptionTarget:
    """A caption with the tempo, in beats a minute, and the key that it stands for."""

    name: str
    caption: str
    tempo: float
    key: Key


@dataclass(frozen=True)
class Measured:
    """What a piece has. None where it lacks notes for it; ratios are nan without notes, and for more than MAX_POINTS."""

    tempo: float | None = None
    tempo_by_notes: float | None = None
    key: Key | None = None
    ratio: float = float("nan")
    ratio_with_drums: float = float("nan")


def measure(piece: MidiNotes) -> Measured:
    """Tempo, key and compression ratio of a piece."""
    if not piece.notes:
        return Measured()
    by_notes = tempo_from_onsets([note.start * 60 / piece.tempo for note in piece.notes])
    ratios = [_ratio(piece, drums) for drums in (False, True)]
    return Measured(piece.tempo, by_notes, key_of_notes(piece.notes), *ratios)


def _ratio(piece: MidiNotes, drums: bool) -> float:
    points = {(round(note.start * GRID), note.pitch) for note in piece.notes if drums or not note.is_drum}
    return compression_ratio(points) if len(points) <= MAX_POINTS else float("nan")


def constant_piece(wanted: Sequence[CaptionTarget]) -> Measured:
    """The one tempo and key that agree with most captions, as a piece: what a system has that reads none of them."""
    bins = Counter(tempo_bin(each.tempo) for each in wanted)
    tempo = next(each.tempo for each in wanted if tempo_bin(each.tempo) == bins.most_common(1)[0][0])
    return Measured(tempo, tempo, Counter(each.key for each in wanted).most_common(1)[0][0])


def table(title: str, wanted: Sequence[CaptionTarget], systems: Mapping[str, Mapping[str, Measured]]) -> Table:
    """A row for each system, one with its captions swapped, one for a constant answer, and the quoted ones.

    systems: name -> name of a caption -> its piece. A caption without a piece counts as wrong, and is in no compression ratio.
    """
    rows = []
    for name, pieces in systems.items():
        own = [pieces.get(each.name, Measured()) for each in wanted]
        swapped = _swap(wanted)
        rows.append(_row(name, wanted, own))
        if len(wanted) > 1:
            rows += [_row(f"{name}, captions swapped", swapped, own), _difference(name, wanted, swapped, own)]
    notes = [*map(_headline, rows[2::3]), *_missing(wanted, systems), *NOTES]
    constant = _row("one constant tempo and key", wanted, [constant_piece(wanted)] * len(wanted))
    rows.append(Row(constant.label, {name: cell for name, cell in constant.cells.items() if name not in (CR, CR_DRUMS)}))
    return Table(title, COLUMNS, [*rows, *(Row(name, cells) for name, cells in QUOTED.items())], notes)


def _headline(difference: Row) -> str:
    """What to read first: whether the key follows the caption, which no constant answer does."""
    key = difference.cells[CK]
    assert isinstance(key, Measurement) and key.low is not None and key.high is not None
    verdict = "follow" if key.low > 0 else "do not clearly follow"
    interval = f"95 % interval {key.low:.1f} to {key.high:.1f}"
    return f"{difference.label} is {key.value:.1f} points in CK ({interval}): the keys {verdict} the captions."


def _missing(wanted: Sequence[CaptionTarget], systems: Mapping[str, Mapping[str, Measured]]) -> list[str]:
    """A sentence for each system that lacks pieces."""
    counts = {name: sum(each.name not in pieces for each in wanted) for name, pieces in systems.items()}
    sentence = "{}: {} of {} captions have no piece that can be read; they count as wrong."
    return [sentence.format(name, count, len(wanted)) for name, count in counts.items() if count]


def _swap(wanted: Sequence[CaptionTarget]) -> list[CaptionTarget]:
    """The captions moved by half of their number, so that each piece meets another one's."""
    middle = len(wanted) // 2
    return [*wanted[middle:], *wanted[:middle]]


def _hits(wanted: Sequence[CaptionTarget], pieces: Sequence[Measured]) -> dict[str, list[bool]]:
    pairs = list(zip(wanted, pieces, strict=True))
    return {
        TB: [tempo_bin_agrees(piece.tempo, each.tempo) for each, piece in pairs],
        TBT: [tempo_bin_agrees(piece.tempo, each.tempo, 1) for each, piece in pairs],
        TB_NOTES: [tempo_bin_agrees(piece.tempo_by_notes, each.tempo) for each, piece in pairs],
        CK: [key_agrees(piece.key, each.key) for each, piece in pairs],
        CKD: [key_agrees(piece.key, each.key, duplicates=True) for each, piece in pairs],
    }


def _row(label: str, wanted: Sequence[CaptionTarget], pieces: Sequence[Measured]) -> Row:
    cells = {name: _share(hits) for name, hits in _hits(wanted, pieces).items()}
    ratios = {CR: [piece.ratio for piece in pieces], CR_DRUMS: [piece.ratio_with_drums for piece in pieces]}
    return Row(label, {**cells, **{name: _mean(values) for name, values in ratios.items()}})


def _difference(name: str, wanted: Sequence[CaptionTarget], swapped: Sequence[CaptionTarget], pieces: Sequence[Measured]) -> Row:
    """Own minus swapped, in points of a hundred."""
    own, other = _hits(wanted, pieces), _hits(swapped, pieces)
    cells = {}
    for column, hits in own.items():
        low, high = difference_interval(_by_piece(hits), _by_piece(other[column]))
        cells[column] = Measurement(100 * (share(hits) - share(other[column])), len(hits), 100 * low, 100 * high, digits=1)
    return Row(f"{name}, own minus swapped", cells)


def _by_piece(values: Sequence[float]) -> dict[str, np.ndarray]:
    return {str(place): np.array([value], float) for place, value in enumerate(values)}


def _share(hits: Sequence[bool]) -> Measurement:
    low, high = wilson_interval(sum(hits), len(hits))
    return Measurement(100 * share(hits), len(hits), 100 * low, 100 * high, digits=1)


def _mean(values: Sequence[float]) -> Measurement:
    finite = [value for value in values if np.isfinite(value)]
    low, high = bootstrap_interval(_by_piece(finite))
    return Measurement(mean(np.array(finite)), len(finite), low, high, digits=2)
