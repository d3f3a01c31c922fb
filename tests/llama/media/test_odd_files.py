"""Odd files of other projects' tests: each ends in an answer or in one sentence.

SciPy's are there where SciPy is installed. ODD_MEDIA names a folder of more, such as the unpacked source archive of mutagen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import scipy.io

from llama.media.audio import Waveform
from llama.media.image import load_image
from llama.media.video import load_frames

SCIPY = Path(scipy.io.__file__).parent / "tests" / "data"
MAX_SECONDS = 5.0
READERS: dict[str, Callable[[Path], object]] = {
    "sound": Waveform.read, "picture": load_image, "clip": lambda file: load_frames(file, 4)}  # fmt: skip


def odd_files() -> Iterator[Path]:
    yield from sorted(SCIPY.glob("*.wav"))
    folder = os.environ.get("ODD_MEDIA")
    yield from sorted(file for file in Path(folder).rglob("*") if file.is_file()) if folder else ()


@pytest.mark.parametrize("file", odd_files(), ids=lambda file: file.name)
def test_an_odd_file_is_read_or_refused_in_one_sentence(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for reader in READERS.values():
        begin = time.process_time()
        try:
            reader(file)
        except ValueError as error:
            assert type(error) is ValueError
            text = str(error)
            assert str(file) in text and text.endswith(".") and ";" in text and "\n" not in text and "Errno" not in text, text
        assert time.process_time() - begin < MAX_SECONDS
    assert capfd.readouterr() == ("", ""), "a library prints"


@pytest.mark.skipif(not SCIPY.is_dir(), reason="SciPy is installed without its tests")
@pytest.mark.parametrize(("name", "shape"), [
    ("test-44100Hz-le-1ch-4bytes-rf64.wav", (1, 4410)), ("test-8000Hz-be-3ch-5S-24bit.wav", (3, 5)),
    ("test-8000Hz-le-2ch-1byteu.wav", (2, 800)), ("test-8000Hz-le-1ch-1byte-ulaw.wav", (1, 9)),
    ("test-48000Hz-2ch-64bit-float-le-wavex.wav", (2, 480)), ("test-44100Hz-2ch-32bit-float-be.wav", (2, 441))])  # fmt: skip
def test_the_whole_ones_are_read(name: str, shape: tuple[int, int]) -> None:
    assert Waveform.read(SCIPY / name).samples.shape == shape
