"""The studio of the training clips: who plays which track, how loud, in what room, through what equipment.

The ears must know an instrument by its nature and not by one recording of it: every track may come from another
soundfont, from a neighbouring preset of its family, at another level; then rooms, equalisers, narrow bands, saturation
and lossy codecs. Test clips are played plainly: one soundfont, one balance.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from DataSet.synthesis.rendering import Voice, stems
from llama.media.score import ACCOMPANIMENTS, BASSES, LEADS, Score

SAMPLE_RATE = 24_000
Sound = NDArray[np.float32]
BALANCE: Mapping[str, float] = {"lead": 0.0, "accompaniment": -6.0, "bass": -5.0, "drums": -5.0}  # decibels
SWAY: Mapping[str, float] = {"lead": 1.0, "accompaniment": 4.0, "bass": 4.0, "drums": 4.0}  # and how much they differ
FAMILY: Mapping[str, Mapping[str, Sequence[int]]] = {  # presets that pass for the same instrument; the first is ours
    "lead": {
        "piano": (0, 1, 2), "organ": (19, 16, 17, 18, 20), "guitar": (24, 25, 26), "violin": (40,), "cello": (42,),
        "trumpet": (56,), "flute": (73,), "saxophone": (65, 64, 66), "clarinet": (71,), "harp": (46,), "marimba": (12,),
        "synthesizer": (81, 80, 84, 87),
    },
    "accompaniment": {
        "piano": (0, 1, 2), "organ": (16, 17, 18, 19), "guitar": (25, 24, 26, 27), "strings": (48, 49, 50), "pad": (89, 88, 90, 95),
    },
    "bass": {style: (program, 32, 33, 34, 35, 38, 39, 43) for style, program in BASSES.items()},
    "drums": {"kit": (0, 8, 16, 24, 25, 32, 40)},
}
MUTE: Mapping[str, frozenset[int]] = {"MuseScore_General_Full": frozenset((0, 1))}  # presets that the synthesiser all but loses
NEXT_OF_KIN: Mapping[str, Mapping[int, int]] = {"freepats": {81: 80, 89: 88, 43: 32}}  # for presets that a soundfont lacks
LACKING: Mapping[str, frozenset[str]] = {"freepats": frozenset(("marimba",))}  # leads that it cannot play at all
LEADS_ONLY = frozenset(("tonejs",))  # sets of melody instruments
FALLBACK = "FluidR3_GM"


def base_programs(score: Score) -> dict[str, int]:
    found = {"lead": LEADS[score.attributes.lead], "accompaniment": ACCOMPANIMENTS[score.attributes.accompaniment],
             "bass": BASSES[score.attributes.style]}
    return {**found, "drums": 0} if score.attributes.drums else found


def plain_voices(score: Score, font: str, installed: Mapping[str, Path]) -> dict[str, Voice]:
    """Every track from one soundfont, our own presets or, where it lacks them, their kin."""
    kin = NEXT_OF_KIN.get(font, {})
    return {track: voice(track, font, kin.get(program, program), installed) for track, program in base_programs(score).items()}


def varied_voices(rng: np.random.Generator, score: Score, shares: Mapping[str, float], installed: Mapping[str, Path]) -> dict[str, Voice]:
    """Half of the pieces from one soundfont, half from one a track; presets of the family now and then."""
    names, weights = list(shares), np.array(list(shares.values())) / sum(shares.values())
    common, mixed = str(rng.choice(names, p=weights)), rng.random() < 0.5
    found = {}
    for track, program in base_programs(score).items():
        font = str(rng.choice(names, p=weights)) if mixed or (common in LEADS_ONLY and track != "lead") else common
        kin = FAMILY[track][{"lead": score.attributes.lead, "accompaniment": score.attributes.accompaniment,
                             "bass": score.attributes.style, "drums": "kit"}[track]]
        chosen = int(rng.choice(kin)) if rng.random() < (0.25 if track == "bass" else 0.45) else program
        found[track] = voice(track, font, chosen, installed)
    return found


def voice(track: str, font: str, program: int, installed: Mapping[str, Path]) -> Voice:
    if program in MUTE.get(font, ()) and track != "drums":
        font = FALLBACK if FALLBACK in installed else font
    return Voice(installed[font], program, 128 if track == "drums" else 0)


def play(rng: np.random.Generator, score: Score, voices: Mapping[str, Voice], installed: Mapping[str, Path]) -> dict[str, Sound]:
    """The stems; a preset that a soundfont does not have is played by our own one of another."""
    found: dict[str, Sound] = {}
    for track, one in voices.items():
        spare = Voice(installed.get(FALLBACK, one.font), base_programs(score)[track], one.bank)
        for attempt in (one, Voice(one.font, spare.program, one.bank), spare):
            try:
                found.update(stems(score, {track: attempt}, SAMPLE_RATE, rng))
                break
            except RuntimeError:
                continue
    return found


def loudness(sound: Sound) -> float:
    """Root mean square of the parts that sound."""
    power = np.square(sound[: len(sound) // 1200 * 1200].reshape(-1, 1200)).mean(1)
    loud = power[power > 0.01 * power.max(initial=1e-12)]
    return float(np.sqrt(loud.mean())) if len(loud) else 0.0


def mix(tracks: Mapping[str, Sound], rng: np.random.Generator | None = None) -> Sound:
    """Measured, then balanced: a preset's own loudness does not matter."""
    total = np.zeros(max(len(sound) for sound in tracks.values()), np.float32)
    for name, sound in tracks.items():
        level = BALANCE[name] + (0.0 if rng is None else float(rng.uniform(-SWAY[name], SWAY[name])))
        total[: len(sound)] += sound * np.float32(10 ** (level / 20) / max(loudness(sound), 1e-5))
    return total


def recoloured(rng: np.random.Generator, tracks: Mapping[str, Sound]) -> dict[str, Sound]:
    """Half of the stems through an equaliser of their own: the same instrument of another maker, as it were."""
    found = {}
    for name, sound in tracks.items():
        if rng.random() < 0.5 and name != "drums":
            size = next_fast_len(len(sound), real=True)
            sound = irfft(rfft(sound, size) * equaliser(rng, size), size)[: len(sound)]
        found[name] = sound
    return found


def treated(rng: np.random.Generator, sound: Sound) -> Sound:
    """A room, an equaliser, a narrow band, saturation, noise and a codec, each now and then."""
    size = next_fast_len(len(sound) + SAMPLE_RATE // 2, real=True)
    if rng.random() < 0.75:
        spectrum = rfft(sound, size) * equaliser(rng, size)
        if rng.random() < 0.5:
            spectrum *= rfft(room(rng), size)
        sound = irfft(spectrum, size)[: len(sound)]
    sound = sound / max(float(np.sqrt(np.square(sound).mean())), 1e-6)
    if rng.random() < 0.2:
        drive = float(rng.uniform(0.3, 1.2))
        sound = np.tanh(drive * sound) / drive
    if rng.random() < 0.3:
        sound = sound + rng.standard_normal(len(sound), np.float32) * np.float32(10 ** rng.uniform(-3.2, -1.7))
    return coded(rng, sound) if rng.random() < 0.12 else sound


def equaliser(rng: np.random.Generator, size: int) -> Sound:
    """Gains of a smooth curve through random decibels an octave apart; sometimes no highs or lows at all."""
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float32)
    octaves = np.log2(np.maximum(hertz, 30) / 30)
    gains = np.interp(octaves, np.arange(10), rng.normal(0, 2.5, 10) + rng.normal(0, 1) * np.linspace(-3, 3, 10))
    curve = np.exp(gains.astype(np.float32) * np.float32(math.log(10) / 20))
    if rng.random() < 0.2:
        curve /= np.sqrt(1 + (hertz / rng.uniform(3500, 9000)) ** 8)
    if rng.random() < 0.15:
        curve /= np.sqrt(1 + (rng.uniform(60, 160) / np.maximum(hertz, 1)) ** 4)
    return curve.astype(np.float32)


def room(rng: np.random.Generator) -> Sound:
    """An impulse response: the direct sound, then noise that dies away and grows dull."""
    seconds, wet = float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.05, 0.5))
    times = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    tail = np.convolve(tail, np.hanning(int(rng.integers(2, 7)) + 2))[: len(times)]
    tail[: int(rng.uniform(0.002, 0.03) * SAMPLE_RATE)] = 0
    tail *= wet / max(float(np.sqrt(np.square(tail).sum())), 1e-9)
    tail[0] = 1.0
    return tail.astype(np.float32)


def coded(rng: np.random.Generator, sound: Sound) -> Sound:
    """Through a lossy codec and back; its delay is taken away by cutting to the same length."""
    peak, buffer = max(float(np.abs(sound).max()), 1e-6), io.BytesIO()
    kind = {"format": "MP3", "subtype": "MPEG_LAYER_III"} if rng.random() < 0.6 else {"format": "OGG", "subtype": "VORBIS"}
    soundfile.write(buffer, sound / peak * 0.9, SAMPLE_RATE, compression_level=float(rng.uniform(0.3, 0.95)), **kind)
    buffer.seek(0)
    back = soundfile.read(buffer, dtype="float32")[0]
    result = np.zeros_like(sound)
    result[: min(len(back), len(sound))] = back[: len(sound)]
    return result * peak / 0.9
