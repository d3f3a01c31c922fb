"""Renders the pieces that the transcriber is trained on: spectra with the exact notes, chords and beats.

    python -m recipes.nano.audio_encoder.transcriber_data --work build/nano --pieces 4000

Pieces and tunes, soundfonts, mixes and effects are those of render_clips.py, longer and whole; every third piece is played by
the note codec's own bank, and some lack parts. Writes WORK/transcriber/PART.bands (uint8 [frames, bands], piece after piece)
and PART.jsonl (a line a piece). Parts have seeds of their own, so several processes share the work; running it again continues
where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from DataSet.synthesis.rendering import find_soundfonts
from llama.decoders.notes.codec import NoteCodecModel
from llama.encoders.transcriber import TranscriberConfig, TranscriberNetwork
from llama.files import visible_files
from llama.media.audio import Waveform
from llama.media.score import TRACKS, Score
from llama.media.score_edits import set_part
from recipes.nano.rendering import audio_mix, non_music
from recipes.nano.rendering.audio_mix import SAMPLE_RATE
from recipes.nano.rendering.clip_set import pack_spectrum, unpack_spectrum
from recipes.nano.rendering.render_clips import Sources, fonts_for, make_score, open_at

SEED = 71  # first number of the seeds of this set
SECONDS = (8.0, 20.0)  # lengths of the pieces
BANK_SHARE, NOISE_SHARE = 0.3, 0.03
THIN_SHARE = 0.15  # of the pieces: some of their parts do not play
ABSENT = {("accompaniment", "bass", "drums"): 0.45, ("bass", "drums"): 0.3, ("accompaniment",): 0.15, ("lead",): 0.1}  # with their shares
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """One piece: its spectrum uint8 [T, F], and its labels in seconds. kind: "music", or that of a sound without notes."""

    bands: NDArray[np.uint8]
    notes: Mapping[str, NDArray[np.float32]]  # track -> [n, 3] start, duration, pitch
    chords: NDArray[np.float32]  # [n, 4] start, duration, root, quality's index
    attributes: Mapping[str, Any] | None
    seconds: float


def bank_sound(rng: np.random.Generator, score: Score, codec: NoteCodecModel) -> Sound:
    """The piece as the embedded decoder plays it, its channels mixed at random."""
    stereo = codec.sampler.render(score)
    share = float(rng.uniform(0.3, 0.7))
    mono = torch.from_numpy(share * stereo[0] + (1 - share) * stereo[1]).float()[None]
    return Waveform(mono, 32_000).resample(SAMPLE_RATE).samples[0].numpy()


def soundfont_sound(rng: np.random.Generator, score: Score, fonts: Mapping[str, float], installed: Mapping[str, Path]) -> Sound:
    voices = audio_mix.random_voices(rng, score, fonts, installed)
    return audio_mix.mix(audio_mix.equalize_stems(rng, audio_mix.render_voices(rng, score, voices, installed)), rng)


def make_piece(index: int, part: int, fonts: Mapping[str, float], sources: Sources, codec: NoteCodecModel) -> tuple[Sound, dict[str, Any]]:
    """Sound and labels of piece number `index` of a part. Its seed depends on these two alone."""
    rng = np.random.default_rng([SEED, part, index])
    seconds = float(rng.uniform(*SECONDS))
    if rng.random() < NOISE_SHARE:
        kind = str(rng.choice(("noise", "silence"), p=(0.9, 0.1)))
        return non_music.sample_sound(rng, kind, seconds), {"kind": kind, "seconds": seconds}
    score, _ = make_score(rng, "train", seconds, sources.tunes)
    if rng.random() < THIN_SHARE:
        score = thinned(rng, score)
    own = rng.random() < BANK_SHARE
    sound = bank_sound(rng, score, codec) if own else soundfont_sound(rng, score, fonts, sources.fonts)
    if rng.random() < 0.8:
        sound = audio_mix.apply_effects(rng, sound)
    return sound, labels_of(score)


def thinned(rng: np.random.Generator, score: Score) -> Score:
    """The piece without some of its parts: a solo, a song without bass, ..."""
    absent = tuple(ABSENT)[int(rng.choice(len(ABSENT), p=list(ABSENT.values())))]
    for part in absent:
        score = set_part(score, part, ())
    return score


def labels_of(score: Score) -> dict[str, Any]:
    return {
        "kind": "music", "seconds": score.seconds, "attributes": dataclasses.asdict(score.attributes),
        "notes": {track: [[round(note.start, 4), round(note.duration, 4), note.pitch] for note in score.track(track)] for track in TRACKS},
        "chords": [[round(chord.start, 4), round(chord.duration, 4), chord.root, chord.quality] for chord in score.chords],
    }  # fmt: skip


def render_part(folder: Path, part: int, count: int, sources: Sources, codec: NoteCodecModel) -> None:
    """Appends pieces until the part has `count`. Labels are written last, so a reader never sees half a piece."""
    listener, fonts, started = TranscriberNetwork(TranscriberConfig()), fonts_for("train", sources.fonts), time.time()
    path = folder / f"{part}.jsonl"
    lines = [line for line in path.read_text().splitlines() if line] if path.exists() else []
    width = listener.config.spectrum().config.bands
    with open_at(folder / f"{part}.bands", sum(json.loads(line)["frames"] for line in lines) * width) as bands, path.open("a") as labels:
        for index in range(len(lines), count):
            sound, row = make_piece(index, part, fonts, sources, codec)
            spectrum = pack_spectrum(listener.bands(Waveform(torch.from_numpy(np.ascontiguousarray(sound, np.float32))[None], SAMPLE_RATE)))
            bands.write(spectrum.numpy().tobytes())
            bands.flush()
            labels.write(json.dumps({**row, "frames": len(spectrum)}, separators=(",", ":")) + "\n")
            labels.flush()
            if index % 200 == 199:
                print(f"part {part}: {index + 1} pieces, {(time.time() - started) / (index + 1 - len(lines)):.3f} s a piece", flush=True)


class PieceSet:
    """The rendered pieces of all parts, read by memory map. `refresh` includes pieces that were added meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.places: list[tuple[int, int]] = []  # part, first frame
        self.refresh()

    def refresh(self) -> None:
        """Raises FileNotFoundError where no piece has been rendered."""
        self.rows, self.places, self.bands = [], [], dict[int, NDArray[np.uint8]]()
        width = TranscriberConfig().spectrum().config.bands
        for path in visible_files(self.folder, "*.jsonl") if self.folder.is_dir() else []:
            first = 0
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    self.rows.append(json.loads(line))
                    self.places.append((int(path.stem), first))
                    first += self.rows[-1]["frames"]
            self.bands[int(path.stem)] = np.memmap(path.with_suffix(".bands"), np.uint8, "r", shape=(first, width))
        if not self.rows:
            raise FileNotFoundError(f"No pieces in {self.folder}; render them first with recipes.nano.audio_encoder.transcriber_data.")

    def __len__(self) -> int:
        return len(self.rows)

    def excerpt(self, index: int, first: int, frames: int) -> torch.Tensor:
        """Frames `first` to `first + frames` of a piece's spectrum [frames, F]; silence follows its end."""
        part, start = self.places[index]
        taken = self.bands[part][start + first : start + min(first + frames, self.rows[index]["frames"])]
        return torch.nn.functional.pad(unpack_spectrum(torch.from_numpy(taken.copy())), (0, 0, 0, frames - len(taken)), value=-1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder with tunes.json, fonts/ and codec/")
    parser.add_argument("--pieces", type=int, default=4000, help="pieces of this part")
    parser.add_argument("--part", type=int, default=0, help="number of this part")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.work / "transcriber"
    folder.mkdir(parents=True, exist_ok=True)
    sources = Sources(find_soundfonts(options.work / "fonts"), options.work / "tunes.json")
    render_part(folder, options.part, options.pieces, sources, NoteCodecModel.from_pretrained(options.work / "codec"))


if __name__ == "__main__":
    main()
