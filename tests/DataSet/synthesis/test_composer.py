"""Composer, captions and renderer: a piece has the requested attributes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from DataSet.synthesis.captions import caption, number_words
from DataSet.synthesis.composer import compose, is_held_out, sample_attributes
from DataSet.synthesis.grooves import CLOSES, GROOVES
from DataSet.synthesis.melody import rhythm_cells
from DataSet.synthesis.rendering import find_soundfonts, render
from llama.media.score import METRES, SCALES, STYLES, TEMPI, TRACKS, Attributes, timeline

WALTZ = Attributes("flute", "strings", "waltz", 120, "minor", 3, drums=False, key=2)


def pieces(count: int, seed: int = 0) -> list[tuple[Attributes, float]]:
    rng = np.random.default_rng(seed)
    return [(sample_attributes(rng), float(rng.uniform(1.5, 40))) for _ in range(count)]


def test_the_same_seed_composes_the_same_piece() -> None:
    first, again, other = (compose(np.random.default_rng(seed), WALTZ, 12.0) for seed in (4, 4, 5))
    assert first == again
    assert first.lead != other.lead


def test_every_note_sounds_inside_the_length_and_the_last_chord_is_the_tonic() -> None:
    for index, (attributes, seconds) in enumerate(pieces(150)):
        score = compose(np.random.default_rng(index), attributes, seconds)
        notes = [note for track in TRACKS for note in score.track(track)]
        assert min(note.start for note in notes) >= 0
        assert max(note.start + note.duration for note in notes) <= seconds
        assert all(note.duration > 0 and 0 < note.velocity < 128 for note in notes)
        assert score.chords[-1].root == attributes.key
        assert score.lead[-1].pitch % 12 == attributes.key
        assert bool(score.drums) == attributes.drums


def test_melodies_stay_in_their_key_but_for_the_raised_leading_note_and_a_few_neighbours() -> None:
    strange, count = 0, 0
    for index, (attributes, seconds) in enumerate(pieces(80, seed=1)):
        scale = {(attributes.key + step) % 12 for step in SCALES[attributes.mode]}
        allowed = scale | ({(attributes.key + 11) % 12} if attributes.mode == "minor" else set())
        score = compose(np.random.default_rng(index), attributes, seconds)
        pitches = [note.pitch for note in score.lead]
        for place, pitch in enumerate(pitches):
            if pitch % 12 not in allowed:
                assert pitches[place - 1] == pitches[place + 1] == pitch + 1, "it is a half step below its neighbours"
                strange += 1
        count += len(pitches)
    assert 0 < strange < 0.02 * count


def test_the_first_section_returns_and_is_answered() -> None:
    score = compose(np.random.default_rng(3), WALTZ, 30.0)  # 1.5 s a bar: phrases of four bars
    line = timeline(WALTZ, 30.0)
    phrase, half = line.time(line.width * line.phrase), line.time(line.width * line.phrase // 2)
    assert [bar.section for bar in line.bars[:: line.phrase]][:4] == ["A", "A", "B", "A"]
    first, second, bridge = (
        [(round(n.start - k * phrase, 6), n.pitch) for n in score.lead if k * phrase <= n.start + 1e-9 < k * phrase + half]
        for k in range(3)
    )
    assert first == second
    assert first != bridge
    answer = [note for note in score.lead if phrase <= note.start + 1e-9 < 2 * phrase]
    longest = max(round(note.duration, 6) for note in answer[-4:])
    assert [note.pitch % 12 for note in answer[-4:] if round(note.duration, 6) == longest][-1] == WALTZ.key


def test_the_last_chord_takes_no_more_than_its_share() -> None:
    for attributes, seconds in pieces(300, seed=5):
        line = timeline(attributes, seconds)
        last = seconds - line.time(line.eighths)
        assert last <= max(1.0, 1.5 * line.beat) + line.beat + 0.4 + 1e-6
        assert line.tag < line.metre


def test_a_motif_that_returns_over_another_chord_keeps_its_rhythm() -> None:
    attributes = dataclasses.replace(WALTZ, tempo=120)
    repeated = 0
    for seed in range(30):
        score, line = compose(np.random.default_rng(seed), attributes, 14.0), timeline(attributes, 14.0)
        bars = [tuple(round(n.start - line.time(i * line.width), 6) for n in score.lead
                      if line.time(i * line.width) <= n.start + 1e-9 < line.time((i + 1) * line.width)) for i in range(4)]
        repeated += len(set(bars)) < len(bars)
    assert repeated > 20


def test_beats_follow_tempo_and_metre() -> None:
    score = compose(np.random.default_rng(0), WALTZ, 12.0)
    assert score.chords[1].start == pytest.approx(3 * 60 / 120)
    assert all(note.start / 0.25 == pytest.approx(round(note.start / 0.25)) for note in score.lead)


def test_swing_delays_the_off_beats() -> None:
    swung = dataclasses.replace(WALTZ, style="swing", metre=4)
    assert timeline(swung, 10.0).time(1) == pytest.approx(2 / 3 * 0.5)
    assert timeline(WALTZ, 10.0).time(1) == pytest.approx(0.25)


def test_held_out_combinations_are_few_and_never_drawn_for_training() -> None:
    rng = np.random.default_rng(0)
    assert not any(is_held_out(sample_attributes(rng)) for _ in range(300))
    assert all(is_held_out(sample_attributes(rng, held_out=True)) for _ in range(30))


def test_every_tempo_is_drawn() -> None:
    rng = np.random.default_rng(1)
    assert {sample_attributes(rng).tempo for _ in range(3000)} == set(TEMPI)


def test_grooves_and_rhythms_fill_their_bars() -> None:
    for (_, metre), grooves in GROOVES.items():
        for groove in grooves:
            lines = (groove.accompaniment, groove.bass, groove.kick, groove.snare, groove.hat)
            assert {len(line) for line in lines} == {metre * 2}
    for style in STYLES:
        assert all(sum(map(abs, cell)) == metre * 2 for metre in METRES for cell in rhythm_cells(style, metre))
    assert all(sum(map(abs, cell)) == metre * 2 for metre, closes in CLOSES.items() for cell in closes)


@pytest.mark.parametrize(("change", "message"), [({"lead": "kazoo"}, "kazoo"), ({"tempo": 20}, "20"), ({"metre": 5}, "5")])
def test_unknown_attributes_are_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(WALTZ, **change)


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="seconds"):
        compose(np.random.default_rng(0), WALTZ, 0.5)


def test_captions_vary_and_are_often_partial() -> None:
    rng = np.random.default_rng(0)
    texts = [caption(rng, WALTZ) for _ in range(400)]
    assert len(set(texts)) > 300
    assert all(1 <= len(text.split()) <= 24 for text in texts)
    mentions = sum("flute" in text.lower() for text in texts)
    assert 200 < mentions < 380
    assert not any(word in text.lower() for text in texts for word in ("major", "happy", "rock", "piano", "common time"))


def test_held_out_sentence_forms_never_train() -> None:
    rng = np.random.default_rng(2)
    assert not any(caption(rng, WALTZ).lower().startswith("this is") for _ in range(500))
    assert any(caption(rng, WALTZ, held_out_template=True).lower().startswith("this is") for _ in range(20))


@pytest.mark.parametrize(("number", "words"), [(60, "sixty"), (92, "ninety two"), (112, "one hundred twelve"), (180, "one hundred eighty")])
def test_number_words(number: int, words: str) -> None:
    assert number_words(number) == words


def test_missing_soundfonts_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("DataSet.synthesis.rendering.SOUNDFONT_FOLDERS", ())
    with pytest.raises(FileNotFoundError, match="fluid-soundfont-gm"):
        find_soundfonts()


def test_rendering_is_exact_without_and_human_with_a_generator() -> None:
    pytest.importorskip("tinysoundfont")
    try:
        soundfont = min(find_soundfonts().values(), key=lambda path: path.stat().st_size)
    except FileNotFoundError:
        pytest.skip("no soundfont is installed")
    score = compose(np.random.default_rng(0), WALTZ, 3.0)
    first, again = render(score, soundfont), render(score, soundfont)
    human = render(score, soundfont, rng=np.random.default_rng(1))
    assert first.shape == (2, 72_000)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, human)
    assert 0.01 < np.abs(first).max() <= 1.0
