"""Planted files: copies, broken and unsuitable media of every kind, made from the project's examples.

The small profile reads them beside good ones, so that the notebooks and tests show each rejection and each duplicate that is found.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageOps

from DataSet.synthesis.clips import random_clip, render_clip
from llama.files import atomic_folder, atomic_path
from llama.media.audio import Waveform
from llama.media.video import load_frames

EXAMPLES = Path(__file__).resolve().parents[2] / "assets/examples"
RATE = 32_000
LOUD_RMS = 0.35  # of loud mastered music, which the published filter rejects
H264 = {"crf": "20", "threads": "1", "x264-params": "asm=0"}  # the same bytes each time
TICKS = 24  # a second, of the time stamps of the written clips

Writer = Callable[[Path], object]


def plant(folder: Path, kind: str) -> None:
    """Writes the planted files of a kind of set (audio, image or video) into `folder`, unless it is there already."""
    if folder.is_dir():
        return
    files = {"audio": _sounds, "image": _pictures, "video": _clips}[kind]()
    with atomic_folder(folder) as draft:
        for name, write in files.items():
            write(draft / name)


def plant_test_set(folder: Path, kind: str) -> Path:
    """A test set in `folder`, whose one file is in the planted set of this kind, too, under another name: the leak to be found."""
    target = folder / f"planted-test-set-{kind}"
    if not target.is_dir():
        with atomic_folder(target) as draft:
            if kind == "image":
                ImageOps.mirror(Image.open(EXAMPLES / "rainy_mountain.jpg")).save(draft / "0001.jpg", quality=80)
            else:
                _scaled(_leaked(), 0.5).write(draft / "0001.mp3")
    return target


def _leaked() -> Waveform:
    return faster(_example("violin_swing"), 0.8)


def _sounds() -> dict[str, Writer]:
    return {
        "renamed_copy.flac": partial(shutil.copyfile, EXAMPLES / "violin_swing.flac"),
        "half_level.mp3": lambda path: _scaled(_example("flute_ballad"), 0.5).write(path),
        "later_start.flac": lambda path: _after(_example("piano_waltz"), 1.5).write(path),
        "loud_master.flac": lambda path: loud(_example("guitar_rock")).write(path),
        "of_a_test_set.flac": lambda path: _leaked().write(path),
        "clipped.flac": lambda path: _scaled(faster(_example("violin_swing"), 1.3), 12.0).write(path),
        "silence.wav": lambda path: _wave(np.zeros(4 * RATE)).write(path),
        "offset.wav": lambda path: _wave(np.full(4 * RATE, 0.4)).write(path),
        "quiet_hiss.wav": lambda path: _wave(_noise(0.02, 6)).write(path),
        "half_a_second.wav": lambda path: _wave(_noise(0.2, 0.5)).write(path),
        "no_bytes.mp3": lambda path: path.write_bytes(b""),
        "words.wav": lambda path: path.write_text("This is a text, not a recording.\n"),
        "first_half.flac": lambda path: path.write_bytes(_half(EXAMPLES / "guitar_rock.flac")),
    }


def _pictures() -> dict[str, Writer]:
    """Pictures with the sound of the same name beside them."""
    sea = EXAMPLES / "calm_sea.jpg"
    files: dict[str, Writer] = {
        **_pair("calm_sea", sea, "flute_ballad"), **_pair("night_party", EXAMPLES / "night_party.jpg", "guitar_rock"),
        **_pair("rainy_mountain", EXAMPLES / "rainy_mountain.jpg", "piano_waltz"), **_pair("dahlia", EXAMPLES / "dahlia.jpg", "violin_swing"),
        "mirrored_sea.jpg": lambda path: ImageOps.mirror(Image.open(sea)).save(path, quality=90),
        "mirrored_sea.flac": lambda path: faster(_example("flute_ballad"), 1.3).write(path),
        "small_sea.jpg": lambda path: _half_size(Image.open(sea)).save(path, quality=80),
        "small_sea.flac": lambda path: faster(_example("flute_ballad"), 0.8).write(path),
        "same_music.jpg": partial(shutil.copyfile, EXAMPLES / "rocket.jpg"),
        "same_music.mp3": lambda path: _example("guitar_rock").write(path),
        "fade.jpg": lambda path: Image.new("RGB", (320, 240), (96, 96, 96)).save(path),
        "fade.flac": lambda path: faster(_example("guitar_rock"), 1.3).write(path),
        "one_pixel.png": lambda path: Image.new("RGB", (1, 1)).save(path),
        "one_pixel.flac": lambda path: faster(_example("guitar_rock"), 0.8).write(path),
        "first_half.jpg": lambda path: path.write_bytes(_half(EXAMPLES / "seeding.jpg")[:2000]),
        "first_half.flac": lambda path: faster(_example("piano_waltz"), 1.3).write(path),
        "without_music.jpg": partial(shutil.copyfile, EXAMPLES / "moon.jpg"),
    }  # fmt: skip
    return files


def _clips() -> dict[str, Writer]:
    """Clips with the sound of the same name beside them, or inside."""
    shots = [render_clip(random_clip(np.random.default_rng(seed)), 96) for seed in (101, 107)]
    city = load_frames(EXAMPLES / "fast_city.mp4", 16)
    return {
        **_pair("fast_city", EXAMPLES / "fast_city.mp4", "guitar_rock"), **_pair("slow_sea", EXAMPLES / "slow_sea.mp4", "flute_ballad"),
        "two_shots.mp4": lambda path: write_frames(path, np.concatenate(shots), sound=_example("violin_swing")),
        "variable_rate.mp4": lambda path: write_frames(path, shots[1][:, ::-1], _uneven_times(len(shots[1]))),
        "variable_rate.flac": lambda path: faster(_example("piano_waltz"), 1.3).write(path),
        "renamed_city.mp4": partial(shutil.copyfile, EXAMPLES / "fast_city.mp4"),
        "renamed_city.flac": lambda path: faster(_example("piano_waltz"), 0.8).write(path),
        "one_frame.mp4": lambda path: write_frames(path, city[:1]),
        "one_frame.flac": lambda path: faster(_example("guitar_rock"), 1.3).write(path),
        "of_a_test_set.mp4": lambda path: write_frames(path, shots[0][:, ::-1]),
        "of_a_test_set.flac": lambda path: _leaked().write(path),
        "without_sound.mp4": lambda path: write_frames(path, shots[0][::-1]),
        "first_half.mp4": lambda path: path.write_bytes(_half(EXAMPLES / "slow_sea.mp4")),
        "first_half.flac": lambda path: faster(_example("guitar_rock"), 0.8).write(path),
    }  # fmt: skip


def _pair(name: str, sight: Path, music: str) -> dict[str, Writer]:
    return {f"{name}{sight.suffix}": partial(shutil.copyfile, sight), f"{name}.flac": partial(shutil.copyfile, EXAMPLES / f"{music}.flac")}


def faster(wave: Waveform, factor: float) -> Waveform:
    """The recording at another speed and pitch, as a tape gives it: other music to every rule for duplicates."""
    return Waveform(wave.samples, round(wave.sample_rate * factor)).resample(wave.sample_rate)


def loud(wave: Waveform) -> Waveform:
    """The recording driven into a limiter until its RMS is that of loud mastered music."""
    samples, gain = wave.samples, 1.0
    while float(torch.tanh(samples * gain).square().mean().sqrt()) < LOUD_RMS:
        gain *= 1.05
    return Waveform(torch.tanh(samples * gain) * 0.97, wave.sample_rate)


def write_frames(path: Path, frames: np.ndarray, times: np.ndarray | None = None, sound: Waveform | None = None) -> None:
    """Writes a clip. frames: [T, H, W, 3] uint8; times: of each in ticks of 1/24 s (default: 8 frames a second); sound: beside them."""
    times = np.arange(len(frames)) * (TICKS // 8) if times is None else times
    with atomic_path(path, fsync=False) as draft, av.open(str(draft), "w") as container:
        stream = container.add_stream("h264", rate=TICKS, options=H264)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        track = container.add_stream("aac", rate=RATE, layout="mono") if sound is not None else None
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = int(time), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None and sound is not None:
            samples = sound.mono().resample(RATE).samples.numpy()[:, : round(RATE * (times[-1] + 3) / TICKS)]
            audio = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="mono")
            audio.sample_rate = RATE
            container.mux([*track.encode(audio), *track.encode(None)])


def _uneven_times(count: int) -> np.ndarray:
    """Ticks between 2 and 6 apart, as a phone writes them in the dark."""
    return np.cumsum(np.random.default_rng(0).integers(2, 7, count))


def _example(name: str) -> Waveform:
    return Waveform.read(EXAMPLES / f"{name}.flac").mono()


def _scaled(wave: Waveform, gain: float) -> Waveform:
    return Waveform((wave.samples * gain).clamp(-1, 1), wave.sample_rate)


def _after(wave: Waveform, seconds: float) -> Waveform:
    return Waveform(wave.samples[:, round(seconds * wave.sample_rate) :], wave.sample_rate)


def _wave(samples: np.ndarray) -> Waveform:
    return Waveform(torch.from_numpy(samples.astype(np.float32))[None], RATE)


def _noise(level: float, seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, level, round(seconds * RATE))


def _half(path: Path) -> bytes:
    content = path.read_bytes()
    return content[: len(content) // 2]


def _half_size(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // 2, picture.height // 2))
