"""Measures the sound of rendered pieces: offset, rumble, rubbing chords, ending, width, loudness and true peak.

    python -m recipes.nano.evaluation.measure_sound                  # 24 pieces of the composer that no network was trained on
    python -m recipes.nano.evaluation.measure_sound --pieces 100 --each

Loudness is torchaudio's (ITU-R BS.1770-4), and the true peak that of four times as many samples, both independent of the renderer.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
import torchaudio

from DataSet.synthesis.composer import compose, sample_attributes
from DataSet.synthesis.made_set import DECODER, load_sampler
from llama.media.score import ACCOMPANIMENTS, LEADS, STYLES, Score, chord_voicing

SAMPLE_RATE = 32_000
SEED = 770_000  # of the first piece
RUMBLE = 18.0  # Hz, below which no note lies
LOW = 150.0  # Hz, below which the sound should be the same on both sides
ENDING = 1.5  # seconds
GONE = -50.0  # dB below the last chord's loudest tenth of a second: where a decay counts as over


@dataclass(frozen=True)
class SoundFigures:
    """Figures of one piece; the names are the table's."""

    offset: float  # largest mean of a channel, of full scale
    rumble: float  # share of the energy below RUMBLE
    rubbing_chords: float  # share of the struck chords with two voices a semitone apart
    steepest_fall: float  # dB in a twentieth of a second, of the last 1.5 s, until the chord is gone
    silence: float  # seconds at the end after it is gone
    correlation: float  # of left and right
    low_correlation: float  # the same below LOW
    mono_loss: float  # dB that the mean of both channels has less power than they have
    loudness: float  # LUFS
    true_peak: float  # dB of full scale


def measure(sound: np.ndarray, score: Score) -> SoundFigures:
    """Figures of the sound [2, n] of a score."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(sound.shape[1], 1 / SAMPLE_RATE)
    fall, silence = ending(sound)
    return SoundFigures(
        offset=float(np.abs(sound.mean(1)).max()), rumble=float(power[:, hertz < RUMBLE].sum() / power.sum()),
        rubbing_chords=rubbing(score), steepest_fall=fall, silence=silence,
        correlation=correlation(sound), low_correlation=correlation(low_passed(sound)),
        mono_loss=float(10 * np.log10((sound**2).mean() / (sound.mean(0) ** 2).mean())),
        loudness=float(torchaudio.functional.loudness(torch.from_numpy(sound), SAMPLE_RATE)), true_peak=true_peak(sound),
    )  # fmt: skip


def rubbing(score: Score) -> float:
    """Share of the accompaniment's chords, of two voices or more at once, that hold a semitone."""
    struck: dict[float, set[int]] = {}
    for note in score.accompaniment:
        struck.setdefault(round(note.start, 4), set()).add(note.pitch)
    chords = [sorted(pitches) for pitches in struck.values() if len(pitches) > 1]
    return float(np.mean([1 in np.diff(chord) for chord in chords])) if chords else 0.0


def ending(sound: np.ndarray) -> tuple[float, float]:
    """The steepest fall of the level within a twentieth of a second of the ending, and the seconds after it is gone."""
    width = SAMPLE_RATE // 20
    last = sound[:, -round(ENDING * SAMPLE_RATE) :]
    levels = 10 * np.log10((last[:, : last.shape[1] // width * width].reshape(2, -1, width) ** 2).mean((0, 2)) + 1e-12)
    heard = levels > levels.max() + GONE
    final = int(np.flatnonzero(heard)[-1])
    return float(-np.diff(levels[: final + 2]).min(initial=0.0)), (len(levels) - 1 - final) * 0.05


def low_passed(sound: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(sound)
    spectrum[:, np.fft.rfftfreq(sound.shape[1], 1 / SAMPLE_RATE) > LOW] = 0
    return np.fft.irfft(spectrum, sound.shape[1])


def correlation(sound: np.ndarray) -> float:
    return float((sound[0] * sound[1]).sum() / np.sqrt((sound[0] ** 2).sum() * (sound[1] ** 2).sum()))


def true_peak(sound: np.ndarray) -> float:
    """Largest magnitude in dB of the sound at four times its rate."""
    raised = torchaudio.functional.resample(torch.from_numpy(sound), 1, 4, lowpass_filter_width=32, rolloff=1.0)
    return float(20 * raised.abs().max().log10())


def composed(index: int) -> Score:
    """Piece `index`: accompaniments, leads and styles in turn, everything else at random."""
    rng = np.random.default_rng(SEED + index)
    attributes = replace(
        sample_attributes(rng), accompaniment=list(ACCOMPANIMENTS)[-1 - index % len(ACCOMPANIMENTS)],
        lead=list(LEADS)[index % len(LEADS)], style=STYLES[(index + index // 6) % len(STYLES)],
    )  # fmt: skip
    if attributes.style == "waltz":
        attributes = replace(attributes, metre=3)
    return compose(rng, attributes, int(rng.integers(15 * 6, 40 * 6)) / 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decoder", type=Path, default=DECODER, help="folder of a decoder with recorded notes")
    parser.add_argument("--pieces", type=int, default=24)
    parser.add_argument("--each", action="store_true", help="print a line a piece as well")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sampler, scores = load_sampler(arguments.decoder), [composed(index) for index in range(arguments.pieces)]
    for score in scores:
        sampler.render(score)  # notes that are shifted and looped once are kept
    begun = time.process_time()
    sounds = [sampler.render(score) for score in scores]
    speed = sum(score.seconds for score in scores) / (time.process_time() - begun)
    rows = [measure(sound, score) for sound, score in zip(sounds, scores, strict=True)]
    for score, row in zip(scores, rows, strict=True) if arguments.each else ():
        print(f"{score.attributes.lead}, {score.attributes.accompaniment}, {score.attributes.style}: {', '.join(f'{v:.4g}' for v in astuple(row))}")
    for field in fields(SoundFigures):
        values = np.array([getattr(row, field.name) for row in rows])
        print(f"{field.name.replace('_', ' ')}: mean {values.mean():.4f}, sd {values.std():.4f}, from {values.min():.4f} to {values.max():.4f}")
    chords = [chord for score in scores for chord in score.chords]
    held = np.mean([1 in np.diff(chord_voicing(chord.root, chord.quality)) for chord in chords])
    print(f"chords whose voicing holds a semitone: {held:.3f} of {len(chords)}")
    print(f"rendered {speed:.0f} times as fast as it plays, on one core")


if __name__ == "__main__":
    main()
