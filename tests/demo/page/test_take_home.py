"""The take-home menu of a piece: every form under a name that says what is inside, with its purpose and its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from DataSet.synthesis.composer import compose
from demo.page.take_home import take_home
from demo.service.audio_files import write
from demo.service.exports import EXPORT_FORMATS
from llama import Waveform
from llama.media.score import Attributes, Score
from tests.scripted_engine import SCORE as BARLESS

SCORE = compose(np.random.default_rng(5), Attributes("harp", "strings", "waltz", 120, "minor", 3, False, 9), 20.0)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    music = Waveform(torch.zeros(2, 320_000), 32_000)
    return write(music, None, tmp_path, "a1", ("wav",), title="<b>A sad waltz</b>", seed=7)["wav"]


def forms(sound: Path, score: Score | None) -> list[str]:
    return [download["form"] for download in take_home("token", sound, score)]


def test_a_piece_with_notes_can_be_had_in_every_form(sound: Path) -> None:
    downloads = take_home("token", sound, SCORE)
    assert sorted(download["form"] for download in downloads) == sorted(["wav", *EXPORT_FORMATS])
    names = {download["form"]: download["name"] for download in downloads}
    stem = "sad-waltz-harp-120bpm-A-minor"
    assert names == {
        "wav": f"{stem}.wav", "mp3": f"{stem}.mp3", "flac": f"{stem}.flac", "all": f"{stem}.zip", "midi": f"{stem}.mid",
        "musicxml": f"{stem}.musicxml", "chords": f"{stem}-chords.txt", "stems": f"{stem}-stems.zip", "loop": f"{stem}-bars-1-8.wav",
    }  # fmt: skip
    hints = {download["form"]: download["hint"] for download in downloads}
    assert hints["wav"] == "for every editor, 1.3 MB" and hints["stems"].startswith("3 parts")
    assert hints["loop"].startswith("the first 8 bars")
    assert all(hints.values()) and {download["url"].split("/")[0] for download in downloads} == {"media"}


def test_a_piece_of_sound_has_no_notes_to_take_home(sound: Path) -> None:
    assert forms(sound, None) == ["wav", "mp3", "flac", "all"]
    assert {download["name"].split(".")[0] for download in take_home("token", sound, None)} == {"b-a-sad-waltz-b"}


def test_a_piece_whose_bars_are_unknown_has_no_loop(sound: Path) -> None:
    assert "loop" not in forms(sound, BARLESS) and "midi" in forms(sound, BARLESS)
