"""The embedded model, end to end: loading, understanding, following, declining, and music of the exact requested length.

Floors, not targets: far below what the model card measures and far above guessing, so that a broken path shows and a
retrained model passes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import llama
from llama import GenerationOptions, Turn, Waveform

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "assets/examples"
TEMPI = {"violin_swing": 132, "flute_ballad": 72, "piano_waltz": 120, "guitar_rock": 140}


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(ROOT / "ckpts/nano")


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in (ROOT / "ckpts/nano").rglob("*")) < 45e6


def test_it_hears_the_tempo(nano: llama.MuMuLLaMA) -> None:
    turns = [Turn("How fast is it?", audio=EXAMPLES / f"{name}.flac") for name in TEMPI]
    answers = [reply.text for reply in nano.respond(turns, GenerationOptions(music=False))]
    numbers = [[int(word) for word in answer.split() if word.isdigit()] for answer in answers]
    near = [bool(found) and abs(found[0] / tempo - 1) < 0.06 for found, tempo in zip(numbers, TEMPI.values(), strict=True)]
    assert sum(near) >= 3, answers


def test_it_listens_to_what_it_is_given(nano: llama.MuMuLLaMA) -> None:
    """The same question about other recordings, and about none, has other answers."""
    turns = [Turn("How fast is it?", audio=EXAMPLES / f"{name}.flac") for name in TEMPI] + [Turn("How fast is it?")]
    assert len({reply.text for reply in nano.respond(turns, GenerationOptions(music=False))}) >= 4


def test_it_hears_the_mode(nano: llama.MuMuLLaMA) -> None:
    modes = {"piano_waltz": "major", "violin_swing": "major", "flute_ballad": "minor", "guitar_rock": "minor"}
    turns = [Turn("Is this in a major or a minor key?", audio=EXAMPLES / f"{name}.flac") for name in modes]
    answers = [reply.text for reply in nano.respond(turns, GenerationOptions(music=False))]
    assert sum(mode in answer.lower() for mode, answer in zip(modes.values(), answers, strict=True)) >= 3, answers


def test_what_is_no_music_is_called_what_it_is(nano: llama.MuMuLLaMA) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = Waveform(0.1 * torch.randn(1, 8 * 24_000, generator=generator), 24_000)
    silence = Waveform(torch.zeros(1, 8 * 24_000), 24_000)
    turns = [Turn("Which instruments do you hear?", audio=wave) for wave in (noise, silence, EXAMPLES / "piano_waltz.flac")]
    heard = [reply.text.lower() for reply in nano.respond(turns, GenerationOptions(music=False))]
    assert "noise" in heard[0] and ("silen" in heard[1] or "nothing" in heard[1]) and "piano" in heard[2], heard


def test_silence_around_the_music_and_an_inverted_channel_change_nothing(nano: llama.MuMuLLaMA) -> None:
    waltz = Waveform.read(EXAMPLES / "piano_waltz.flac")
    music = waltz.samples[:1, : 8 * waltz.sample_rate]
    silent = torch.nn.functional.pad(music, (30 * waltz.sample_rate, 0))
    waves = [Waveform(samples, waltz.sample_rate) for samples in (music, silent, torch.cat([music, -music]))]
    turns = [Turn("How fast is it?", audio=wave) for wave in waves]
    answers = [reply.text for reply in nano.respond(turns, GenerationOptions(music=False))]
    assert all("120" in answer for answer in answers), answers


def test_a_click_is_refused_as_too_short(nano: llama.MuMuLLaMA) -> None:
    with pytest.raises(ValueError, match="too short to be heard; give at least"):
        nano.respond(Turn("What is it?", audio=Waveform(torch.ones(1, 1000), 24_000)), GenerationOptions(music=False))


def test_an_impossible_wish_is_answered_with_what_is_played_instead(nano: llama.MuMuLLaMA) -> None:
    reply = nano.respond(Turn("Play a jazz tune at 3000 bpm"), GenerationOptions(seconds=3.0))
    assert "180" in reply.text and reply.score.attributes.tempo == 180


def test_a_key_that_is_asked_for_is_played(nano: llama.MuMuLLaMA) -> None:
    turns = [Turn(f"A slow piano piece in {key}") for key in ("E minor", "D major", "B flat major", "F sharp minor")]
    played = [reply.score.attributes for reply in nano.respond(turns, GenerationOptions(seconds=4.0))]
    asked = [(4, "minor"), (2, "major"), (10, "major"), (6, "minor")]
    assert sum((one.key, one.mode) == wish for one, wish in zip(played, asked, strict=True)) >= 3, played


def test_it_plays_what_is_asked_for(nano: llama.MuMuLLaMA) -> None:
    wishes = [Turn("A slow, sad piano piece"), Turn("A fast dance for trumpet with drums"), Turn("A waltz for violin")]
    replies = nano.respond(wishes, GenerationOptions(seconds=4.3))
    played = [reply.score for reply in replies]
    assert [score.attributes.lead for score in played] == ["piano", "trumpet", "violin"]
    assert played[0].attributes.tempo < 100 < played[1].attributes.tempo and played[1].drums
    for reply in replies:
        sound = reply.music.samples
        assert reply.finish == "music" and sound.shape == (2, round(4.3 * 32_000))
        assert 0.05 < sound.abs().max() < 1 and not torch.equal(sound[0], sound[1])
        assert sound[:, -100:].abs().max() < 0.01  # an ending, not a cut


@pytest.mark.parametrize("seconds", [0.5, 2.0, 3.0])
def test_a_piece_shorter_than_a_bar_still_sounds(nano: llama.MuMuLLaMA, seconds: float) -> None:
    sound = nano.respond(Turn("A slow, sad piano piece"), GenerationOptions(seconds=seconds)).music.samples
    assert sound.shape[-1] == round(seconds * 32_000) and sound.abs().max() > 0.05


def test_a_picture_and_a_clip_become_music(nano: llama.MuMuLLaMA) -> None:
    turns = [
        Turn("Compose music for this picture", image=EXAMPLES / "calm_sea.jpg"),
        Turn("Compose music for this picture", image=EXAMPLES / "night_party.jpg"),
        Turn("Compose something that matches the movement.", video=EXAMPLES / "fast_city.mp4"),
    ]
    replies = nano.respond(turns, GenerationOptions(seconds=2.0))
    assert all(reply.music is not None for reply in replies)
    assert len({reply.text for reply in replies}) == 3


def test_it_speaks_only_about_music(nano: llama.MuMuLLaMA) -> None:
    assert "only" in nano.respond(Turn("What is the capital of France?")).text


def test_long_recordings_and_half_precision(nano: llama.MuMuLLaMA) -> None:
    """Two windows and a tail; and the same ears in bfloat16, whose tempo agrees."""
    wave = Waveform.read(EXAMPLES / "piano_waltz.flac")
    long = Waveform(wave.samples.repeat(1, 13), wave.sample_rate)
    options = GenerationOptions(music=False, max_tokens=24)
    assert "120" in nano.respond(Turn("How fast is it?", audio=long), options).text
    half = llama.load(ROOT / "ckpts/nano", dtype=torch.bfloat16)
    assert half.respond(Turn("How fast is it?", audio=wave), options).text
