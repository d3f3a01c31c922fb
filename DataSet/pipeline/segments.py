"""Segments: decodes an item's media, cuts the segment and writes it, with what is needed to filter it and to find its copies.

Media are decoded by `llama.media`, as in training. A file that cannot be used becomes a Rejection with its sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, log10
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from PIL import Image

from DataSet.pipeline.fingerprints import dhashes, peak_fingerprint, picture_sha256, sound_sha256
from DataSet.pipeline.frames import steadiest_frame, write_clip
from DataSet.pipeline.item import Item
from DataSet.pipeline.step import Outcome, Rejection, StepInput, StepSpec
from llama.errors import USER_ERRORS, sentence
from llama.files import WriteError, atomic_path
from llama.media.audio import Waveform
from llama.media.image import load_image

Kind = Literal["audio", "image", "video"]
SoundUse = Literal["needed", "optional", "none"]
VERSION = 1
SLACK = 1.0  # seconds by which a segment may end after its file: lists give whole seconds
SILENT_CHANNEL = 1e-3  # of the loudest channel (-60 dB)
FULL_SCALE, CLIPPED_RUN = 0.98, 3  # of 1: a peak that can be clipping; samples in a row at the peak
SMALLEST_SIDE = 32  # pixels; the encoders see 224
SOUND_VALUES = ("audio", "seconds", "sample_rate", "channels", "rms_db", "peak", "sha256", "peaks", "gain_db", "clipped")
QUIETEST = 1e-10  # RMS of digital silence as it is written in dB: -200


class UnusableError(ValueError):
    """An item that goes no further: `rule` and, as its message, one sentence."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(why)
        self.rule = rule


@dataclass(frozen=True)
class SegmentOptions:
    """What a segment must be. Lengths in seconds, sides in pixels.

    sound: whether a picture or clip without music is rejected, kept, or its sound not looked for. shortest, longest: of the
    sound and of the clip. picture_side, clip_side: larger ones are scaled down to it. frame_rate: of clips.
    """

    sound: SoundUse = "needed"
    shortest: float = 2.0
    longest: float = 600.0
    picture_side: int = 512
    clip_side: int = 360
    frame_rate: int = 8

    def __post_init__(self) -> None:
        if self.sound not in get_args(SoundUse):
            raise ValueError(f"sound is {self.sound!r}; choose one of {', '.join(get_args(SoundUse))}.")
        if not 0 < self.shortest <= self.longest:
            raise ValueError(f"Segments of {self.shortest:g} to {self.longest:g} s are asked for; give 0 < shortest <= longest.")


class SegmentStep:
    """Writes FOLDER/media/{audio,image,video}/ID.{flac,jpg,mp4}, and hashes and levels of what it wrote.

    kind: of the set: "audio" takes the sound alone, "image" the picture (of a clip: a frame of its steadiest shot) and its music,
    "video" the clip and its music. The music is the item's sound file, else the sound of its clip. sample_rate: of the FLAC, in Hz.

    Values beside those of the contract: "gain_db", 0 or below where a sound above full scale was turned down; "clipped", the share
    of samples in runs at full scale before resampling; "video_seconds" and "frames" of a clip. One or two channels are kept, more
    become mono, and a silent channel beside a sounding one is left out. Values of media that are not there are None or [].
    """

    def __init__(self, folder: str | Path, kind: Kind = "audio", sample_rate: int = 32_000, options: SegmentOptions | None = None) -> None:
        if kind not in get_args(Kind):
            raise ValueError(f"The kind of a set is {kind!r}; choose one of {', '.join(get_args(Kind))}.")
        self.folder, self.kind, self.sample_rate, self.options = Path(folder), kind, sample_rate, options or SegmentOptions()
        self.spec = StepSpec("segment", VERSION, {"kind": kind, "sample_rate": sample_rate, **vars(self.options)})

    def __call__(self, batch: Sequence[StepInput]) -> Sequence[Outcome]:
        return [self._segment(step_input.item) for step_input in batch]

    def _segment(self, item: Item) -> Outcome:
        try:
            wave = self._read_sound(item)  # before anything is written, so that a rejected item leaves no files
            sight = self._sight(item)
            return {**sight, **self._write_sound(item, _beside_picture(wave, item, sight.get("video_seconds")))}
        except UnusableError as error:
            return Rejection(error.rule, _without_folders(str(error), item))
        except WriteError:  # the disk's fault, which stops the run
            raise
        except FileNotFoundError as error:
            return Rejection("missing", _without_folders(sentence(error), item))
        except USER_ERRORS as error:
            return Rejection("unreadable", _without_folders(sentence(error), item))

    def _place(self, kind: Kind, item: Item, suffix: str) -> tuple[str, Path]:
        name = f"media/{kind}/{item.id}{suffix}"
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        return name, self.folder / name

    # -- sound --------------------------------------------------------------------------------------------------------

    def _read_sound(self, item: Item) -> Waveform | None:
        """The segment's sound; None where the set takes the picture without."""
        if self.kind != "audio" and (self.options.sound == "none" or (self.options.sound == "optional" and not _has_sound(item))):
            return None
        source = item.media.get("audio") or item.media.get("video")
        if source is None:
            raise UnusableError("no sound", f"{item.key} has no sound file, and no clip whose sound could be taken; put one beside it.")
        wave = cut(Waveform.read(source), item)
        self._check_length(item.key, wave.seconds)
        return wave

    def _write_sound(self, item: Item, wave: Waveform | None) -> dict[str, Any]:
        if wave is None:
            return dict.fromkeys(SOUND_VALUES)
        clipped = clipped_share(wave)
        wave = usable_channels(wave).resample(self.sample_rate)
        peak = float(wave.samples.abs().max())
        gain = 1.0 / max(1.0, peak)  # only decoders' overshoot is turned down; it would be clipped in the file
        wave = Waveform(wave.samples * gain, wave.sample_rate)
        name, path = self._place("audio", item, ".flac")
        wave.write(path)
        return {"audio": name, **measurements(wave), "gain_db": round(20 * log10(gain), 2), "clipped": clipped}

    def _check_length(self, name: str, seconds: float) -> None:
        shortest, longest = self.options.shortest, self.options.longest
        if seconds < shortest:
            raise UnusableError("too short", f"{name} lasts {seconds:.2f} s; give at least {shortest:g} s.")
        if seconds > longest:
            raise UnusableError("too long", f"{name} lasts {seconds:.0f} s; give a segment of at most {longest:g} s by its start and end.")

    # -- pictures and clips -------------------------------------------------------------------------------------------

    def _sight(self, item: Item) -> dict[str, Any]:
        values: dict[str, Any] = {"image": None, "video": None, "picture_sha256": None, "dhash": []}
        if self.kind == "audio":
            return values
        return values | (self._picture(item) if self.kind == "image" else self._clip(item))

    def _picture(self, item: Item) -> dict[str, Any]:
        if "image" in item.media:
            picture = load_image(item.media["image"])
        elif "video" in item.media:
            picture = steadiest_frame(Path(item.media["video"]), *_clip_bounds(item))
        else:
            raise UnusableError("no picture", f"{item.key} has neither a picture nor a clip; put one beside its sound.")
        if min(picture.size) < SMALLEST_SIDE:
            raise UnusableError("too small", f"{item.key} has {picture.width} x {picture.height} pixels; give {SMALLEST_SIDE} or more each way.")
        hashes = {"picture_sha256": picture_sha256(picture), "dhash": dhashes(picture)}
        picture.thumbnail((self.options.picture_side, self.options.picture_side), Image.Resampling.LANCZOS)
        name, path = self._place("image", item, ".jpg")
        with atomic_path(path, fsync=False) as draft:
            picture.save(draft, "JPEG", quality=95)
        return {"image": name, **hashes}

    def _clip(self, item: Item) -> dict[str, Any]:
        if "video" not in item.media:
            raise UnusableError("no picture", f"{item.key} has no clip; put one beside its sound.")
        clip, (start, end) = Path(item.media["video"]), _clip_bounds(item)
        name, path = self._place("video", item, ".mp4")
        written = write_clip(clip, path, Fraction(self.options.frame_rate), self.options.clip_side, start, min(end, start + self.options.longest + SLACK))
        self._check_length(f"The picture of {item.key}", written.seconds)
        frame = steadiest_frame(clip, start, end)
        return {"video": name, "video_seconds": written.seconds, "frames": written.frames, "picture_sha256": written.sha256, "dhash": dhashes(frame)}


# -- what a segment is --------------------------------------------------------------------------------------------------


def cut(wave: Waveform, item: Item) -> Waveform:
    """The item's segment of a recording.

    A file of the segment's own length, whose name does not say that it is cut, is taken as the segment where it cannot be otherwise.
    Raises UnusableError for a segment that ends after its file.
    """
    if item.already_cut or (item.start is None and item.end is None):
        return wave
    start = item.start or 0.0
    end = wave.seconds if item.end is None else item.end
    if end > wave.seconds + SLACK or start >= wave.seconds:
        if abs(wave.seconds - (end - start)) <= SLACK:
            return wave
        raise UnusableError("outside", f"{item.key} lasts {wave.seconds:.1f} s, and its segment is {start:g} to {end:g} s; correct the times, "
                            "or give the whole recording.")
    first, last = round(start * wave.sample_rate), round(end * wave.sample_rate)
    return Waveform(wave.samples[:, first:last].clone(), wave.sample_rate)


def _beside_picture(wave: Waveform | None, item: Item, picture_seconds: float | None) -> Waveform | None:
    """The clip's own sound as long as its picture; music from a file of its own stays as long as it is."""
    if wave is None or picture_seconds is None or "audio" in item.media or wave.seconds <= picture_seconds:
        return wave
    return Waveform(wave.samples[:, : round(picture_seconds * wave.sample_rate)].clone(), wave.sample_rate)


def usable_channels(wave: Waveform) -> Waveform:
    """One or two channels: a silent one beside a sounding one is left out, and more than two become mono."""
    levels = wave.samples.abs().amax(1)
    sounding = wave.samples[levels > SILENT_CHANNEL * levels.max()] if levels.max() > 0 else wave.samples[:1]
    wave = wave if len(sounding) == len(wave.samples) else Waveform(sounding, wave.sample_rate)
    return wave.mono() if len(wave.samples) > 2 else wave


def clipped_share(wave: Waveform) -> float:
    """Share of the samples that lie in runs of CLIPPED_RUN or more at the peak, where that is at full scale."""
    size = wave.samples.abs()
    peak = float(size.max())
    if peak < FULL_SCALE:
        return 0.0
    flat = (size >= peak * 0.9999).float()
    runs = torch.nn.functional.avg_pool1d(flat, CLIPPED_RUN, 1) >= 1 - 1e-6 if flat.shape[1] >= CLIPPED_RUN else torch.zeros(1)
    return round(float(runs.float().mean()), 6)


def measurements(wave: Waveform) -> dict[str, Any]:
    """Length, levels and fingerprints of a sound, as the outcome of the step has them."""
    rms = float(wave.samples.double().square().mean().sqrt())
    return {"seconds": round(wave.seconds, 4), "sample_rate": wave.sample_rate, "channels": len(wave.samples),
            "rms_db": round(20 * log10(max(rms, QUIETEST)), 2), "peak": round(float(wave.samples.abs().max()), 6),
            "sha256": sound_sha256(wave), "peaks": peak_fingerprint(wave).encode()}


def _clip_bounds(item: Item) -> tuple[float, float]:
    if item.already_cut:
        return 0.0, inf
    return item.start or 0.0, inf if item.end is None else item.end


def _has_sound(item: Item) -> bool:
    from llama.media.demuxer import media_streams, open_container

    if "audio" in item.media:
        return True
    if "video" not in item.media:
        return False
    with open_container(Path(item.media["video"])) as container:
        return bool(media_streams(container, "audio"))


def _without_folders(text: str, item: Item) -> str:
    """The sentence with the names of the item's files instead of their paths, which say nothing elsewhere."""
    for path in item.media.values():
        text = text.replace(str(path), Path(path).name)
    return text


def media_of(values: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """The files that the step wrote for an item: kind -> path."""
    return {kind: folder / values[kind] for kind in get_args(Kind) if values[kind]}
