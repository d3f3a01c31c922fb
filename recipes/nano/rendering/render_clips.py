"""Renders training and test clips for the audio encoder: pieces and tunes through several soundfonts, and non-music.

    python -m recipes.nano.rendering.render_clips --out data --clips 12000 --tunes tunes.json

Writes the sets train, test_same (composed pieces with attribute combinations that no training clip has), test_unseen (the same
through FreePats, which no training clip uses), test_kin (the same through TimGM6mb, which shares half of its samples with
sf_GMbank), test_tunes (real tunes that are not in training in any version, in such combinations), noise_train and noise_test
(silence, noise and speech; the test set has other voices, words and mostly other kinds of noise). Training clips are varied as
recipes/nano/rendering/audio_mix.py describes; test clips are not. Running it again continues where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from DataSet.synthesis import tunes
from DataSet.synthesis.composer import compose, is_held_out, sample_attributes
from DataSet.synthesis.rendering import find_soundfonts
from DataSet.synthesis.tunes import Tune
from llama.media.score import Attributes, Score
from recipes.nano.rendering import audio_mix, non_music
from recipes.nano.rendering.clip_set import (
    CLIP_SAMPLES,
    CLIP_SECONDS,
    HOP,
    ROLL_FRAMES,
    ROLL_WIDTH,
    SAMPLE_RATE,
    SPECTRUM_BYTES,
    clip_spectrum,
    normalize,
    pack_spectrum,
)

# Shares of the training clips. The first three and sf_GMbank play everything, tonejs only melody instruments.
TRAINING_FONTS: Mapping[str, float] = {
    "FluidR3_GM": 0.28, "MuseScore_General_Full": 0.26, "OPL-3_FM_128M": 0.1, "sf_GMbank": 0.18, "tonejs": 0.18,
}
PLAIN_FONTS: Mapping[str, float] = {"FluidR3_GM": 0.45, "MuseScore_General_Full": 0.4, "OPL-3_FM_128M": 0.15}  # of test clips
TEST_FONTS = {"test_unseen": "freepats", "test_kin": "TimGM6mb"}  # not used in training; the second shares samples with a training font
TUNE_SHARE = 0.45  # of the training clips
TEST_NOISE_SHARE = 0.6  # of the noises in noise_test: kinds that noise_train does not have
MATCH_LENGTH = 16  # successive intervals; two tunes that share as many are versions of one
IntervalRun = tuple[int, ...]
MAX_PIECE_SECONDS = 14.0  # seconds of a piece that a clip is cut from
FIELDS = tuple(field.name for field in dataclasses.fields(Attributes))


@dataclass(frozen=True)
class Sources:
    """Sources of the clips: soundfonts by name, and a file of tunes."""

    fonts: Mapping[str, Path]
    tunes: Path | None = None


def fonts_for(name: str, installed: Mapping[str, Path]) -> dict[str, float]:
    """Share of the clips for each installed soundfont of a set. Raises FileNotFoundError where none is installed."""
    shares = {TEST_FONTS[name]: 1.0} if name in TEST_FONTS else dict(TRAINING_FONTS if name == "train" else PLAIN_FONTS)
    installed_shares = {font: share for font, share in shares.items() if font in installed}
    if not installed_shares:
        names, others = ", ".join(shares), ", ".join(installed)
        raise FileNotFoundError(f"None of the soundfonts {names} is installed, only {others}; install one of them.")
    return {font: share / sum(installed_shares.values()) for font, share in installed_shares.items()}


@lru_cache(maxsize=2)
def tunes_by_form(path: Path, held_out: bool) -> dict[tuple[str, int], list[Tune]]:
    """Tunes by (mode, metre). Held-out tunes that training contains as another version are left out."""
    by_form: dict[tuple[str, int], list[Tune]] = {}
    all_tunes = tunes.load(path)
    training_runs = frozenset[IntervalRun]().union(*(interval_runs(tune) for tune in all_tunes if not tune.held_out)) if held_out else frozenset[IntervalRun]()
    for tune in all_tunes:
        if tune.held_out == held_out and len(interval_runs(tune) & training_runs) <= len(interval_runs(tune)) / 2:
            by_form.setdefault((tune.mode, tune.metre), []).append(tune)
    return by_form


def interval_runs(tune: Tune) -> frozenset[IntervalRun]:
    """All runs of MATCH_LENGTH intervals of a tune, independent of key and rhythm; versions of one tune share half of them."""
    pitches = [pitch for _, _, pitch in tune.notes]
    moves = tuple(after - before for before, after in zip(pitches, pitches[1:], strict=False))
    return frozenset(moves[at : at + MATCH_LENGTH] for at in range(len(moves) - MATCH_LENGTH + 1))


def pitch_class_roll(score: Score, offset: float) -> NDArray[np.uint8]:
    """Which pitch classes sound in each encoder frame [frames, 24]: those of the bass, then of lead and chords."""
    result = np.zeros((ROLL_FRAMES, 2, 12), np.uint8)
    for part, notes in enumerate((score.bass, (*score.lead, *score.accompaniment))):
        for note in notes:
            first = round((note.start - offset) * SAMPLE_RATE / HOP)
            last = round((note.start + note.duration - offset) * SAMPLE_RATE / HOP)
            result[max(0, first) : max(0, last), part, note.pitch % 12] = 1
    return result.reshape(ROLL_FRAMES, ROLL_WIDTH)


Clip = tuple[NDArray[np.int16], NDArray[np.uint8], dict[str, Any]]


def make_score(rng: np.random.Generator, name: str, seconds: float, tune_file: Path | None) -> tuple[Score, str]:
    """A composed piece or an arranged tune, and its source: "composer" or the tune's name."""
    held_out = name != "train"
    attributes = sample_attributes(rng, held_out)
    while attributes.lead in audio_mix.MISSING_LEADS.get(TEST_FONTS.get(name, ""), ()):
        attributes = sample_attributes(rng, held_out)
    if tune_file is None or name not in ("train", "test_tunes") or (name == "train" and rng.random() > TUNE_SHARE):
        return compose(rng, attributes, seconds), "composer"
    while True:  # the combination decides mode and metre, so that both are as even as in our own pieces
        candidates = tunes_by_form(tune_file, held_out).get((attributes.mode, attributes.metre))
        if candidates:
            tune = candidates[int(rng.integers(len(candidates)))]
            fitted = tunes.attributes_for(rng, tune, attributes)
            if is_held_out(fitted) == held_out:
                return tunes.arrange(rng, tune, fitted, seconds), tune.name
        attributes = sample_attributes(rng, held_out)


def make_clip(name: str, index: int, fonts: Mapping[str, float], sources: Sources) -> Clip:
    """Clip number `index` of a set: samples, roll, labels. Its seed depends on set and index alone."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), index])
    seconds = float(rng.uniform(CLIP_SECONDS, MAX_PIECE_SECONDS))
    offset = float(rng.uniform(0, seconds - CLIP_SECONDS)) if rng.random() < 0.5 else 0.0
    score, source = make_score(rng, name, seconds, sources.tunes)
    start, installed = int(offset * SAMPLE_RATE), sources.fonts
    if name == "train":
        voices = audio_mix.random_voices(rng, score, fonts, installed)
        tracks = audio_mix.equalize_stems(rng, audio_mix.render_voices(rng, score, voices, installed))
        sound = audio_mix.apply_effects(rng, audio_mix.mix(tracks, rng)[start : start + CLIP_SAMPLES])
    else:
        voices = audio_mix.plain_voices(score, str(rng.choice(list(fonts), p=list(fonts.values()))), installed)
        sound = audio_mix.mix(audio_mix.render_voices(rng, score, voices, installed))[start : start + CLIP_SAMPLES]
    labels = {**dataclasses.asdict(score.attributes), "kind": "music", "source": source, "font": voices["lead"].font.stem,
              "offset": round(offset, 4), "seconds": round(seconds, 4)}
    return to_clip_samples(sound), pitch_class_roll(score, start / SAMPLE_RATE), labels


def to_clip_samples(sound: NDArray[np.float32], normalize: bool = True) -> NDArray[np.int16]:
    """int16 samples of exactly one clip; `normalize` scales the peak to 0.8."""
    padded = np.zeros(CLIP_SAMPLES, np.float32)
    padded[: len(sound)] = sound[:CLIP_SAMPLES]
    gain = 0.8 / max(float(np.abs(padded).max()), 1e-3) if normalize else 1.0
    return np.clip(np.round(padded * gain * 32767), -32768, 32767).astype(np.int16)


def make_noise(name: str, index: int) -> Clip:
    """Clip number `index` of a set without music; its only label is its kind."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), index])
    kind = str(rng.choice(non_music.KINDS[1:], p=(0.45, 0.1, 0.45)))
    held_out = name == "noise_test" and (kind == "speech" or kind == "noise" and bool(rng.random() < TEST_NOISE_SHARE))
    sound = non_music.sample_sound(rng, kind, CLIP_SECONDS, held_out)
    if kind == "speech" and name == "noise_train":
        sound = audio_mix.apply_effects(rng, sound)
    labels = {**dict.fromkeys(FIELDS), "kind": kind, "source": f"unheard {kind}" if held_out else kind, "font": None, "offset": 0.0, "seconds": float(CLIP_SECONDS)}
    return to_clip_samples(sound, kind != "silence"), np.zeros((ROLL_FRAMES, ROLL_WIDTH), np.uint8), labels


def render_set(folder: Path, name: str, count: int, sources: Sources) -> None:
    """Appends clips until the set has `count`. Labels are written last, so a reader never sees half a clip."""
    labels_path = folder / f"{name}.jsonl"
    existing = len(labels_path.read_text().splitlines()) if labels_path.exists() else 0
    is_non_music, started = name.startswith("noise"), time.time()
    fonts = {} if is_non_music else fonts_for(name, sources.fonts)
    with (
        open_at(folder / f"{name}.i16", existing * CLIP_SAMPLES * 2) as sound,
        open_at(folder / f"{name}.roll", existing * ROLL_FRAMES * ROLL_WIDTH) as rolls,
        open_at(folder / f"{name}.bands", existing * SPECTRUM_BYTES) as bands,
        labels_path.open("a") as lines,
    ):
        for index in range(existing, count):
            samples, pitches, labels = make_noise(name, index) if is_non_music else make_clip(name, index, fonts, sources)
            sound.write(samples.tobytes())
            rolls.write(pitches.tobytes())
            wave = normalize(torch.from_numpy(samples.astype(np.float32))[None] / 32768)
            bands.write(pack_spectrum(clip_spectrum(wave))[0].numpy().tobytes())
            for file in (sound, rolls, bands):
                file.flush()
            lines.write(json.dumps(labels) + "\n")
            lines.flush()
            if index % 500 == 499:
                pace = (time.time() - started) / (index + 1 - existing)
                print(f"{name}: {index + 1} clips, {pace:.3f} s a clip", flush=True)


def open_at(path: Path, position: int) -> Any:
    """Opens for writing after `position` bytes and drops what an interrupted run left beyond."""
    path.touch()
    file = path.open("r+b")
    file.truncate(position)
    file.seek(position)
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the sets")
    parser.add_argument("--clips", type=int, default=12000, help="training clips")
    parser.add_argument("--tests", type=int, default=300, help="clips in each test set")
    parser.add_argument("--tunes", type=Path, help="tunes as written by DataSet.synthesis.tunes; without it our own pieces alone")
    parser.add_argument("--fonts", type=Path, help="folder with soundfonts of one's own, as recipes.nano.rendering.soundfonts writes them")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    sources = Sources(find_soundfonts(*([options.fonts] if options.fonts else [])), options.tunes)
    tests = ["test_same", *(name for name, font in TEST_FONTS.items() if font in sources.fonts)]
    for name in [*tests, *(["test_tunes"] if options.tunes else []), "noise_test"]:
        render_set(options.out, name, options.tests, sources)
    render_set(options.out, "noise_train", options.clips // 15, sources)
    render_set(options.out, "train", options.clips, sources)


if __name__ == "__main__":
    main()
