"""Folders of songs as people have them: every sound is taken, names of any system are found, and what is left out is named."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from unicodedata import normalize

import av
import numpy as np
import pytest
from test_json_lists import song

from llama.data.audio_folder import read_audio_folder
from llama.data.examples import ExampleList
from llama.data.json_lists import read_source
from llama.data.source import Source
from llama.media.audio import Waveform

WORDS = "A rock song."


def quiet(folder: Path) -> ExampleList:
    """The examples of a folder of which nothing is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_audio_folder(folder)


def songs_of(examples: ExampleList) -> list[str]:
    return [record.file for record in examples.records if record.file]


def encoded(path: Path, codec: str, container_format: str | None = None, rate: int = 44100) -> Path:
    """A short sound in any of FFmpeg's codecs and containers."""
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono", bit_rate=64_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="mono")
        frame.sample_rate = rate
        size = 2048 if codec == "wmav2" else 1024
        for converted in av.AudioResampler(stream.codec_context.format.name, "mono", rate, size).resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def test_a_folder_with_the_suffix_of_a_song_is_a_folder(tmp_path: Path) -> None:
    song(tmp_path / "Artist - Album (2001).flac" / "01.mp3").with_suffix(".txt").write_text(WORDS)
    assert songs_of(quiet(tmp_path)) == ["Artist - Album (2001).flac/01.mp3"]


CODECS = [("a.aiff", "pcm_s16be"), ("a.aac", "aac"), ("a.wma", "wmav2"), ("a.caf", "pcm_s16le"), ("a.au", "pcm_s16be"), ("a.mka", "flac"),
          ("a.mp4", "aac"), ("a.AIFF", "pcm_s16be")]  # fmt: skip


@pytest.mark.parametrize(("name", "codec"), CODECS)
def test_everything_that_can_be_heard_is_taken(name: str, codec: str, tmp_path: Path) -> None:
    encoded(tmp_path / name, codec, "aiff" if name == "a.AIFF" else None).with_suffix(".txt").write_text(WORDS)
    examples = quiet(tmp_path)
    assert songs_of(examples) == [name]
    assert examples[0].audio is not None and Waveform.read(examples[0].audio.open()).sample_rate == 44100


def test_sound_without_a_suffix_is_taken(tmp_path: Path) -> None:
    encoded(tmp_path / "track", "flac", "flac")
    (tmp_path / "track.txt").write_text(WORDS)
    assert songs_of(quiet(tmp_path)) == ["track"]


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    song(tmp_path / "a.wav").with_suffix(".txt").write_text(WORDS)
    (tmp_path / "b.flac").symlink_to(tmp_path / "none")
    (tmp_path / "c.mp3").symlink_to(tmp_path / "c.mp3")
    with pytest.warns(UserWarning) as told:
        assert songs_of(read_audio_folder(tmp_path)) == ["a.wav"]
    links = "b.flac (a link to nowhere), c.mp3 (a link to nowhere)"
    assert [str(warning.message) for warning in told] == [f"{tmp_path}: 2 files left out: {links}."]
    (tmp_path / "b.flac").unlink()
    (tmp_path / "c.mp3").unlink()
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    contents = {"b.jpg": b"\xff\xd8\xff\xe0", "c.cue": b"TRACK 01", "d.xyz": bytes(range(128, 256)) * 20, "e.txt": b"words"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "f").symlink_to(outside)
    with pytest.warns(UserWarning, match=r"5 files left out: b\.jpg \(a JPEG picture\), c\.cue \(a text\), d\.xyz \(no sound\), \.\.\.\.$"):
        read_audio_folder(tmp_path)
    for name in ("b.jpg", "c.cue", "d.xyz"):
        (tmp_path / name).unlink()
    with pytest.warns(UserWarning, match=r"2 files left out: f \(a link to a folder\), e\.txt \(no song of this name\)\.$"):
        read_audio_folder(tmp_path)


def test_a_folder_without_songs_says_what_it_has(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"holds no songs; put wav, flac.* files into it \(1 file left out: a\.wav \(a pipe\)\)\."):
        read_audio_folder(tmp_path)


def test_hidden_folders_and_files_are_passed_over(tmp_path: Path) -> None:
    song(tmp_path / "a.wav").with_suffix(".txt").write_text(WORDS)
    song(tmp_path / ".trash" / "b.wav")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    assert songs_of(quiet(tmp_path)) == ["a.wav"]


NAMES = [("Cafe\u0301.mp3", "Caf\u00e9.txt"), ("Caf\u00e9.mp3", "Cafe\u0301.TXT"), ("b.mp3", "b.TXT"), ("b.MP3", "b.Txt")]


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_the_text_beside_a_song_is_found_by_its_name(name: str, text: str, tmp_path: Path) -> None:
    song(tmp_path / "x.mp3").rename(tmp_path / name)
    (tmp_path / text).write_text(WORDS)
    assert quiet(tmp_path)[0].answer == WORDS


def test_the_text_of_the_very_name_comes_first(tmp_path: Path) -> None:
    for name, words in (("a.TXT", "other"), ("a.txt", WORDS), ("A.txt", "of another song")):
        (tmp_path / name).write_text(words)
    song(tmp_path / "a.wav")
    with pytest.warns(UserWarning, match=r"2 files left out: A\.txt \(no song of this name\), a\.TXT"):
        assert read_audio_folder(tmp_path)[0].answer == WORDS


def test_songs_whose_names_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    song(tmp_path / "x.wav").rename(tmp_path / name)
    (tmp_path / name).with_suffix(".txt").write_text(WORDS)
    example = quiet(tmp_path)[0]
    assert example.source.endswith("caf\\udce9.wav") and example.audio is not None
    assert Waveform.read(example.audio.open()).seconds == 0.2


@pytest.mark.parametrize(("listed", "there"), [
    ("sub\\a.wav", "sub/a.wav"), ("sub/a.wav", "sub/a.wav"), ("sub\\a.wav", "sub\\a.wav"), ("Caf\u00e9.wav", "Cafe\u0301.wav"),
    ("Cafe\u0301.wav", "Caf\u00e9.wav"), ("sub\\Caf\u00e9.wav", "sub/Cafe\u0301.wav")])  # fmt: skip
def test_lists_of_other_systems_find_their_files(listed: str, there: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    song(tmp_path / "x.wav").rename(tmp_path / there)
    (tmp_path / "list.json").write_text(f'{{"{listed}": "words"}}'.replace("\\", "\\\\"), encoding="utf-8")
    (example,) = read_source(Source("captions", str(tmp_path / "list.json")), 1)
    assert example.audio is not None and example.audio.open() == tmp_path / there


def test_a_missing_file_is_told_by_the_name_in_the_list(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('{"sub\\\\Caf\u00e9.wav": "words"}', encoding="utf-8")
    (example,) = read_source(Source("captions", str(tmp_path / "list.json")), 1)
    assert example.audio is not None and normalize("NFC", str(example.audio.path)).endswith("sub\\Caf\u00e9.wav")
    with pytest.raises(FileNotFoundError, match="no such file"):
        example.audio.open()


def test_an_empty_file_and_a_text_are_no_songs_whatever_their_names_say(tmp_path: Path) -> None:
    song(tmp_path / "a.wav").with_suffix(".txt").write_text(WORDS)
    (tmp_path / "b.wav").touch()
    (tmp_path / "c.mp3").write_text("to be downloaded")
    with pytest.warns(UserWarning, match=r"2 files left out: b\.wav \(an empty file\), c\.mp3 \(a text\)\.$"):
        assert songs_of(read_audio_folder(tmp_path)) == ["a.wav"]


def test_a_song_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    path = song(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"a\.wav is a file, not a folder of songs; give the folder that it lies in\."):
        read_audio_folder(path)
