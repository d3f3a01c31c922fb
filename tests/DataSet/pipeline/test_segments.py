"""Segments: what is cut and written, and that every file that cannot be used is rejected with its sentence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from DataSet.pipeline.frames import steadiest_frame, steadiest_look
from DataSet.pipeline.item import Item
from DataSet.pipeline.segments import SegmentOptions, SegmentStep, clipped_share
from DataSet.pipeline.step import Outcome, Rejection, StepInput
from llama.media.audio import Waveform
from llama.media.image import load_image
from llama.media.video import load_frames

RATE = 16_000


def tone(seconds: float, channels: int = 1, rate: int = RATE, level: float = 0.3) -> torch.Tensor:
    times = torch.arange(round(seconds * rate)) / rate
    return (level * torch.sin(2 * torch.pi * (220 + 40 * torch.floor(times * 2)) * times)).expand(channels, -1).contiguous()


def write_sound(path: Path, samples: torch.Tensor, rate: int = RATE) -> str:
    Waveform(samples, rate).write(path)
    return str(path)


def segment(folder: Path, media: dict[str, str], kind: Any = "audio", options: SegmentOptions | None = None, **fields: Any) -> Outcome:
    step = SegmentStep(folder, kind, RATE, options)
    return step([StepInput(Item("test", "song", media, **fields))])[0]


def values(outcome: Outcome) -> dict[str, Any]:
    assert not isinstance(outcome, Rejection), outcome
    return dict(outcome)


def rejection(outcome: Outcome) -> Rejection:
    assert isinstance(outcome, Rejection), outcome
    assert outcome.why.endswith(".") and "\n" not in outcome.why and "/tmp" not in outcome.why
    return outcome


def write_clip(path: Path, frames: np.ndarray, times: list[int] | None = None, sound: float = 0.0, rotation: int = 0) -> str:
    """Frames [T, H, W, 3] at 25 a second, or at the given ticks of 1/25 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=25, options={"threads": "1"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        speaker = container.add_stream("aac", rate=RATE, layout="mono") if sound else None
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (times or range(len(frames)))[index], Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if speaker is not None:
            part = av.AudioFrame.from_ndarray(tone(sound).numpy(), format="fltp", layout="mono")
            part.sample_rate = RATE
            for packed in [part, None]:
                container.mux(speaker.encode(packed))
    return str(path)


def shots(*lengths_and_motions: tuple[int, int], side: int = 64, blocks: int = 8) -> np.ndarray:
    """Shots of noise pictures that are moved sideways by some pixels a frame."""
    rng, frames = np.random.default_rng(0), []
    for length, motion in lengths_and_motions:
        picture = np.kron(rng.integers(0, 255, (blocks, blocks, 3)), np.ones((side // blocks, side // blocks, 1))).astype(np.uint8)
        frames += [np.roll(picture, motion * index, axis=1) for index in range(length)]
    return np.stack(frames)


# -- sound --------------------------------------------------------------------------------------------------------------


def test_a_segment_is_cut_and_written_losslessly(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "song.wav", tone(8, 2))
    result = values(segment(tmp_path, {"audio": path}, start=3.0, end=6.0))
    assert (result["seconds"], result["channels"], result["sample_rate"]) == (3.0, 2, RATE)
    assert result["audio"] == f"media/audio/{Item('test', 'song', {}, 3.0, 6.0).id}.flac"
    written = Waveform.read(tmp_path / result["audio"]).samples
    torch.testing.assert_close(written, tone(8, 2)[:, 3 * RATE : 6 * RATE], atol=1e-4, rtol=0)
    assert result["rms_db"] == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.1)
    assert not list(tmp_path.rglob(".partial*"))


def test_equal_sound_in_other_files_has_one_sha256(tmp_path: Path) -> None:
    whole_numbers = (tone(3)[0].numpy() * 32767).astype(np.int16)
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / name, whole_numbers, RATE)
    first, second = (segment(tmp_path, {"audio": str(tmp_path / name)}) for name in ("a.wav", "b.flac"))
    other = segment(tmp_path, {"audio": write_sound(tmp_path / "c.wav", tone(3, level=0.2))})
    assert values(first)["sha256"] == values(second)["sha256"] != values(other)["sha256"]


def test_a_file_that_is_cut_already_is_taken_whole(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "[id]-[30-33].wav", tone(3))
    assert values(segment(tmp_path, {"audio": path}, start=30.0, end=33.0, already_cut=True))["seconds"] == 3.0
    assert values(segment(tmp_path, {"audio": path}, start=30.0, end=33.0))["seconds"] == 3.0  # it cannot be otherwise


def test_channels(tmp_path: Path) -> None:
    surround = torch.cat([tone(2, 5), torch.zeros(1, 2 * RATE)])
    one_silent = torch.cat([tone(2), torch.zeros(1, 2 * RATE)])
    for name, samples, channels in (("surround", surround, 1), ("one_silent", one_silent, 1), ("stereo", tone(2, 2), 2)):
        result = values(segment(tmp_path, {"audio": write_sound(tmp_path / f"{name}.wav", samples)}))
        assert result["channels"] == channels and result["peak"] == pytest.approx(0.3, abs=0.01), name


def test_overshoot_is_turned_down_and_clipping_measured(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", tone(2, level=1.6)[0].numpy(), RATE, subtype="FLOAT")
    loud = values(segment(tmp_path, {"audio": str(tmp_path / "loud.wav")}))
    assert loud["peak"] <= 1 and loud["gain_db"] == pytest.approx(-4.08, abs=0.05) and loud["clipped"] < 0.01
    assert clipped_share(Waveform(tone(2, level=1.6).clamp(-1, 1), RATE)) > 0.3
    assert clipped_share(Waveform(tone(2, level=0.9), RATE)) == 0


@pytest.mark.parametrize(("content", "rule"), [(b"", "unreadable"), (b"\x89PNG not a sound at all" * 9, "unreadable"), (None, "missing")])
def test_files_that_are_no_sound(tmp_path: Path, content: bytes | None, rule: str) -> None:
    if content is not None:
        (tmp_path / "song.mp3").write_bytes(content)
    assert rejection(segment(tmp_path, {"audio": str(tmp_path / "song.mp3")})).rule == rule


def test_wrong_suffix_and_cut_mp3_are_read(tmp_path: Path) -> None:
    write_sound(tmp_path / "song.mp3", tone(6))
    content = (tmp_path / "song.mp3").read_bytes()
    (tmp_path / "half.wav").write_bytes(content[: len(content) // 2])
    assert 2.5 < values(segment(tmp_path, {"audio": str(tmp_path / "half.wav")}))["seconds"] < 3.5


def test_sound_that_is_rejected(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "song.wav", tone(5))
    assert rejection(segment(tmp_path, {"audio": path}, start=2.0, end=3.0)).rule == "too short"
    assert rejection(segment(tmp_path, {"audio": path}, start=40.0, end=43.0)).rule == "outside"
    assert rejection(segment(tmp_path, {"audio": path}, options=SegmentOptions(longest=4.0))).rule == "too long"
    assert rejection(segment(tmp_path, {})).rule == "no sound"
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan] * RATE, np.float32), RATE, subtype="FLOAT")
    assert "not finite" in rejection(segment(tmp_path, {"audio": str(tmp_path / "nan.wav")})).why


def test_ten_hours_are_rejected_before_they_are_read(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 100, 1) as file:
        file.write(np.zeros(36_000 * 100, np.float32))
    assert "120 minutes" in rejection(segment(tmp_path, {"audio": str(tmp_path / "long.flac")})).why


def test_a_full_disk_stops_the_run(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "song.wav", tone(3))
    (tmp_path / "media").mkdir()
    (tmp_path / "media/audio").write_bytes(b"in the way")
    with pytest.raises(OSError):
        segment(tmp_path, {"audio": path})


# -- pictures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "P", "I;16", "L", "RGB"])
def test_pictures_of_every_mode(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.linspace(0, 255, 64 * 48).astype(np.uint8).reshape(48, 64))
    picture = Image.fromarray(np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)) if mode == "I;16" else grey.convert(mode)
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    picture.save(path)
    result = values(segment(tmp_path, {"image": str(path)}, "image", SegmentOptions(sound="none")))
    assert load_image(tmp_path / result["image"]).size == (64, 48) and result["audio"] is None and len(result["dhash"]) == 2


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    picture, exif = Image.fromarray(shots((1, 0))[0][:32]), Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    picture.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
    options = SegmentOptions(sound="none")
    turned, upright = (segment(tmp_path, {"image": str(tmp_path / f"{name}.png")}, "image", options) for name in ("turned", "upright"))
    assert values(turned)["picture_sha256"] == values(upright)["picture_sha256"]


def test_pictures_that_are_rejected(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    (tmp_path / "no.jpg").write_bytes(b"\xff\xd8\xff" + bytes(200))
    for name, rule in (("dot.png", "too small"), ("bomb.png", "unreadable"), ("no.jpg", "unreadable")):
        assert rejection(segment(tmp_path, {"image": str(tmp_path / name)}, "image", SegmentOptions(sound="none"))).rule == rule
    song = write_sound(tmp_path / "song.wav", tone(2))
    assert rejection(segment(tmp_path, {"audio": song}, "image")).rule == "no picture"
    assert rejection(segment(tmp_path, {"image": str(tmp_path / "dot.png")}, "image")).rule == "no sound"
    assert not list((tmp_path / "media").rglob("*.*"))  # nothing was written for what was rejected


# -- clips --------------------------------------------------------------------------------------------------------------


def test_a_clip_and_its_own_sound(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", shots((75, 2)), sound=5.0)
    result = values(segment(tmp_path, {"video": path}, "video"))
    assert result["video_seconds"] == 3.0 and result["frames"] == 24
    assert result["seconds"] == 3.0  # the sound is longer than the picture
    assert load_frames(tmp_path / result["video"], 8).shape == (8, 64, 64, 3)
    assert values(segment(tmp_path, {"video": path}, "audio"))["seconds"] == pytest.approx(5.0, abs=0.2)


def test_a_segment_of_a_clip(tmp_path: Path) -> None:
    frames = np.stack([np.full((64, 64, 3), 40 * (index // 25), np.uint8) for index in range(150)])
    path = write_clip(tmp_path / "clip.mp4", frames)
    result = values(segment(tmp_path, {"video": path}, "video", SegmentOptions(sound="none"), start=2.0, end=5.0))
    means = load_frames(tmp_path / result["video"], 3).mean((1, 2, 3))
    assert result["video_seconds"] == 3.0 and means == pytest.approx([80, 120, 160], abs=6)


def test_a_variable_rate_becomes_constant(tmp_path: Path) -> None:
    frames = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (0, 100, 200)])
    path = write_clip(tmp_path / "clip.mp4", frames, times=[0, 50, 60])  # 2 s, 0.4 s, and the last as long as a frame
    result = values(segment(tmp_path, {"video": path}, "video", SegmentOptions(sound="none")))
    means = load_frames(tmp_path / result["video"], result["frames"]).mean((1, 2, 3))
    assert result["frames"] >= 19 and means[:16] == pytest.approx(0, abs=8) and means[17] == pytest.approx(100, abs=8)


def test_portrait_and_sides(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", np.repeat(shots((1, 0), side=128)[:, :, :72], 60, axis=0))
    result = values(segment(tmp_path, {"video": path}, "video", SegmentOptions(sound="none", clip_side=64)))
    assert load_frames(tmp_path / result["video"], 1).shape[1:3] == (64, 36)


def test_clips_that_are_rejected(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "one.mp4", shots((1, 0)))
    silent = write_clip(tmp_path / "silent.mp4", shots((60, 1)))
    song = write_sound(tmp_path / "song.ogg", tone(3))
    assert rejection(segment(tmp_path, {"video": one}, "video", SegmentOptions(sound="none"))).rule == "too short"
    assert "no sound" in rejection(segment(tmp_path, {"video": silent}, "video")).why
    assert "no video" in rejection(segment(tmp_path, {"video": song}, "video", SegmentOptions(sound="none"))).why
    assert rejection(segment(tmp_path, {"video": silent}, "video", SegmentOptions(sound="none"), start=50.0, end=60.0)).rule == "unreadable"
    assert values(segment(tmp_path, {"video": silent}, "video", SegmentOptions(sound="optional")))["audio"] is None
    assert values(segment(tmp_path, {"video": silent, "audio": song}, "video"))["seconds"] == pytest.approx(3.0, abs=0.01)


def test_the_steadiest_shot_gives_the_frame(tmp_path: Path) -> None:
    frames = np.concatenate([np.zeros((50, 64, 64, 3), np.uint8), shots((50, 1), (50, 0), (50, 1), blocks=2)])
    picture = np.asarray(steadiest_frame(Path(write_clip(tmp_path / "clip.mp4", frames))), np.int16)
    nearest = int(np.argmin([np.abs(picture - frame).mean() for frame in frames]))
    assert 100 <= nearest < 150  # of the third shot; the first is black
    assert steadiest_look(np.zeros((4, 8, 8), np.float32)) == 1


def test_settings_are_in_the_digest(tmp_path: Path) -> None:
    assert SegmentStep(tmp_path).spec.digest != SegmentStep(tmp_path, sample_rate=24_000).spec.digest
    assert SegmentStep(tmp_path).spec.digest == SegmentStep(tmp_path / "elsewhere").spec.digest
    with pytest.raises(ValueError, match="choose one of audio, image, video"):
        SegmentStep(tmp_path, "film")  # type: ignore[arg-type]
