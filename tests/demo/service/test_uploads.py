"""Uploads: known by their content, measured before they are decoded, refused in one sentence, kept under our own name."""

from __future__ import annotations

import io
import os
import re
import socket
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from demo.server.file_stream import final_size, is_growing
from demo.server.media_routes import CONTENT_TYPES
from demo.service.media_probe import Limits
from demo.service.uploads import Upload, display_name, receive, without_paths
from llama.media.image import load_image

EXAMPLES = Path(__file__).resolve().parents[3] / "assets" / "examples"
SMALL = Limits(bytes=2_000_000, seconds=20, video_seconds=3, pixels=100_000, samples=2_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "session"
    made.mkdir()
    return made


def sound(seconds: float = 1.0, rate: int = 8000, channels: int = 1, kind: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    tone = 0.3 * np.sin(np.arange(int(seconds * rate)) * 0.3)
    soundfile.write(file, np.tile(tone[:, None], (1, channels)), rate, subtype, format=kind)
    return file.getvalue()


def picture(size: tuple[int, int] = (40, 30), kind: str = "PNG", frames: int = 1) -> bytes:
    file = io.BytesIO()
    made = [Image.new("RGB", size, (index * 40 % 256, 90, 200)) for index in range(frames)]
    more = {"save_all": True, "append_images": made[1:], "duration": 500} if frames > 1 else {}
    made[0].save(file, kind, **more)
    return file.getvalue()


def clip(seconds: float = 1.0, form: str = "mp4", codec: str = "libx264", size: tuple[int, int] = (64, 48), heard: bool = False,
         rate: int = 10) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        tone = container.add_stream("aac", rate=44100) if heard else None
        for index in range(int(seconds * rate)):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), index * 20 % 256, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            noise = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
            noise.sample_rate = 44100
            container.mux(tone.encode(noise))
            container.mux(tone.encode(None))
    return file.getvalue()


def spoken_sound(form: str, codec: str, seconds: int = 2) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=48000, layout="mono")
        for _ in range(seconds):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 48000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def refusal(folder: Path, file: Path | bytes, limits: Limits = SMALL, name: str = "my file.wav") -> str:
    """The sentence; nothing is left in the folder, and no path of the server is told."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        receive(folder, file, limits, name=name)
    said = str(caught.value)
    assert list(folder.iterdir()) == [] and str(folder.parent) not in said
    assert said.startswith((name, f"Cannot read {name}")) and said.endswith(".") and "\n" not in said and len(said) < 300, said
    assert ";" in said, f"it does not say what to do: {said}"
    return said


# -- taken ----------------------------------------------------------------------------------------------------------------

TAKEN: dict[str, tuple[Callable[[], bytes], str, float | None, str]] = {
    "wav": (sound, "audio", 1, ".wav"), "flac": (lambda: sound(kind="FLAC"), "audio", 1, ".flac"),
    "ogg": (lambda: sound(kind="OGG", subtype="VORBIS"), "audio", 1, ".ogg"),
    "mp3": (lambda: sound(rate=16000, kind="MP3", subtype="MPEG_LAYER_III"), "audio", 1, ".mp3"),
    "m4a": (lambda: spoken_sound("mp4", "aac"), "audio", 2, ".mp4"),
    "microphone": (lambda: spoken_sound("webm", "libopus"), "audio", 2, ".webm"),
    "png": (picture, "image", None, ".png"), "jpg": (lambda: picture(kind="JPEG"), "image", None, ".jpg"),
    "webp": (lambda: picture(kind="WEBP"), "image", None, ".webp"), "still gif": (lambda: picture(kind="GIF"), "image", None, ".gif"),
    "tiff": (lambda: picture(kind="TIFF"), "image", None, ".tiff"), "avif": (lambda: picture(kind="AVIF"), "image", None, ".avif"),
    "heic": (lambda: (Path(__file__).parents[2] / "llama/media/photo.heic").read_bytes(), "image", None, ".heic"),
    "aiff": (lambda: sound(kind="AIFF"), "audio", 1, ".aiff"), "au": (lambda: sound(kind="AU"), "audio", 1, ".au"),
    "mpeg program stream": (lambda: clip(2, "mpeg", "mpeg2video", rate=25), "video", 2, ".mpg"),
    "mpeg transport stream": (lambda: clip(form="mpegts"), "video", 1, ".ts"),
    "flv": (lambda: clip(form="flv", codec="flv"), "video", 1, ".flv"),
    "mp4": (clip, "video", 1, ".mp4"), "mp4 with sound": (lambda: clip(heard=True), "video", 1, ".mp4"),
    "webm": (lambda: clip(form="webm", codec="libvpx"), "video", 1, ".webm"),
    "gif": (lambda: picture(kind="GIF", frames=3), "video", 1.5, ".gif"),
    "animated webp": (lambda: picture(kind="WEBP", frames=3), "video", None, ".webp"),
    "animated png": (lambda: picture(frames=3), "video", None, ".png"),
}


@pytest.mark.parametrize("made", TAKEN.values(), ids=TAKEN)
def test_the_content_tells_the_kind_whatever_the_name_says(made: tuple, folder: Path) -> None:
    make, kind, seconds, suffix = made
    content = make()
    taken = receive(folder, content, SMALL, name="../../etc/report.pdf")
    assert (taken.kind, taken.path.suffix, taken.name) == (kind, suffix, "report.pdf")
    assert (taken.seconds is None) == (seconds is None) and (seconds is None or taken.seconds == pytest.approx(seconds, abs=0.15))
    assert taken.path.parent == folder and taken.path.read_bytes() == content and suffix in CONTENT_TYPES
    files = {taken.path.name} if taken.preview is None else {taken.path.name, taken.preview.name}
    assert set(os.listdir(folder)) == files and re.fullmatch(r"[0-9a-f]{32}", taken.path.stem)


@pytest.mark.parametrize("kind", ["tiff", "heic", "png"])
def test_a_picture_that_browsers_do_not_show_has_a_preview(kind: str, folder: Path) -> None:
    taken = receive(folder, TAKEN[kind][0](), SMALL)
    if kind == "png":
        assert taken.preview is None
        return
    assert taken.preview is not None and taken.preview.suffix == ".jpg"
    with Image.open(taken.preview) as preview, load_image(taken.path) as original:
        difference = np.abs(np.asarray(preview, dtype=float) - np.asarray(original, dtype=float))
        assert preview.format == "JPEG" and preview.size == original.size and difference.mean() < 8


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir() if path.suffix != ".md"))
def test_every_example_is_taken_and_copied(example: str, folder: Path) -> None:
    kind = {".flac": "audio", ".jpg": "image", ".mp4": "video"}[Path(example).suffix]
    taken = receive(folder, EXAMPLES / example)
    assert (taken.kind, taken.name) == (kind, example) and taken.path.read_bytes() == (EXAMPLES / example).read_bytes()


def test_the_cover_of_an_album_does_not_make_a_clip(folder: Path) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 16, 16, "rgb24", av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert receive(folder, file.getvalue(), SMALL).kind == "audio"


def test_one_name_is_never_used_twice(folder: Path) -> None:
    content = picture()
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: receive(folder, content, name="same.png"), range(40)))
    assert len({one.path for one in taken}) == 40 == len(list(folder.iterdir()))


# -- refused --------------------------------------------------------------------------------------------------------------

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
REFUSED = {
    "empty": (b"", "is an empty file"), "text": (b"do re mi", "is a text file"), "svg": (SVG, "is a text file"),
    "html": (b"<!doctype html><script>alert(1)</script>", "is a text file"), "pdf": (b"%PDF-1.7\n\x00\x01\x02" * 90, "a PDF document"),
    "zip": (b"PK\x03\x04" + bytes(500), "a ZIP archive"), "midi": (b"MThd\0\0\0\6\0\0\0\1\0\x60", "MIDI"),
    "program": (b"\x7fELF" + bytes(500), "a program"), "zeros": (bytes(5000), "damaged, or of a format unknown here"),
    "playlist": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "is a text file"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n\x00\x01", "damaged, or of a format unknown here"),
    "cut picture": (picture((90, 90), "JPEG")[:400], "begins as a JPEG picture and is damaged"),
    "damaged heic": (b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf\0\0\0\x08meta", "begins as a HEIC picture and is damaged"),
    "thin picture": (b"P5 1 40000 255\n\x80", "a side may have 32768"), "click": (sound(0.05), "0.050 s long, too short to be heard"),
    "65 channels": (sound(channels=65), "has 65 channels; give a recording of 1 to 64"),
    "no known codec": (sound()[:20] + b"\x34\x12" + sound()[22:], "holds sound of a kind unknown here"),
    "half a picture": (picture((300, 300), "PNG")[:300], "is damaged"),
    "header of a wav": (sound()[:44], "no sound"), "cut clip": (clip()[:300], "damaged"),
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_what_is_no_medium_is_refused_in_one_sentence(given: tuple[bytes, str], folder: Path, tmp_path: Path) -> None:
    content, words = given
    assert words in refusal(folder, content)
    (tmp_path / "my file.wav").write_bytes(content)
    assert words in refusal(folder, tmp_path / "my file.wav")


@pytest.mark.parametrize("seed", range(12))
def test_random_bytes_are_refused(seed: int, folder: Path) -> None:
    refusal(folder, np.random.default_rng(seed).bytes(20_000 + seed))


@pytest.mark.parametrize("name", ["wav", "flac", "ogg", "mp3", "m4a", "png", "jpg", "gif", "mp4", "webm", "animated webp"])
def test_damage_is_refused_or_survived_but_never_another_error(name: str, folder: Path) -> None:
    rng, content = np.random.default_rng(5), TAKEN[name][0]()
    for _ in range(12):
        broken = bytearray(content[: int(rng.integers(20, len(content)))])
        for place in rng.integers(0, len(broken), 6):
            broken[place] = int(rng.integers(256))
        try:
            receive(folder, bytes(broken), SMALL, name="broken")
        except ValueError as error:
            assert str(folder) not in str(error) and "broken" in str(error)


def test_too_large_is_told_with_both_sizes(folder: Path, tmp_path: Path) -> None:
    said = "my file.wav has 3.0 MB, at most 2 MB are taken; send a shorter or smaller one."
    assert refusal(folder, bytes(3_000_000)) == said
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(3_000_000)
    assert refusal(folder, tmp_path / "sparse") == said
    assert receive(folder, sound(10), SMALL).seconds == 10


@pytest.mark.parametrize("made", [
    lambda: sound(21), lambda: sound(21, kind="FLAC"), lambda: sound(21, 16000, kind="MP3", subtype="MPEG_LAYER_III"),
    lambda: sound(21, kind="OGG", subtype="VORBIS"), lambda: spoken_sound("webm", "libopus", 21), lambda: spoken_sound("mp4", "aac", 21)])
def test_a_long_recording_is_refused(made: Callable[[], bytes], folder: Path) -> None:
    assert refusal(folder, made()) == "my file.wav is longer than 20 seconds, the most that is taken; cut it."


@pytest.mark.parametrize("made", [lambda: clip(4), lambda: clip(4, "webm", "libvpx"), lambda: picture(kind="GIF", frames=9)])
def test_a_long_clip_is_refused(made: Callable[[], bytes], folder: Path) -> None:
    assert refusal(folder, made()) == "my file.wav is longer than 3 seconds, the most that is taken; cut it."


def test_all_links_of_a_chained_ogg_count(folder: Path) -> None:
    link = sound(11, kind="OGG", subtype="VORBIS")
    assert receive(folder, link, SMALL).seconds == pytest.approx(11, abs=0.1)
    assert "is longer than 20 seconds" in _refused_later(folder, link + link)


def _refused_later(folder: Path, content: bytes) -> str:
    with pytest.raises(ValueError) as caught:
        receive(folder, content, SMALL, name="radio.ogg")
    return str(caught.value)


def test_a_wav_whose_sizes_were_never_written_is_taken_with_its_true_length(folder: Path) -> None:
    content = sound(2)
    place = content.index(b"data") + 4
    content = content[:4] + bytes(4) + content[8:place] + bytes(4) + content[place + 4 :]
    assert receive(folder, content, SMALL).seconds == 2
    assert "is longer than 20 seconds" in _refused_later(folder, content + bytes(20 * 16000))


def lying_flac() -> bytes:
    """30 seconds whose header says one."""
    content = bytearray(sound(30, kind="FLAC"))
    field = int.from_bytes(content[18:26], "big")  # rate, channels, bits, and 36 bits of samples
    content[18:26] = ((field >> 36 << 36) | 8000).to_bytes(8, "big")
    return bytes(content)


def lying_mp4() -> bytes:
    """A clip of four seconds whose every header says a tenth of one."""
    content = bytearray(clip(4))
    for box, at in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        place = content.index(box) + at
        content[place : place + 4] = struct.pack(">I", 100)
    return bytes(content)


def lying_mp3() -> bytes:
    """30 seconds whose first frame says that there are three frames."""
    content = bytearray(sound(30, 16000, kind="MP3", subtype="MPEG_LAYER_III"))
    place = max(content.find(b"Xing"), content.find(b"Info"))
    assert place > 0
    content[place + 8 : place + 12] = struct.pack(">I", 3)
    return bytes(content)


@pytest.mark.parametrize("made", [lying_flac, lying_mp4, lying_mp3])
def test_a_header_that_lies_about_the_length_is_caught(made: Callable[[], bytes], folder: Path) -> None:
    assert "is longer than" in refusal(folder, made())


@pytest.mark.parametrize("announced", [0xFFFFFFFF, 0xFFFFFEFF, 0xF0000000, 50_000])
def test_no_upload_passes_for_a_piece_under_way(folder: Path, announced: int) -> None:
    """A wav file whose header promises more than there is; only what it says of its length is changed."""
    content = sound()
    taken = receive(folder, content[:4] + struct.pack("<I", announced) + content[8:], SMALL)
    assert taken.path.read_bytes() == content and taken.seconds == 1
    assert not is_growing(taken.path) and final_size(taken.path) == len(content)


def test_what_follows_the_sound_of_a_file_is_kept_as_it_came(folder: Path) -> None:
    content = sound() + b"what another program wrote"
    assert receive(folder, content, SMALL).path.read_bytes() == content


def test_silence_that_decodes_to_gigabytes_is_refused(folder: Path) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((15 * 96000, 2), np.int16), 96000, format="FLAC")
    assert len(file.getvalue()) < 60_000
    assert "2 channels at 96000 Hz, 2.9 million samples, at most 2.0 million are taken" in refusal(folder, file.getvalue())


def bomb() -> bytes:
    """A PNG of 40 000 x 40 000 pixels in a few bytes."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


def test_too_many_pixels_are_refused_before_they_are_made(folder: Path) -> None:
    assert "too many pixels, at most 0.1 million are taken" in refusal(folder, bomb())
    assert "400 x 300 pixels, at most 0.1 million are taken; make it smaller" in refusal(folder, picture((400, 300)))
    assert "400 x 300 pixels" in refusal(folder, clip(size=(400, 300)))
    assert "pixels" in refusal(folder, b"P5 20000 10000 255\n\x80")


def test_links_pipes_sockets_and_folders_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.png").write_bytes(picture())
    (tmp_path / "link").symlink_to(tmp_path / "secret.png")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the address of a socket may be no longer than a hundred letters
        server.bind("socket")
        for special in (tmp_path / "link", tmp_path / "pipe", tmp_path / "socket", tmp_path, Path("/dev/zero")):
            assert "is not a plain file" in refusal(folder, special)
    assert "has not arrived; send it again" in refusal(folder, tmp_path / "nothing")
    assert "is not a plain file" in refusal(folder, Path("a\0b"))


# -- names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "shown"), [
    ("../../../etc/passwd", "passwd"), ("C:\\Users\\me\\song.mp3", "song.mp3"), ("/", "the file"), ("", "the file"), ("..", "the file"),
    (".htaccess", "htaccess"), ("a\nb\x00c\x1b[31m.wav", "a b c [31m.wav"), ("evil\u202egnp.exe", "evil gnp.exe"),
    ("Lied für Elise ♪.ogg", "Lied für Elise ♪.ogg"),
    ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"), ("-rf", "-rf"), ("a  b.wav", "a b.wav")])
def test_a_name_to_show_is_one_line_without_folders(given: str, shown: str) -> None:
    assert display_name(given) == shown


def test_a_long_name_keeps_its_suffix() -> None:
    shown = display_name("x" * 5000 + ".flac")
    assert len(shown) <= 80 and shown.endswith("….flac") and len(display_name("y" * 5000)) == 80


def test_paths_in_later_errors_become_the_users_names(folder: Path) -> None:
    taken = Upload("audio", folder / "ab12.wav", 1.0, "song.wav")
    said = without_paths(f"{taken.path} holds no sound; give a recording.", [taken])
    assert said == "song.wav holds no sound; give a recording."
