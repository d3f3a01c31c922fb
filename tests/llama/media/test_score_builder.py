"""Rules by which a file of any parts, metres and tempi becomes a score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from llama.config import MAX_MUSIC_SECONDS
from llama.media.chord_symbols import read_chord_symbol
from llama.media.midi import to_midi
from llama.media.midi_reader import read_midi
from llama.media.raw_score import RawChord, RawKey, RawMetre, RawNote, RawPart, RawScore, RawTempo
from llama.media.score import KEYS, TRACKS, Score, timeline
from llama.media.score_builder import build_score
from llama.media.score_edits import score_line, set_tempo, transpose

SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def scale(part: int = 0, octave: int = 0, start: float = 0.0, length: float = 1.0, count: int = 16) -> tuple[RawNote, ...]:
    return tuple(RawNote(part, start + length * step, length, SCALE[step % 8] + 12 * octave, 40 + step) for step in range(count))


def raw(notes: Sequence[RawNote], parts: Sequence[RawPart] = (RawPart(),), **fields: object) -> RawScore:
    length = max(note.start + note.length for note in notes)
    return RawScore(tuple(parts), tuple(notes), length, **fields)  # type: ignore[arg-type]


def bag(score: Score, unit: float = 1.0, shift: float = 0.0) -> list[tuple[float, float, int, int]]:
    """Begin and length in quarter notes of the file, pitch and velocity of all notes."""
    beats = score.attributes.tempo / 60
    return sorted(
        (round((note.start * beats - shift) * unit, 6), round(note.duration * beats * unit, 6), note.pitch, note.velocity)
        for name in TRACKS for note in score.track(name)
    )  # fmt: skip


def written(source: RawScore) -> list[tuple[float, float, int, int]]:
    return sorted((round(note.start, 6), round(note.length, 6), note.pitch, note.velocity) for note in source.notes)


@pytest.mark.parametrize(
    ("metre", "counted", "words"),
    [
        ((4, 4), 4, ""), ((3, 4), 3, ""), ((2, 4), 4, "2 bars of 2/4 are one bar of 4/4"), ((6, 8), 3, "Bars of 6/8 are counted in 3/4"),
        ((2, 2), 4, "Bars of 2/2 are counted in 4/4"), ((12, 8), 3, "A bar of 12/8 is 2 bars"), ((4, 2), 4, "A bar of 4/2 is 2 bars"),
        ((3, 8), 3, "2 bars of 3/8 are one bar of 3/4"), ((5, 4), 4, "most bars begin elsewhere"), ((9, 8), 3, "most bars begin elsewhere"),
    ],
)  # fmt: skip
def test_metres(metre: tuple[int, int], counted: int, words: str) -> None:
    source = raw(scale(), metres=(RawMetre(0.0, *metre),))
    score, remarks = build_score(source, "a")
    assert score.attributes.metre == counted and bag(score) == written(source)
    assert any(words in remark for remark in remarks) if words else not any("counted" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("tempo", "kept", "unit"), [(117.34, 117.34, 1), (50, 50, 1), (300, 300, 1), (301, 150.5, 2), (20, 40, 0.5), (7, 56, 0.125)]
)
def test_tempi_are_kept_or_doubled_or_halved_with_their_beats(tempo: float, kept: float, unit: float) -> None:
    source = raw(scale(), tempi=(RawTempo(0.0, tempo),))
    score, remarks = build_score(source, "a")
    assert score.attributes.tempo == kept and bag(score, unit) == written(source)
    assert score.lead[1].start == pytest.approx(60 / tempo)
    assert any("a beat of the score is" in remark for remark in remarks) == (unit != 1)


def test_changes_of_tempo_become_one() -> None:
    slowing, _ = build_score(raw(scale(), tempi=(RawTempo(0.0, 100), RawTempo(14.0, 60))), "a")
    free, remarks = build_score(raw(scale(), tempi=(RawTempo(0.0, 60), RawTempo(8.0, 120))), "a")
    assert slowing.attributes.tempo == 100 and free.attributes.tempo == 80 and bag(free) == bag(slowing)
    assert "The tempo of the file changes between 60 and 120; the whole piece has 80, the mean." in remarks


def test_an_upbeat_ends_the_first_bar() -> None:
    source = raw(scale(count=17), metres=(RawMetre(0.0, 1, 4), RawMetre(1.0, 4, 4)), upbeat=1.0)
    score, remarks = build_score(source, "a")
    assert score.lead[0].start == pytest.approx(3 * 0.5) and bag(score, shift=3) == written(source)
    assert any("all notes begin 3 beats later" in remark for remark in remarks)


@pytest.mark.parametrize("seed", range(40))
def test_every_note_lies_in_a_bar_and_none_begins_within_the_ending(seed: int) -> None:
    rng = np.random.default_rng(seed)
    notes = [
        RawNote(0, rng.uniform(0, 40), float(rng.choice([0.01, 0.5, 1, 6, 30])), int(rng.integers(20, 100)), int(rng.integers(1, 128)))
        for _ in range(rng.integers(1, 60))
    ]  # fmt: skip
    source = raw(notes, tempi=(RawTempo(0.0, float(rng.uniform(30, 300))),), metres=(RawMetre(0.0, int(rng.integers(1, 8)), 4),))
    score, _ = build_score(source, "a")
    line = score_line(score)
    assert bag(score) == written(source)
    assert max(note.start for name in TRACKS for note in score.track(name)) <= line.time(line.eighths) + 1e-6
    assert max(note.start + note.duration for name in TRACKS for note in score.track(name)) <= score.seconds + 1e-6
    assert score.chords[-1].start + score.chords[-1].duration == pytest.approx(line.end)
    assert bag(transpose(transpose(score, 5), -5)) == bag(score)
    faster = set_tempo(score, 120)
    assert [round(note.start * 2, 5) for note in faster.lead] == [round(note.start * score.attributes.tempo / 60, 5) for note in score.lead]


def test_a_last_chord_on_a_beat_is_the_ending() -> None:
    notes = (*scale(count=8), RawNote(0, 8.0, 2.0, 60, 90), RawNote(0, 8.0, 2.0, 64, 90))
    line = score_line(build_score(raw(notes), "a")[0])
    assert (line.bar_count, line.tag, line.seconds) == (2, 0, pytest.approx(5.5))


def test_a_short_last_note_keeps_its_length_at_another_tempo() -> None:
    score, _ = build_score(raw((*scale(count=8), RawNote(0, 8.0, 0.5, 60, 90))), "a")
    assert bag(set_tempo(score, 90)) == bag(score) == bag(set_tempo(set_tempo(score, 90), 171.5))


def roles(*parts: tuple[RawPart, tuple[RawNote, ...]]) -> Score:
    notes = [replace(note, part=index) for index, (_, chosen) in enumerate(parts) for note in chosen]
    return build_score(raw(notes, [part for part, _ in parts]), "a")[0]


def test_roles_by_percussion_program_name_height_and_single_notes() -> None:
    chords = tuple(RawNote(0, beat, 1.0, pitch, 70) for beat in range(16) for pitch in (55, 60, 64))
    drums, pad = (RawPart("", 0, is_drum=True), scale()), (RawPart("Pad", 89), chords)
    score = roles(drums, pad, (RawPart("", 33), scale(octave=-2)), (RawPart("", 68), scale(octave=1)))
    assert [len(score.track(name)) for name in TRACKS] == [16, 48, 16, 16] and score.attributes.drums
    assert (score.attributes.lead, score.attributes.accompaniment, score.lead[0].pitch) == ("clarinet", "pad", 72)
    voices = (("Bass", -2), ("Tenor", -1), ("Alto", 0), ("Soprano", 1))
    choir = roles(*((RawPart(name, 52), scale(octave=octave)) for name, octave in voices))
    assert [choir.track(name)[0].pitch for name in ("lead", "bass")] == [72, 36] and len(choir.accompaniment) == 32
    named = roles((RawPart("Violin", 40), scale(octave=1)), (RawPart("Lead vocal", 52), scale()), (RawPart("Piano", 0), chords))
    assert named.lead[0].pitch == 60
    quartet = roles(*((RawPart("", program), scale(octave=octave)) for program, octave in ((40, 1), (41, 0), (42, -2))))
    assert quartet.bass[0].pitch == 36 and quartet.attributes.lead == "violin"
    hands = roles((RawPart("Piano", 0), scale(octave=1)), (RawPart("Piano", 0), scale(octave=-1)))
    assert not hands.bass and len(hands.accompaniment) == 16


def test_a_piano_alone_is_divided_by_its_highest_notes() -> None:
    left = tuple(RawNote(0, beat * 0.5, 0.5, 43 + beat % 3 * 4, 60) for beat in range(32))
    score, remarks = build_score(raw((*scale(octave=1, count=12), *left)), "a")
    assert {note.pitch for note in score.lead} == {pitch + 12 for pitch in SCALE} and len(score.lead) == 12
    assert len(score.accompaniment) == 32 and any("highest notes" in remark for remark in remarks)


def test_keys_come_from_the_signature_if_the_notes_fit_it() -> None:
    def key(*keys: RawKey, notes: tuple[RawNote, ...]) -> str:
        score, _ = build_score(raw(notes, keys=keys), "a")
        return f"{KEYS[score.attributes.key]} {score.attributes.mode}"

    major, minor = scale(), tuple(RawNote(0, beat, 1.0, pitch, 70) for beat, pitch in enumerate((69, 72, 76, 69, 68, 71, 76, 69, 72, 69)))
    assert key(notes=major) == "C major" and key(RawKey(0.0, 1, "major"), notes=major) == "G major"
    assert key(RawKey(0.0, 0, "major"), notes=minor) == "A minor" == key(RawKey(0.0, 0), notes=minor)
    assert key(RawKey(0.0, 6, "major"), notes=major) == "C major" and key(RawKey(0.0, 0), notes=major) == "C major"


def test_chords_of_composed_pieces_are_found_by_their_notes() -> None:
    """Four of five are the composer's own; each is one a bar, as its symbols would be."""
    rng, right, total = np.random.default_rng(5), 0, 0
    for _ in range(12):
        score = compose(rng, sample_attributes(rng), 30.0)
        found, remarks = build_score(replace(read_midi(to_midi(score), "a.mid"), chords=()), "a")
        assert "Chords were found by the notes, one a bar." in remarks
        right += sum(chord.root == other.root for chord, other in zip(score.chords, found.chords, strict=True))
        total += len(score.chords)
    assert right / total > 0.8, right / total


def test_chord_symbols_come_first() -> None:
    source = raw(scale(), chords=(RawChord(0.0, 9, "minor7"), RawChord(6.9, 2, "minor"), RawChord(9.0, 7, "dominant7")))
    score, remarks = build_score(source, "a")
    assert [(chord.root, chord.quality) for chord in score.chords[:3]] == [(9, "minor7"), (9, "minor7"), (7, "dominant7")]
    assert not any("Chords" in remark for remark in remarks)
    assert len(score.chords) == timeline(score.attributes, score.seconds).bar_count + 1


@pytest.mark.parametrize(
    ("text", "chord"),
    [("Am7", (9, "minor7")), ("Bb", (10, "major")), ("F#dim", (6, "diminished")), ("Cmaj7/E", (0, "major7")), ("G7(b9)", (7, "dominant7")),
     ("Ebm", (3, "minor")), ("C6/9", (0, "major")), ("Chorus", None), ("H7", None), ("", None), ("Verse 1", None)],
)  # fmt: skip
def test_chord_symbols(text: str, chord: tuple[int, str] | None) -> None:
    assert read_chord_symbol(text) == chord


def test_what_cannot_be_held_is_refused() -> None:
    with pytest.raises(ValueError, match="song holds no notes"):
        build_score(RawScore((), (), 0.0), "song")
    with pytest.raises(ValueError, match=f"song lasts 1000 seconds, at most {MAX_MUSIC_SECONDS:g} are taken"):
        build_score(raw(scale(length=125.0)), "song")
