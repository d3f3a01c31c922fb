"""Audio to audio: the vocoder's own spectrogram, the pipeline's own loop, and what the ends of the strength give."""

from __future__ import annotations

import pytest
import torch
from test_audioldm2 import close, sound, states, tiny
from torch import Tensor
from torchaudio.functional import melscale_fbanks
from torchaudio.transforms import Spectrogram

from llama.decoders.audio_to_audio import DEFAULT_STRENGTH, AudioToAudio, skipped_steps
from llama.decoders.audioldm2 import AudioLDM2Decoder, crossfade
from llama.decoders.mel_spectrogram import MelSpectrogram, normalize_level
from llama.media.audio import Waveform
from llama.media.edit import Edit

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def decoder() -> AudioLDM2Decoder:
    made = tiny()
    made.num_inference_steps = 10
    return made


def recording(seconds: float = 0.1, rate: int = 1600, seed: int = 1, channels: int = 1) -> Waveform:
    return Waveform(torch.randn(channels, round(seconds * rate), generator=torch.Generator().manual_seed(seed)), rate)


def varied(decoder: AudioLDM2Decoder, strength: float | None, source: Waveform, seed: int = 0, **options: float) -> Tensor:
    return sound(decoder, states(decoder), 1.0, seeds=[seed], source=source, edit=Edit(strength=strength), **options)


def test_spectrogram_is_that_of_the_released_vocoder():
    """At 16 kHz: 64 mel filters, as librosa makes them, of magnitudes over 1024 samples every 160, as AudioLDM2's training took them."""
    samples = recording(0.5, 16000).samples[0] * 0.1
    mel = MelSpectrogram(16000, 160, 64)(samples, 50)
    magnitudes = Spectrogram(n_fft=1024, hop_length=160, power=1)(samples)
    filters = melscale_fbanks(513, 0.0, 8000.0, 64, 16000, norm="slaney", mel_scale="slaney")
    assert mel.shape == (50, 64)
    assert torch.allclose(mel.exp(), (magnitudes.T @ filters)[:50], rtol=1e-3, atol=1e-5)
    assert MelSpectrogram(16000, 160, 64)(torch.zeros(100), 10).eq(torch.tensor(1e-5).log()).all()


def test_level_is_that_of_the_training_recordings():
    level = normalize_level(torch.tensor([0.1, 0.3, 0.1, 0.3]))
    assert torch.allclose(level, torch.tensor([-0.5, 0.5, -0.5, 0.5])) and not normalize_level(torch.zeros(4)).any()


def test_strength_0_is_the_reconstruction_of_the_autoencoder(decoder):
    source = recording()
    audio = AudioToAudio(decoder.pipeline, source, 10)
    mel = audio.spectrogram(normalize_level(source.samples[0]), 40)[None, None]
    decoded = decoder.pipeline.vae.decode(decoder.pipeline.vae.encode(mel).latent_dist.mode()).sample
    reconstruction = decoder.pipeline.vocoder(decoded[:, 0])
    assert close(varied(decoder, 0.0, source)[0], reconstruction[:, :160]) and reconstruction.std() > 1e-4
    assert torch.equal(varied(decoder, 0.0, source, seed=1), varied(decoder, 0.0, source, seed=2))
    assert not close(varied(decoder, 0.0, recording(seed=2)), varied(decoder, 0.0, source))


def test_strength_1_is_a_new_piece_bit_for_bit(decoder):
    for seconds in (0.1, 0.345):  # the second takes several segments
        new = sound(decoder, states(decoder), seconds, seeds=[3])
        assert torch.equal(varied(decoder, 1.0, recording(seconds), seed=3), new)


@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_the_loop_is_that_of_the_pipeline(decoder, guidance):
    """From pure noise and over all steps it must give what the pipeline gives."""
    audio, scheduler = AudioToAudio(decoder.pipeline, recording(), 10), decoder.pipeline.scheduler
    noise = torch.randn(1, 4, 20, 4, generator=torch.Generator().manual_seed(0))
    request = decoder.request(states(decoder), 0.1, seeds=[0], guidance=guidance)
    scheduler.set_timesteps(10)
    ours = audio.denoise(noise, scheduler.timesteps, decoder._embeddings(request), guidance, torch.Generator(), lambda share: None)
    prompt, mask, generated = decoder.split(states(decoder))
    theirs = decoder.pipeline(
        prompt_embeds=prompt, attention_mask=mask, generated_prompt_embeds=generated, negative_prompt_embeds=torch.zeros_like(prompt),
        negative_attention_mask=torch.zeros_like(mask), negative_generated_prompt_embeds=torch.zeros_like(generated),
        guidance_scale=guidance, num_inference_steps=10, audio_length_in_s=0.1, latents=noise, output_type="latent",
    ).audios  # fmt: skip
    assert torch.equal(ours, theirs)


def test_strength_is_the_share_of_the_steps(decoder):
    assert [skipped_steps(10, strength) for strength in (0.0, 0.09, 0.5, 1.0)] == [10, 10, 5, 0]
    calls: list[float] = []
    request = decoder.request(states(decoder), 1.0, seeds=[0], source=recording(0.2), edit=Edit(strength=0.3))
    list(decoder.synthesize(request, calls.append))
    assert calls == pytest.approx([(segment + step / 3) / 2 for segment in (0, 1) for step in (1, 2, 3)])


def test_a_lower_strength_stays_nearer(decoder):
    source = recording()
    kept = varied(decoder, 0.0, source)
    distances = [float((varied(decoder, strength, source) - kept).norm()) for strength in (0.1, 0.4, 1.0)]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert torch.equal(varied(decoder, None, source), varied(decoder, DEFAULT_STRENGTH, source))
    assert not close(varied(decoder, 0.5, source, seed=1), varied(decoder, 0.5, source, seed=2))
    assert not close(varied(decoder, 0.5, source, guidance=1.0), varied(decoder, 0.5, source))


@pytest.mark.parametrize(("seconds", "rate", "channels"), [(0.345, 1600, 1), (0.1, 8000, 2), (0.002, 1600, 1)])
def test_length_is_that_of_the_recording(decoder, seconds, rate, channels):
    varied_sound = varied(decoder, 0.2, recording(seconds, rate, channels=channels))
    assert varied_sound.shape == (1, 1, round(seconds * 1600)) and varied_sound.isfinite().all()


def test_segments_are_made_from_their_own_place_in_the_recording(decoder):
    """A recording that repeats after one segment gives the same segment twice at strength 0."""
    source = recording(0.2)
    samples = round(0.2 * 1600)
    fade, reach = round(decoder.longest_seconds / 4 * 1600), round(decoder.longest_seconds * 1600)
    segment = -(-(samples + fade) // 2)
    assert segment < reach < samples
    audio = AudioToAudio(decoder.pipeline, source, 10)
    parts = [audio.sound(audio.latents(start, segment)).reshape(1, -1)[:, :segment] for start in (0, segment - fade)]
    whole = crossfade(*parts, fade, alike=True)
    assert close(varied(decoder, 0.0, source)[0], whole[:, :samples])
    assert torch.allclose(crossfade(torch.ones(1, 10), torch.ones(1, 10), 4, alike=True), torch.ones(1, 16))


def test_a_row_edits_one_recording(decoder):
    with pytest.raises(ValueError, match="one piece at a time"):
        decoder.request(states(decoder, 2), 1.0, seeds=[0, 1], source=recording(), edit=Edit(strength=0.5))
