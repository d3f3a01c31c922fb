"""Attribute readers that are independent of the model: from the notes of a piece, from its sound, and motion of a clip.

The notes come from the codec's codes. Bars, beat and instruments follow the header of the codes, so lead, accompaniment, tempo
and metre are right by construction and only checked. Style is not; style_classifier.py reads it. On sound, librosa's beat tracker
and chroma are used; without librosa (`pip install librosa`) those figures are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from DataSet.synthesis.scenes import ENERGIES, MOODS, PLACES
from DataSet.synthesis.wishes import music_for_picture
from llama.evaluation.symbolic_metrics import tempo_from_onsets
from llama.media.audio import Waveform
from llama.media.key_finding import mode_of_chroma
from llama.media.score import LEADS, TRACKS, Score
from recipes.nano.evaluation.style_classifier import fitted_classifier
from recipes.nano.music_decoder.measure import estimate_metre, estimate_mode

ANALYSIS_RATE = 22_050  # Hz, librosa's default rate
MOTION_SIDE = 64  # pixels to which frames are reduced before motion is measured
MIN_ON_GRID_SHARE = 0.95  # share of notes that must begin on the declared tempo's grid; below it, the tempo is estimated
_SLIP = 0.04  # beats of deviation that count as on the grid
_BASS = 2.0  # weight of a bass note in tempo estimation


def read_attribute(score: Score | None, name: str) -> Any:
    """An attribute of a generated piece, read from its notes and their MIDI programs; None without a piece."""
    if score is None:
        return None
    readers = {"drums": lambda: bool(score.drums), "mode": lambda: estimate_mode(score), "metre": lambda: estimate_metre(score), "lead": lambda: lead_of(score),
               "tempo": lambda: tempo_of(score), "style": lambda: fitted_classifier().name(score), "key": lambda: score.bass[-1].pitch % 12 if score.bass else score.attributes.key}
    return readers[name]() if name in readers else getattr(score.attributes, name)


def lead_of(score: Score) -> str | None:
    """The instrument whose program plays the lead's notes; None where it has none."""
    program = score.programs["lead"]
    return next((name for name, number in LEADS.items() if number == program), None) if score.lead else None


def tempo_of(score: Score) -> float | None:
    """The declared tempo if the notes begin on its eighths (or on two thirds of a beat, for swing), else an estimate."""
    beats = np.array([note.start for track in TRACKS for note in score.track(track)]) * score.attributes.tempo / 60
    if not len(beats):
        return None
    distances = np.abs((beats % 1)[:, None] - np.array([0, 1 / 2, 2 / 3, 1])).min(1)
    return float(score.attributes.tempo) if np.mean(distances <= _SLIP) >= MIN_ON_GRID_SHARE else tempo_from_notes(score)


def tempo_from_notes(score: Score | None) -> float | None:
    """Beats a minute estimated from note onsets alone; multiples of the beat are possible."""
    if score is None:
        return None
    notes = [(note.start, note.velocity * (_BASS if track == "bass" else 1)) for track in TRACKS for note in score.track(track)]
    return tempo_from_onsets(*zip(*notes, strict=True)) if notes else None


def mood_of(score: Score | None) -> str | None:
    """The mood whose pictures ask for music of this mode and style; None where no picture does."""
    if score is None:
        return None
    requested = {mood: music_for_picture({"mood": mood, "energy": "low", "place": PLACES[0]}) for mood in MOODS}
    played = (read_attribute(score, "mode"), read_attribute(score, "style"))
    return next((mood for mood, wish in requested.items() if (wish["mode"], wish["style"]) == played), None)


def energy_of(score: Score | None) -> str | None:
    """The energy whose pictures ask for the nearest tempo. (The pulse alone cannot tell: low and high are an octave apart.)"""
    tempo = tempo_of(score) if score is not None else None
    if tempo is None:
        return None
    requested_tempi = {energy: music_for_picture({"mood": MOODS[0], "energy": energy, "place": PLACES[0]})["tempo"] for energy in ENERGIES}
    return min(requested_tempi, key=lambda energy: abs(np.log(requested_tempi[energy] / tempo)))


def has_librosa() -> bool:
    """Whether librosa is installed."""
    return find_spec("librosa") is not None


def track_tempo(sound: Waveform) -> float:
    """Beats a minute by librosa's beat tracker."""
    import librosa

    tempo, _ = librosa.beat.beat_track(y=_mono(sound), sr=ANALYSIS_RATE)
    return float(np.atleast_1d(tempo)[0])


def key_by_chroma(sound: Waveform) -> tuple[int, str]:
    """Tonic and mode from the mean chroma of the piece."""
    import librosa

    return mode_of_chroma(librosa.feature.chroma_stft(y=_mono(sound), sr=ANALYSIS_RATE, n_fft=8192, tuning=0.0).mean(1))


def _mono(sound: Waveform) -> np.ndarray:
    return sound.mono().resample(ANALYSIS_RATE).samples[0].numpy()


def motion_of(frames: Sequence[np.ndarray] | np.ndarray) -> float:
    """Mean absolute difference of successive frames, relative to the standard deviation of the pixels."""
    small = [_reduced(frame) for frame in frames]
    if len(small) < 2:
        return 0.0
    return float(np.mean([np.abs(a - b).mean() for a, b in zip(small, small[1:], strict=False)]) / max(np.std(small), 1.0))


def _reduced(frame: np.ndarray) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(frame).convert("L").resize((MOTION_SIDE, MOTION_SIDE)), np.float32)
