"""Scores from files: our own come back as they were, others keep every note."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from llama.media.midi import to_midi
from llama.media.score import TRACKS, Score, timeline
from llama.media.score_edits import score_line, set_tempo, transpose
from llama.media.score_file import read_score, score_from_bytes, score_from_bytes_with_notes


def pieces(count: int) -> list[Score]:
    rng = np.random.default_rng(7)
    return [compose(rng, sample_attributes(rng), round(float(rng.uniform(3, 40)) * 6) / 6) for _ in range(count)]


def assert_same(first: Score, second: Score) -> None:
    """Equal but for a tick of 1/480 beat in times."""
    tick = timeline(first.attributes, first.seconds).beat / 480
    assert (first.attributes, first.seconds) == (second.attributes, second.seconds)
    for name in TRACKS:
        notes = sorted(first.track(name), key=lambda note: (round(note.start / tick), note.pitch))
        assert [(note.pitch, note.velocity) for note in notes] == [(note.pitch, note.velocity) for note in second.track(name)]
        for note, other in zip(notes, second.track(name), strict=True):
            assert note.start == pytest.approx(other.start, abs=tick) and note.duration == pytest.approx(other.duration, abs=2 * tick)
    assert [(chord.root, chord.quality) for chord in first.chords] == [(chord.root, chord.quality) for chord in second.chords]
    assert [chord.start for chord in second.chords] == pytest.approx([chord.start for chord in first.chords])
    assert [chord.duration for chord in second.chords] == pytest.approx([chord.duration for chord in first.chords])


@pytest.mark.parametrize("score", pieces(16), ids=str)
def test_our_own_files_come_back(score: Score) -> None:
    again, remarks = score_from_bytes_with_notes(to_midi(score), "piece.mid")
    assert_same(score, again)
    assert remarks == ()
    assert_same(again, score_from_bytes(to_midi(again), "piece.MID"))


def test_another_tempo_in_the_file_comes_before_what_it_says_of_itself() -> None:
    score = pieces(2)[1]
    faster = set_tempo(score, 161.3)
    assert_same(faster, score_from_bytes(to_midi(faster), "piece.mid"))
    assert_same(transpose(faster, 3), score_from_bytes(to_midi(transpose(faster, 3)), "piece.mid"))


def test_a_file_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "song.mid").write_bytes(to_midi(pieces(2)[1]))
    assert score_line(read_score(tmp_path / "song.mid")).bar_count > 0
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_score(tmp_path / "other.mid")
    with pytest.raises(ValueError, match="by its name"):
        read_score(tmp_path / "song.wav")
    with pytest.raises(ValueError, match="by its name"):
        score_from_bytes(b"", "song")
