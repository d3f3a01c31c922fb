"""Properties of exact edits on composed pieces: what is asked changes, everything else stays, and there and back is the identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from DataSet.synthesis.grooves import SEVENTHS, TRIADS
from llama.decoders.notes.tokens import decode, encode
from llama.media import bar_edits
from llama.media import score_edits as edits
from llama.media.score import LEADS, MODES, TRACKS, Note, Score, timeline

PIECES = 24


def piece(seed: int) -> Score:
    rng = np.random.default_rng(seed)
    return compose(rng, sample_attributes(rng), round(float(rng.uniform(8, 40)) * 6) / 6)


@pytest.fixture(scope="module")
def pieces() -> list[Score]:
    return [piece(seed) for seed in range(PIECES)]


def same(first: Sequence[Note], second: Sequence[Note], final: float = float("inf")) -> bool:
    """Whether notes agree to a microsecond; the duration of those from `final` on is free."""
    return len(first) == len(second) and all(
        abs(a.start - b.start) < 1e-6 and (a.pitch, a.velocity) == (b.pitch, b.velocity)
        and (abs(a.duration - b.duration) < 1e-6 or a.start >= final - 1e-6)
        for a, b in zip(first, second, strict=True)
    )  # fmt: skip


def degrees(score: Score) -> list[int]:
    attributes = score.attributes
    spelled = [edits.spell(note.pitch, attributes.key, attributes.mode) for note in score.lead]
    return [octave * 7 + degree for octave, degree, _ in spelled]


@pytest.mark.parametrize("tempo", [60, 96, 180])
def test_a_tempo_scales_the_times_and_nothing_else(pieces: list[Score], tempo: int) -> None:
    for score in pieces:
        edited, ratio = edits.set_tempo(score, tempo), score.attributes.tempo / tempo
        old, new = timeline(score.attributes, score.seconds), timeline(edited.attributes, edited.seconds)
        assert edited.attributes == replace(score.attributes, tempo=tempo)
        assert (new.bar_count, new.tag, new.eighths) == (old.bar_count, old.tag, old.eighths)
        for name in TRACKS:
            scaled = [replace(note, start=note.start * ratio, duration=note.duration * (1 if name == "drums" else ratio))
                      for note in score.track(name)]  # fmt: skip
            assert same(scaled, edited.track(name), new.time(new.eighths))
        assert max(note.start + note.duration for note in edited.bass) == pytest.approx(new.end)


def test_a_tempo_there_and_back_is_the_identity_but_for_the_final_chord(pieces: list[Score]) -> None:
    for score in pieces:
        back = edits.set_tempo(edits.set_tempo(score, 134), score.attributes.tempo)
        line = timeline(score.attributes, score.seconds)
        assert all(same(score.track(name), back.track(name), line.time(line.eighths)) for name in TRACKS)
        assert back.attributes == score.attributes and abs(back.seconds - score.seconds) <= line.beat


def test_a_tempo_gives_what_the_codes_of_that_tempo_give(pieces: list[Score]) -> None:
    """The note decoder's own reading of the same codes under another header is the reference."""
    for score in pieces:
        edited = edits.set_tempo(score, 112)
        again = decode(encode(edited))
        assert np.array_equal(encode(edited)[3:, : timeline(edited.attributes, edited.seconds).eighths + 1],
                              encode(score)[3:, : timeline(score.attributes, score.seconds).eighths + 1])  # fmt: skip
        assert again.seconds == edited.seconds and all(same(edited.track(name), again.track(name)) for name in TRACKS)


@pytest.mark.parametrize("semitones", [-12, -5, 1, 7])
def test_transposing_moves_every_pitch_and_back_is_the_identity(pieces: list[Score], semitones: int) -> None:
    for score in pieces:
        edited = edits.transpose(score, semitones)
        for name in edits.PITCHED:
            assert [note.pitch + semitones for note in score.track(name)] == [note.pitch for note in edited.track(name)]
        assert edited.drums == score.drums and edited.seconds == score.seconds
        assert [(chord.root + semitones) % 12 for chord in score.chords] == [chord.root for chord in edited.chords]
        assert edits.transpose(edited, -semitones) == score


def test_a_key_is_reached_by_the_shortest_way(pieces: list[Score]) -> None:
    for score in pieces:
        for key in range(12):
            edited = edits.set_key(score, key)
            assert edited.attributes.key == key and -5 <= edited.lead[0].pitch - score.lead[0].pitch <= 6


def test_a_mode_keeps_the_degrees_and_the_rhythm(pieces: list[Score]) -> None:
    for score in pieces:
        mode = MODES[1 - MODES.index(score.attributes.mode)]
        edited = edits.set_mode(score, mode)
        assert degrees(edited) == degrees(score) and edited.attributes == replace(score.attributes, mode=mode)
        for name in TRACKS:
            assert [replace(note, pitch=0) for note in score.track(name)] == [replace(note, pitch=0) for note in edited.track(name)]
        assert edited.drums == score.drums and edited.seconds == score.seconds
        for bar, (before, after) in enumerate(zip(score.chords, edited.chords, strict=True)):
            degree = edits.spell(before.root, score.attributes.key, score.attributes.mode)[1]
            assert edits.spell(after.root, score.attributes.key, mode)[1] == degree
            assert after.quality in (TRIADS[mode][degree], SEVENTHS[mode][degree]), bar


def test_a_mode_there_and_back_is_the_identity_but_for_chromatic_notes(pieces: list[Score]) -> None:
    for score in pieces:
        back = edits.set_mode(edits.set_mode(score, MODES[1 - MODES.index(score.attributes.mode)]), score.attributes.mode)
        assert back.chords == score.chords and degrees(back) == degrees(score) and back.attributes == score.attributes
        key, mode = score.attributes.key, score.attributes.mode
        pairs = [pair for name in TRACKS for pair in zip(score.track(name), back.track(name), strict=True)]
        changed = [edits.spell(before.pitch, key, mode) for before, after in pairs if before != after]
        assert all(raised or degree == edits.SEVENTH for _, degree, raised in changed)


@pytest.mark.parametrize("mode", MODES)
def test_the_chords_of_a_mode_are_those_of_the_composer(mode: str) -> None:
    assert tuple(edits.diatonic_quality(mode, degree, False) for degree in range(7)) == TRIADS[mode]
    assert tuple(edits.diatonic_quality(mode, degree, True) for degree in range(7)) == SEVENTHS[mode]


def test_a_lead_moves_by_octaves_and_back_is_the_identity(pieces: list[Score]) -> None:
    for score in pieces:
        for instrument in LEADS:
            edited = edits.set_lead(score, instrument)
            assert degrees(edited) != [] and (edited.lead[0].pitch - score.lead[0].pitch) % 12 == 0
            assert replace(edited, attributes=score.attributes, lead=score.lead) == score
            assert edits.set_lead(edited, score.attributes.lead) == score
            assert encode(edited).shape == encode(score).shape  # the melody is in the register of its codes


def test_parts_come_and_go(pieces: list[Score]) -> None:
    for score in pieces:
        for name in TRACKS:
            without = edits.set_part(score, name, ())
            assert without.track(name) == () and all(without.track(other) == score.track(other) for other in TRACKS if other != name)
            assert edits.set_part(without, name, score.track(name)) == score
        assert not edits.set_part(score, "drums", ()).attributes.drums


def test_an_excerpt_has_its_bars_and_the_ending(pieces: list[Score]) -> None:
    for score in pieces:
        line = timeline(score.attributes, score.seconds)
        if line.bar_count < 3:
            continue
        edited = bar_edits.excerpt(score, 2, line.bar_count - 1)
        short, bar = edits.score_line(edited), line.beat * line.metre
        assert (short.bar_count, short.tag) == (line.bar_count - 2, line.tag)
        for name in TRACKS:
            inside = [n for n in score.track(name) if bar - 1e-6 <= n.start < (line.bar_count - 1) * bar - 1e-6]
            ending = [n for n in score.track(name) if n.start >= line.bar_count * bar - 1e-6]
            assert [n.pitch for n in edited.track(name)] == [n.pitch for n in [*inside, *ending]]
            starts = [*(n.start - bar for n in inside), *(n.start - 2 * bar for n in ending)]
            assert np.allclose([n.start for n in edited.track(name)], starts)
        assert [chord.root for chord in edited.chords] == [chord.root for chord in (*score.chords[1:-2], score.chords[-1])]
        assert bar_edits.excerpt(score, 1, line.bar_count) == score


def test_repeated_bars_return_and_the_excerpt_of_one_time_is_the_piece(pieces: list[Score]) -> None:
    for score in pieces:
        bars = edits.score_line(score).bar_count
        if not bars:
            continue
        twice = bar_edits.repeat(score, 1, bars, 2)
        assert edits.score_line(twice).bar_count == 2 * bars and len(twice.chords) == 2 * bars + 1
        once = bar_edits.excerpt(twice, bars + 1, 2 * bars)
        last = edits.score_line(score).time(edits.score_line(score).eighths)
        assert all(same(score.track(name), once.track(name), last) for name in TRACKS)
        assert bar_edits.repeat(score, 1, 1, 1) == score


def test_what_is_not_possible_is_refused(pieces: list[Score]) -> None:
    score = pieces[0]
    bars = edits.score_line(score).bar_count
    with pytest.raises(ValueError, match="semitones from -24 to 24"):
        edits.transpose(score, 25)
    with pytest.raises(ValueError, match=f"has {bars} bars? and an ending|is the ending of the piece"):
        bar_edits.excerpt(score, 1, bars + 1)
    with pytest.raises(ValueError, match="whole number from 1"):
        bar_edits.repeat(score, 1, 1, 0)
    with pytest.raises(ValueError, match="pitch class"):
        edits.set_key(score, 12)
    with pytest.raises(ValueError, match="at most"):
        bar_edits.repeat(score, 1, bars, 200)
    with pytest.raises(ValueError, match="chords for"):
        edits.set_tempo(replace(score, chords=()), 100)
    highest = replace(score, attributes=replace(score.attributes, key=4, mode="minor"), lead=(replace(score.lead[0], pitch=127),))
    with pytest.raises(ValueError, match="In major a note would leave the range of MIDI"):
        edits.set_mode(highest, "major")
