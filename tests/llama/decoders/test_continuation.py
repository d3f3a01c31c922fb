"""A recording continued by MusicGen: its own samples up to the seam, then new sound that joins without a click."""

from __future__ import annotations

import pytest
import torch
from test_musicgen import condition, sound, tiny
from test_musicgen_melody import tune

from llama.decoders.musicgen.continuation import Seam, fit_channels
from llama.media.audio import Waveform
from llama.media.edit import Edit

HOP, RATE, FADE = 16, 800, 32  # of the tiny decoder


@pytest.mark.parametrize("seconds", [1.2345, 5.0, 0.021])  # shorter and longer than the prompt that is read; hardly a frame
@pytest.mark.parametrize("stereo", [False, True])
def test_the_recording_comes_first_and_new_sound_follows(seconds, stereo):
    decoder = tiny(2, stereo)
    states = condition(decoder)
    recording = Waveform(torch.randn(2 if stereo else 1, round(seconds * RATE), generator=torch.Generator().manual_seed(1)), RATE)
    music = sound(decoder, states, 1.0, temperature=0.0, seeds=[0], source=recording, edit=Edit(continuation=1.5))
    samples = recording.samples.shape[-1]
    assert music.shape == (1, decoder.channels, samples + 1200)
    kept = samples - min(FADE, samples // HOP * HOP)
    assert torch.equal(music[0, :, :kept], recording.samples[:, :kept])
    prompted = sound(decoder, states, 1.5, temperature=0.0, seeds=[0], prompt=recording)
    assert torch.allclose(music[..., samples:], prompted, atol=1e-6) and prompted.std() > 1e-4


def test_the_step_at_the_seam_is_no_larger_than_those_around_it():
    """A decoder whose sound of the prompt jumps away from the recording must not be heard as a click."""
    recording = torch.sin(torch.arange(400) / 9)[None]
    seam = Seam(recording, new_samples=200, hop=HOP, prompt_frames=10)
    new = torch.sin(torch.arange(400 - FADE, 600) / 9 + 1.5)[None, None] * 0.7  # another phase and level
    joined = torch.cat([seam.join(part.clone()) for part in new.split([5, 20, 0, 50, FADE + 125], -1)], -1)
    assert joined.shape == (1, 1, 600)
    assert torch.equal(joined[0, :, : 400 - FADE], recording[:, : 400 - FADE]) and torch.equal(joined[..., 400:], new[..., FADE:])
    steps = joined.diff().abs()
    assert steps[..., 400 - FADE - 2 : 402].max() < 1.5 * recording.diff().abs().max()
    assert (new[..., 0] - recording[:, 400 - FADE - 1]).abs() > 3 * recording.diff().abs().max()  # it would have clicked


def test_chunks_come_while_it_is_made():
    decoder = tiny(2)
    request = decoder.request(condition(decoder), 1.0, temperature=0.0, seeds=[0], source=tune(2.0, rate=RATE), edit=Edit(continuation=5))
    chunks = list(decoder.synthesize(request))
    assert request.seconds == 7.0 and len(chunks) >= 3 and chunks[0].shape[-1] >= 1600
    assert sum(chunk.shape[-1] for chunk in chunks) == 5600


@pytest.mark.parametrize(("wave", "channels", "shape"), [((2, 100), 1, (1, 100)), ((1, 100), 2, (2, 100)), ((3, 100), 2, (2, 100))])
def test_channels_fit_the_decoder(wave, channels, shape):
    fitted = fit_channels(Waveform(torch.randn(wave), 800), 800, channels)
    assert fitted.shape == shape
    assert fit_channels(Waveform(torch.randn(wave), 400), 800, channels).shape[-1] == 200


@pytest.mark.parametrize(
    ("source", "edit", "words"),
    [
        (Waveform(torch.zeros(1, 3), RATE), Edit(continuation=2), "lasts 0.004 s; a continuation needs at least 0.02 s"),
        (Waveform(torch.zeros(1, 595), 1), Edit(continuation=10), "would last 605.0 s, and music lasts at most 600 s"),
    ],
)
def test_what_cannot_be_continued_is_refused_in_one_sentence(source, edit, words):
    decoder = tiny()
    with pytest.raises(ValueError, match=words):
        decoder.check_edit(edit, source)
    with pytest.raises(ValueError, match=words):
        decoder.request(condition(decoder), 1.0, seeds=[0], source=source, edit=edit)
    with pytest.raises(ValueError, match="give it as one of the two"):
        decoder.request(condition(decoder), 1.0, seeds=[0], source=tune(), edit=Edit(continuation=1), prompt=tune())
