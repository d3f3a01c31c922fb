"""Render training and test clips for the ears: pieces and tunes through several soundfonts, and what is not music.

    python -m recipes.nano.rendering.render_clips --out data --clips 12000 --tunes tunes.json

Writes the sets train, test_same (our composer, attribute combinations that no training clip has), test_unseen (those,
through FreePats, of which no training clip has a note), test_kin (the same through TimGM6mb, which shares half of its samples
with sf_GMbank), test_tunes (real tunes that were never trained on, nor versions of them, arranged in such combinations), noise_train and noise_test
(silence, noise, speech; in tests by voices, with words and mostly of kinds of noise that training never has).
Training clips vary as recipes/nano/rendering/audio_mix.py says; test clips are played plainly. Running it again continues where it stopped.
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
from recipes.nano.rendering import audio_mix as studio
from recipes.nano.rendering import non_music as noises
from recipes.nano.rendering.clip_set import (
    CLIP_SAMPLES,
    CLIP_SECONDS,
    HOP,
    ROLL_FRAMES,
    ROLL_WIDTH,
    SAMPLE_RATE,
    SPECTRUM_BYTES,
    heard_spectrum,
    normalize,
    packed,
)

# Shares of the training clips. The first three and sf_GMbank play everything, tonejs only melody instruments.
TRAINING_FONTS: Mapping[str, float] = {
    "FluidR3_GM": 0.28, "MuseScore_General_Full": 0.26, "OPL-3_FM_128M": 0.1, "sf_GMbank": 0.18, "tonejs": 0.18,
}
PLAIN_FONTS: Mapping[str, float] = {"FluidR3_GM": 0.45, "MuseScore_General_Full": 0.4, "OPL-3_FM_128M": 0.15}  # of test clips
UNSEEN = {"test_unseen": "freepats", "test_kin": "TimGM6mb"}  # never played in training; only the first was never heard
TUNE_SHARE = 0.45  # of the training clips
UNHEARD_NOISE = 0.6  # of the noises in noise_test: kinds that noise_train does not have
RUN = 16  # moves in a row that two tunes share only if they are versions of one
Turns = tuple[int, ...]
LONGEST = 14.0  # seconds of a piece that a clip is cut from
FIELDS = tuple(field.name for field in dataclasses.fields(Attributes))


@dataclass(frozen=True)
class Sources:
    """What clips are made of: soundfonts by name, and a file of tunes."""

    fonts: Mapping[str, Path]
    tunes: Path | None = None


def fonts_for(name: str, installed: Mapping[str, Path]) -> dict[str, float]:
    """Soundfont -> share of the clips; of the training fonts those that are installed."""
    wanted = {UNSEEN[name]: 1.0} if name in UNSEEN else dict(TRAINING_FONTS if name == "train" else PLAIN_FONTS)
    found = {font: share for font, share in wanted.items() if font in installed}
    if not found:
        names, others = ", ".join(wanted), ", ".join(installed)
        raise FileNotFoundError(f"None of the soundfonts {names} is installed, only {others}; install one of them.")
    return {font: share / sum(found.values()) for font, share in found.items()}


@lru_cache(maxsize=2)
def tunes_of(path: Path, held_out: bool) -> dict[tuple[str, int], list[Tune]]:
    """Tunes by mode and metre; of those held out the ones that training does not know under another name."""
    found: dict[tuple[str, int], list[Tune]] = {}
    every = tunes.load(path)
    known = frozenset[Turns]().union(*(turns(tune) for tune in every if not tune.held_out)) if held_out else frozenset[Turns]()
    for tune in every:
        if tune.held_out == held_out and len(turns(tune) & known) <= len(turns(tune)) / 2:
            found.setdefault((tune.mode, tune.metre), []).append(tune)
    return found


def turns(tune: Tune) -> frozenset[Turns]:
    """All runs of moves from note to note, whatever the key and the rhythm: by half of them a tune is known again."""
    pitches = [pitch for _, _, pitch in tune.notes]
    moves = tuple(after - before for before, after in zip(pitches, pitches[1:], strict=False))
    return frozenset(moves[at : at + RUN] for at in range(len(moves) - RUN + 1))


def roll(score: Score, offset: float) -> NDArray[np.uint8]:
    """Which pitch classes sound in each encoder frame [frames, 24]: those of the bass, then of lead and chords."""
    result = np.zeros((ROLL_FRAMES, 2, 12), np.uint8)
    for part, notes in enumerate((score.bass, (*score.lead, *score.accompaniment))):
        for note in notes:
            first = round((note.start - offset) * SAMPLE_RATE / HOP)
            last = round((note.start + note.duration - offset) * SAMPLE_RATE / HOP)
            result[max(0, first) : max(0, last), part, note.pitch % 12] = 1
    return result.reshape(ROLL_FRAMES, ROLL_WIDTH)


Clip = tuple[NDArray[np.int16], NDArray[np.uint8], dict[str, Any]]


def piece(rng: np.random.Generator, name: str, seconds: float, tune_file: Path | None) -> tuple[Score, str]:
    """A piece of our composer's or an arranged tune, and which."""
    held_out = name != "train"
    attributes = sample_attributes(rng, held_out)
    while attributes.lead in studio.LACKING.get(UNSEEN.get(name, ""), ()):
        attributes = sample_attributes(rng, held_out)
    if tune_file is None or name not in ("train", "test_tunes") or (name == "train" and rng.random() > TUNE_SHARE):
        return compose(rng, attributes, seconds), "composer"
    while True:  # the combination decides mode and metre, so that both are as even as in our own pieces
        shelf = tunes_of(tune_file, held_out).get((attributes.mode, attributes.metre))
        if shelf:
            tune = shelf[int(rng.integers(len(shelf)))]
            fitted = tunes.attributes_for(rng, tune, attributes)
            if is_held_out(fitted) == held_out:
                return tunes.arrange(rng, tune, fitted, seconds), tune.name
        attributes = sample_attributes(rng, held_out)


def make_clip(name: str, index: int, fonts: Mapping[str, float], sources: Sources) -> Clip:
    """Clip number `index` of a set, from its own seed: samples, roll, labels."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), index])
    seconds = float(rng.uniform(CLIP_SECONDS, LONGEST))
    offset = float(rng.uniform(0, seconds - CLIP_SECONDS)) if rng.random() < 0.5 else 0.0
    score, source = piece(rng, name, seconds, sources.tunes)
    start, installed = int(offset * SAMPLE_RATE), sources.fonts
    if name == "train":
        voices = studio.varied_voices(rng, score, fonts, installed)
        tracks = studio.recoloured(rng, studio.play(rng, score, voices, installed))
        sound = studio.treated(rng, studio.mix(tracks, rng)[start : start + CLIP_SAMPLES])
    else:
        voices = studio.plain_voices(score, str(rng.choice(list(fonts), p=list(fonts.values()))), installed)
        sound = studio.mix(studio.play(rng, score, voices, installed))[start : start + CLIP_SAMPLES]
    labels = {**dataclasses.asdict(score.attributes), "kind": "music", "source": source, "font": voices["lead"].font.stem,
              "offset": round(offset, 4), "seconds": round(seconds, 4)}
    return whole(sound), roll(score, start / SAMPLE_RATE), labels


def whole(sound: NDArray[np.float32], scaled: bool = True) -> NDArray[np.int16]:
    """Exactly one clip long, 16 bits, its peak at 0.8."""
    filled = np.zeros(CLIP_SAMPLES, np.float32)
    filled[: len(sound)] = sound[:CLIP_SAMPLES]
    gain = 0.8 / max(float(np.abs(filled).max()), 1e-3) if scaled else 1.0
    return np.clip(np.round(filled * gain * 32767), -32768, 32767).astype(np.int16)


def make_noise(name: str, index: int) -> Clip:
    """Clip number `index` of what is not music; its labels are its kind alone."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), index])
    kind = str(rng.choice(noises.KINDS[1:], p=(0.45, 0.1, 0.45)))
    unheard = name == "noise_test" and (kind == "speech" or kind == "noise" and bool(rng.random() < UNHEARD_NOISE))
    sound = noises.sample(rng, kind, CLIP_SECONDS, unheard)
    if kind == "speech" and name == "noise_train":
        sound = studio.treated(rng, sound)
    labels = {**dict.fromkeys(FIELDS), "kind": kind, "source": f"unheard {kind}" if unheard else kind, "font": None, "offset": 0.0, "seconds": float(CLIP_SECONDS)}
    return whole(sound, kind != "silence"), np.zeros((ROLL_FRAMES, ROLL_WIDTH), np.uint8), labels


def render_set(folder: Path, name: str, count: int, sources: Sources) -> None:
    """Append clips until the set has `count`; labels are written last, so a reader never sees half a clip."""
    labels_path = folder / f"{name}.jsonl"
    done = len(labels_path.read_text().splitlines()) if labels_path.exists() else 0
    noisy, begun = name.startswith("noise"), time.time()
    fonts = {} if noisy else fonts_for(name, sources.fonts)
    with (
        open_at(folder / f"{name}.i16", done * CLIP_SAMPLES * 2) as sound,
        open_at(folder / f"{name}.roll", done * ROLL_FRAMES * ROLL_WIDTH) as rolls,
        open_at(folder / f"{name}.bands", done * SPECTRUM_BYTES) as bands,
        labels_path.open("a") as lines,
    ):
        for index in range(done, count):
            samples, pitches, labels = make_noise(name, index) if noisy else make_clip(name, index, fonts, sources)
            sound.write(samples.tobytes())
            rolls.write(pitches.tobytes())
            wave = normalize(torch.from_numpy(samples.astype(np.float32))[None] / 32768)
            bands.write(packed(heard_spectrum(wave))[0].numpy().tobytes())
            for file in (sound, rolls, bands):
                file.flush()
            lines.write(json.dumps(labels) + "\n")
            lines.flush()
            if index % 500 == 499:
                pace = (time.time() - begun) / (index + 1 - done)
                print(f"{name}: {index + 1} clips, {pace:.3f} s a clip", flush=True)


def open_at(path: Path, position: int) -> Any:
    """Open for writing after `position` bytes, dropping what an interrupted run left beyond."""
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
    tests = ["test_same", *(name for name, font in UNSEEN.items() if font in sources.fonts)]
    for name in [*tests, *(["test_tunes"] if options.tunes else []), "noise_test"]:
        render_set(options.out, name, options.tests, sources)
    render_set(options.out, "noise_train", options.clips // 15, sources)
    render_set(options.out, "train", options.clips, sources)


if __name__ == "__main__":
    main()
