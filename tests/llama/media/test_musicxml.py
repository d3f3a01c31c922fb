"""MusicXML that is written: our own reader gives the notes back, and the pages say what a musician needs."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from llama.media.musicxml import to_musicxml
from llama.media.musicxml_reader import read_musicxml
from llama.media.notation import find_sections, write_notation
from llama.media.score import Attributes, Note, Score
from llama.media.score_description import describe_score
from llama.media.score_edits import set_part
from llama.media.spelling import chord_name, key_fifths

SWING = Attributes("saxophone", "piano", "swing", 138, "minor", 4, drums=True, key=3)


def pieces(count: int, seed: int = 4) -> list[Score]:
    rng = np.random.default_rng(seed)
    return [compose(rng, sample_attributes(rng), float(rng.uniform(2, 16))) for _ in range(count)]


@pytest.mark.parametrize("score", pieces(6), ids=lambda score: score.attributes.style)
def test_reading_gives_what_was_written(score: Score) -> None:
    raw, notation, attributes = read_musicxml(to_musicxml(score), "piece.musicxml"), write_notation(score), score.attributes
    for index, (name, written) in enumerate(notation.parts.items()):
        found = sorted((note.start, note.pitch, note.velocity) for note in raw.notes if note.part == index)
        sounding = sorted((note.start * attributes.tempo / 60, note.pitch, note.velocity) for note in score.track(name))
        assert np.allclose(found, sounding, atol=1e-6)
        lengths = [note.length for note in sorted(raw.notes, key=lambda note: (note.start, note.pitch)) if note.part == index]
        if not notation.swing:
            assert lengths == [float(note.length) for note in written]
        assert (raw.parts[index].program, raw.parts[index].is_drum) == (0 if name == "drums" else score.programs[name], name == "drums")
    assert [tempo.tempo for tempo in raw.tempi] == [attributes.tempo]
    assert [(metre.beats, metre.unit) for metre in raw.metres] == [(attributes.metre, 4)]
    assert [(key.fifths, key.mode) for key in raw.keys] == [(key_fifths(attributes.key, attributes.mode), attributes.mode)]
    sections = [(section.bar * attributes.metre, section.name) for section in find_sections(score)]
    assert [(marker.start, marker.text) for marker in raw.markers] == sections
    assert describe_score(score) in raw.texts and not raw.faults and len(raw.parts) == len(notation.parts)
    held = {bar: (chord.root, chord.quality) for bar, chord in enumerate(score.chords)}
    for chord in raw.chords:
        assert held[int(chord.start / attributes.metre)] == (chord.root, chord.quality)


def test_the_page_of_a_swing_piece() -> None:
    score = compose(np.random.default_rng(1), SWING, 20.0)
    root = ElementTree.fromstring(to_musicxml(score))
    assert root.findtext("work/work-title") == "Swing in E flat minor" and root.find("movement-title") is None
    assert [name.text for name in root.findall("part-list/score-part/part-name")] == ["Saxophone", "Piano", "Bass", "Drums"]
    sounds = root.findall("part-list/score-part")[3].findall("midi-instrument")
    drums = [(sound.findtext("midi-channel"), sound.findtext("midi-unpitched")) for sound in sounds]
    assert ("10", "37") in drums and len(drums) == len({note.pitch for note in score.drums})
    first = root.findall("part/measure")[0]
    direction = next(element for element in first.findall("direction") if element.find("sound") is not None)
    assert [element.text for element in direction.iter("words")] == ["Swing\u2002"] and direction.find("sound").get("tempo") == "138"  # type: ignore
    assert [element.text for element in direction.findall("sound/swing/*")] == ["2", "1", "eighth"]
    signs = {None: "", "1": "#", "-1": "b"}
    symbols = [
        f"{harmony.findtext('root/root-step')}{signs[harmony.findtext('root/root-alter')]}{kind.get('text', '')}"
        for harmony in root.iter("harmony") for kind in harmony.findall("kind")
    ]  # fmt: skip
    assert symbols[:4] == [chord_name(chord, 3, "minor") for chord in score.chords[:4]] == ["Ebm7", "Db7", "Cbmaj7", "Bb7"]
    assert not root.findall("part/measure/note/time-modification")
    assert root.findall("part/measure")[-1].findtext("barline/bar-style") == "light-heavy"


def test_bars_add_up_in_every_voice() -> None:
    for score in pieces(3, seed=9):
        root = ElementTree.fromstring(to_musicxml(score))
        divisions = float(root.findtext("part/measure/attributes/divisions") or 0)
        for measure in root.findall("part/measure"):
            lengths: dict[str, float] = {}
            for note in measure.findall("note"):
                if note.find("chord") is None:
                    voice = note.findtext("voice") or "1"
                    lengths[voice] = lengths.get(voice, 0) + float(note.findtext("duration") or 0)
            assert set(lengths.values()) == {score.attributes.metre * divisions}


def test_long_notes_are_tied_and_notes_between_eighths_are_written() -> None:
    score = compose(np.random.default_rng(1), Attributes("flute", "pad", "ambient", 60, "major", 4, drums=False, key=0), 20.0)
    lead = (Note(3.25, 2.5, 72, 80), Note(7 + 1 / 3, 1 / 3, 74, 90), Note(8.0, 0.75, 76, 100), Note(8.5, 2.0, 79, 64))
    odd = replace(score, lead=lead, accompaniment=(), bass=())
    raw = read_musicxml(to_musicxml(odd), "piece.musicxml")
    assert [(note.start, note.length, note.pitch, note.velocity) for note in raw.notes] == [
        (pytest.approx(note.start), pytest.approx(note.duration), note.pitch, note.velocity) for note in lead
    ]


@pytest.mark.parametrize("parts", [("lead",), ("drums",), ("lead", "accompaniment", "bass")])
def test_parts_without_notes_have_no_staff(parts: tuple[str, ...]) -> None:
    score = compose(np.random.default_rng(1), SWING, 12.0)
    for name in parts:
        score = set_part(score, name, ())
    raw = read_musicxml(to_musicxml(score), "piece.musicxml")
    assert len(raw.parts) == 4 - len(parts) and raw.chords and raw.markers and raw.tempi


def test_the_same_score_gives_the_same_bytes_and_any_title_is_written() -> None:
    score = compose(np.random.default_rng(1), SWING, 8.0)
    assert to_musicxml(score) == to_musicxml(score)
    assert ElementTree.fromstring(to_musicxml(score, "A <b> &\x00 \x0bÜ\n2")).findtext("work/work-title") == "A <b> & Ü 2"
