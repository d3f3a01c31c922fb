"""Properties of lengths, styles and metres on composed pieces, and of any edit: what comes out is a whole piece, and is as announced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from llama.edit_plans import edited_attributes
from llama.media.bar_edits import bar_order, bars_in, play_in_order, repeat, set_bar_count, set_seconds
from llama.media.dynamics import POWER, fade_out, set_balance
from llama.media.edit import KEEPABLE, Edit, apply_edit, edited_bar_count, prepare
from llama.media.edit_report import report_edit
from llama.media.harmony import reharmonise
from llama.media.score import ACCOMPANIMENTS, LEADS, MODES, STYLES, TRACKS, Note, Score, closing_bars, timeline
from llama.media.score_edits import score_line, set_tempo, transpose
from llama.media.style_edits import set_metre, set_style

PIECES = 16


@pytest.fixture(scope="module")
def pieces() -> list[Score]:
    rng = np.random.default_rng(11)
    return [compose(rng, sample_attributes(rng), round(float(rng.uniform(8, 40)) * 6) / 6) for _ in range(PIECES)]


def near(first: Sequence[Note], second: Sequence[Note], until: float = float("inf")) -> bool:
    """Whether the notes that begin before `until` agree to a microsecond; those that begin later may differ in their length."""
    return len(first) == len(second) and all(
        abs(a.start - b.start) < 1e-6 and (a.pitch, a.velocity) == (b.pitch, b.velocity)
        and (abs(a.duration - b.duration) < 1e-6 or a.start >= until - 1e-6)
        for a, b in zip(first, second, strict=True)
    )  # fmt: skip


def is_whole(score: Score) -> bool:
    """Whether bars, chords and notes of a piece fit one another."""
    line, notes = score_line(score), [note for name in TRACKS for note in score.track(name)]
    chords = score.chords
    joined = all(abs(a.start + a.duration - b.start) < 1e-6 for a, b in zip(chords, chords[1:], strict=False))
    inside = all(-1e-9 <= note.start < line.end and note.duration > 0 and 0 <= note.pitch <= 127 for note in notes)
    ordered = all(list(score.track(name)) == sorted(score.track(name), key=lambda note: note.start) for name in TRACKS)
    return joined and inside and ordered and bool(notes) and abs(chords[-1].start + chords[-1].duration - line.end) < 1e-6


def test_a_number_of_bars_is_reached_and_is_idempotent(pieces: list[Score]) -> None:
    for score in pieces:
        bars = score_line(score).bar_count
        for count in (1, 2, 3, bars, bars + 1, 2 * bars + 3):
            edited = set_bar_count(score, count)
            line = score_line(edited)
            assert (line.bar_count, line.tag) == (count, score_line(score).tag) and is_whole(edited)
            assert edited.attributes == score.attributes and set_bar_count(edited, count) == edited
        assert set_bar_count(score, bars) == score


def test_a_longer_piece_begins_as_before_and_ends_as_before(pieces: list[Score]) -> None:
    for score in pieces:
        line = score_line(score)
        longer = set_bar_count(score, line.bar_count + 9)
        bar, body = line.beat * line.metre, (line.bar_count - min(closing_bars(line), line.bar_count)) * line.beat * line.metre
        for name in TRACKS:
            first = [note for note in score.track(name) if note.start < body - 1e-6]
            assert [(note.start, note.pitch) for note in longer.track(name)][: len(first)] == [(note.start, note.pitch) for note in first]
            last = [(round(note.start + 9 * bar, 6), note.pitch) for note in score.track(name) if note.start >= body - 1e-6]
            assert [(round(note.start, 6), note.pitch) for note in longer.track(name)][len(longer.track(name)) - len(last) :] == last
        if closing_bars(score_line(longer)) != closing_bars(line):  # a short piece has shorter phrases
            continue
        again = set_bar_count(longer, line.bar_count)
        assert [note.pitch for note in again.lead] == [note.pitch for note in score.lead] and again.seconds == score.seconds
        assert [(chord.root, chord.quality) for chord in again.chords] == [(chord.root, chord.quality) for chord in score.chords]


def test_a_piece_goes_on_in_the_order_of_its_form() -> None:
    rng = np.random.default_rng(2)
    score = compose(rng, replace(sample_attributes(rng), metre=4, tempo=180), 26.0)
    line = score_line(score)
    assert line.bar_count == 18 and line.phrase == 4
    order = bar_order(line, 34)
    assert order[:16] == list(range(16)) and order[-2:] == [16, 17]
    assert all(index % 4 == bar % 4 and "AABA"[index // 4 % 4] == line.bars[bar].section for index, bar in enumerate(order[:-2]))


def test_seconds_are_the_nearest_length_in_bars(pieces: list[Score]) -> None:
    for score in pieces:
        line = score_line(score)
        bar = line.beat * line.metre
        for seconds in (5.0, 13.7, 31.0, 61.3):
            edited = set_seconds(score, seconds)
            count = score_line(edited).bar_count
            assert count == bars_in(score, seconds) and (abs(edited.seconds - seconds) <= bar / 2 + 0.2 or count == 1)


def test_repeats_and_excerpts_have_their_lengths(pieces: list[Score]) -> None:
    for score in pieces:
        bars = score_line(score).bar_count
        for times in (1, 2, 5):
            edited = repeat(score, bars, bars, times)
            assert score_line(edited).bar_count == bars + times - 1 and is_whole(edited)


def test_bars_in_an_order_are_those_bars(pieces: list[Score]) -> None:
    for score in pieces:
        bars = score_line(score).bar_count
        assert play_in_order(score, [(1, bars)]) == score and play_in_order(score, [(1, 1), (2, bars)]) == score
        twice = play_in_order(score, [(1, bars), (1, bars)])
        assert score_line(twice).bar_count == 2 * bars and is_whole(twice)
        again, final = play_in_order(twice, [(bars + 1, 2 * bars)]), score_line(score).time(score_line(score).eighths)
        assert abs(again.seconds - score.seconds) < 0.2 and all(near(again.track(name), score.track(name), final) for name in TRACKS)
        assert play_in_order(score, [(1, 1), (1, 1), (2, bars)]) == repeat(score, 1, 1, 2)


def test_a_balance_is_the_parts_relation_in_decibels(pieces: list[Score]) -> None:
    def level(score: Score, name: str) -> float:
        return float(np.mean([20 * POWER * np.log10(note.velocity) for note in score.track(name)]))

    for score in pieces:
        for change in (-9.0, 4.0, 9.0):
            edited = set_balance(score, {"bass": change})
            assert [(note.start, note.duration, note.pitch) for note in edited.lead] == [(n.start, n.duration, n.pitch) for n in score.lead]
            moved = level(edited, "bass") - level(edited, "lead") - level(score, "bass") + level(score, "lead")
            assert abs(moved - change) < 0.3 and max(note.velocity for note in (*edited.bass, *edited.lead)) <= 127
            assert change > 0 or edited.lead == score.lead
        assert set_balance(score, {}) == score


def test_a_fade_begins_where_it_should_and_falls(pieces: list[Score]) -> None:
    for score in pieces:
        faded = fade_out(score, 4.0)
        for name in TRACKS:
            pairs = [(old, new) for old, new in zip(score.track(name), faded.track(name), strict=True)]
            assert all(new == old for old, new in pairs if old.start <= score.seconds - 4)
            ratios = [new.velocity / old.velocity for old, new in pairs if old.start > score.seconds - 4]
            assert all(later <= earlier + 0.02 for earlier, later in zip(ratios, ratios[1:], strict=False))
        with pytest.raises(ValueError, match="longer than the piece"):
            fade_out(score, score.seconds + 1)


@pytest.mark.parametrize("style", STYLES)
def test_a_style_keeps_pitches_and_places_in_the_bar(pieces: list[Score], style: str) -> None:
    for score in pieces:
        edited = set_style(score, style)
        assert edited.attributes == replace(score.attributes, style=style) and is_whole(edited) and edited.seconds == score.seconds
        assert edited.chords == score.chords
        for name in TRACKS:
            assert [(note.pitch, note.velocity) for note in edited.track(name)] == [(n.pitch, n.velocity) for n in score.track(name)]
        back = set_style(edited, score.attributes.style)
        line = score_line(score)
        assert all(near(score.track(name), back.track(name), line.time(line.eighths)) for name in ("lead", "bass", "drums"))


def test_a_metre_keeps_the_chords_and_fits_the_melody(pieces: list[Score]) -> None:
    for score in pieces:
        metre = 7 - score.attributes.metre
        edited = set_metre(score, metre)
        assert is_whole(edited) and edited.attributes == replace(score.attributes, metre=metre)
        assert [(chord.root, chord.quality) for chord in edited.chords] == [(chord.root, chord.quality) for chord in score.chords]
        kept = [note.pitch for note in edited.lead]
        if metre == 4:
            assert kept == [note.pitch for note in score.lead]
            old, new = score_line(score), score_line(edited)
            places = [divmod(note.start / old.beat + 1e-9, 3) for note in score.lead if note.start < old.bar_count * 3 * old.beat - 1e-6]
            fitted = [divmod(note.start / new.beat + 1e-9, 4) for note in edited.lead][: len(places)]
            assert np.allclose(places, fitted)
        else:
            rest = iter(note.pitch for note in score.lead)
            assert all(pitch in rest for pitch in kept) and len(kept) >= 0.6 * len(score.lead)


def test_chords_under_a_kept_melody_are_of_the_scale(pieces: list[Score]) -> None:
    for score in pieces:
        chords = reharmonise(score)
        assert [(chord.start, chord.duration) for chord in chords] == [(chord.start, chord.duration) for chord in score.chords]
        assert chords[-1] == score.chords[-1]
        assert reharmonise(transpose(score, 5)) == tuple(replace(chord, root=(chord.root + 5) % 12) for chord in chords)


def random_values(rng: np.random.Generator) -> dict[str, Any]:
    """Values of an edit: about a third of them are contradictory."""
    changes = {
        "lead": str(rng.choice(list(LEADS))), "accompaniment": str(rng.choice(list(ACCOMPANIMENTS))), "tempo": int(rng.integers(40, 220)),
        "mode": str(rng.choice(MODES)), "key": int(rng.integers(12)), "drums": bool(rng.integers(2)), "style": str(rng.choice(STYLES)),
        "metre": int(rng.integers(3, 5)),
    }  # fmt: skip
    values: dict[str, Any] = {"change": {name: value for name, value in changes.items() if rng.random() < 0.25}}
    options = {
        "transpose": int(rng.integers(-7, 8)), "without": tuple(rng.choice(TRACKS, 1)), "parts": tuple(rng.choice(TRACKS, 1)),
        "bars": (1, 2), "excerpt": (2, 3), "keep": tuple(rng.choice(KEEPABLE, 2)), "bar_count": int(rng.integers(1, 24)),
        "seconds": float(rng.uniform(3, 40)), "continuation": float(rng.uniform(2, 12)), "order": ((2, 2), (1, 3), (1, 1)),
        "balance": {str(rng.choice(TRACKS)): float(rng.integers(-9, 10))}, "fade_out": float(rng.uniform(1, 9)),
    }  # fmt: skip
    return {**values, **{name: value for name, value in options.items() if rng.random() < 0.15}}


def test_any_edit_gives_a_whole_piece_as_announced(pieces: list[Score]) -> None:
    rng, made = np.random.default_rng(4), 0
    for _ in range(160):
        score = pieces[int(rng.integers(PIECES))]
        try:
            edit = Edit(**random_values(rng))
            edited = apply_edit(prepare(score, edit), edit)
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        made += 1
        report = report_edit(score, edit)
        assert is_whole(edited)
        announced = edited_attributes(score, edit)
        composed = "drums" in edit.composed_parts(score)
        assert edited.attributes == (replace(announced, drums=edited.attributes.drums) if composed else announced)
        bars = score_line(edited).bar_count
        if edit.bar_count or edit.seconds:
            asked = edited_bar_count(set_tempo(prepare(score, edit), edited.attributes.tempo), edit)
            assert bars == asked
        elif edit.continuation:
            assert bars == score_line(score).bar_count + edit.added_bars(score)
        elif edit.order:
            roots = [chord.root for chord in edited.chords]
            assert bars == 5 and roots[0] == roots[2] and roots[1] == roots[4]
        elif not edit.excerpt:
            assert bars == score_line(score).bar_count and "length in bars" in report.kept
        if not (report.changed or edit.composed_parts(score)):
            assert edited == score
        for name in {*TRACKS} - {*edit.composed_parts(score)} - {*edit.removed}:
            dynamic = edit.balance or edit.fade_out
            if not (edit.excerpt or edit.order or edit.bar_count or edit.seconds or dynamic or "metre" in edit.change):
                assert [note.velocity for note in edited.track(name)] == [note.velocity for note in score.track(name)]
    assert made > 60


def test_timelines_of_edited_pieces_hold_their_bars(pieces: list[Score]) -> None:
    for score in pieces:
        edited = apply_edit(score, Edit(change={"tempo": 97.5}, bar_count=5))
        assert timeline(edited.attributes, edited.seconds).bar_count == 5 and edited.attributes.tempo == 97.5
