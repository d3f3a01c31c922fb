"""The score as JSON: every note once, at the times of the sound, with the bars that edits number."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from DataSet.synthesis.composer import compose
from demo.service import score_view as module
from demo.service.score_view import describe, part_names, score_view
from llama.media.edit import Edit
from llama.media.score import (
    ACCOMPANIMENTS,
    KEYS,
    LEADS,
    METRES,
    MODES,
    STYLES,
    TEMPI,
    TRACKS,
    Attributes,
    Chord,
    Note,
    Score,
    timeline,
)
from llama.media.score_edits import score_line
from llama.media.spelling import key_name
from tests.scripted_engine import SCORE


def random_score(seed: int) -> Score:
    rng = np.random.default_rng(seed)

    def one(values: object) -> object:
        return list(values)[int(rng.integers(len(list(values))))]  # type: ignore[call-overload]

    attributes = Attributes(
        str(one(LEADS)), str(one(ACCOMPANIMENTS)), str(one(STYLES)), int(one(TEMPI)), str(one(MODES)), int(one(METRES)),  # type: ignore[call-overload]
        drums=bool(rng.integers(2)), key=int(rng.integers(12)),
    )  # fmt: skip
    return compose(rng, attributes, float(rng.integers(3, 25)))


SCORES = [random_score(seed) for seed in range(100)]


@pytest.mark.parametrize("score", SCORES[:8], ids=lambda score: key_name(score.attributes.key, score.attributes.mode))
def test_a_view_survives_json(score: Score) -> None:
    view = score_view(score)
    assert json.loads(json.dumps(view)) == view


def test_every_note_is_there_once() -> None:
    for score in SCORES:
        parts = {part["part"]: part for part in score_view(score)["parts"]}
        assert set(parts) == {name for name in TRACKS if score.track(name)}
        for name, part in parts.items():
            notes = sorted((note.start, note.duration, note.pitch, note.velocity) for note in score.track(name))
            assert np.abs(np.array(sorted(part["notes"])) - np.array(notes)).max() < 1e-4
            assert set(map(int, part.get("keys", {}))) == ({note.pitch for note in score.drums} if name == "drums" else set())


def test_bars_are_those_of_edits() -> None:
    for score in SCORES:
        view, line = score_view(score), score_line(score)
        assert [bar["number"] for bar in view["bars"]] == list(range(1, line.bar_count + 1))
        edges = [*(bar["start"] for bar in view["bars"]), view["ending"]["start"]]
        assert np.allclose(np.diff(edges), line.beat * line.metre, atol=2e-4) and edges[0] == 0
        assert [bar["end"] for bar in view["bars"]] == edges[1:]
        assert view["ending"]["start"] <= view["ending"]["final"] <= view["ending"]["end"] <= view["seconds"]
        assert Edit(bars=(1, max(1, line.bar_count)), parts=tuple(part["part"] for part in view["parts"])).parts


def test_chords_and_sections_fill_the_piece() -> None:
    for score in SCORES:
        view = score_view(score)
        for spans in (view["chords"], view["sections"]):
            assert spans[0]["start"] == 0 and spans[-1]["end"] == pytest.approx(timeline(score.attributes, score.seconds).end, abs=2e-4)
            assert all(one["end"] == pytest.approx(other["start"], abs=2e-4) for one, other in zip(spans, spans[1:], strict=False))
        assert all(one["name"] != other["name"] for one, other in zip(view["chords"], view["chords"][1:], strict=False))
        assert view["sections"][-1]["name"] == "Ending"


def test_names_are_those_of_the_key() -> None:
    chords = (Chord(0, 1, 10, "dominant7"), Chord(1, 1, 3, "major"), Chord(2, 1, 2, "diminished"), Chord(3, 1, 11, "minor"))
    score = replace(SCORE, attributes=replace(SCORE.attributes, key=3), chords=chords)
    assert [chord["name"] for chord in score_view(score)["chords"]] == ["B♭7", "E♭", "D°", "C♭m"]
    assert score_view(score)["pitches"][10] == "B♭"
    sharp = replace(SCORE, attributes=replace(SCORE.attributes, key=6, mode="minor"), lead=(Note(0, 1, 66, 90), Note(1, 1, 65, 90)))
    assert score_view(sharp)["pitches"][6] == "F♯" and "from E sharp 4 to F sharp 4" in describe(sharp)


def test_a_score_without_chords_and_bars_is_drawn_all_the_same() -> None:
    view = score_view(replace(SCORE, seconds=0.5, lead=(Note(0.0, 0.1, 60, 90),)))
    assert (view["bars"], view["chords"], view["sections"]) == ([], [], []) and len(view["parts"]) == 1


def test_the_description_says_what_is_there() -> None:
    assert describe(SCORE) == "C major, 60 beats a minute, 4 beats a bar, less than a bar: melody on flute, 1 note on C 5."
    drums = replace(SCORE, lead=(), drums=(Note(0, 0.1, 36, 90), Note(1, 0.1, 38, 90)))
    assert describe(drums).endswith(": drums, 2 strokes.")
    for score in SCORES:
        assert all(name in describe(score) for name in part_names(score)) and KEYS[score.attributes.key][0] in "ABCDEFG"


def test_a_score_with_too_many_notes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DRAWN_NOTES", 0)
    with pytest.raises(ValueError, match="has 1 notes, and up to 0 are drawn"):
        score_view(SCORE)
