"""MusicGen Melody: equal to transformers' generate with and without a melody; batched equals alone; the melody decides."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from test_musicgen import VOCABULARY, codes, condition, sound
from torch import Tensor
from transformers import (
    EncodecConfig,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    MusicgenMelodyFeatureExtractor,
    MusicgenMelodyForConditionalGeneration,
    T5Config,
)
from transformers.modeling_outputs import BaseModelOutput

from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.decoders.musicgen.lm import DecoderWeights
from llama.decoders.musicgen.loading import known_config
from llama.decoders.musicgen.melody import Melody, MelodyLM, melody_of
from llama.decoders.musicgen.sampling import DelayPattern
from llama.media.audio import Waveform
from llama.media.edit import Edit
from llama.media.score import Attributes, Note, Score

CHROMA_LENGTH, TOKENS = 20, 6
KEEP = Edit(keep=("melody",))


def tiny_melody(seed: int = 0, stereo: bool = False, positions: int = 300, **extra: float) -> MusicGenDecoder:
    torch.manual_seed(seed)
    text = T5Config(vocab_size=40, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    codec = EncodecConfig(
        sampling_rate=1600, upsampling_ratios=[4, 4, 2], num_filters=2, hidden_size=8, codebook_dim=8, num_lstm_layers=2,
        codebook_size=VOCABULARY, target_bandwidths=[1.0],
    )  # fmt: skip
    books = 8 if stereo else 4
    decoder = MusicgenMelodyDecoderConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, num_codebooks=books,
        audio_channels=books // 4, pad_token_id=VOCABULARY, bos_token_id=VOCABULARY, max_position_embeddings=positions,
    )  # fmt: skip
    config = MusicgenMelodyConfig(
        text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict(), chroma_length=CHROMA_LENGTH,
        condition_tokens=TOKENS, **extra,
    )  # fmt: skip
    model = MusicgenMelodyForConditionalGeneration(config)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if "embed" in name and "positions" not in name or "lm_heads" in name or "_proj" in name:
            value.data.normal_(0, 0.5)
    options = model.generation_config
    options.decoder_start_token_id = options.pad_token_id = options.bos_token_id = VOCABULARY
    options.do_sample, options.guidance_scale = True, 3.0
    extractor = MusicgenMelodyFeatureExtractor(sampling_rate=1600, hop_length=200, n_fft=800, chunk_length=3)
    return MusicGenDecoder(model, chroma_extractor=extractor).requires_grad_(False)


def tune(seconds: float = 2.0, pitches: tuple[int, ...] = (60, 67, 64, 69), rate: int = 1600) -> Waveform:
    """Equally long sines of these pitches."""
    times = torch.arange(round(seconds * rate)) / rate
    note = (times / seconds * len(pitches)).long().clamp_max(len(pitches) - 1)
    frequencies = 440 * 2 ** ((torch.tensor(pitches)[note] - 69) / 12)
    return Waveform(torch.sin(2 * math.pi * frequencies * times)[None], rate)


def score(pitches: tuple[int, ...], seconds: float) -> Score:
    step = seconds / len(pitches)
    lead = tuple(Note(index * step, 0.6 * step, pitch, 90) for index, pitch in enumerate(pitches))
    attributes = Attributes("piano", "piano", "ballad", 120, "major", 4, False, 0)
    return Score(attributes, seconds, lead, (), (), (), ())


def transformers_codes(
    decoder: MusicGenDecoder, states: Tensor, frames: int, mask: Tensor, guidance: float, melody: Tensor | None
) -> Tensor:
    """What stock generate chooses, greedily, for given text states and chroma."""
    caught: list[Tensor] = []
    model = decoder.model

    def catch(audio_codes: Tensor, **_: object) -> SimpleNamespace:
        caught.append(audio_codes[0])
        return SimpleNamespace(audio_values=audio_codes[0].float())

    delay = (model.config.decoder.num_codebooks - 1) // decoder.audio_channels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.audio_encoder, "decode", catch)
        patch.setattr(model.text_encoder, "forward", lambda **_: BaseModelOutput(states))
        model.generate(
            input_ids=torch.ones(states.shape[:2], dtype=torch.long), attention_mask=mask, input_features=melody,
            guidance_scale=guidance, do_sample=False, max_new_tokens=frames + delay,
        )  # fmt: skip
    return caught[0] if len(caught) == 1 else torch.stack(caught, 2).flatten(1, 2)


class TestEqualsTransformers:
    @pytest.mark.parametrize("guidance", [1.0, 3.0])
    @pytest.mark.parametrize("stereo", [False, True])
    def test_without_a_melody(self, guidance, stereo):
        decoder = tiny_melody(1, stereo)
        states, mask = condition(decoder, 2), torch.ones(2, TOKENS, dtype=torch.long)
        mask[1, 3:] = 0
        theirs = transformers_codes(decoder, states, 40, mask, guidance, None)
        assert torch.equal(codes(decoder, states, 40, mask=mask, guidance=guidance), theirs)

    @pytest.mark.parametrize("seconds", [0.7, 2.0, 5.0])  # shorter than the chroma, about as long, and cut
    @pytest.mark.parametrize("guidance", [1.0, 3.0])
    def test_with_a_melody(self, guidance, seconds):
        decoder, recording = tiny_melody(2), tune(seconds)
        states, mask = condition(decoder), torch.ones(1, TOKENS, dtype=torch.long)
        samples = recording.samples[0].numpy()
        chroma = decoder.chroma_extractor(samples, sampling_rate=1600, return_tensors="pt")["input_features"]
        theirs = transformers_codes(decoder, states, 40, mask, guidance, chroma)
        ours = codes(decoder, states, 40, guidance=guidance, source=recording, edit=KEEP)
        assert torch.equal(ours, theirs)
        assert not torch.equal(ours, codes(decoder, states, 40, guidance=guidance))


class TestMelody:
    def test_of_a_recording_is_the_strongest_pitch_class_of_all_of_it(self):
        extractor = tiny_melody().chroma_extractor
        melody = melody_of(tune(8.0), extractor)
        assert melody.rate == 8.0 and melody.chroma.shape == (65, 12)  # 8 s, though the extractor keeps 3 s by default
        assert melody.chroma.sum(-1).eq(1).all()
        assert melody.chroma.argmax(-1)[[8, 24, 40, 56]].tolist() == [0, 7, 4, 9]

    def test_of_a_score_equals_that_of_its_lead_as_sound(self):
        extractor, pitches = tiny_melody().chroma_extractor, (62, 69, 65, 71)
        played, written = (melody_of(source, extractor).chroma for source in (tune(8.0, pitches), score(pitches, 8.0)))
        assert played.shape == written.shape
        assert (played.argmax(-1) == written.argmax(-1)).float().mean() > 0.9

    def test_of_a_score_without_lead_is_refused(self):
        with pytest.raises(ValueError, match="no melody that could be kept"):
            melody_of(replace(score((60,), 4.0), lead=()), tiny_melody().chroma_extractor)

    def test_decides_the_sound_and_its_length(self):
        decoder = tiny_melody(3)
        states = condition(decoder)
        one, same, other = (
            sound(decoder, states, 1.0, seeds=[0], source=source, edit=KEEP) for source in (tune(), tune(), tune(2.0, (61, 66, 70)))
        )
        assert one.shape == (1, 1, 3200) and torch.equal(one, same)
        assert not torch.allclose(one, other, atol=1e-3)
        assert sound(decoder, states, 1.0, seeds=[0], source=tune(), edit=Edit(keep=("melody",), seconds=3.5)).shape[-1] == 5600
        written = sound(decoder, states, 1.0, seeds=[0], source=score((60, 67, 64, 69), 2.0), edit=KEEP)
        assert written.shape == one.shape

    def test_goes_on_where_the_context_is_renewed(self):
        """The second context reads the chroma from its own first frame on, and a melody that ends begins again."""
        decoder = tiny_melody(4, window_seconds=1.0)
        states, recording = condition(decoder), tune(1.2)
        assert decoder.context_window.size == 50
        long = codes(decoder, states, 60, source=recording, edit=KEEP)
        begin = 53 - decoder.context_window.overlap - 3
        melody = melody_of(recording, decoder.chroma_extractor)
        shifted = Melody(melody.chroma.roll(-round(begin * 8 / 50), 0), melody.rate)
        model = MelodyLM(DecoderWeights(decoder.model), states, None, True, shifted, 50)
        model.allocate(54 - begin)
        conditional, free = model.step(DelayPattern(long[..., begin:], 0, VOCABULARY).decoder_input(0, 53 - begin)).chunk(2)
        choice = (free + 3.0 * (conditional - free)).argmax(-1)
        assert choice[0].tolist() == [long[0, book, 53 - book] for book in range(4)]


def test_a_row_in_a_batch_equals_the_row_alone():
    decoder = tiny_melody()
    states, mask = condition(decoder, 3), torch.ones(3, TOKENS, dtype=torch.long)
    mask[2, 2:] = 0
    together = sound(decoder, states, 1.5, mask=mask, seeds=[5, 6, 7])
    for row in range(3):
        alone = sound(decoder, states[row : row + 1], 1.5, mask=mask[row : row + 1], seeds=[5 + row])
        assert torch.allclose(together[row : row + 1], alone, atol=1e-5)


def test_a_folder_keeps_model_and_chroma_extractor(tmp_path):
    decoder = tiny_melody(5)
    decoder.save(tmp_path)
    again = MusicGenDecoder.from_folder(tmp_path)
    ours, theirs = decoder.export_state(), again.export_state()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert again.chroma_extractor.to_dict() == decoder.chroma_extractor.to_dict()
    states = condition(decoder)
    arguments = {"seeds": [0], "source": tune(), "edit": KEEP}
    assert torch.equal(sound(again, states, 1.0, **arguments), sound(decoder, states, 1.0, **arguments))
    (tmp_path / "preprocessor_config.json").unlink()
    default = MusicGenDecoder.from_folder(tmp_path).chroma_extractor
    assert (default.sampling_rate, default.hop_length) == (1600, 4096)
    rebuilt = MusicGenDecoder.from_state(decoder.model.config.to_dict(), ours)
    assert rebuilt.keeps_melody and rebuilt.export_state().keys() == ours.keys()


def test_released_sizes_are_melody_models_where_the_weights_are():
    config = MusicgenMelodyConfig.from_dict(known_config(1536, melody=True))
    with torch.device("meta"):
        model = MusicgenMelodyForConditionalGeneration(config)
    decoder = MusicGenDecoder(model)
    assert decoder.condition_shape == (128, 768) and decoder.context_window.size == 1500
    assert "audio_enc_to_dec_proj.weight" in decoder.export_state()
