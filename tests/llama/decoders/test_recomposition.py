"""Parts composed anew: what is kept is the source note for note, also where its notes do not fit the codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from DataSet.synthesis.composer import compose, sample_attributes
from llama.decoders.notes.recomposition import OTHER_GROOVES, SWING_TEMPERATURE, Recomposition, context_codes
from llama.decoders.notes.tokens import BASS, CODEBOOK_SIZE, CODEBOOKS, DRUM, TEMPERATURES, decode, encode, read_headers
from llama.media.edit import Edit, prepare
from llama.media.score import TRACKS, Score, timeline
from llama.media.score_edits import set_mode, set_part, transpose


def pieces(count: int, seconds: float | None = None) -> list[Score]:
    rng = np.random.default_rng(5)
    return [compose(rng, sample_attributes(rng), seconds or int(rng.integers(60, 200)) / 6) for _ in range(count)]


def sample(recomposition: Recomposition, seed: int = 0) -> torch.Tensor:
    """Codes [K, frames] as a model without any knowledge samples them under the grammar."""
    rng = np.random.default_rng(seed)
    codes = np.zeros((len(CODEBOOKS), recomposition.frames), np.int64)
    for frame in range(recomposition.frames):
        for codebook in range(len(CODEBOOKS)):
            forced = recomposition.grammar.forced_code(codes, codebook, frame)
            codes[codebook, frame] = forced if forced >= 0 else rng.integers(CODEBOOK_SIZE)
            batch = recomposition.grammar.forced_codes(torch.from_numpy(codes[None]), codebook, frame)
            assert (batch is None) == (forced < 0) and (batch is None or int(batch) == forced)
    return torch.from_numpy(codes)


@pytest.mark.parametrize("part", TRACKS)
def test_a_part_anew_leaves_the_others_untouched(part: str) -> None:
    for score in pieces(4):
        recomposition = Recomposition(score, [part], None)
        edited = recomposition.merge(sample(recomposition))
        assert all(edited.track(name) == score.track(name) for name in TRACKS if name != part)
        assert edited.track(part) != score.track(part) and edited.chords == score.chords and edited.seconds == score.seconds
        assert replace(edited.attributes, drums=score.attributes.drums) == score.attributes


def test_bars_anew_leave_the_notes_outside_untouched() -> None:
    for score in pieces(8):
        line = timeline(score.attributes, score.seconds)
        first, last = min(2, line.bar_count), min(3, line.bar_count)
        start, stop = line.time((first - 1) * line.width), line.time(last * line.width)
        recomposition = Recomposition(score, ["lead", "accompaniment", "bass"], (first, last))
        edited = recomposition.merge(sample(recomposition))
        assert edited.drums == score.drums and edited.chords == score.chords and edited.lead != score.lead
        for name in TRACKS:
            outside = [[note for note in piece.track(name) if not start - 1e-6 <= note.start < stop - 1e-6] for piece in (score, edited)]
            assert outside[0] == outside[1]
        starts = sorted((note.start, note.start + note.duration) for note in edited.lead)
        assert all(end <= following + 1e-6 for (_, end), (following, _) in zip(starts, starts[1:], strict=False))


def test_drums_join_a_piece_without_them() -> None:
    score = next(score for score in pieces(20) if not score.attributes.drums)
    recomposition = Recomposition(score, ["drums"], None)
    edited = recomposition.merge(sample(recomposition))
    assert edited.drums and edited.attributes == replace(score.attributes, drums=True)
    assert set_part(edited, "drums", ()) == score


def test_the_context_of_a_composed_piece_is_its_codes() -> None:
    for score in pieces(10):
        assert np.array_equal(context_codes(score, score.attributes.drums), encode(score))


def test_a_kept_melody_gets_other_chords_that_fit_it() -> None:
    for score in pieces(6):
        recomposition = Recomposition(score, ["accompaniment", "bass"], None, chords=True)
        edited = recomposition.merge(sample(recomposition))
        assert edited.lead == score.lead and edited.chords[-1] == score.chords[-1]
        assert [(chord.start, chord.duration) for chord in edited.chords] == [(chord.start, chord.duration) for chord in score.chords]
        changed = sum(before.root != after.root for before, after in zip(score.chords, edited.chords, strict=True))
        assert changed >= len(score.chords) // 3
        chords = edited.chords
        bars = [(chord, [note for note in score.lead if chord.start <= note.start < chord.start + chord.duration]) for chord in chords]
        assert np.mean([any(note.pitch % 12 in chord.tones for note in notes) for chord, notes in bars if notes]) > 0.8


def test_a_continuation_keeps_the_piece_and_moves_its_ending() -> None:
    for score in pieces(6):
        edit, line = Edit(continuation=8.0), timeline(score.attributes, score.seconds)
        longer, added = prepare(score, edit), edit.added_bars(score)
        recomposition = Recomposition(longer, edit.composed_parts(score), edit.composed_bars(score), chords=True)
        edited = recomposition.merge(sample(recomposition))
        start, shift = line.bar_count * line.beat * line.metre, added * line.beat * line.metre
        assert abs(shift - 8) <= line.beat * line.metre / 2 + 1e-6 and timeline(score.attributes, edited.seconds).tag == line.tag
        assert len(edited.chords) == len(score.chords) + added and edited.chords[: line.bar_count] == score.chords[: line.bar_count]
        for name in TRACKS:
            before = [(note.start, note.pitch, note.velocity) for note in score.track(name) if note.start < start - 1e-6]
            ending = [(round(note.start + shift, 6), note.pitch) for note in score.track(name) if note.start >= start - 1e-6]
            assert [(note.start, note.pitch, note.velocity) for note in edited.track(name)][: len(before)] == before
            assert [(round(note.start, 6), note.pitch) for note in edited.track(name) if note.start >= start + shift - 1e-6] == ending
        new = [note for note in edited.lead if start - 1e-6 <= note.start < start + shift - 1e-6]
        assert new and new != [note for note in longer.lead if start - 1e-6 <= note.start < start + shift - 1e-6]


def test_pieces_that_do_not_fit_the_codes_are_kept_all_the_same() -> None:
    for score in [*(transpose(set_mode(score, "minor"), 17) for score in pieces(6)), *pieces(4, seconds=13.37)]:
        codes = context_codes(score, True)
        assert 0 <= codes.min() and codes.max() < CODEBOOK_SIZE and len(decode(codes).lead) == len(score.lead)
        recomposition = Recomposition(score, ["drums"], None)
        edited = recomposition.merge(sample(recomposition))
        assert (edited.lead, edited.accompaniment, edited.bass) == (score.lead, score.accompaniment, score.bass)
        assert recomposition.grammar.mask[DRUM].any() and edited.seconds == score.seconds


def test_a_groove_anew_is_another_ones() -> None:
    for score in pieces(8):
        style, headers = score.attributes.style, context_codes(score, score.attributes.drums)[:, 0]
        grammar = Recomposition(score, ["bass"], None, other_groove=True).grammar
        again = Recomposition(score, ["bass"], None).grammar
        assert again.temperature(BASS) == TEMPERATURES[BASS]
        if style == "swing":  # no other style has its eighths
            assert grammar.source[:, 0].tolist() == headers.tolist() and grammar.temperature(BASS) == SWING_TEMPERATURE
        else:
            attributes = read_headers(grammar.source[:, 0].tolist())
            assert attributes == replace(score.attributes, style=OTHER_GROOVES[style]) and style != OTHER_GROOVES[style]


def test_only_parts_that_sound_under_the_same_melody_get_another_groove() -> None:
    score = next(score for score in pieces(20) if not score.drums and score.attributes.style != "rock")
    for edit in (Edit(parts=("bass",)), Edit(keep=("melody", "chords")), Edit(bars=(1, 2), parts=("accompaniment",))):
        assert edit.replaces_groove(score)
    for edit in (Edit(parts=("lead", "bass")), Edit(change={"drums": True}), Edit(change={"style": "rock"}), Edit(continuation=5.0),
                 Edit(bars=(1, 2)), Edit(transpose=2)):  # fmt: skip
        assert not edit.replaces_groove(score)
