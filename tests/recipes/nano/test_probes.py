"""Probes: end to end on the embedded model, and their parts without it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import evaluate
from DataSet.synthesis import dialogues
from DataSet.synthesis.clips import MOTIONS, Clip, render_clip
from DataSet.synthesis.composer import compose, sample_attributes
from DataSet.synthesis.scenes import ENERGIES, MOODS, Scene
from DataSet.synthesis.wishes import complete_attributes, music_for_picture
from llama.media.score import STYLES
from recipes.nano.evaluation import (
    attribute_readers,
    figures,
    probes,
    probes_following,
    probes_hearing,
    probes_sound,
    report,
    style_classifier,
)
from recipes.nano.rendering import non_music
from recipes.nano.vision_encoder import photographs

pytest.importorskip("matplotlib")


def test_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the recipe's data the shipped examples are measured, and missing data is reported."""
    monkeypatch.setattr(probes_sound, "LENGTH", 5.0)
    monkeypatch.setattr(probes_sound, "TRIES", 1)
    monkeypatch.setattr(probes_following, "LENGTHS", (4.0,))  # below the minimum of the readers on sound
    assert evaluate.main(["probes", "--count", "2", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out/probes.json").read_text())
    tables = {one["table"] for one in report["figures"]}
    assert tables == {figures.HEARING, figures.FOLLOWING, figures.NEW_WORDING, figures.TYPED, figures.SOUND, figures.SPEED}
    lengths = [one for one in report["figures"] if one["what"] == "length and ending"]
    assert [(one["value"], one["count"]) for one in lengths] == [(1.0, 2)]
    assert any("real tunes" in line for line in report["missing"]) and any("render" in line for line in report["missing"])
    assert Image.open(tmp_path / "out/probes.png").width > 300
    assert (tmp_path / "out/probes.md").read_text().strip() in capsys.readouterr().out
    assert not list((tmp_path / "out").glob(".*"))


def test_a_count_of_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["probes", "--count", "1", "--out", str(tmp_path)]) == 2
    assert "at least 2" in capsys.readouterr().err


def figure(value: float, **more: object) -> figures.Figure:
    return figures.Figure(**{"table": figures.HEARING, "what": "lead", "where": "here", "value": value, "count": 10, **more})


def test_what_counts_as_reached() -> None:
    assert figure(0.9, target=0.9).reached and figure(0.89, target=0.9).reached is False
    assert figure(3.0, target=6.0, most=True).reached and figure(7.0, target=6.0, most=True).reached is False
    assert figure(0.5).reached is None and figure(math.nan, target=0.9).reached is None
    assert figure(0.5, table=figures.MUSICALITY, low=0.4, high=0.6).reached
    assert figure(0.7, table=figures.MUSICALITY, low=0.4, high=0.6).reached is False


def test_a_missed_target_is_marked() -> None:
    text = report.markdown(probes.Report([figure(0.5, target=0.9), figure(0.95, target=0.9)], ["tunes"]))
    assert text.count("(missed)") == 1 and "- tunes" in text


def test_figures_have_baselines() -> None:
    truth = ["a", "a", "b", "b"]
    one = figures.accuracy_figure(figures.HEARING, "x", "y", ["a", "a", "a", "b"], truth, lambda given, true: given == true)
    assert (one.value, one.majority) == (0.75, 0.5) and one.chance == pytest.approx(5 / 12)
    assert one.low < 0.75 < one.high


def test_accuracy_on_swapped_recordings_is_chance() -> None:
    truth = [sample_attributes(np.random.default_rng(seed)) for seed in range(40)]
    told = {"lead": [f"The {piece.lead} plays the melody." for piece in truth]}
    right, swapped = probes_hearing.figures(probes_hearing.OWN, probes_hearing.Recordings([], truth), told, swapped=True)
    assert right.value == 1.0 and right.reached and swapped.value < 0.4 and swapped.reached
    deaf = {"lead": ["The piano plays the melody."] * 40}
    assert probes_hearing.figures(probes_hearing.OWN, probes_hearing.Recordings([], truth), deaf, swapped=False)[0].reached is False


CALLED = {"That is only noise: there is no music in it.": "noise", "I hear only speech": "speech", "It is music. A waltz": "music"}


@pytest.mark.parametrize(("text", "kind"), CALLED.items())
def test_answers_are_classified(text: str, kind: str) -> None:
    assert probes_hearing.classify_answer(text) == kind


def test_attributes_are_read_from_notes() -> None:
    rng = np.random.default_rng(5)
    for mood in MOODS:
        for energy in ENERGIES:
            piece = complete_attributes(music_for_picture({"mood": mood, "energy": energy, "place": "sea"}))
            score = compose(rng, piece, 12.0)
            assert (attribute_readers.mood_of(score), attribute_readers.energy_of(score)) == (mood, energy)
            for name in ("lead", "mode", "metre", "drums", "style", "tempo", "key"):
                assert attribute_readers.read_attribute(score, name) == getattr(piece, name), name
    assert attribute_readers.read_attribute(None, "lead") is None and attribute_readers.mood_of(None) is None


def test_faster_clips_move_more() -> None:
    scene = Scene("city", "day", "clear", 0.8, 0.6, 1)
    moved = lambda motion, seed: attribute_readers.motion_of(render_clip(Clip(scene, motion, "none", seed)))  # noqa: E731
    means = [np.mean([moved(motion, seed) for seed in range(6)]) for motion in MOTIONS]
    assert means == sorted(means) and means[2] > 1.5 * means[0]
    frames = render_clip(Clip(scene, "slow", "none", 3))
    assert [len(part) for part in probes_following.at_strides(np.concatenate([frames] * 8))] == [16, 16, 16]


def test_attributes_are_read_from_sound() -> None:
    pytest.importorskip("librosa")
    import torch

    from llama.media.audio import Waveform

    time = torch.arange(32_000 * 8) / 32_000
    beat = torch.exp(-30 * (time % 0.5))  # 120 a minute
    chord = sum(torch.sin(2 * torch.pi * 440 * 2 ** (step / 12) * time) for step in (3, 7, 10, 15))  # C, E, G, C
    sound = Waveform((0.2 * beat * chord)[None], 32_000)
    assert attribute_readers.track_tempo(sound) == pytest.approx(120, rel=0.04)
    assert attribute_readers.key_by_chroma(sound) == (0, "major")


def test_listed_photographs_are_complete() -> None:
    listed = photographs.probe_photographs()
    assert len(listed) == 40 == len({one.name for one in listed}) == len({(one.package, one.member) for one in listed})
    assert all(one.mood in MOODS and one.energy in ENERGIES and one.licence and one.author for one in listed)
    shipped = [one.name for one, path in photographs.available_photographs(Path("nowhere"))]
    assert len(shipped) >= 3 and {"seeding", "rocket"} <= set(shipped)


def test_edits_are_compared_with_the_target_piece() -> None:
    """Changed and kept attributes, by case too, and two baselines."""
    rng = np.random.default_rng(6)
    heard = [sample_attributes(rng) for _ in range(30)]
    wanted = [replace(piece, lead="flute" if piece.lead != "flute" else "organ", tempo=piece.tempo) for piece in heard]
    changes = [probes_following.Change(*pair) for pair in zip(wanted, heard, strict=True)]
    obeyed = probes_following.edit_hits(changes, lambda at, name: getattr(wanted[at], name))
    ignored = probes_following.edit_hits(changes, lambda at, name: getattr(heard[at], name))
    lost = probes_following.edit_hits(changes, lambda at, name: None if name == "key" else getattr(wanted[at], name))
    assert [np.mean(one) for one in obeyed.values()] == [1.0, 1.0, 1.0] and [np.mean(one) for one in ignored.values()] == [0.0, 1.0, 1.0]
    assert [len(one) for one in obeyed.values()] == [30, 30 * 7, 30] and np.mean(lost["all other attributes are kept"]) == 0.0
    rows = [{"lead": one.lead, "mode": one.mode} for one in wanted]
    real, other, usual = probes_following.with_baselines(lambda at, name: getattr(wanted[at], name), rows)
    assert real(3, "mode") == wanted[3].mode and other(29, "lead") == wanted[0].lead and usual(0, "lead") == "flute"


def test_a_pace_allows_any_tempo_in_its_direction() -> None:
    heard = replace(sample_attributes(np.random.default_rng(6)), tempo=100)
    quicker = probes_following._change({"tempo": "faster"}, heard)
    assert quicker.changed == ["tempo"] and quicker.matches("tempo", 104) and not quicker.matches("tempo", 100)
    at_the_top = probes_following._change({"tempo": "faster"}, replace(heard, tempo=180))
    assert at_the_top.changed == [] and at_the_top.matches("tempo", 180) and not at_the_top.matches("tempo", 90)
    set_to = probes_following._change({"tempo": 120, "drums": heard.drums}, heard)
    assert set_to.changed == ["tempo"] and set_to.matches("tempo", 120) and not set_to.matches("tempo", 100)


def test_style_is_classified_from_the_notes() -> None:
    """Accurate on held-out combinations, and independent of the header."""
    classifier = style_classifier.fitted_classifier()
    assert classifier.accuracy > 0.97 and classifier.count == style_classifier.TEST_PIECES
    rng = np.random.default_rng(77)
    for _ in range(20):
        piece = sample_attributes(rng, held_out=True)
        score = compose(rng, piece, 12.0)
        claimed = replace(piece, style=next(style for style in STYLES if style != piece.style))
        assert classifier.name(replace(score, attributes=claimed)) == classifier.name(score)
        shorter = {name: tuple(replace(note, duration=0.97 * note.duration) for note in score.track(name)) for name in ("lead", "bass")}
        assert classifier.name(replace(score, **shorter)) == classifier.name(score)
    nothing = replace(score, lead=(), accompaniment=(), bass=(), drums=(), chords=())
    assert classifier.name(nothing) is None and attribute_readers.read_attribute(nothing, "lead") is None


def test_a_declared_tempo_must_fit_the_notes() -> None:
    rng = np.random.default_rng(8)
    score = compose(rng, complete_attributes({"style": "rock", "tempo": 120}), 12.0)
    assert attribute_readers.read_attribute(score, "tempo") == 120
    lied = replace(score, attributes=replace(score.attributes, tempo=98))
    assert attribute_readers.read_attribute(lied, "tempo") == pytest.approx(120, rel=0.03)


def test_recordings_of_one_tune_count_as_one_case() -> None:
    hits = [True, True, True, False] * 15
    plain, same_tunes = (figures.share_figure(figures.HEARING, "x", "y", hits, distinct=distinct) for distinct in (None, 10))
    assert plain.value == same_tunes.value and same_tunes.low < plain.low and same_tunes.high > plain.high
    assert "60 (10 distinct)" in report.markdown(probes.Report([same_tunes]))


def test_music_called_noise_is_counted() -> None:
    told = {"lead": ["The piano plays the melody.", "I hear only noise: there is no music in it."], "drums": ["Yes.", "No."]}
    pieces = [sample_attributes(np.random.default_rng(seed)) for seed in range(2)]
    found = probes_hearing.music_recognition("here", probes_hearing.Recordings([], pieces), told)
    assert (found.value, found.count, found.distinct) == (0.75, 4, 2)


def test_impossible_requests() -> None:
    """The answer must state the substitute; another value, or none, does not count."""
    rng = np.random.default_rng(9)
    drawn = [dialogues.impossible(rng) for _ in range(60)]
    assert {name for _, name in drawn} == {"tempo", "lead", "metre", "key"}
    assert all(probes_following.says_instead(wish.answer, name, wish.piece) for wish, name in drawn)
    wish, name = next(one for one in drawn if one[1] == "lead")
    other = replace(wish.piece, lead="organ" if wish.piece.lead != "organ" else "piano")
    assert not probes_following.says_instead(wish.answer, name, other)
    assert not probes_following.says_instead("A rock song.", name, wish.piece)


def test_noise_of_the_tests_is_not_in_training() -> None:
    for name in ("VOICES", "VARIANTS", "WORDS"):
        assert not set(getattr(non_music, name)) & set(getattr(non_music, f"TEST_{name}"))
    for seed in range(12):
        sound = non_music.sample_sound(np.random.default_rng(seed), "noise", 2.0, held_out=True)
        assert sound.shape == (2 * non_music.SAMPLE_RATE,) and np.isfinite(sound).all() and np.abs(sound).max() == pytest.approx(1.0)
