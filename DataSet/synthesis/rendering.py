"""Renders scores with a soundfont synthesizer, for training data: many soundfonts, small human deviations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llama.files import visible_files
from llama.media.score import TRACKS, Note, Score

SOUNDFONT_FOLDERS = (Path("/usr/share/sounds/sf2"), Path("/usr/share/sounds/sf3"), Path("/usr/share/soundfonts"), Path.home() / ".local/share/sounds")
PACKAGES = "fluid-soundfont-gm timgm6mb-soundfont fluidr3mono-gm-soundfont"
CHANNELS = {"lead": 0, "accompaniment": 1, "bass": 2, "drums": 9}
VOLUME = {"lead": 1.0, "accompaniment": 0.9, "bass": 1.0, "drums": 0.9}


@dataclass(frozen=True)
class Voice:
    """A preset of a soundfont for a track. Bank 128 has drum kits."""

    font: Path
    program: int
    bank: int = 0


def find_soundfonts(*more: Path) -> dict[str, Path]:
    """Installed General MIDI soundfonts by name ("FluidR3_GM", "TimGM6mb", ...), links to another one left out, and
    those in folders of one's own.

    Raises:
        FileNotFoundError: no soundfont is installed; the message names Debian packages.
    """
    soundfonts = {
        path.stem: path for folder in (*SOUNDFONT_FOLDERS, *more) if folder.is_dir() for path in visible_files(folder)
        if path.suffix in (".sf2", ".sf3") and not path.is_symlink()
    }
    if not soundfonts:
        folders = ", ".join(str(folder) for folder in SOUNDFONT_FOLDERS)
        raise FileNotFoundError(f"No soundfont was found in {folders}; install some, as with: apt-get install {PACKAGES}.")
    return soundfonts


@lru_cache(maxsize=8)
def _synthesiser(soundfont: str, sample_rate: int) -> tuple[object, int]:
    """A cached synthesizer, because loading a large soundfont takes a second."""
    import tinysoundfont

    if not Path(soundfont).is_file():
        raise FileNotFoundError(f"Soundfont {soundfont} does not exist; see find_soundfonts() for those installed.")
    synth = tinysoundfont.Synth(samplerate=sample_rate, gain=-6)
    return synth, synth.sfload(soundfont)


def _events(score: Score, rng: np.random.Generator | None) -> list[tuple[float, int, int, int, int]]:
    """(second, 1 on or 0 off, channel, pitch, velocity), releases before strikes at the same second."""
    return sorted(event for track in TRACKS for event in _track_events(score, track, rng))


def _track_events(score: Score, track: str, rng: np.random.Generator | None) -> list[tuple[float, int, int, int, int]]:
    level, events = VOLUME[track] * (1.0 if rng is None else float(rng.uniform(0.75, 1.1))), []
    for note in score.track(track):
        start, velocity = _humanize(note, level, rng)
        events.append((start, 1, CHANNELS[track], note.pitch, velocity))
        events.append((start + note.duration * 0.995, 0, CHANNELS[track], note.pitch, 0))
    return events


def _humanize(note: Note, level: float, rng: np.random.Generator | None) -> tuple[float, int]:
    if rng is None:
        return note.start, int(min(max(note.velocity * level, 1), 127))
    start = max(0.0, note.start + float(rng.normal(0, 0.006)))
    return start, int(min(max(note.velocity * level + rng.normal(0, 5), 20), 127))


def render(
    score: Score, soundfont: str | Path, sample_rate: int = 24_000, rng: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """Renders a score: samples [2, round(seconds * sample_rate)] float32 within -1..1.

    With `rng` the performance is human: small deviations in time, touch and balance; without it, it is exact.
    """
    synth, font = _synthesiser(str(soundfont), sample_rate)
    programs = score.programs
    for track, channel in CHANNELS.items():
        if track == "drums":
            synth.program_select(channel, font, 128, 0, True)  # type: ignore[attr-defined]
        else:
            synth.program_select(channel, font, 0, programs[track])  # type: ignore[attr-defined]
    total = round(score.seconds * sample_rate)
    samples = _play(synth, _events(score, rng), total, sample_rate)
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * (0.95 / peak) if peak > 0.95 else samples


def render_stems(
    score: Score, voices: Mapping[str, Voice], sample_rate: int = 24_000, rng: np.random.Generator | None = None
) -> dict[str, NDArray[np.float32]]:
    """Renders every track separately with its voice: name -> samples [round(seconds * sample_rate)], mono.

    Presets differ in loudness by 40 dB and more, so a mix must measure them first. Raises RuntimeError where a
    soundfont does not have a preset.
    """
    total, stems = round(score.seconds * sample_rate), dict[str, NDArray[np.float32]]()
    for track, voice in voices.items():
        if own := sorted(_track_events(score, track, rng)):
            synth, font = _synthesiser(str(voice.font), sample_rate)
            synth.program_select(CHANNELS[track], font, voice.bank, voice.program, voice.bank == 128)  # type: ignore[attr-defined]
            stems[track] = _play(synth, own, total, sample_rate).mean(0)
    return stems


def _play(synth: object, events: list[tuple[float, int, int, int, int]], total: int, rate: int) -> NDArray[np.float32]:
    out = np.zeros((total, 2), np.float32)
    position = 0
    for second, on, channel, pitch, velocity in [*events, (total / rate, 0, 0, 0, 0)]:
        until = min(int(second * rate), total)
        if until > position:
            out[position:until] = np.frombuffer(bytes(synth.generate(until - position)), np.float32).reshape(-1, 2)  # type: ignore[attr-defined]
            position = until
        if on:
            synth.noteon(channel, pitch, velocity)  # type: ignore[attr-defined]
        else:
            synth.noteoff(channel, pitch)  # type: ignore[attr-defined]
    for channel in CHANNELS.values():
        synth.sounds_off(channel)  # type: ignore[attr-defined]
    synth.generate(rate // 4)  # type: ignore[attr-defined]  # the next piece starts from silence
    return np.ascontiguousarray(out.T)
