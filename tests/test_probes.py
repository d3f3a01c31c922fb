"""The probes end to end on the embedded model, and what can be told of them without it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from DataSet.clips import MOTIONS, Clip, film
from DataSet.composer import compose, sample_attributes
from DataSet.scenes import ENERGIES, MOODS, Scene
from DataSet.wishes import complete, music_for_picture
from recipes.nano import listening, photographs, probes, probes_follow, probes_hear, probes_sound

pytest.importorskip("matplotlib")


def test_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the recipe's data the shipped examples are measured, and what is not there is named."""
    monkeypatch.setattr(probes_sound, "LENGTH", 5.0)
    monkeypatch.setattr(probes_sound, "TRIES", 1)
    monkeypatch.setattr(probes_follow, "LENGTHS", (4.0,))  # below what listeners on sound are asked for
    assert evaluate.main(["probes", "--count", "2", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out/probes.json").read_text())
    tables = {one["table"] for one in report["figures"]}
    assert tables == {probes.HEARS, probes.FOLLOWS, probes.WORDS, probes.SOUND, probes.SPEED}
    lengths = [one for one in report["figures"] if one["what"] == "length and ending"]
    assert [(one["value"], one["count"]) for one in lengths] == [(1.0, 2)]
    assert any("real tunes" in line for line in report["missing"]) and any("render" in line for line in report["missing"])
    assert Image.open(tmp_path / "out/probes.png").width > 300
    assert (tmp_path / "out/probes.md").read_text().strip() in capsys.readouterr().out
    assert not list((tmp_path / "out").glob(".*"))


def test_one_case_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["probes", "--count", "1", "--out", str(tmp_path)]) == 2
    assert "at least 2" in capsys.readouterr().err


def figure(value: float, **more: object) -> probes.Figure:
    return probes.Figure(**{"table": probes.HEARS, "what": "lead", "where": "here", "value": value, "count": 10, **more})


def test_what_counts_as_reached() -> None:
    assert figure(0.9, target=0.9).reached and figure(0.89, target=0.9).reached is False
    assert figure(3.0, target=6.0, most=True).reached and figure(7.0, target=6.0, most=True).reached is False
    assert figure(0.5).reached is None and figure(math.nan, target=0.9).reached is None
    assert figure(0.5, table=probes.MUSIC, low=0.4, high=0.6).reached
    assert figure(0.7, table=probes.MUSIC, low=0.4, high=0.6).reached is False


def test_a_missed_target_is_marked() -> None:
    text = probes.markdown(probes.Report([figure(0.5, target=0.9), figure(0.95, target=0.9)], ["tunes"]))
    assert text.count("(missed)") == 1 and "- tunes" in text


def test_guessing_stands_beside() -> None:
    truth = ["a", "a", "b", "b"]
    one = probes.judged(probes.HEARS, "x", "y", ["a", "a", "a", "b"], truth, lambda given, true: given == true)
    assert (one.value, one.majority) == (0.75, 0.5) and one.chance == pytest.approx(5 / 12)
    assert one.low < 0.75 < one.high


def test_answers_about_a_swapped_recording_fall_to_guessing() -> None:
    truth = [sample_attributes(np.random.default_rng(seed)) for seed in range(40)]
    told = {"lead": [f"The {piece.lead} plays the melody." for piece in truth]}
    right, swapped = probes_hear.figures(probes_hear.OWN, probes_hear.Recordings([], truth), told, swapped=True)
    assert right.value == 1.0 and right.reached and swapped.value < 0.4 and swapped.reached
    deaf = {"lead": ["The piano plays the melody."] * 40}
    assert probes_hear.figures(probes_hear.OWN, probes_hear.Recordings([], truth), deaf, swapped=False)[0].reached is False


CALLED = {"That is only noise: there is no music in it.": "noise", "I hear only speech": "speech", "It is music. A waltz": "music"}


@pytest.mark.parametrize(("text", "kind"), CALLED.items())
def test_what_is_called_no_music(text: str, kind: str) -> None:
    assert probes_hear.called(text) == kind


def test_listeners_read_notes() -> None:
    rng = np.random.default_rng(5)
    for mood in MOODS:
        for energy in ENERGIES:
            piece = complete(music_for_picture({"mood": mood, "energy": energy, "place": "sea"}))
            score = compose(rng, piece, 12.0)
            assert (listening.mood_of(score), listening.energy_of(score)) == (mood, energy)
            for name in ("lead", "mode", "metre", "drums"):
                assert listening.in_notes(score, name) == getattr(piece, name), name
    assert listening.in_notes(None, "lead") is None and listening.mood_of(None) is None


def test_faster_clips_move_more() -> None:
    scene = Scene("city", "day", "clear", 0.8, 0.6, 1)
    moved = lambda motion, seed: listening.motion_of(film(Clip(scene, motion, "none", seed)))  # noqa: E731
    means = [np.mean([moved(motion, seed) for seed in range(6)]) for motion in MOTIONS]
    assert means == sorted(means) and means[2] > 1.5 * means[0]
    frames = film(Clip(scene, "slow", "none", 3))
    assert [len(part) for part in probes_follow.speeds(np.concatenate([frames] * 8))] == [16, 16, 16]


def test_listeners_on_sound() -> None:
    pytest.importorskip("librosa")
    import torch

    from llama.audio import Waveform

    time = torch.arange(32_000 * 8) / 32_000
    beat = torch.exp(-30 * (time % 0.5))  # 120 a minute
    chord = sum(torch.sin(2 * torch.pi * 440 * 2 ** (step / 12) * time) for step in (3, 7, 10, 15))  # C, E, G, C
    sound = Waveform((0.2 * beat * chord)[None], 32_000)
    assert listening.beat_tracked(sound) == pytest.approx(120, rel=0.04)
    assert listening.key_by_chroma(sound) == (0, "major")


def test_photographs_are_listed_whole() -> None:
    listed = photographs.listed()
    assert len(listed) == 40 == len({one.name for one in listed}) == len({(one.package, one.member) for one in listed})
    assert all(one.mood in MOODS and one.energy in ENERGIES and one.licence and one.author for one in listed)
    shipped = [one.name for one, path in photographs.found(Path("nowhere"))]
    assert len(shipped) >= 3 and {"seeding", "rocket"} <= set(shipped)


def test_edits_are_held_against_the_wanted_piece() -> None:
    """What changed, what stayed, and two who guess."""
    rng = np.random.default_rng(6)
    heard = [sample_attributes(rng) for _ in range(30)]
    wanted = [replace(piece, lead="flute" if piece.lead != "flute" else "organ", tempo=piece.tempo) for piece in heard]
    pairs = list(zip(wanted, heard, strict=True))
    obeyed = probes_follow.edit_hits(pairs, lambda at, name: getattr(wanted[at], name))
    ignored = probes_follow.edit_hits(pairs, lambda at, name: getattr(heard[at], name))
    assert [np.mean(one) for one in obeyed] == [1.0, 1.0] and [np.mean(one) for one in ignored] == [0.0, 1.0]
    assert (len(obeyed[0]), len(obeyed[1])) == (30, 30 * 6)
    rows = [{"lead": one.lead, "mode": one.mode} for one in wanted]
    real, other, usual = probes_follow.listeners(lambda at, name: getattr(wanted[at], name), rows)
    assert real(3, "mode") == wanted[3].mode and other(29, "lead") == wanted[0].lead and usual(0, "lead") == "flute"
