"""A take as files: the same sound in each, whole or not at all, saying what it is; and the header of a stream."""

from __future__ import annotations

import io
from pathlib import Path

import av
import mido
import numpy as np
import pytest
import soundfile
import torch

from demo.service.audio_files import pcm, take_tags, wav_header, write
from llama.media.audio import Waveform
from llama.media.score import Attributes, Chord, Note, Score

TITLE = "A sad waltz — \u97f3\u697d\nwith a <b>harp</b>"


@pytest.fixture()
def music() -> Waveform:
    """2 s of two different tones, one loud enough to be cut."""
    time = torch.arange(64_000) / 32_000
    return Waveform(torch.stack([1.2 * torch.sin(2 * torch.pi * 220 * time), 0.3 * torch.sin(2 * torch.pi * 330 * time)]), 32_000)


@pytest.fixture()
def score() -> Score:
    attributes = Attributes("harp", "strings", "waltz", 120, "minor", 3, False, 9)
    return Score(attributes, 2.0, (Note(0.0, 0.5, 69, 90), Note(0.5, 0.5, 72, 90)), (), (Note(0.0, 1.4, 33, 80),), (),
                 (Chord(0.0, 1.5, 9, "minor"),))  # fmt: skip


def test_every_kind_is_a_file_of_the_same_sound(music: Waveform, score: Score, tmp_path: Path) -> None:
    made = write(music, score, tmp_path, "take")
    assert {kind: path.name for kind, path in made.items()} == {kind: f"take.{kind}" for kind in ("wav", "flac", "mp3", "mid")}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in made.values())
    wav, rate = soundfile.read(made["wav"], dtype="int16")
    assert rate == 32_000 and np.array_equal(wav, soundfile.read(made["flac"], dtype="int16")[0])
    assert abs(wav / 32768 - music.samples.clamp(-1, 1).T.numpy()).max() <= 1 / 32768
    mp3, rate = soundfile.read(made["mp3"])
    assert rate == 32_000 and mp3.shape == wav.shape
    assert abs(mp3[4000:-4000] - wav[4000:-4000] / 32768).max() < 0.05


def test_the_files_say_what_they_are(music: Waveform, score: Score, tmp_path: Path) -> None:
    made = write(music, score, tmp_path, "take", title=TITLE, seed=7)
    for kind in ("wav", "flac", "mp3"):
        with soundfile.SoundFile(made[kind]) as file:
            assert file.title == "A sad waltz — \u97f3\u697d with a <b>harp</b>", kind
            assert (file.artist, file.comment) == ("MuMu-LLaMA", "made by MuMu-LLaMA, seed 7"), kind
    with av.open(str(made["mp3"])) as file:  # another reader
        assert file.metadata["title"] == "A sad waltz — \u97f3\u697d with a <b>harp</b>"
        assert file.metadata["comment"] == "made by MuMu-LLaMA, seed 7"
    notes = mido.MidiFile(made["mid"], charset="utf-8")
    texts = [message.text for message in notes.tracks[0] if message.type == "text"]
    assert texts[:2] == ["A sad waltz — \u97f3\u697d with a <b>harp</b>", "made by MuMu-LLaMA, seed 7"]
    assert texts[2].startswith("MuMu-LLaMA score: style=waltz ") and texts[3:] == ["Am"]  # what reads it back, and its chords
    assert notes.tracks[0].name == "Waltz in A minor" and notes.length == pytest.approx(2.0, abs=0.01)


def test_a_take_without_notes_has_no_midi(music: Waveform, tmp_path: Path) -> None:
    assert list(write(music, None, tmp_path, "take", ("mid", "wav"))) == ["wav"]


def test_mp3_of_a_rate_and_channels_that_it_does_not_know(tmp_path: Path) -> None:
    music = Waveform(torch.zeros(6, 9000), 9000)
    with soundfile.SoundFile(write(music, None, tmp_path, "take", ("mp3",))["mp3"]) as file:
        assert (file.samplerate, file.channels) == (11025, 1)
        assert file.frames == pytest.approx(11025, abs=1)


def test_what_cannot_be_written_leaves_nothing(music: Waveform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'aiff'; choose from wav, flac, mp3, mid"):
        write(music, None, tmp_path, "take", ("wav", "aiff"))
    with pytest.raises(FileNotFoundError, match="the folder does not exist"):
        write(music, None, tmp_path / "none", "take")

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write(music, None, tmp_path, "take", ("wav",))
    assert list(tmp_path.iterdir()) == []


def test_a_stream_is_the_file_to_the_byte(music: Waveform, tmp_path: Path) -> None:
    tags = take_tags("Waltz", 7)
    parts = [Waveform(part.contiguous(), 32_000) for part in music.samples.split(9999, dim=1)]
    stream = wav_header(2.0, 32_000, 2, tags=tags) + b"".join(pcm(part) for part in parts)
    assert stream == write(music, None, tmp_path, "take", ("wav",), title="Waltz", seed=7)["wav"].read_bytes()
    assert soundfile.info(io.BytesIO(stream)).frames == 64_000


def test_a_header_of_an_impossible_length_is_refused() -> None:
    assert len(wav_header(1.0, 32_000, 1)) == 44
    for seconds, rate, channels in ((0.0, 32_000, 1), (-1.0, 32_000, 1), (1e6, 48_000, 2), (1.0, 0, 1), (1.0, 32_000, 0)):
        with pytest.raises(ValueError, match="is not possible"):
            wav_header(seconds, rate, channels)
