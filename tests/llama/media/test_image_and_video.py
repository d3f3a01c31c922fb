"""Images and video: picture modes, frames spread over the whole clip, limits."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from llama.encoders.image_processor import ImageProcessor
from llama.media import image as media
from llama.media import video
from llama.media.audio import Waveform
from llama.media.containers import Encoded
from llama.media.demuxer import decoded
from llama.media.image import load_image, picture_errors
from llama.media.video import frame_indices, load_frames, sample_frames


def brightness(index: int, total: int) -> float:
    return 10 + 235 * index / max(1, total - 1)


def clip(path: Path, total: int, codec: str = "libx264", key_every: int = 10, form: str | None = None,
         brightest: int | None = None, size: tuple[int, int] = (64, 48)) -> Path:
    """A clip whose frame i has one grey that grows with i."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        (stream.width, stream.height), stream.pix_fmt, stream.gop_size = size, "yuv420p", key_every
        for index in range(total):
            grey = np.full((size[1], size[0], 3), int(brightness(index, brightest or total)), np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("mode", "colour", "expected"), [
    ("RGB", (10, 20, 30), (10, 20, 30)), ("RGBA", (10, 20, 30, 0), (255, 255, 255)), ("RGBA", (9, 9, 9, 255), (9, 9, 9)),
    ("L", 77, (77, 77, 77)), ("LA", (77, 0), (255, 255, 255)), ("1", 1, (255, 255, 255)), ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ("I;16", 65535, (255, 255, 255)), ("I;16", 257 * 100, (100, 100, 100)), ("I", 100, (100, 100, 100)),
    ("F", 0.5, (128, 128, 128))])
def test_every_picture_mode_becomes_rgb(mode: str, colour: object, expected: tuple[int, ...]) -> None:
    made = load_image(Image.new(mode, (3, 2), colour))
    assert made.mode == "RGB" and made.size == (3, 2)
    assert np.asarray(made)[0, 0].tolist() == list(expected)


def test_palette_with_transparency_lies_on_white(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 2), 1)
    picture.putpalette([0, 0, 0, 200, 0, 0])
    picture.putpixel((0, 0), 0)
    picture.save(tmp_path / "palette.png", transparency=0)
    assert np.asarray(load_image(tmp_path / "palette.png"))[0].tolist() == [[255, 255, 255], [200, 0, 0]]


def test_pictures_are_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 2))
    exif = picture.getexif()
    exif[0x0112] = 6  # taken with the camera turned
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert load_image(str(tmp_path / "turned.jpg")).size == (2, 4)


def test_the_given_picture_is_not_changed() -> None:
    picture = Image.new("RGBA", (2, 2), (1, 2, 3, 4))
    load_image(picture)
    assert picture.mode == "RGBA" and picture.getpixel((0, 0)) == (1, 2, 3, 4)


def test_pictures_without_pixels_or_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no pixels"):
        load_image(Image.new("RGB", (0, 0)))
    header = b"P5 20000 10000 255\n"  # 200 megapixels in 19 bytes
    (tmp_path / "bomb.pgm").write_bytes(header + b"\x80")
    with pytest.raises(ValueError, match="megapixels"):
        load_image(tmp_path / "bomb.pgm")
    monkeypatch.setattr(media, "MAX_PIXELS", 5)
    with pytest.raises(ValueError, match="limit"):
        load_image(Image.new("L", (3, 2)))


def test_files_that_are_no_picture_are_described(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "drawing.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n\x00")
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:1000])
    for name, words in (("text.png", "text file"), ("drawing.eps", "damaged, or of a format"), ("half.png", "damaged")):
        with pytest.raises(ValueError, match=words):
            load_image(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "missing.png")


def test_indices_cover_the_whole_clip() -> None:
    assert frame_indices(8, 8).tolist() == list(range(8))
    assert frame_indices(1, 4).tolist() == [0, 0, 0, 0]
    assert frame_indices(3, 5).tolist() == [0, 0, 1, 2, 2]
    assert frame_indices(101, 5).tolist() == [0, 25, 50, 75, 100]


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_frames_given_as_arrays_are_chosen_alike(kind: object) -> None:
    frames = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(5, 2).repeat(3, 3)
    chosen = load_frames(kind(frames), 4)
    assert chosen.shape == (4, 4, 5, 3) and chosen[:, 0, 0, 0].tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize("frames", [np.zeros((2, 4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8),
                                    np.zeros((0, 4, 4, 3), np.uint8), np.zeros((2, 0, 4, 3), np.uint8),
                                    np.zeros((2, 4, 4, 4), np.uint8)])
def test_other_arrays_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError):
        load_frames(frames, 2)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx"), ("b.webm", "libvpx-vp9"),
                                             ("a.avi", "mpeg4"), ("a.h264", "libx264"), ("a.mkv", "libx264")])
@pytest.mark.parametrize("total", [1, 7, 8, 61])
def test_frames_are_spread_over_the_whole_clip(tmp_path: Path, name: str, codec: str, total: int) -> None:
    path = clip(tmp_path / name, total, codec)
    frames = load_frames(path, 8)
    assert frames.shape == (8, 48, 64, 3) and frames.dtype == np.uint8
    wanted = [brightness(index, total) for index in frame_indices(total, 8)]
    np.testing.assert_allclose(frames.mean((1, 2, 3)), wanted, atol=5)  # neighbouring chosen frames are 27 apart
    assert (load_frames(path, 8) == frames).all()


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("a.mkv", "libx264")])
def test_going_to_key_frames_equals_reading_through(tmp_path: Path, name: str, codec: str) -> None:
    path = clip(tmp_path / name, 45, codec, key_every=9)
    line = video._timeline(path)
    assert len(line.times) == 45 and len(line.keys) > 3
    through = video._pick(video._decoded_video(path), line.times)
    for some in (line.times, line.times[::7], line.times[-1:]):
        sought = video._frames_at_times(path, some, line.keys)
        assert list(sought) == some and all((sought[at] == through[at]).all() for at in some)


def test_a_browsers_clip_without_length_is_read(tmp_path: Path) -> None:
    """A live stream: no duration, no frame count, no index."""
    path = tmp_path / "live.webm"
    with av.open(str(path), "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), int(brightness(index, 40)), np.uint8), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0 and not container.duration
    wanted = [brightness(index, 40) for index in frame_indices(40, 5)]
    np.testing.assert_allclose(load_frames(path, 5).mean((1, 2, 3)), wanted, atol=5)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.h264"])
def test_frames_of_a_segment_come_at_a_constant_rate(tmp_path: Path, name: str) -> None:
    """At each tick the frame that is shown then, whether the container seeks or is decoded from its start."""
    path = clip(tmp_path / name, 100, codec="mpeg4" if name.endswith("avi") else "libx264")
    everything = np.stack(list(sample_frames(path, 25)))
    assert len(everything) == 100 and np.array_equal(everything, load_frames(path, 100))
    for start, end, rate in ((0.0, 4.0, 5), (1.2, 3.0, 10), (2.0, 99.0, 25), (0.0, 0.4, 50)):
        chosen = np.array([frame.mean() for frame in sample_frames(path, rate, start, end)])
        ticks = start + np.arange(len(chosen)) / rate
        assert len(chosen) == round((min(end, 4.0) - start) * rate)
        shown = everything[np.floor(ticks * 25 + 1e-6).astype(int)].mean((1, 2, 3))
        np.testing.assert_allclose(chosen, shown, atol=0.01)
    assert not list(sample_frames(path, 5, 4.5))


def test_only_chosen_frames_are_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = []
    pixels = video._pixels
    monkeypatch.setattr(video, "_pixels", lambda frame, aspect: (converted.append(frame.pts), pixels(frame, aspect))[1])
    load_frames(clip(tmp_path / "a.mp4", 50), 4)
    assert len(converted) == 4


def test_a_clip_cut_off_in_the_middle_gives_what_it_has(tmp_path: Path) -> None:
    content = clip(tmp_path / "whole.mkv", 60).read_bytes()
    (tmp_path / "half.mkv").write_bytes(content[: len(content) * 2 // 3])
    frames = load_frames(tmp_path / "half.mkv", 4)
    assert frames.shape == (4, 48, 64, 3) and frames[0].mean() < 20 < 60 < frames[-1].mean()


def test_rotated_clips_are_upright(tmp_path: Path) -> None:
    """The angle of a telephone's clip stands in the mp4's track header; here it is written there by hand."""
    path = clip(tmp_path / "turned.mp4", 3)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    quarter = [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]
    content[matrix : matrix + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in quarter)
    path.write_bytes(content)
    assert load_frames(path, 2).shape == (2, 64, 48, 3)
    assert next(sample_frames(path, 5)).shape == (64, 48, 3)


def test_large_frames_are_scaled_down_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each before the next is read; smaller ones stay as they are, to the pixel."""
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    path = clip(tmp_path / "a.mp4", 12)
    Image.fromarray(frames[0]).save(tmp_path / "a.gif", save_all=True, append_images=[Image.fromarray(frames[1])])
    before = load_frames(path, 3)
    assert np.array_equal(load_frames(frames, 3), frames)
    monkeypatch.setattr(video, "MAX_SIDE", 64)
    assert np.array_equal(load_frames(path, 3), before)
    monkeypatch.setattr(video, "MAX_SIDE", 16)
    held = [video._pixels(frame).shape for frame in video._decoded_video(path)]
    assert set(held) == {(12, 16, 3)}
    for source in (path, tmp_path / "a.gif", frames):
        assert load_frames(source, 3).shape == (3, 12, 16, 3)
    np.testing.assert_allclose(load_frames(path, 3).mean((1, 2, 3)), before.mean((1, 2, 3)), atol=1)
    assert load_frames(np.zeros((1, 2, 500, 3), np.uint8), 1).shape == (1, 1, 16, 3)


def test_a_clip_whose_frames_change_their_size_is_refused(tmp_path: Path) -> None:
    small, large = clip(tmp_path / "small.h264", 5), clip(tmp_path / "large.h264", 5, size=(128, 96))
    (tmp_path / "both.h264").write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(ValueError, match=r"both.h264 changes its frame size.*128 x 96, 64 x 48.*one size"):
        load_frames(tmp_path / "both.h264", 4)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animated_pictures_are_clips(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 6), (40 * index, 0, 0)) for index in range(6)]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=100, **options)
    made = load_frames(tmp_path / f"a.{suffix}", 3)
    assert made.shape == (3, 6, 8, 3)
    assert made[:, 0, 0, 0].tolist() == [40 * index for index in frame_indices(6, 3)]


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.avi", "a.gif"])
def test_media_in_memory_are_those_of_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.gif":
        frames = [Image.new("RGB", (8, 6), (40 * index, 0, 0)) for index in range(6)]
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert (np.asarray(load_image(path.read_bytes())) == np.asarray(load_image(path))).all()
    else:
        clip(path, 30, {"a.mp4": "libx264", "a.webm": "libvpx", "a.avi": "mpeg4"}[name])
    with path.open("rb") as file:
        for given in (path.read_bytes(), file, Encoded(path.read_bytes(), "row 3")):
            assert (load_frames(given, 5) == load_frames(path, 5)).all()


def test_damaged_media_in_memory_are_reported() -> None:
    for read in (load_image, lambda given: load_frames(given, 2)):
        for content in (b"", b"only words", b"\x89PNG\r\n\x1a\n" + bytes(40), bytes(range(128, 256)) * 8):
            with pytest.raises(ValueError, match="row 3"):
                read(Encoded(content, "row 3"))


def test_clips_without_frames_are_refused(tmp_path: Path) -> None:
    Waveform(torch.zeros(1, 2400), 24000).write(tmp_path / "sound.wav")
    with pytest.raises(ValueError, match="no video"):
        load_frames(tmp_path / "sound.wav", 4)
    (tmp_path / "text.mp4").write_text("frames to come")
    with pytest.raises(ValueError, match="text file"):
        load_frames(tmp_path / "text.mp4", 4)
    content = clip(tmp_path / "whole.mkv", 10).read_bytes()
    (tmp_path / "head.mkv").write_bytes(content[:600])
    with pytest.raises(ValueError, match="Cannot read|no frames|no video"):
        load_frames(tmp_path / "head.mkv", 4)
    content = clip(tmp_path / "whole.mp4", 10).read_bytes()
    before, mark, after = content.partition(b"stsd")
    (tmp_path / "nameless.mp4").write_bytes(before + mark + after.replace(b"avc1", b"zzzz", 1))
    with pytest.raises(ValueError, match="nameless.mp4 holds video of a kind unknown here"):
        load_frames(tmp_path / "nameless.mp4", 4)
    with pytest.raises(FileNotFoundError):
        load_frames(tmp_path / "missing.mp4", 4)
    with pytest.raises(ValueError, match="at least 1"):
        load_frames(np.zeros((1, 2, 2, 3), np.uint8), 0)


def test_pixels_follow_their_recipe() -> None:
    values = {"do_resize": True, "size": {"shortest_edge": 4}, "do_center_crop": True, "crop_size": {"height": 2, "width": 2},
              "do_rescale": True, "rescale_factor": 1 / 127.5, "offset": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    frames = np.zeros((2, 8, 16, 3), np.uint8)
    frames[1] = 255
    made = ImageProcessor.read(values)(frames)
    assert made.shape == (2, 3, 2, 2) and made.dtype == torch.float32
    assert made[0].unique().tolist() == [-3.0] and made[1].unique().tolist() == [1.0]
    plain = ImageProcessor.read({"size": 5, "do_normalize": False})(frames)  # older files give one number
    assert plain.shape == (2, 3, 5, 5) and plain.max() == 1.0 and plain.min() == 0.0
    with pytest.raises(ValueError, match="narrow"):
        ImageProcessor.read(values | {"size": {"shortest_edge": 256}})(np.zeros((1, 1, 4000, 3), np.uint8))


# -- what a stranger may send ---------------------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """A PNG of any size in a few bytes; it is cut off, so only its size is there to be read."""
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("size", "words"), [
    ((1, 49_999_990), "1 x 49999990 pixels; a side may have 32768"), ((32_769, 2), "32769 x 2"),
    ((20_000, 20_000), "more than 100 megapixels"), ((1 << 30, 1 << 30), "more than 100 mega|a side")])  # fmt: skip
def test_sizes_are_bounded_before_a_row_is_made(tmp_path: Path, size: tuple[int, int], words: str) -> None:
    (tmp_path / "a.png").write_bytes(png(*size))
    for read in (load_image, lambda given: load_frames(given, 4)):
        for given in (tmp_path / "a.png", Encoded(png(*size), "a.png")):
            with pytest.raises(ValueError, match=rf"a\.png has .*{words}.*smaller\.$"):
                read(given)
    with pytest.raises(ValueError, match="a side may have 32768"):
        load_image(Image.new("1", (1, 32_769)))


def test_frames_of_a_clip_are_bounded_in_each_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "a.mp4", 3)
    monkeypatch.setattr(media, "MAX_EDGE", 60)
    with pytest.raises(ValueError, match=r"a\.mp4 has 64 x 48 pixels; a side may have 60"):
        load_frames(path, 2)


def test_frames_that_grow_on_the_way_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = clip(tmp_path / "small.h264", 5), clip(tmp_path / "large.h264", 5, size=(128, 96))
    (tmp_path / "both.h264").write_bytes(small.read_bytes() + large.read_bytes())
    monkeypatch.setattr(video, "MAX_PIXELS", 80 * 60)
    monkeypatch.setattr(media, "MAX_PIXELS", 80 * 60)
    assert load_frames(tmp_path / "both.h264", 4).shape == (4, 48, 64, 3)


@pytest.mark.parametrize("error", [RuntimeError, OSError, SyntaxError, struct.error, KeyError, EOFError, AttributeError, MemoryError])
def test_whatever_pillow_raises_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    frames = [Image.new("RGB", (8, 6), (40 * index, 0, 0)) for index in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])

    def fails(*_: object, **__: object) -> None:
        raise error("decoder said no")

    for place in ("PIL.Image.open", "PIL.ImageOps.exif_transpose"):
        with monkeypatch.context() as patch:
            patch.setattr(place, fails)
            for read in (load_image, lambda given: load_frames(given, 2)):
                with pytest.raises(ValueError, match=r"a\.gif.* is damaged") as caught:
                    read(tmp_path / "a.gif")
                assert "decoder said" not in str(caught.value) and str(caught.value).endswith(".")


def test_errors_of_the_disk_are_not_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")

    def fails(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("PIL.Image.open", fails)
    with pytest.raises(OSError, match="Input/output"):
        load_image(tmp_path / "a.png")


def test_damaged_pictures_of_every_format_are_one_sentence() -> None:
    generator = np.random.default_rng(3)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "JPEG2000"):
        file = io.BytesIO()
        Image.effect_noise((40, 30), 50).convert("RGB").save(file, kind)
        for _ in range(6):
            damaged = bytearray(file.getvalue())
            for place in generator.integers(4, len(damaged), 12):
                damaged[place] = int(generator.integers(256))
            for read in (load_image, lambda given: load_frames(given, 2)):
                try:
                    read(Encoded(bytes(damaged), "the upload"))
                except ValueError as error:
                    assert "the upload" in str(error) and str(error).endswith(".") and "\n" not in str(error), (kind, error)


HEIC = (Path(__file__).parent / "photo.heic").read_bytes()  # 120 x 80, nothing here can write the format


def test_a_heic_picture_is_read_whatever_its_name_and_is_no_clip_and_no_sound(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(HEIC)
    for given in (tmp_path / "photo.jpg", Encoded(HEIC, "photo.jpg")):
        picture = load_image(given)
        assert picture.size == (120, 80) and picture.getpixel((5, 5)) == (220, 30, 30)
        for read in (lambda given: load_frames(given, 2), Waveform.read):
            with pytest.raises(ValueError, match=r"photo\.jpg: it is a HEIC picture; give a sound or video file"):
                read(given)


def test_a_damaged_heic_picture_is_one_sentence(tmp_path: Path) -> None:
    for given in (HEIC[:300], b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf\0\0\0\x08meta"):
        with pytest.raises(ValueError, match=r"photo\.heic is damaged.*; give a picture"):
            load_image(Encoded(given, "photo.heic"))


def test_other_media_in_the_same_container_are_no_heic_pictures(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 0, 0)).save(file, "AVIF")
    assert load_image(file.getvalue()).size == (16, 16)
    assert len(load_frames(clip(tmp_path / "a.mp4", 3, "libx265"), 2)) == 2


def test_an_album_cover_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=44100, layout="mono")
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 16, 16, "rgb24", av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux([*cover.encode(None), *sound.encode(frame), *sound.encode(None)])
    with pytest.raises(ValueError, match=r"song\.m4a holds no video; give a clip"):
        load_frames(path, 4)
    assert Waveform.read(path).seconds > 0.9


def two_streams(path: Path, default: int, codecs: tuple[str, str] = ("libx264", "libx264")) -> Path:
    """A clip with a dark and a bright stream."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, rate=25) for codec in codecs]
        for number, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.disposition = av.stream.Disposition.default if number == default else 0
        for number, stream in enumerate(streams):
            for index in range(4):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 + 200 * number, np.uint8), format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def test_the_default_stream_is_watched_else_the_first_that_can_be_decoded(tmp_path: Path) -> None:
    assert load_frames(two_streams(tmp_path / "a.mkv", 0), 2).mean() < 40
    assert load_frames(two_streams(tmp_path / "b.mkv", 1), 2).mean() > 200
    path = two_streams(tmp_path / "c.mkv", 0, ("mpeg4", "libx264"))
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_SOMETHING/NEW", 1))
    assert load_frames(path, 2).mean() > 200


def test_repeated_frames_are_no_error(tmp_path: Path) -> None:
    """An empty packet repeats the frame before; Theora has them, and a decoder takes one for the end."""

    class Repeating:
        def __init__(self, container: Any) -> None:
            self.container = container

        def demux(self, stream: Any) -> Iterator[Any]:
            for packet in self.container.demux(stream):
                empty = av.Packet(b"")
                empty.stream = stream
                yield from (packet, empty)

    with av.open(str(clip(tmp_path / "a.webm", 5, "libvpx"))) as container:
        frames = list(decoded(Repeating(container), container.streams.video[0]))
    assert len(frames) == 5


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(2), (128, 48)), (Fraction(1, 2), (64, 96)), (Fraction(16, 15), (68, 48)),
                                              (Fraction(1), (64, 48)), (Fraction(1000), (64, 48))])  # fmt: skip
def test_pixels_that_are_not_square_are_shown_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4" if aspect < 100 else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert load_frames(path, 2).shape == (2, size[1], size[0], 3)


def test_a_position_before_the_start_of_a_file_is_damage(tmp_path: Path) -> None:
    (tmp_path / "a.jp2").write_bytes(b"abc")
    with pytest.raises(ValueError, match="a.jp2 is damaged; give a picture"), (tmp_path / "a.jp2").open("rb") as file:
        with picture_errors("a.jp2"):
            file.seek(-5)
    with pytest.raises(IsADirectoryError), picture_errors("a"):
        tmp_path.open("rb")
