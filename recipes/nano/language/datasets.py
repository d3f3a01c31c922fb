"""Writes the data set for train.py: recordings, pictures and clips as files, and dialogues about them in the published forms.

    python -m recipes.nano.language.datasets WORK --rows 300000

Writes WORK/media (audios/*.flac from the sets of `recipes.nano.rendering.render_clips`, images/*.png, videos/*.mp4) and then
WORK/lists/train and WORK/lists/test: one list for each kind of turn, so that a configuration sets the mixture with `times`.
Test lists have media and wording that training does not contain. Existing files are kept.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from DataSet.synthesis import dialogues
from DataSet.synthesis.clips import random_clip
from DataSet.synthesis.dialogue import AUDIO_TOKENS, Dialogue
from DataSet.synthesis.habits import as_typed
from DataSet.synthesis.hearing import NOT_MUSIC
from DataSet.synthesis.made_set import write_clip
from DataSet.synthesis.scenes import draw, random_scene
from DataSet.synthesis.wording import chance
from llama.files import atomic_path
from llama.media.score import Attributes
from recipes.nano.language.cached_data import AUDIO_SETS, NON_MUSIC_SHARE, parse_label
from recipes.nano.language.reserved_requests import is_reserved
from recipes.nano.rendering.clip_set import CLIP_SAMPLES, SAMPLE_RATE

SHARES: Mapping[str, float] = {"talk": 0.11, "wish": 0.31, "hear": 0.26, "edit": 0.18, "picture": 0.07, "clip": 0.07}  # of the rows
VISUAL_SETS = {"train": (21, 4000, 2500), "test": (22, 300, 300)}  # seed, pictures, clips
TEST_ROWS = 300  # rows of each test list


@dataclass(frozen=True)
class Media:
    """Media files of one split with their labels: recordings of music and of non-music, pictures, clips."""

    music: Mapping[str, Attributes]
    nothing: Mapping[str, str]
    pictures: Mapping[str, Mapping[str, str]]
    clips: Mapping[str, Mapping[str, str]]


# -- media ----------------------------------------------------------------------------------------------------------


def write_recordings(data: Path, out: Path, part: str, limit: int) -> dict[str, Attributes | str]:
    """Writes the first `limit` clips of each set of the split as FLAC (lossless); returns their labels by file."""
    labels_by_file: dict[str, Attributes | str] = {}
    for name in AUDIO_SETS[part]:
        labels = [json.loads(line) for line in (data / f"{name}.jsonl").read_text().splitlines()[:limit]]
        sound = np.memmap(data / f"{name}.i16", np.int16, "r", shape=(len(labels), CLIP_SAMPLES))
        for index, row in enumerate(labels):
            file = f"{name}_{index:05}.flac"
            write_if_missing(out / file, partial(_write_sound, sound[index]))
            labels_by_file[file] = parse_label(row)
    return labels_by_file


def _write_sound(samples: Any, path: Path) -> None:
    soundfile.write(path, np.asarray(samples), SAMPLE_RATE, format="FLAC")


def write_pictures(out: Path, part: str) -> dict[str, Mapping[str, str]]:
    seed, count, _ = VISUAL_SETS[part]
    rng, labels_by_file = np.random.default_rng([seed, 0]), dict[str, Mapping[str, str]]()
    for index in range(count):
        scene, size = random_scene(rng), (int(rng.integers(80, 150)), int(rng.integers(80, 130)))
        file = f"{part}_{index:05}.png"
        write_if_missing(out / file, lambda path, scene=scene, size=size: draw(scene, size).save(path, "PNG"))  # type: ignore[misc]
        labels_by_file[file] = scene.labels()
    return labels_by_file


def write_clips(out: Path, part: str) -> dict[str, Mapping[str, str]]:
    seed, _, count = VISUAL_SETS[part]
    rng, labels_by_file = np.random.default_rng([seed, 1]), dict[str, Mapping[str, str]]()
    for index in range(count):
        clip, file = random_clip(rng), f"{part}_{index:05}.mp4"
        write_if_missing(out / file, partial(write_clip, clip))
        labels_by_file[file] = clip.labels()
    return labels_by_file


def write_if_missing(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes a file atomically unless it exists."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, fsync=False) as draft:
            write(draft)


def write_media(work: Path, part: str, limit: int) -> Media:
    root = work / "media"
    recordings = write_recordings(work / "data", root / "audios", part, limit)
    music = {file: piece for file, piece in recordings.items() if not isinstance(piece, str)}
    nothing = {file: kind for file, kind in recordings.items() if isinstance(kind, str)}
    return Media(music, nothing, write_pictures(root / "images", part), write_clips(root / "videos", part))


# -- dialogues ------------------------------------------------------------------------------------------------------


def sample_turn(kind: str, rng: np.random.Generator, media: Media, held_out: bool) -> tuple[str, str, Dialogue]:
    """A random turn of this kind: (modality, media file, dialogue)."""
    if kind in ("talk", "wish"):
        return "text", "", getattr(dialogues, kind)(rng, held_out)
    if kind in ("picture", "clip"):
        modality, files = ("image", media.pictures) if kind == "picture" else ("video", media.clips)
        file = _random_file(rng, files)
        return modality, file, getattr(dialogues, kind)(rng, files[file], held_out)
    if media.nothing and chance(rng, NON_MUSIC_SHARE if kind == "hear" else NON_MUSIC_SHARE / 4):
        file = _random_file(rng, media.nothing)
        assert media.nothing[file] in NOT_MUSIC
        return "audio", file, dialogues.nothing(rng, media.nothing[file], held_out)
    file = _random_file(rng, media.music)
    return "audio", file, getattr(dialogues, kind)(rng, media.music[file], held_out)


def _random_file(rng: np.random.Generator, files: Mapping[str, Any]) -> str:
    names = list(files)
    return names[int(rng.integers(len(names)))]


def sample_rows(kind: str, count: int, media: Media, held_out: bool) -> Iterator[dict[str, Any]]:
    """Random rows in the published forms: `alpaca` for talk, else `instructions`; without audio tokens, which training adds."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), int(held_out)])
    while count:
        modality, file, dialogue = sample_turn(kind, rng, media, held_out)
        instruction = dialogue.instruction if held_out else as_typed(rng, dialogue.instruction)
        if kind != "talk" and not instruction.strip():
            continue  # turns without an instruction are in captions.json
        if is_reserved(instruction):
            continue
        count -= 1
        if kind == "talk":
            yield {"instruction": instruction, "input": "", "output": dialogue.answer}
            continue
        human = {"from": "human", "value": instruction, "input_modality": modality}
        gpt = {"from": "gpt", "value": dialogue.answer.removesuffix(AUDIO_TOKENS).strip(), "output_modality": "text"}
        if dialogue.caption is not None:
            gpt |= {"output_modality": "audio", "caption": dialogue.caption}
        yield {"input_file": file, "output_file": "", "conversation": [human, gpt]}


def write_lists(out: Path, media: Media, counts: Mapping[str, int], held_out: bool) -> None:
    for kind, count in counts.items():
        write_if_missing(out / f"{kind}.json", lambda path, kind=kind, count=count: path.write_text(  # type: ignore[misc]
            json.dumps(list(sample_rows(kind, count, media, held_out)), ensure_ascii=False)))
    write_if_missing(out / "captions.json", lambda path: path.write_text(json.dumps(caption_rows(media), ensure_ascii=False)))


def caption_rows(media: Media) -> dict[str, str]:
    """Caption of every recording of music, for the published first stage."""
    return {file: dialogues.describe(piece) for file, piece in media.music.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rows", type=int, default=300_000, help="of all training lists together")
    parser.add_argument("--clips", type=int, default=7000, help="recordings of each training set")
    options = parser.parse_args()
    for part in ("train", "test"):
        media = write_media(options.work, part, options.clips)
        counts = {kind: round(share * options.rows) if part == "train" else TEST_ROWS for kind, share in SHARES.items()}
        write_lists(options.work / "lists" / part, media, counts, part == "test")
        print(f"{part}: {len(media.music)} recordings of music, {sum(counts.values())} turns", flush=True)


if __name__ == "__main__":
    main()
