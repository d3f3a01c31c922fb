"""Other libraries read what we write: the same bars, tempo, metre, key and notes, and verovio engraves it without complaint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from score_readers import MIDI_READERS, MUSICXML_READERS, Notes, Reading, engraved

from DataSet.synthesis.composer import compose
from llama.media.midi import to_midi
from llama.media.musicxml import to_musicxml
from llama.media.notation import write_notation
from llama.media.score import Attributes, Note, Score
from llama.media.spelling import key_fifths


def odd(score: Score) -> Score:
    """The piece with notes as files have them: thirds, sixteenths, and chords that overlap."""
    lead = tuple(Note(start, length, 72 + k, 80) for k, (start, length) in enumerate([(0, 0.5), (1 / 3, 1 / 3), (1.25, 1.5), (2.75, 0.25)]))
    return replace(score, lead=lead)


PIECES = {
    "swing": compose(np.random.default_rng(1), Attributes("saxophone", "piano", "swing", 138, "minor", 4, drums=True, key=3), 9.0),
    "waltz": compose(np.random.default_rng(2), Attributes("violin", "strings", "waltz", 150, "major", 3, drums=False, key=10), 8.0),
    "rock": compose(np.random.default_rng(3), Attributes("guitar", "organ", "rock", 120, "major", 4, drums=True, key=1), 9.0),
    "odd": odd(compose(np.random.default_rng(4), Attributes("flute", "pad", "ambient", 60, "minor", 4, drums=False, key=8), 9.0)),
}
SLOW_TO_IMPORT = "partitura"  # which reads one piece


def judge(score: Score, reading: Reading, parts: Sequence[Notes], drums: list[tuple[float, int]]) -> None:
    """Compares what was read with the piece: places to 1/300 of a beat, lengths to 1/50, as MIDI files and clocks round them."""
    attributes = score.attributes
    assert reading.tempo == pytest.approx(attributes.tempo, abs=0.01)
    assert reading.metre == (attributes.metre, 4)
    assert (reading.fifths - key_fifths(attributes.key, attributes.mode)) % 12 == 0 and reading.mode == attributes.mode
    assert reading.bar_count in (None, write_notation(score).bar_count)
    assert len(reading.parts) == len(parts)
    for found, wanted in zip(reading.parts, parts, strict=True):
        assert [pitch for _, _, pitch in found] == [pitch for _, _, pitch in wanted]
        assert np.allclose([start for start, _, _ in found], [start for start, _, _ in wanted], atol=1 / 300)
        assert np.allclose([length for _, length, _ in found], [length for _, length, _ in wanted], atol=1 / 50)
    if reading.drums is not None:
        assert [pitch for _, pitch in reading.drums] == [pitch for _, pitch in drums]
        assert np.allclose([start for start, _ in reading.drums], [start for start, _ in drums], atol=1 / 300)


@pytest.mark.parametrize("reader", MUSICXML_READERS)
def test_musicxml_is_read_by_others(reader: str) -> None:
    for name, score in PIECES.items():
        if reader != SLOW_TO_IMPORT or name == "odd":
            notation = write_notation(score)
            parts = [
                sorted((round(float(note.start), 3), round(float(note.length), 3), note.pitch) for note in notes)
                for part, notes in notation.parts.items() if part != "drums"
            ]  # fmt: skip
            drums = sorted((round(float(note.start), 3), note.pitch) for note in notation.parts.get("drums", ()))
            judge(score, MUSICXML_READERS[reader](to_musicxml(score)), parts, drums)


@pytest.mark.parametrize("reader", MIDI_READERS)
def test_midi_is_read_by_others(reader: str) -> None:
    for name, score in PIECES.items():
        if reader != SLOW_TO_IMPORT or name == "rock":
            beats = score.attributes.tempo / 60
            parts = [
                sorted((round(note.start * beats, 3), round(note.duration * beats, 3), note.pitch) for note in score.track(part))
                for part in ("lead", "accompaniment", "bass") if score.track(part)
            ]  # fmt: skip
            drums = sorted((round(note.start * beats, 3), note.pitch) for note in score.drums)
            judge(score, MIDI_READERS[reader](to_midi(score)), parts, drums)


@pytest.mark.parametrize("name", PIECES)
def test_a_page_is_engraved(name: str) -> None:
    score = PIECES[name]
    page = engraved(to_musicxml(score))
    assert page.startswith("<svg") and page.count('class="harm"') >= len({chord.root for chord in score.chords[:4]})
    assert page.count('class="reh"') >= 1 and page.count('class="tempo"') >= 1
