"""Filters: each with a made signal, and the published rule beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from DataSet.pipeline import filters
from DataSet.pipeline.filters import FilterOptions, FilterStep, sound_reason, speech_detector
from DataSet.pipeline.item import Item
from DataSet.pipeline.music_judge import SECONDS, says_music, windows
from DataSet.pipeline.published_rule import published_rule
from DataSet.pipeline.step import Outcome, Rejection, StepInput
from llama.media.audio import Waveform

RATE = 16_000
NO_SPEECH = FilterOptions(max_speech=None)


def noise(seconds: float = 4.0, rms: float = 0.1, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, rms, (1, round(seconds * RATE))).astype(np.float32)).clamp(-1, 1)


def rule(samples: torch.Tensor, clipped: float = 0.0, options: FilterOptions = NO_SPEECH) -> str | None:
    reason = sound_reason(Waveform(samples, RATE), clipped, "song.mp3", options)
    assert reason is None or (reason.why.startswith("song.mp3") or "of song.mp3" in reason.why) and reason.why.endswith(".")
    return reason.rule if reason else None


def run(folder: Path, values: dict[str, Any], options: FilterOptions = NO_SPEECH) -> Outcome:
    segment = {"image": None, "audio": None, "clipped": 0.0, **values}
    return FilterStep(folder, options)([StepInput(Item("test", "song", {}), {"segment": segment})])[0]


def test_sound_by_its_samples() -> None:
    mostly_silent = torch.cat([noise(1), torch.zeros(1, 9 * RATE)], 1)
    assert rule(noise()) is None
    assert rule(noise(1.0)) == "too short"
    assert rule(torch.zeros(1, 4 * RATE)) == "silent"
    assert rule(noise(rms=1e-4)) == "silent"
    assert rule(mostly_silent) == "silent"
    assert rule(torch.full((1, 4 * RATE), 0.3)) == "constant"
    assert rule(noise(rms=0.01) + 0.2) == "constant"
    assert rule(noise(), clipped=0.05) == "clipped"
    assert rule(torch.cat([noise(), torch.zeros(1, 4 * RATE)])) is None  # one channel silent


def test_unreadable_and_grey(tmp_path: Path) -> None:
    (tmp_path / "broken.flac").write_bytes(b"fLaC" + bytes(50))
    Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "fade.jpg")
    Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))).save(tmp_path / "picture.jpg")
    for values, expected in (({"audio": "broken.flac"}, "unreadable"), ({"image": "fade.jpg"}, "grey")):
        outcome = run(tmp_path, values)
        assert isinstance(outcome, Rejection) and outcome.rule == expected
    assert run(tmp_path, {"image": "picture.jpg"}) == {"speech": None, "music": None}


def test_nothing_is_deleted(tmp_path: Path) -> None:
    Waveform(torch.zeros(1, 4 * RATE), RATE).write(tmp_path / "silence.flac")
    outcome = run(tmp_path, {"audio": "silence.flac"})
    assert isinstance(outcome, Rejection) and (tmp_path / "silence.flac").exists()


def test_speech_is_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on a share that the detector gives: a song with a verse stays, a talk does not."""
    Waveform(noise(), RATE).write(tmp_path / "song.flac")
    for share, kept in ((0.0, True), (0.6, True), (0.95, False)):
        monkeypatch.setattr(filters, "speech_detector", lambda share=share: lambda wave: share)
        outcome = run(tmp_path, {"audio": "song.flac"}, FilterOptions())
        assert (outcome == {"speech": share, "music": None}) if kept else (isinstance(outcome, Rejection) and outcome.rule == "speech")


def test_silero_hears_no_speech_in_music_and_much_in_a_voice() -> None:
    detect = speech_detector()
    music = Waveform.read(Path(__file__).parents[3] / "assets/examples/piano_waltz.flac").mono()
    assert detect(music) < 0.1
    assert detect(Waveform(synthetic_voice(), RATE)) > 0.5


def synthetic_voice(seconds: float = 4.0) -> torch.Tensor:
    """Syllables of a buzz through the formants of vowels, with a falling pitch and pauses."""
    rng = np.random.default_rng(3)
    parts: list[np.ndarray] = []
    formants = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
    while sum(len(part) for part in parts) < seconds * RATE:
        length = int(rng.uniform(0.12, 0.28) * RATE)
        times = np.arange(length) / RATE
        pitch = rng.uniform(105, 150) * (1 - 0.3 * times / times[-1])
        phase, vowel = np.cumsum(pitch) / RATE * 2 * np.pi, formants[rng.integers(len(formants))]
        sound = np.zeros(length)
        for harmonic in range(1, 30):
            frequency = harmonic * pitch.mean()
            gain = sum(1 / (1 + ((frequency - centre) / (60 + 0.05 * centre)) ** 2) for centre in vowel) / harmonic**0.5
            sound += gain * np.sin(harmonic * phase)
        burst = rng.normal(0, 0.3, int(0.03 * RATE)) * np.linspace(1, 0, int(0.03 * RATE))
        parts += [burst, sound * np.abs(np.sin(np.pi * times / times[-1])) ** 0.5, np.zeros(int(rng.uniform(0, 0.05) * RATE))]
    voice = np.concatenate(parts)[: round(seconds * RATE)]
    return torch.from_numpy((0.3 * voice / np.abs(voice).max()).astype(np.float32))[None]


def test_a_missing_detector_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(ImportError, match=r'pip install "\.\[data\]"'):
        speech_detector()


def test_the_embedded_model_judges(tmp_path: Path) -> None:
    model = str(Path(__file__).parents[3] / "ckpts/nano")
    Waveform(noise(rms=0.2), RATE).write(tmp_path / "hiss.flac")
    song = Waveform.read(Path(__file__).parents[3] / "assets/examples/flute_ballad.flac")
    song.write(tmp_path / "song.flac")
    step = FilterStep(tmp_path, FilterOptions(max_speech=None, music_model=model))
    names = ("hiss.flac", "song.flac")
    hiss, kept = step([StepInput(Item("test", name, {}), {"segment": {"image": None, "audio": name, "clipped": 0.0}}) for name in names])
    assert isinstance(hiss, Rejection) and hiss.rule == "not music" and kept == {"speech": None, "music": 1.0}


def test_answers_and_windows_of_the_judge() -> None:
    assert says_music("It is music. A waltz in G major, without drums, about 120 beats per minute.")
    for answer in ("This is only noise: there is no music in it.", "No, it is a voice.", "It is not music.", "This is only silence."):
        assert not says_music(answer)
    assert [round(window.seconds, 3) for window in windows(Waveform(noise(25), RATE))] == [SECONDS] * 3
    assert len(windows(Waveform(noise(4), RATE))) == 1 and len(windows(Waveform(noise(12), RATE))) == 2


def test_the_published_rule_keeps_hiss_and_rejects_loud_music() -> None:
    loud, hiss, quiet_music = (Waveform(noise(rms=rms), RATE) for rms in (0.35, 0.02, 0.1))
    assert published_rule(loud).snr_db == pytest.approx(9.1, abs=0.15) and not published_rule(loud).keeps
    assert published_rule(hiss).snr_db == pytest.approx(34, abs=0.1) and published_rule(hiss).keeps
    assert published_rule(quiet_music).keeps
    for wave in (loud, hiss, quiet_music):
        verdict = published_rule(wave, "parallel")
        assert 5 < verdict.snr_db < 7 and not verdict.keeps
    assert published_rule(Waveform(torch.zeros(1, RATE), RATE)).snr_db == np.inf
    assert not published_rule(Waveform(torch.zeros(1, RATE), RATE), "parallel").keeps
    assert not published_rule(quiet_music, speech_share=lambda wave: 0.05).keeps  # singing goes


def test_options_are_checked_and_digested(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_speech is 1.5; give a share from 0 to 1"):
        FilterOptions(max_speech=1.5)
    assert FilterStep(tmp_path, NO_SPEECH).spec.digest != FilterStep(tmp_path, FilterOptions(max_speech=None, shortest=3.0)).spec.digest
