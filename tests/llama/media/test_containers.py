"""The table of media formats, and what derives from it."""

from __future__ import annotations

import os
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest

from demo.server.media_routes import CONTENT_TYPES
from demo.service import media_probe
from demo.service.audio_files import FORMATS
from demo.service.exports import EXPORT_FORMATS
from llama.data import formats
from llama.media.audio import WRITTEN_FORMATS
from llama.media.containers import DOWNLOAD, MEDIA_FORMATS, ContentReader
from llama.media.demuxer import CONTAINERS
from llama.media.image import PICTURES

AUDIO, IMAGE, VIDEO = (
    {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff"},
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"},
    {".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v", ".gif"},
)


def test_each_kind_and_suffix_stands_once() -> None:
    assert max(Counter((item.kind, item.suffix) for item in MEDIA_FORMATS).values()) == 1
    assert max(Counter(name for item in MEDIA_FORMATS for name in item.library_names).values()) == 1


def test_a_suffix_has_one_content_type_and_label() -> None:
    for item in MEDIA_FORMATS:
        same = [other for other in MEDIA_FORMATS if other.suffix == item.suffix]
        assert {(other.content_type, other.label) for other in same} == {(item.content_type, item.label)}
        assert item.suffix == item.suffix.lower() and item.suffix.startswith(".")


def test_data_lists_name_these_files() -> None:
    suffixes = {kind: {f".{suffix}" for suffix in names} for kind, names in formats.SUFFIXES.items()}
    assert list(suffixes) == ["audio", "image", "video"] and suffixes == {"audio": AUDIO, "image": IMAGE, "video": VIDEO}


def test_what_is_served_is_no_program() -> None:
    assert CONTENT_TYPES[".mid"] == "audio/midi" and CONTENT_TYPES[".jpg"] == CONTENT_TYPES[".jpeg"] == "image/jpeg"
    assert {kind.split("/")[0] for kind in CONTENT_TYPES.values()} == {"audio", "image", "video", "application"}
    assert {kind for kind in CONTENT_TYPES.values() if kind.startswith("application/")} == {DOWNLOAD}
    assert not {".html", ".svg", ".js", ".xml"} & set(CONTENT_TYPES) and not {kind for kind in CONTENT_TYPES.values() if "svg" in kind}


@pytest.mark.parametrize("name", [*CONTAINERS.split(","), *PICTURES, *("WAV", "AIFF", "AU", "CAF", "FLAC", "OGG", "RF64", "W64")])
def test_every_upload_is_stored_under_a_suffix_that_is_served(name: str) -> None:
    if name in ("m4a", "mp4", "webm", "apng"):  # FFmpeg calls them mov and matroska; an animated PNG is a picture's format
        return
    suffix = media_probe.SUFFIXES.get(name, media_probe.SUFFIXES.get(name.upper()))
    assert suffix is not None and suffix in CONTENT_TYPES


def test_takes_are_written_and_served() -> None:
    assert list(WRITTEN_FORMATS) == [".wav", ".flac", ".ogg", ".mp3"]
    labels = {item.suffix: item.label for item in MEDIA_FORMATS}
    assert [labels[f".{name}"] for name in FORMATS] == ["WAV", "FLAC", "MP3", "MIDI"]
    assert all(kind.label == labels[kind.suffix] for name, kind in EXPORT_FORMATS.items() if name in ("flac", "mp3", "midi"))
    assert all(f".{name}" in CONTENT_TYPES for name in FORMATS) and set(WRITTEN_FORMATS) <= set(CONTENT_TYPES)


def test_names_of_the_libraries() -> None:
    suffixes = media_probe.SUFFIXES
    assert suffixes["WAVEX"] == ".wav" and suffixes["MP3"] == ".mp3" and suffixes["MPO"] == ".jpg" and suffixes["mov"] == ".mp4"
    assert suffixes["matroska"] == ".webm" and suffixes["mpegts"] == ".ts" and suffixes["mpeg"] == ".mpg"
    assert {".audio", ".video"} <= set(CONTENT_TYPES), "what has no suffix of its own"


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_position_before_the_start_is_an_error_of_the_file(tmp_path: Path, in_memory: bool) -> None:
    """Libraries read -1 as one; an exception inside their callback would be printed, or come out as an OSError."""
    (tmp_path / "a").write_bytes(b"abc")
    with BytesIO(b"abc") if in_memory else (tmp_path / "a").open("rb") as file:
        reader = ContentReader(file)
        assert reader.seek(-5) == -1 and reader.seek(-5, os.SEEK_END) in (-1, 0)
        assert reader.seek(1) == 1 and reader.read() == b"bc"
