"""`evaluate.py edits`: its measures tell kept from changed, and its command writes the tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import evaluate
from llama.dialogue import Reply, Turn
from llama.evaluation.commands import edits
from llama.evaluation.edit_requests import REQUESTS, judge
from llama.evaluation.edit_tables import edits_table, facts, loop_joins, notes_kept, stems_sum
from llama.generation import GenerationOptions
from llama.media.audio import Waveform
from llama.media.edit import apply_edit
from llama.media.score import Note, Score
from llama.media.score_edits import set_part, set_tempo, transpose

RATE = 1000


@pytest.fixture(scope="module")
def pieces() -> list[Score]:
    return edits.held_out_pieces(6, seed=1)


class ExactModel:
    """Makes every given edit that composes nothing; plays a score as noise whose parts sum, and hears nothing in words."""

    transcriber = None

    def __init__(self, clumsy: bool = False):
        self.clumsy, self.music_decoder = clumsy, self
        self.edits_scores = True

    def respond(self, turn: Turn, options: GenerationOptions) -> Reply:
        assert isinstance(turn.score, Score)
        if options.edit is None:
            return Reply("", ())
        score = apply_edit(turn.score, options.edit)
        if self.clumsy:
            score = replace(score, lead=(*score.lead[:-1], replace(score.lead[-1], pitch=score.lead[-1].pitch + 2)))
        return Reply("", (), self.render(score), "music", score)

    def render_stems(self, score: Score) -> dict[str, Waveform]:
        samples = np.random.default_rng(0).normal(0, 0.1, (4, 1, round(score.seconds * RATE))).astype(np.float32)
        return {name: Waveform(torch.from_numpy(part), RATE) for name, part in zip("abcd", samples, strict=True)}

    def render(self, score: Score) -> Waveform:
        return Waveform(torch.stack([stem.samples for stem in self.render_stems(score).values()]).sum(0), RATE)

    def render_loop(self, score: Score, first: int, last: int) -> Waveform:
        return Waveform(torch.sin(torch.arange(RATE) * 2 * torch.pi / RATE)[None], RATE)

    render_stream = edit_plan = seconds_of_bars = render_loop


def test_every_request_tells_what_it_asks_from_other_changes(pieces: list[Score]) -> None:
    exact, clumsy = (edits.measure_edits(model, pieces, False, 0) for model in (ExactModel(), ExactModel(clumsy=True)))  # type: ignore[arg-type]
    by_rule = {"faster", "slower", "minor", "with flute", "without drums", "up a fifth", "no drums there", "twice as long", "four bars"}
    assert by_rule < exact.keys()
    for name in by_rule:
        assert exact[name] and all(each.melody_kept and each.happened and each.rest_kept for each in exact[name]), name
        if name not in ("twice as long", "four bars"):  # whose measure leaves the last bars out
            assert not any(each.melody_kept for each in clumsy[name]), name
    assert all(not each.happened for each in exact["another bass"] + exact["bars 2 to 4"] + exact["second half"])  # nothing was composed
    assert all(not each.happened for found in edits.measure_edits(ExactModel(), pieces, True, 0).values() for each in found)  # type: ignore[arg-type]


def test_notes_outside_bars_and_parts_must_stay(pieces: list[Score]) -> None:
    piece = next(piece for piece in pieces if piece.bass)
    other = set_part(piece, "bass", tuple(replace(note, pitch=note.pitch - 12) for note in piece.bass))
    assert judge("another bass", piece, other).rest_kept and judge("another bass", piece, other).happened
    assert not judge("another bass", piece, transpose(other, 1)).rest_kept
    moved = replace(piece, lead=(*piece.lead[:-1], replace(piece.lead[-1], pitch=piece.lead[-1].pitch + 2)))
    assert not judge("bars 2 to 4", piece, moved).rest_kept or not judge("bars 2 to 4", piece, moved).happened


def test_two_pieces_differ_and_one_equals_itself(pieces: list[Score]) -> None:
    table = edits_table("t", {"faster": []}, pieces)
    strangers, same = table.rows[-2].cells["melody kept"], table.rows[-1].cells["melody kept"]
    assert (strangers.value, same.value, same.n) == (0.0, 1.0, len(pieces))  # type: ignore[union-attr]


def test_notes_are_the_same_in_beats_not_in_seconds(pieces: list[Score]) -> None:
    piece = pieces[0]
    assert notes_kept(piece, piece, True) == 1
    slower = set_tempo(piece, 62)
    assert slower.lead[-1].start > piece.lead[-1].start + 1 and notes_kept(piece, slower, False) == 1
    assert 0.9 < notes_kept(piece, slower, True) <= 1  # the final chord rings for seconds, not beats
    assert facts(piece) != facts(set_tempo(piece, 62))
    count = sum(len(piece.track(name)) for name in ("lead", "accompaniment", "bass", "drums"))
    louder = replace(piece, lead=(replace(piece.lead[0], velocity=1), *piece.lead[1:]))
    assert notes_kept(piece, louder, True) == pytest.approx(1 - 1 / count) and notes_kept(piece, louder, False) == 1
    more = replace(piece, lead=(*piece.lead, Note(0.0, 0.1, 20, 1)))
    assert notes_kept(piece, more, True) == pytest.approx(count / (count + 1)) == notes_kept(more, piece, True)


def test_stems_and_seams() -> None:
    parts = [np.ones((2, 4)), np.full((2, 4), 0.5)]
    assert stems_sum(parts, np.full((2, 4), 1.5)) and not stems_sum(parts, np.full((2, 4), 1.5002))
    assert not stems_sum([np.ones((2, 4)), np.ones((2, 5))], np.ones((2, 4)) * 2)
    wave = np.sin(np.arange(1000) * 2 * np.pi / 100)[None]
    assert loop_joins(wave) and not loop_joins(wave[:, :970])


def test_recordings_and_their_notes_lie_beside_each_other(tmp_path: Path) -> None:
    for name in ("b.wav", "b.mid", "a.wav", "c.mid"):
        (tmp_path / name).touch()
    assert edits.recording_pairs(tmp_path) == [(tmp_path / "b.wav", tmp_path / "b.mid")]
    (tmp_path / "b.mid").unlink()
    with pytest.raises(FileNotFoundError, match="put NAME.wav and NAME.mid beside each other"):
        edits.recording_pairs(tmp_path)


def test_the_command_writes_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model: Any = ExactModel()
    monkeypatch.setattr(edits, "load_model", lambda values: model)
    run = ["edits", "--model", "nano", "--pieces", "2", "--out", str(tmp_path / "out")]
    assert evaluate.main(run) == 0
    assert "Pieces as files and as sound" in capsys.readouterr().out
    tables = json.loads((tmp_path / "out/edits.json").read_text())["tables"]
    assert [len(table["rows"]) for table in tables] == [len(REQUESTS) + 2, len(REQUESTS) + 2, 5]
    cells = {row["label"]: row["cells"]["share"]["value"] for row in tables[2]["rows"]}
    assert "MIDI: notes that are read back" in cells and "MusicXML: notes that are read back" in cells and set(cells.values()) == {1.0}
    (tmp_path / "a.wav").touch(), (tmp_path / "a.mid").touch()
    assert evaluate.main([*run, "--recordings", str(tmp_path)]) == 2
    assert "has no transcriber" in capsys.readouterr().err
    model = SimpleNamespace(music_decoder=None)
    assert evaluate.main(run) == 2 and "writes no notes" in capsys.readouterr().err
