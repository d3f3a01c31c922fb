"""The written form of scores: notes on the grid, voices, bars that add up, and the form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from llama.media.bar_edits import excerpt
from llama.media.chord_sheet import to_chord_sheet
from llama.media.naming import loop_name, piece_name, staff_name
from llama.media.notation import WrittenNote, find_sections, write_notation
from llama.media.rhythm import IN_BEAT, divide_bars, divide_voices
from llama.media.score import KEYS, Attributes, Note, Score, timeline
from llama.media.score_edits import set_part, set_tempo, transpose


def pieces(count: int, seed: int = 4) -> list[Score]:
    rng = np.random.default_rng(seed)
    return [compose(rng, sample_attributes(rng), float(rng.uniform(2, 60))) for _ in range(count)]


def played(notes: Sequence[WrittenNote], swing: bool) -> list[tuple[float, int]]:
    """(beat at which it sounds, pitch)."""
    return sorted((float(note.start + (Fraction(1, 6) if swing and note.start % 1 else 0)), note.pitch) for note in notes)


@pytest.mark.parametrize("score", pieces(10), ids=lambda score: score.attributes.style)
def test_composed_notes_are_written_in_eighths(score: Score) -> None:
    notation = write_notation(score)
    assert notation.grid == 2 and notation.swing == score.attributes.swing
    for name, notes in notation.parts.items():
        sounding = sorted((note.start * score.attributes.tempo / 60, note.pitch) for note in score.track(name))
        assert np.allclose(played(notes, notation.swing), sounding, atol=1e-6)
        assert all(note.length > 0 and (note.length * 2).denominator == 1 for note in notes)
    assert set(notation.parts) == {name for name in ("lead", "accompaniment", "bass", "drums") if score.track(name)}


def test_lengths_that_a_style_shortens_are_written_out() -> None:
    score = compose(np.random.default_rng(1), Attributes("flute", "pad", "dance", 120, "minor", 4, drums=True, key=4), 30.0)
    lead, bar = write_notation(score).parts["lead"], 4
    before = [note for note in lead if note.start + note.length <= 8 * bar]
    gaps = [second.start - first.start - first.length for first, second in zip(before, before[1:], strict=False)]
    assert set(gaps) <= {Fraction(0), *(Fraction(k, 2) for k in range(1, 9))} and gaps.count(0) > len(gaps) / 2
    assert {note.duration for note in score.lead[:-1]} != {float(note.length) / 2 for note in lead}


def played_score(starts: Sequence[float], lengths: Sequence[float], style: str = "rock") -> Score:
    """A piece of these lead notes, in beats at 120 a minute."""
    base = compose(np.random.default_rng(1), Attributes("flute", "pad", style, 120, "major", 4, drums=False, key=0), 20.0)
    lead = tuple(Note(start / 2, length / 2, 72, 80) for start, length in zip(starts, lengths, strict=True))
    return replace(base, lead=lead, accompaniment=(), bass=(), drums=())


@pytest.mark.parametrize(
    ("starts", "grid"),
    [
        ((0, 1, 2.5), 2), ((0, 0.25, 1.75), 4), ((0, 1 / 3, 2 / 3), 3), ((0, 1 / 6), 6), ((0, 0.25, 1 / 3), 12), ((0, 1 / 48), 48),
        ((0, 0.137), 48),
    ],
)
def test_the_grid_is_the_coarsest_that_all_notes_begin_on(starts: tuple[float, ...], grid: int) -> None:
    notation = write_notation(played_score(starts, [0.2] * len(starts)))
    assert notation.grid == grid
    assert max(abs(float(note.start) - start) for note, start in zip(notation.parts["lead"], starts, strict=True)) <= 1 / 96


def test_ends_that_are_nearly_at_the_next_note_are_there() -> None:
    lead = write_notation(played_score((0, 1, 2, 4), (0.93, 0.45, 1.61, 0.9))).parts["lead"]
    assert [note.length for note in lead] == [1, Fraction(1, 2), Fraction(7, 4), 1]


def test_swing_that_is_not_on_thirds_is_written_as_it_is() -> None:
    assert write_notation(played_score((0, 2 / 3, 1), (0.5, 0.2, 1), "swing")).swing
    straight = write_notation(played_score((0, 0.5, 1), (0.4, 0.4, 1), "swing"))
    assert not straight.swing and straight.grid == 2


@pytest.mark.parametrize("metre", [3, 4])
def test_bars_add_up_and_hold_every_note_for_its_length(metre: int) -> None:
    rng = np.random.default_rng(metre)
    for case in range(60):
        grid = int(rng.choice([2, 4, 3, 12, 48]))
        notes = [
            WrittenNote(Fraction(int(rng.integers(6 * metre * grid)), grid), Fraction(int(rng.integers(1, 9 * grid)), grid), pitch, 80)
            for pitch in rng.choice(np.arange(40, 90), size=12, replace=False).tolist()
        ]
        count = int(max(note.start + note.length for note in notes) // metre) + 1
        found: dict[int, Fraction] = {}
        for voice in divide_voices(notes):
            for index, bar in enumerate(divide_bars(voice, metre, count)):
                assert not bar or sum(symbol.length for symbol in bar) == metre, case
                now = Fraction(0)
                for symbol in bar:
                    assert symbol.start == now and (symbol.length in IN_BEAT or symbol.length in (1, Fraction(3, 2), 2, 3, 4))
                    now += symbol.length
                    for note in symbol.notes:
                        assert symbol.tied[0] == (note.pitch in found) or not symbol.tied[0]
                        assert index * metre + symbol.start == note.start + found.get(note.pitch, Fraction(0))
                        found[note.pitch] = found.get(note.pitch, Fraction(0)) + symbol.length
                        assert symbol.tied[1] == (found[note.pitch] < note.length)
        assert found == {note.pitch: note.length for note in notes}


def test_a_line_of_notes_is_one_voice() -> None:
    for score in pieces(5):
        notation = write_notation(score)
        assert all(len(divide_voices(notation.parts[name])) == 1 for name in ("lead", "accompaniment", "bass") if name in notation.parts)


# -- form and names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", pieces(12, seed=7), ids=lambda score: score.attributes.style)
def test_sections_are_those_that_were_composed(score: Score) -> None:
    line = timeline(score.attributes, score.seconds)
    *sections, ending = find_sections(score)
    assert (ending.bar, ending.name) == (line.bar_count, "Ending")
    assert [section.bar for section in sections] == [*range(0, line.bar_count, line.phrase)][: len(sections)]
    assert [section.name for section in sections] == [line.bars[section.bar].section for section in sections]
    assert find_sections(transpose(score, 3)) == find_sections(score)


def test_an_excerpt_is_named_by_its_own_music() -> None:
    score = compose(np.random.default_rng(5), Attributes("flute", "pad", "rock", 120, "minor", 4, drums=False, key=4), 40.0)
    assert [section.name for section in find_sections(score)][:4] == ["A", "A", "B", "A"]
    assert [section.name for section in find_sections(excerpt(score, 5, 14))][:2] == ["A", "B"]


def test_a_chord_sheet_has_every_bar_in_rows_of_four() -> None:
    score = compose(np.random.default_rng(1), Attributes("saxophone", "piano", "swing", 138, "minor", 4, drums=True, key=3), 45.0)
    sheet = to_chord_sheet(score)
    assert sheet.isascii() and sheet.startswith("Swing in E flat minor\nKey: E flat minor   Tempo: 138 bpm   Metre: 4/4\n")
    rows = [re.findall(r"[^|\s]+", line) for line in sheet.splitlines() if line.startswith("|")]
    assert max(map(len, rows)) == 4 and sum(map(len, rows)) == len(score.chords)
    assert rows[0] == ["Ebm7", "Db7", "Cbmaj7", "Bb7"] and rows[-1] == ["Ebm7"]
    assert re.findall(r"^\[(.+)\]$", sheet, re.MULTILINE) == [section.name for section in find_sections(score)]
    assert to_chord_sheet(score, "Für\nElise").startswith("Für Elise\n")


def test_names_say_what_is_in_a_piece() -> None:
    score = compose(np.random.default_rng(1), Attributes("piano", "piano", "ballad", 72, "minor", 4, drums=False, key=4), 30.0)
    assert piece_name(score) == "sad-ballad-piano-72bpm-E-minor"
    assert loop_name(score, 5, 8) == "sad-ballad-piano-72bpm-E-minor-bars-5-8"
    assert piece_name(set_tempo(transpose(score, 6), 90)) == "sad-ballad-piano-90bpm-B-flat-minor"
    assert [staff_name(score, name) for name in ("lead", "accompaniment", "bass")] == ["Piano 1", "Piano 2", "Bass"]
    assert staff_name(set_part(score, "lead", ()), "accompaniment") == "Piano"


@pytest.mark.parametrize("key", range(len(KEYS)))
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_file_names_are_safe_everywhere(key: int, mode: str) -> None:
    for score in pieces(3):
        named = replace(score, attributes=replace(score.attributes, key=key, mode=mode))
        assert re.fullmatch(r"[A-Za-z0-9-]{10,80}", loop_name(named, 1, 600))


def test_a_sheet_needs_a_chord_a_bar() -> None:
    rng = np.random.default_rng(3)
    score = compose(rng, sample_attributes(rng), 12.0)
    with pytest.raises(ValueError, match="has 0 chords for"):
        to_chord_sheet(replace(score, chords=()))
