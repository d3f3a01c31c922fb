"""Names of keys, notes and chords: the textbook's, in every key."""

from __future__ import annotations

import pytest

from llama.media.score import SCALES, Chord
from llama.media.score_edits import diatonic_quality
from llama.media.spelling import (
    OTHER_NAMES,
    chord_name,
    key_fifths,
    key_name,
    note_name,
    respell_keys,
    spell_pitch_class,
    tonic_choice,
)

SIGNATURES = {  # what music books print
    "major": "C 0, Db -5, D 2, Eb -3, E 4, F -1, F# 6, G 1, Ab -4, A 3, Bb -2, B 5",
    "minor": "C -3, C# 4, D -1, Eb -6, E 1, F -4, F# 3, G -2, G# 5, A 0, Bb -5, B 2",
}


@pytest.mark.parametrize("mode", SIGNATURES)
def test_key_signatures(mode: str) -> None:
    assert ", ".join(f"{note_name(key, key, mode)} {key_fifths(key, mode)}" for key in range(12)) == SIGNATURES[mode]


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("key", range(12))
def test_a_scale_has_each_letter_once_and_the_alterations_of_its_signature(key: int, mode: str) -> None:
    scale = [spell_pitch_class((key + step) % 12, key, mode) for step in SCALES[mode]]
    assert len({step for step, _ in scale}) == 7
    assert sum(alteration for _, alteration in scale) == key_fifths(key, mode)


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("key", range(12))
def test_every_name_is_its_pitch(key: int, mode: str) -> None:
    pitches = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))
    for pitch_class in range(12):
        step, alteration = spell_pitch_class(pitch_class, key, mode)
        assert (pitches[step] + alteration) % 12 == pitch_class and abs(alteration) <= 2


@pytest.mark.parametrize(
    ("key", "mode", "chords"),
    [
        (0, "major", "C Dm Em F G Am Bdim"),
        (9, "minor", "Am Bdim C Dm E F G"),
        (3, "major", "Eb Fm Gm Ab Bb Cm Ddim"),
        (6, "major", "F# G#m A#m B C# D#m E#dim"),
        (1, "minor", "C#m D#dim E F#m G# A B"),
        (10, "minor", "Bbm Cdim Db Ebm F Gb Ab"),
    ],
)
def test_chords_of_a_key(key: int, mode: str, chords: str) -> None:
    roots = [(key + step) % 12 for step in SCALES[mode]]
    names = [chord_name(Chord(0, 1, root, diatonic_quality(mode, k, seventh=False)), key, mode) for k, root in enumerate(roots)]
    assert " ".join(names) == chords


def test_chords_with_sevenths_and_key_names() -> None:
    names = [chord_name(Chord(0, 1, 0, quality), 0, "major") for quality in ("dominant7", "major7", "minor7")]
    assert names == ["C7", "Cmaj7", "Cm7"]
    assert [key_name(8, "minor"), key_name(1, "major"), key_name(4, "minor")] == ["G sharp minor", "D flat major", "E minor"]


def test_the_leading_note_of_minor_is_raised() -> None:
    assert [note_name((key + 11) % 12, key, "minor") for key in (9, 4, 2, 8)] == ["G#", "D#", "C#", "F##"]


def test_keys_in_a_text_get_their_usual_names() -> None:
    assert OTHER_NAMES == {"C sharp major": "D flat major", "A flat minor": "G sharp minor"}
    assert respell_keys("In C sharp major, not C sharp minor; A flat minor.") == "In D flat major, not C sharp minor; G sharp minor."


def test_a_tonic_without_its_mode_has_every_name_that_it_may_have() -> None:
    names = ["C", "C sharp / D flat", "E flat", "F sharp", "G sharp / A flat", "B flat"]
    assert [tonic_choice(key) for key in (0, 1, 3, 6, 8, 10)] == names
