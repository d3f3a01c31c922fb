"""Transcription: synthetic activations give the exact score, at any tempo, metre and phase."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from DataSet.synthesis.composer import compose
from llama.encoders.beat_grid import BeatGrid, find_grid
from llama.encoders.transcriber import (
    ATTRIBUTES,
    PARTS,
    Activations,
    Transcriber,
    TranscriberConfig,
    TranscriberNetwork,
)
from llama.encoders.transcription import score_of, transcribe
from llama.media.audio import Waveform
from llama.media.score import DRUMS, QUALITIES, TRACKS, Attributes, Score, timeline

CONFIG = TranscriberConfig()
PIECES = {
    "rock": Attributes("guitar", "organ", "rock", 128, "major", 4, True, 7),
    "waltz": Attributes("flute", "piano", "waltz", 150, "minor", 3, False, 2),
    "swing": Attributes("saxophone", "piano", "swing", 132, "major", 4, True, 10),
    "ballad": Attributes("piano", "strings", "ballad", 66, "minor", 4, False, 9),
}


def mark(line: torch.Tensor, at: float) -> None:
    """Raises an activation to a triangle of two frames around frame `at`."""
    for frame in range(max(0, int(at) - 1), min(len(line), int(at) + 3)):
        line[frame] = max(float(line[frame]), 0.97 * (1 - abs(frame - at) / 2))


def activations_of(score: Score, offset: float = 0.0, stretch: float = 1.0) -> Activations:
    """What a perfect network hears in a performance of a score that begins at `offset` and takes `stretch` times as long."""
    rate, attributes, line = CONFIG.frame_rate, score.attributes, timeline(score.attributes, score.seconds)
    frames = int((score.seconds * stretch + offset) * rate) + 1
    onsets, sounding = torch.zeros(3, frames, CONFIG.pitches), torch.zeros(3, frames, CONFIG.pitches)
    drums, beats = torch.zeros(frames, len(DRUMS)), torch.full((frames, 2), 0.02)
    root, quality = torch.full((frames, 12), -5.0), torch.full((frames, len(QUALITIES)), -5.0)

    def frame(seconds: float) -> float:
        return (seconds * stretch + offset) * rate

    for number, part in enumerate(PARTS):
        for note in score.track(part):
            mark(onsets[number, :, note.pitch - CONFIG.lowest], frame(note.start))
            sounding[number, round(frame(note.start)) : round(frame(note.start + note.duration)), note.pitch - CONFIG.lowest] = 0.9
    for note in score.drums:
        mark(drums[:, DRUMS.index(note.pitch)], frame(note.start))
    for number in range(int(line.end / line.beat + 1e-6)):
        mark(beats[:, 0], frame(number * line.beat))
        if number % attributes.metre == 0:
            mark(beats[:, 1], frame(number * line.beat))
    for chord in score.chords:
        span = slice(round(frame(chord.start)), round(frame(chord.start + chord.duration)))
        root[span, chord.root] = quality[span, tuple(QUALITIES).index(chord.quality)] = 0.0
    known = {name: (values.index(getattr(attributes, name)), len(values)) for name, values in ATTRIBUTES.items()}
    named = {name: torch.log_softmax(8.0 * torch.eye(count)[index], 0) for name, (index, count) in known.items()}
    return Activations(onsets, sounding, drums, beats, root, quality, named, rate, CONFIG.lowest)


def places(score: Score, part: str) -> list[tuple[float, int]]:
    """Begin in beats, and pitch."""
    return [(round(note.start * score.attributes.tempo / 60, 3), note.pitch) for note in score.track(part)]


@pytest.mark.parametrize("offset", [0.0, 2.4])
@pytest.mark.parametrize("name", PIECES)
def test_the_activations_of_a_score_give_the_score(name: str, offset: float) -> None:
    score = compose(np.random.default_rng(5), PIECES[name], 20.0)
    heard = score_of(activations_of(score, offset))
    assert heard.score.attributes == score.attributes
    assert heard.first_bar == pytest.approx(offset, abs=0.03)
    for part in TRACKS:
        assert places(heard.score, part) == places(score, part), part
    for part in ("lead", "bass"):
        written = [(note.duration, found.duration) for note, found in zip(score.track(part), heard.score.track(part), strict=True)]
        assert sum(abs(one - two) < 0.06 for one, two in written[:-1]) >= 0.9 * (len(written) - 1), part
    assert [(chord.root, chord.quality) for chord in heard.score.chords] == [(chord.root, chord.quality) for chord in score.chords]
    lines = [timeline(piece.attributes, piece.seconds) for piece in (score, heard.score)]
    assert (lines[0].bar_count, lines[0].tag) == (lines[1].bar_count, lines[1].tag)
    assert abs(heard.score.seconds - score.seconds) < 0.5


def test_a_tempo_between_the_composed_ones_is_kept() -> None:
    score = compose(np.random.default_rng(6), PIECES["rock"], 30.0)
    heard = score_of(activations_of(score, 0.2, 128 / 121.37)).score
    assert heard.attributes.tempo == pytest.approx(121.37, rel=5e-4)
    assert places(heard, "lead") == places(score, "lead")


def test_sixteenths_and_triplets_of_a_melody_are_kept() -> None:
    score = compose(np.random.default_rng(7), PIECES["ballad"], 20.0)
    beat, first = 60 / 66, score.lead[0]
    fine = [replace(first, start=(4 + place) * beat, duration=0.2 * beat, pitch=72 + number)
            for number, place in enumerate((0.0, 0.25, 0.5, 0.75, 1.0, 4 / 3, 5 / 3))]  # fmt: skip
    lead = [note for note in score.lead if not 4 * beat - 0.01 <= note.start < 6 * beat]
    changed = replace(score, lead=tuple(sorted([*lead, *fine], key=lambda note: note.start)))
    assert places(score_of(activations_of(changed)).score, "lead") == places(changed, "lead")


def test_two_melody_notes_at_one_place_leave_the_likelier() -> None:
    score = compose(np.random.default_rng(5), PIECES["waltz"], 20.0)
    heard = activations_of(score)
    heard.onsets[0, :, 5] = 0.6 * heard.onsets[0].amax(-1)
    assert places(score_of(heard).score, "lead") == places(score, "lead")


def test_a_grid_of_double_or_half_the_tempo_loses() -> None:
    line = np.full((2000, 2), 0.02)
    line[np.round(np.arange(11.0, 1990, 28.125)).astype(int)] = 0.9  # 100 beats a minute
    grid = find_grid(line, 46.875, np.arange(0.3, 42.0, 0.3))
    assert grid.tempo == 100 and abs((grid.first - 11 / 46.875) / grid.beat % 1) < 0.05
    assert BeatGrid(-0.5, 0.5, 4).beats(1.0) == 3


@pytest.fixture(scope="module")
def small() -> Transcriber:
    torch.manual_seed(0)
    return Transcriber(TranscriberNetwork(TranscriberConfig(channels=4, width=8)))


def test_silence_short_and_noteless_recordings_are_refused(small: Transcriber) -> None:
    with pytest.raises(ValueError, match="silent"):
        transcribe(small, Waveform(torch.zeros(1, 100_000), 16_000))
    with pytest.raises(ValueError, match="too short"):
        transcribe(small, Waveform(torch.randn(1, 16_000), 16_000))
    with pytest.raises(ValueError, match="no notes"):  # the untrained network hears none
        transcribe(small, Waveform(torch.randn(1, 100_000) * 0.1, 16_000))
