"""Paths that a user gives as media: only files are read, and what is not one is named."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from llama.media.audio import Waveform
from llama.media.containers import existing_file
from llama.media.image import load_image


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.wav")
    return tmp_path / "pipe.wav"


def test_a_pipe_is_refused_without_waiting_for_its_writer(pipe: Path) -> None:
    for read in (existing_file, Waveform.read, load_image):
        with pytest.raises(ValueError, match=r"pipe\.wav is a pipe, not a file; save .* to a file"):
            read(pipe)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused_before_it_fills_the_memory(device: str) -> None:
    with pytest.raises(ValueError, match=f"{device} is a terminal or another device, not a file"):
        existing_file(device)


def test_a_link_to_a_pipe_is_a_pipe(pipe: Path, tmp_path: Path) -> None:
    link = tmp_path / "song.wav"
    link.symlink_to(pipe)
    with pytest.raises(ValueError, match=r"song\.wav is a pipe"):
        existing_file(link)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a.wav")
        with pytest.raises(ValueError, match=r"a\.wav is a socket"):
            existing_file("a.wav")


def test_the_standard_input_is_refused_by_its_usual_name() -> None:
    with pytest.raises(FileNotFoundError, match="^- stands for the standard input, which is not read; save"):
        existing_file("-")


@pytest.mark.parametrize("name", ["none.wav", "a\0b.wav", "n" * 300, "caf\udce9.wav", __file__ + "/song.wav"])
def test_a_name_without_a_file(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="^There is no file .*; check the name"):
        existing_file(name)


def test_a_name_of_any_length_is_quoted_short() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        existing_file("a" * 100_000)
    assert len(str(caught.value)) < 300


def test_a_loop_of_links_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        existing_file(tmp_path / "a")


def test_names_that_are_no_text_are_read_and_written(tmp_path: Path) -> None:
    """A disk of another system holds names in another encoding; Python hands them on as surrogates."""
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    folder.mkdir()
    sound = Waveform(torch.linspace(-0.5, 0.5, 800)[None], 8000)
    for suffix in (".wav", ".mp3"):
        file = folder / (os.fsdecode(b"caf\xe9") + suffix)
        sound.write(file)
        assert Waveform.read(file).sample_rate == 8000
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    assert load_image(folder / "a.png").size == (8, 8)


def test_a_clip_whose_name_is_no_text_is_opened(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.m4a")
    with av.open(str(file), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert Waveform.read(file).sample_rate == 16000
