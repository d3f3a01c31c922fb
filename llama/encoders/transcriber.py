"""Transcriber: a small network that hears notes, beats, chords and attributes in a recording, frame by frame.

Its input is a constant-Q spectrum of the kind that the embedded audio encoder has (`llama.encoders.cqt`), stacked by harmonics
as in the deep salience network (Bittner et al., ISMIR 2017) and basic-pitch (arXiv 2203.09893). Onsets and sounding frames are
separate outputs as in Onsets and Frames (arXiv 1710.11153); beats and downbeats come from dilated convolutions over time
(Davies and Boeck, EUSIPCO 2019). `llama.encoders.transcription` makes a score of what it hears.

Legend: B recordings, T frames, P pitches, F bands, C channels, D features of a frame.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llama.encoders.cqt import Spectrum, SpectrumConfig
from llama.files import atomic_files
from llama.json_yaml import read_table
from llama.media.audio import Waveform
from llama.media.score import ACCOMPANIMENTS, DRUMS, LEADS, MODES, QUALITIES, STYLES
from llama.ranges import Range, check_keys, check_ranges

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
PARTS = ("lead", "bass", "accompaniment")  # parts that have pitches
ATTRIBUTES: Mapping[str, tuple[Any, ...]] = {
    "style": STYLES, "lead": tuple(LEADS), "accompaniment": tuple(ACCOMPANIMENTS), "mode": MODES, "key": tuple(range(12)),
}  # fmt: skip
FRAME_OUTPUTS: Mapping[str, int] = {"beats": 2, "root": 12, "quality": len(QUALITIES)}
HARMONICS = (0.5, 1, 2, 3, 4, 5, 6)
BINS = 3  # bands a semitone
TIME_DILATIONS = (1, 2, 4, 8, 16, 32, 64)
DRUM_DILATIONS = (1, 2, 4, 8, 16, 32)
RISES = (1, 2)  # frames over which drum strokes rise
WINDOW, MARGIN = 2048, 192  # frames computed at a time, and beyond them on either side: no output sees more frames than MARGIN
VARIANCE_FLOOR = 1e-7
RANGES = {
    "sample_rate": Range(int, 8000, 192_000), "hop": Range(int, 16, 2**14), "lowest": Range(int, 12, 60),
    "octaves": Range(int, 1, 8), "channels": Range(int, 1, 512), "width": Range(int, 1, 4096),
    "drum_width": Range(int, 1, 4096),
}  # fmt: skip


@dataclass(frozen=True)
class TranscriberConfig:
    """Sizes of the network; the field names are keys of its config.json."""

    sample_rate: int = 24_000
    hop: int = 512  # samples a frame
    lowest: int = 23  # MIDI pitch
    octaves: int = 7
    channels: int = 32  # of each pitch
    width: int = 256  # features of a frame
    drum_width: int = 128  # of a frame, for drums

    def __post_init__(self) -> None:
        check_ranges(vars(self), RANGES)
        if self.hop % 16:
            raise ValueError(f"hop is {self.hop}; give a multiple of 16.")

    @property
    def pitches(self) -> int:
        return 12 * self.octaves

    @property
    def frame_rate(self) -> float:
        """Frames a second; frame t is centred at t / frame_rate seconds."""
        return self.sample_rate / self.hop

    def spectrum(self) -> Spectrum:
        """The network's input: BINS bands for each pitch, the middle one in tune, and 24 wide ones above."""
        bottom = 440.0 * 2 ** ((self.lowest - 69) / 12 - 1 / (12 * BINS))
        return Spectrum(SpectrumConfig(bottom, self.octaves, 12 * BINS), self.sample_rate, self.hop, receptive=0)


class PitchBlock(nn.Module):
    """Residual block of two convolutions over time and pitch, [B, C, T, P] -> the same."""

    def __init__(self, channels: int, dilation: tuple[int, int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class FrameBlock(nn.Module):
    """Residual block over time, [B, D, T] -> the same."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class DrumBranch(nn.Module):
    """Drum strokes from the spectrum and its rises, which are broad and short: bands [B, T, F] -> logits of DRUMS [B, T, 7].

    It shares nothing with the rest: features that tell pitches hold little of cymbals.
    """

    def __init__(self, pitches: int, high: int, width: int) -> None:
        super().__init__()
        self.pitches = pitches
        self.start = nn.Linear((1 + len(RISES)) * (pitches + high), width)
        self.over_time = nn.Sequential(*(FrameBlock(width, dilation) for dilation in DRUM_DILATIONS))
        self.end = nn.Linear(width, len(DRUMS))

    def forward(self, bands: Tensor) -> Tensor:
        tuned, high = bands.split((BINS * self.pitches, bands.shape[-1] - BINS * self.pitches), dim=-1)
        x = torch.cat([tuned.unflatten(-1, (self.pitches, BINS)).mean(-1), high], -1)
        rises = [F.relu(x - F.pad(x, (0, 0, frames, 0), value=-1.0)[:, : x.shape[1]]) for frames in RISES]
        features = self.over_time(self.start(torch.cat([x, *rises], -1)).transpose(1, 2)).transpose(1, 2)
        return self.end(F.relu(features))


@dataclass(frozen=True)
class Activations:
    """What the network heard in one recording: probabilities, float32 on the CPU.

    onsets, sounding: of each of PARTS [3, T, P]. drums: of each of DRUMS [T, 7]. beats: beat and downbeat [T, 2].
    root, quality: log probabilities of the chord [T, 12], [T, 6]. attributes: name of ATTRIBUTES -> log probabilities.
    """

    onsets: Tensor
    sounding: Tensor
    drums: Tensor
    beats: Tensor
    root: Tensor
    quality: Tensor
    attributes: dict[str, Tensor]
    frame_rate: float
    lowest: int  # MIDI pitch of the first


class TranscriberNetwork(nn.Module):
    """The network. `forward` gives logits for training, `listen` the activations of a recording."""

    def __init__(self, config: TranscriberConfig) -> None:
        super().__init__()
        self.config, self._spectrum = config, config.spectrum()
        channels, width, pitches = config.channels, config.width, config.pitches
        self.stem = nn.Conv2d(len(HARMONICS), channels, (3, 7), stride=(1, BINS), padding=(1, 2))
        self.early = nn.Sequential(PitchBlock(channels, (1, 1)), PitchBlock(channels, (2, 12)))
        self.gather = nn.Conv2d(channels, 8, 1)
        self.frame = nn.Linear(8 * pitches + self._spectrum.config.high, width)
        self.over_time = nn.Sequential(*(FrameBlock(width, dilation) for dilation in TIME_DILATIONS))
        self.scale = nn.Linear(width, 2 * channels)
        self.spread = nn.Linear(width, 8 * pitches)
        self.merge = nn.Conv2d(channels + 8, channels, 1)
        self.late = nn.Sequential(PitchBlock(channels, (2, 12)), PitchBlock(channels, (1, 1)))
        self.notes = nn.Conv2d(channels, 2 * len(PARTS), 1)
        self.drums = DrumBranch(pitches, self._spectrum.config.high, config.drum_width)
        self.frame_heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in FRAME_OUTPUTS.items()})
        self.attribute_heads = nn.ModuleDict({name: nn.Linear(width, len(values)) for name, values in ATTRIBUTES.items()})
        with torch.no_grad():
            for block in (*self.early, *self.late, *self.over_time, *self.drums.over_time):
                block.second.weight.zero_()  # residual branches begin silent, so that the network trains without normalisation
            self.notes.bias.fill_(-4.0)
            for head in (self.drums.end, self.frame_heads["beats"]):
                head.bias.fill_(-3.0)

    def harmonics(self, bands: Tensor) -> Tensor:
        """Bands [B, T, F] -> [B, harmonics, T, BINS * P]: each pitch's bands beside those of its harmonics."""
        tuned = bands[..., : BINS * self.config.pitches]
        stack = []
        for harmonic in HARMONICS:
            shift = round(12 * BINS * math.log2(harmonic))
            moved = F.pad(tuned, (0, shift), value=-1.0)[..., shift:] if shift >= 0 else F.pad(tuned, (-shift, 0), value=-1.0)[..., :shift]
            stack.append(moved)
        return torch.stack(stack, 1)

    def features(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        """Bands [B, T, F] -> logits of the notes [B, 6, T, P] and features of the frames [B, T, D]."""
        x = self.early(self.stem(self.harmonics(bands).contiguous(memory_format=torch.channels_last)))
        batch, _, frames, pitches = x.shape
        gathered = F.relu(self.gather(F.relu(x))).transpose(1, 2).reshape(batch, frames, -1)
        high = bands[..., BINS * self.config.pitches :]
        time = self.over_time(self.frame(torch.cat([gathered, high], -1)).transpose(1, 2)).transpose(1, 2)
        time = F.relu(time)
        gain, shift = self.scale(time).transpose(1, 2)[..., None].chunk(2, 1)
        spread = self.spread(time).view(batch, frames, 8, pitches).transpose(1, 2)
        x = x * (1 + gain) + shift
        x = self.late(self.merge(torch.cat([x, spread], 1)))
        return self.notes(F.relu(x)), time

    def forward(self, bands: Tensor) -> dict[str, Tensor]:
        """Logits: "notes" [B, 6, T, P] (onsets of PARTS, then sounding), "drums" [B, T, 7], FRAME_OUTPUTS [B, T, n] and
        "attribute NAME" [B, n].
        """
        notes, time = self.features(bands)
        mean = time.mean(1)
        heads = {name: head(time) for name, head in self.frame_heads.items()}
        attributes = {f"attribute {name}": head(mean) for name, head in self.attribute_heads.items()}
        return {"notes": notes, "drums": self.drums(bands), **heads, **attributes}

    @torch.no_grad()
    def listen(self, wave: Waveform) -> Activations:
        """The activations of a recording of any length."""
        bands = self.bands(wave)
        notes, time, drums = self._windows(bands)
        heads = {name: head(time) for name, head in self.frame_heads.items()}
        attributes = {name: head(time.mean(0)).log_softmax(-1) for name, head in self.attribute_heads.items()}
        notes = notes.sigmoid()
        return Activations(
            notes[: len(PARTS)], notes[len(PARTS) :], drums.sigmoid(), heads["beats"].sigmoid(), heads["root"].log_softmax(-1),
            heads["quality"].log_softmax(-1), attributes, self.config.frame_rate, self.config.lowest,
        )  # fmt: skip

    def bands(self, wave: Waveform) -> Tensor:
        """The spectrum [T, F] of a recording, whatever its level."""
        samples = wave.mono().resample(self.config.sample_rate).samples[0]
        samples = (samples - samples.mean()) / torch.sqrt(samples.var(correction=0) + VARIANCE_FLOOR)
        return self._spectrum(samples[None], len(samples) // self.config.hop + 1)[0]

    def _windows(self, bands: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Note logits [6, T, P], features [T, D] and drum logits [T, 7], computed window by window; equal to those of the whole."""
        notes, times, drums = [], [], []
        for start in range(0, len(bands), WINDOW):
            first, stop = max(0, start - MARGIN), min(len(bands), start + WINDOW + MARGIN)
            window_notes, window_time = self.features(bands[None, first:stop])
            kept = slice(start - first, min(start + WINDOW, len(bands)) - first)
            notes.append(window_notes[0, :, kept])
            times.append(window_time[0, kept])
            drums.append(self.drums(bands[None, first:stop])[0, kept])
        return torch.cat(notes, 1), torch.cat(times), torch.cat(drums)


class Transcriber:
    """A trained network as a component of a model.

    It is no module: it stays in float32 on the CPU wherever the model goes, and its weights are none of the model's.
    """

    def __init__(self, network: TranscriberNetwork) -> None:
        self.network = network.eval().requires_grad_(False)

    def listen(self, wave: Waveform) -> Activations:
        """The activations of a recording of any length."""
        return self.network.listen(wave)

    @classmethod
    def from_folder(cls, path: str | Path) -> Self:
        """Loads a folder that `save` wrote. Raises ValueError in one sentence if it holds something else."""
        folder = Path(path)
        if missing := [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]:
            raise ValueError(f"The transcriber's folder {folder} has no {missing[0]}; copy the folder again.")
        values = read_table(folder / CONFIG_FILE)
        check_keys(str(folder / CONFIG_FILE), TranscriberConfig, values)
        try:
            state = load_file(folder / WEIGHTS_FILE)
        except SafetensorError as error:
            raise ValueError(f"{folder / WEIGHTS_FILE} is damaged; copy or download it again.") from error
        config = TranscriberConfig(**values)
        with torch.device("meta"):
            expected = {name: value.shape for name, value in TranscriberNetwork(config).state_dict().items()}
        if {name: value.shape for name, value in state.items()} != expected:
            raise ValueError(f"{folder / WEIGHTS_FILE} does not fit {CONFIG_FILE} beside it; copy the folder again.")
        network = TranscriberNetwork(config)
        network.load_state_dict({name: value.float() for name, value in state.items()})
        return cls(network)

    def save(self, path: str | Path) -> None:
        """Writes config.json and model.safetensors, in float16."""
        state = {name: value.detach().half().contiguous() for name, value in self.network.state_dict().items()}
        with atomic_files(path) as draft:
            (draft / CONFIG_FILE).write_text(json.dumps(dataclasses.asdict(self.network.config), indent=2) + "\n")
            save_file(state, draft / WEIGHTS_FILE)
