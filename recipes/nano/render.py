"""Render training and test clips for the ears: composed pieces, played through several soundfonts.

    python -m recipes.nano.render --out data --clips 7000

Writes the sets train, test_same (attribute combinations that no training clip has) and test_unseen (those, through a
soundfont that no training clip was played with). Running it again continues where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DataSet.composer import compose, sample_attributes
from DataSet.rendering import find_soundfonts, render
from llama.notes import Score
from recipes.nano.ears_data import CLIP_SAMPLES, CLIP_SECONDS, HOP, ROLL_FRAMES, ROLL_WIDTH, SAMPLE_RATE

TRAINING_FONTS: Mapping[str, float] = {"FluidR3_GM": 0.45, "MuseScore_General_Full": 0.4, "OPL-3_FM_128M": 0.15}
UNSEEN_FONT = "TimGM6mb"  # never heard in training
LONGEST = 14.0  # seconds of a piece that a clip is cut from


def fonts_for(name: str) -> dict[str, float]:
    """Soundfont -> share of the clips; of the training fonts those that are installed."""
    installed = find_soundfonts()
    wanted = {UNSEEN_FONT: 1.0} if name == "test_unseen" else dict(TRAINING_FONTS)
    found = {font: share for font, share in wanted.items() if font in installed}
    if not found:
        names, others = ", ".join(wanted), ", ".join(installed)
        raise FileNotFoundError(f"None of the soundfonts {names} is installed, only {others}; install one of them.")
    return {font: share / sum(found.values()) for font, share in found.items()}


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


def make_clip(name: str, index: int, fonts: Mapping[str, float]) -> Clip:
    """Clip number `index` of a set, from its own seed: samples, roll, labels."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), index])
    attributes = sample_attributes(rng, held_out=name != "train")
    seconds = float(rng.uniform(CLIP_SECONDS, LONGEST))
    offset = float(rng.uniform(0, seconds - CLIP_SECONDS)) if rng.random() < 0.5 else 0.0
    font = str(rng.choice(list(fonts), p=list(fonts.values())))
    score = compose(rng, attributes, seconds)
    stereo = render(score, find_soundfonts()[font], SAMPLE_RATE, rng)
    start = min(int(offset * SAMPLE_RATE), stereo.shape[1] - CLIP_SAMPLES)
    mono = stereo[:, start : start + CLIP_SAMPLES].mean(0)
    samples = np.clip(np.round(mono * (0.8 / max(float(np.abs(mono).max()), 1e-3)) * 32767), -32768, 32767)
    labels = {**dataclasses.asdict(attributes), "font": font, "offset": round(offset, 4), "seconds": round(seconds, 4)}
    return samples.astype(np.int16), roll(score, start / SAMPLE_RATE), labels


def render_set(folder: Path, name: str, count: int) -> None:
    """Append clips until the set has `count`; labels are written last, so a reader never sees half a clip."""
    labels_path = folder / f"{name}.jsonl"
    done = len(labels_path.read_text().splitlines()) if labels_path.exists() else 0
    fonts, begun = fonts_for(name), time.time()
    sound_path, roll_path = folder / f"{name}.i16", folder / f"{name}.roll"
    with (
        open_at(sound_path, done * CLIP_SAMPLES * 2) as sound,
        open_at(roll_path, done * ROLL_FRAMES * ROLL_WIDTH) as rolls,
        labels_path.open("a") as lines,
    ):
        for index in range(done, count):
            samples, pitches, labels = make_clip(name, index, fonts)
            sound.write(samples.tobytes())
            rolls.write(pitches.tobytes())
            sound.flush()
            rolls.flush()
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
    parser.add_argument("--clips", type=int, default=7000, help="training clips")
    parser.add_argument("--tests", type=int, default=300, help="clips in each test set")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, count in (("test_same", options.tests), ("test_unseen", options.tests), ("train", options.clips)):
        render_set(options.out, name, count)


if __name__ == "__main__":
    main()
