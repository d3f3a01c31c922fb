"""Filters: why a segment is no music for a data set. They give reasons and delete nothing.

The published filter is in `published_rule.py`; it keeps quiet hiss and rejects loud mastered music.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from DataSet.pipeline.music_judge import MusicJudge
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from llama.errors import require_fields
from llama.files import WriteError
from llama.media.audio import Waveform
from llama.media.image import load_image

VERSION = 1
SPEECH_RATE = 16_000  # Hz, of silero-vad
FRAME_SECONDS = 0.05  # of which the level is measured


@dataclass(frozen=True)
class FilterOptions:
    """Limits of the filters. A share is of the segment's time, from 0 to 1.

    shortest: seconds. silence_db: RMS in dB of full scale; frames below are silent. max_silence, max_clipped: shares. max_offset: mean
    of the samples by their RMS. min_contrast: of 255, standard deviation of a picture's brightness. max_speech: share of speech by
    silero-vad, None not to look. Singing counts as speech for part of its time, so the limit is high: it rejects recordings in which
    somebody talks nearly all the time. music_model: folder of a checkpoint that is asked whether the segment is music, None not to
    ask. min_music: share of its answers that must say so. device: of the music_model.
    """

    shortest: float = 2.0
    silence_db: float = -60.0
    max_silence: float = 0.8
    max_clipped: float = 0.01
    max_offset: float = 0.5
    min_contrast: float = 4.0
    max_speech: float | None = 0.8
    music_model: str | None = None
    min_music: float = 0.5
    device: str = "cpu"

    def __post_init__(self) -> None:
        require_fields(self, ("shortest",), lambda value: value > 0, "a number of seconds above 0")
        require_fields(self, ("silence_db",), lambda value: value < 0, "a level in dB below 0")
        require_fields(self, ("max_silence", "max_clipped", "max_offset", "max_speech", "min_music"), lambda value: 0 <= value <= 1,
                       "a share from 0 to 1")


class FilterStep:
    """Keeps a segment with {"speech": share or None, "music": share or None}, or rejects it by the first rule that applies.

    Rules: unreadable, too short, silent, constant, clipped, grey, speech, not music. It reads what SegmentStep wrote under `folder`;
    a segment without sound is judged by its picture alone. silero-vad needs the extra `data`.
    """

    def __init__(self, folder: str | Path, options: FilterOptions | None = None) -> None:
        self.folder, self.options = Path(folder), options or FilterOptions()
        settings = {name: value for name, value in vars(self.options).items() if name != "device"}
        self.speech_share = speech_detector() if self.options.max_speech is not None else None
        self.judge = MusicJudge(self.options.music_model, self.options.device) if self.options.music_model else None
        self.spec = StepSpec("filter", VERSION, settings | ({"music_model": self.judge.identity} if self.judge else {}))

    def __call__(self, batch: Sequence[StepInput]) -> Sequence[Outcome]:
        return [self._filter(step_input) for step_input in batch]

    def _filter(self, step_input: StepInput) -> Outcome:
        values, options = step_input.results["segment"], self.options
        try:
            if reason := self._picture_reason(values, step_input.item.key):
                return reason
            if not values["audio"]:
                return {"speech": None, "music": None}
            wave = Waveform.read(self.folder / values["audio"])
        except WriteError:
            raise
        except (ValueError, OSError) as error:
            return Rejection("unreadable", f"What was written of {step_input.item.key} cannot be read ({error}); remove it and run again.")
        if reason := sound_reason(wave, values["clipped"], step_input.item.key, options):
            return reason
        return self._content_reason(wave, step_input.item.key)

    def _picture_reason(self, values: Mapping[str, Any], name: str) -> Rejection | None:
        if not values["image"]:
            return None
        contrast = picture_contrast(load_image(self.folder / values["image"]))
        if contrast >= self.options.min_contrast:
            return None
        return Rejection("grey", f"The picture of {name} is of one brightness (contrast {contrast:.1f} of 255), such as a fade.")

    def _content_reason(self, wave: Waveform, name: str) -> Outcome:
        mono, options = wave.mono(), self.options
        speech = self.speech_share(mono) if self.speech_share else None
        if speech is not None and options.max_speech is not None and speech > options.max_speech:
            return Rejection("speech", f"{name} is speech for {speech:.0%} of its time; at most {options.max_speech:.0%} is allowed.")
        music = self.judge.share(mono) if self.judge else None
        if music is not None and music < options.min_music:
            return Rejection("not music", f"{name} is music in {music:.0%} of the answers of {Path(options.music_model or '').name}; {options.min_music:.0%} are needed.")
        return {"speech": speech, "music": music}


def sound_reason(wave: Waveform, clipped: float, name: str, options: FilterOptions) -> Rejection | None:
    """Why a sound is rejected by its samples alone; None for one that passes. clipped: share measured before resampling."""
    if wave.seconds < options.shortest:
        return Rejection("too short", f"{name} lasts {wave.seconds:.2f} s; give at least {options.shortest:g} s.")
    samples = wave.samples.double()
    offset = samples.mean(1, keepdim=True)
    rms, moving = float(samples.square().mean().sqrt()), float((samples - offset).square().mean().sqrt())
    if rms > 0 and (moving < 10 ** (options.silence_db / 20) < rms or float(offset.abs().max()) > options.max_offset * rms):
        return Rejection("constant", f"{name} is mostly a constant offset ({float(offset.abs().max()):.2f} of full scale), not sound.")
    silence = silent_share(wave, options.silence_db)
    if silence > options.max_silence:
        return Rejection("silent", f"{name} is silent for {silence:.0%} of its time (below {options.silence_db:g} dB).")
    if clipped > options.max_clipped:
        return Rejection("clipped", f"{clipped:.1%} of {name} are cut off at full scale; at most {options.max_clipped:.1%} are allowed.")
    return None


def silent_share(wave: Waveform, silence_db: float) -> float:
    """Share of the frames of FRAME_SECONDS whose RMS, of all channels, is below `silence_db` of full scale."""
    power = wave.samples.double().square().mean(0)
    size = max(1, round(FRAME_SECONDS * wave.sample_rate))
    frames = power[: len(power) // size * size].unflatten(0, (-1, size)).mean(1) if len(power) >= size else power.mean()[None]
    return float((frames < 10 ** (silence_db / 10)).double().mean())


def picture_contrast(picture: Image.Image) -> float:
    """Standard deviation of the brightness, of 255, at 64 x 64 pixels."""
    return float(np.asarray(picture.convert("L").resize((64, 64), Image.Resampling.BOX), np.float32).std())


def speech_detector() -> Callable[[Waveform], float]:
    """The share of speech in a mono recording by silero-vad, whose weights come with its package. Raises ImportError without it."""
    model, timestamps = _load_silero()

    def speech_share(wave: Waveform) -> float:
        samples = wave.resample(SPEECH_RATE).samples[0]
        found = timestamps(samples, model, sampling_rate=SPEECH_RATE)
        return round(sum(part["end"] - part["start"] for part in found) / len(samples), 4)

    return speech_share


def _load_silero() -> tuple[Any, Callable[..., Any]]:
    import warnings

    try:
        import silero_vad
    except ImportError as error:
        raise ImportError('The speech filter needs silero-vad; install it with pip install ".[data]", or set max_speech to None.') from error
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit.load, by which the package loads its weights
        model = silero_vad.load_silero_vad()
    torch.set_num_threads(threads)  # the package may set one
    return model, silero_vad.get_speech_timestamps
