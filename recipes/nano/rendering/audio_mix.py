"""Mixing of the training clips: soundfont and preset of each track, levels, and effects.

The audio encoder has to recognize an instrument across recordings, so every track may come from another soundfont, from
another preset of its family and at another level; then follow reverberation, equalizers, band limits, saturation and lossy
codecs. Test clips use one soundfont, one balance and no effects.
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

from DataSet.synthesis.rendering import Voice, render_stems
from llama.media.score import ACCOMPANIMENTS, BASSES, LEADS, Score

SAMPLE_RATE = 24_000
Sound = NDArray[np.float32]
BALANCE: Mapping[str, float] = {"lead": 0.0, "accompaniment": -6.0, "bass": -5.0, "drums": -5.0}  # dB
BALANCE_SPREAD: Mapping[str, float] = {"lead": 1.0, "accompaniment": 4.0, "bass": 4.0, "drums": 4.0}  # dB, largest deviation in training
PRESET_FAMILIES: Mapping[str, Mapping[str, Sequence[int]]] = {  # presets that count as the same instrument; the first is the default
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
MUTED_PRESETS: Mapping[str, frozenset[int]] = {"MuseScore_General_Full": frozenset((0, 1))}  # presets that the synthesizer renders almost silent
SUBSTITUTES: Mapping[str, Mapping[int, int]] = {"freepats": {81: 80, 89: 88, 43: 32}}  # for presets that a soundfont lacks
MISSING_LEADS: Mapping[str, frozenset[str]] = {"freepats": frozenset(("marimba",))}  # leads that it cannot play at all
MELODY_ONLY_FONTS = frozenset(("tonejs",))  # sets of melody instruments
FALLBACK_FONT = "FluidR3_GM"


def base_programs(score: Score) -> dict[str, int]:
    programs = {"lead": LEADS[score.attributes.lead], "accompaniment": ACCOMPANIMENTS[score.attributes.accompaniment],
             "bass": BASSES[score.attributes.style]}
    return {**programs, "drums": 0} if score.attributes.drums else programs


def plain_voices(score: Score, font: str, installed: Mapping[str, Path]) -> dict[str, Voice]:
    """Every track from one soundfont, with the default presets or, where it lacks one, its substitute."""
    substitutes = SUBSTITUTES.get(font, {})
    return {track: select_voice(track, font, substitutes.get(program, program), installed) for track, program in base_programs(score).items()}


def random_voices(rng: np.random.Generator, score: Score, shares: Mapping[str, float], installed: Mapping[str, Path]) -> dict[str, Voice]:
    """Random soundfonts and presets: half of the pieces use one soundfont, half one for each track."""
    names, weights = list(shares), np.array(list(shares.values())) / sum(shares.values())
    shared_font, mixed = str(rng.choice(names, p=weights)), rng.random() < 0.5
    voices = {}
    for track, program in base_programs(score).items():
        font = str(rng.choice(names, p=weights)) if mixed or (shared_font in MELODY_ONLY_FONTS and track != "lead") else shared_font
        family = PRESET_FAMILIES[track][{"lead": score.attributes.lead, "accompaniment": score.attributes.accompaniment,
                             "bass": score.attributes.style, "drums": "kit"}[track]]
        preset = int(rng.choice(family)) if rng.random() < (0.25 if track == "bass" else 0.45) else program
        voices[track] = select_voice(track, font, preset, installed)
    return voices


def select_voice(track: str, font: str, program: int, installed: Mapping[str, Path]) -> Voice:
    if program in MUTED_PRESETS.get(font, ()) and track != "drums":
        font = FALLBACK_FONT if FALLBACK_FONT in installed else font
    return Voice(installed[font], program, 128 if track == "drums" else 0)


def render_voices(rng: np.random.Generator, score: Score, voices: Mapping[str, Voice], installed: Mapping[str, Path]) -> dict[str, Sound]:
    """Renders the stems. A preset that a soundfont lacks falls back to the default preset, then to the fallback soundfont."""
    rendered: dict[str, Sound] = {}
    for track, voice in voices.items():
        spare = Voice(installed.get(FALLBACK_FONT, voice.font), base_programs(score)[track], voice.bank)
        for attempt in (voice, Voice(voice.font, spare.program, voice.bank), spare):
            try:
                rendered.update(render_stems(score, {track: attempt}, SAMPLE_RATE, rng))
                break
            except RuntimeError:
                continue
    return rendered


def loudness(sound: Sound) -> float:
    """Root mean square of the parts that are not silent."""
    power = np.square(sound[: len(sound) // 1200 * 1200].reshape(-1, 1200)).mean(1)
    loud = power[power > 0.01 * power.max(initial=1e-12)]
    return float(np.sqrt(loud.mean())) if len(loud) else 0.0


def mix(tracks: Mapping[str, Sound], rng: np.random.Generator | None = None) -> Sound:
    """Mixes the tracks at the balance of BALANCE, whatever the loudness of their presets; with `rng` the balance varies."""
    total = np.zeros(max(len(sound) for sound in tracks.values()), np.float32)
    for name, sound in tracks.items():
        level = BALANCE[name] + (0.0 if rng is None else float(rng.uniform(-BALANCE_SPREAD[name], BALANCE_SPREAD[name])))
        total[: len(sound)] += sound * np.float32(10 ** (level / 20) / max(loudness(sound), 1e-5))
    return total


def equalize_stems(rng: np.random.Generator, tracks: Mapping[str, Sound]) -> dict[str, Sound]:
    """Applies a random equalizer to half of the melodic stems, so that one preset gives several timbres."""
    equalized = {}
    for name, sound in tracks.items():
        if rng.random() < 0.5 and name != "drums":
            size = next_fast_len(len(sound), real=True)
            sound = irfft(rfft(sound, size) * random_equalizer(rng, size), size)[: len(sound)]
        equalized[name] = sound
    return equalized


def apply_effects(rng: np.random.Generator, sound: Sound) -> Sound:
    """Applies random effects, each with its own probability: equalizer, reverberation, saturation, noise, lossy codec."""
    size = next_fast_len(len(sound) + SAMPLE_RATE // 2, real=True)
    if rng.random() < 0.75:
        spectrum = rfft(sound, size) * random_equalizer(rng, size)
        if rng.random() < 0.5:
            spectrum *= rfft(room_response(rng), size)
        sound = irfft(spectrum, size)[: len(sound)]
    sound = sound / max(float(np.sqrt(np.square(sound).mean())), 1e-6)
    if rng.random() < 0.2:
        drive = float(rng.uniform(0.3, 1.2))
        sound = np.tanh(drive * sound) / drive
    if rng.random() < 0.3:
        sound = sound + rng.standard_normal(len(sound), np.float32) * np.float32(10 ** rng.uniform(-3.2, -1.7))
    return apply_codec(rng, sound) if rng.random() < 0.12 else sound


def random_equalizer(rng: np.random.Generator, size: int) -> Sound:
    """Gains of a smooth random curve with one knot an octave; sometimes with a low-pass or high-pass."""
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float32)
    octaves = np.log2(np.maximum(hertz, 30) / 30)
    gains = np.interp(octaves, np.arange(10), rng.normal(0, 2.5, 10) + rng.normal(0, 1) * np.linspace(-3, 3, 10))
    curve = np.exp(gains.astype(np.float32) * np.float32(math.log(10) / 20))
    if rng.random() < 0.2:
        curve /= np.sqrt(1 + (hertz / rng.uniform(3500, 9000)) ** 8)
    if rng.random() < 0.15:
        curve /= np.sqrt(1 + (rng.uniform(60, 160) / np.maximum(hertz, 1)) ** 4)
    return curve.astype(np.float32)


def room_response(rng: np.random.Generator) -> Sound:
    """Random impulse response: the direct sound, then decaying low-passed noise."""
    seconds, wet = float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.05, 0.5))
    times = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    tail = np.convolve(tail, np.hanning(int(rng.integers(2, 7)) + 2))[: len(times)]
    tail[: int(rng.uniform(0.002, 0.03) * SAMPLE_RATE)] = 0
    tail *= wet / max(float(np.sqrt(np.square(tail).sum())), 1e-9)
    tail[0] = 1.0
    return tail.astype(np.float32)


def apply_codec(rng: np.random.Generator, sound: Sound) -> Sound:
    """Encodes with MP3 or Vorbis and decodes again, cut to the same length."""
    peak, buffer = max(float(np.abs(sound).max()), 1e-6), io.BytesIO()
    kind = {"format": "MP3", "subtype": "MPEG_LAYER_III"} if rng.random() < 0.6 else {"format": "OGG", "subtype": "VORBIS"}
    soundfile.write(buffer, sound / peak * 0.9, SAMPLE_RATE, compression_level=float(rng.uniform(0.3, 0.95)), **kind)
    buffer.seek(0)
    decoded = soundfile.read(buffer, dtype="float32")[0]
    result = np.zeros_like(sound)
    result[: min(len(decoded), len(sound))] = decoded[: len(sound)]
    return result * peak / 0.9
