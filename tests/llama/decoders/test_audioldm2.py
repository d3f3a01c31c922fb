"""AudioLDM2 with random weights: the condition decides the sound, rows are independent, the length is exact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
)

from llama.decoders.audioldm2 import AudioLDM2Decoder, crossfade
from llama.media.audio import Waveform

diffusers = pytest.importorskip("diffusers")
T5_WIDTH, LANGUAGE_WIDTH, GENERATED = 16, 12, 3


def networks() -> dict[str, torch.nn.Module]:
    """UNet, autoencoder and vocoder, of a few thousand weights each."""
    unet = diffusers.AudioLDM2UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=8, sample_size=8, attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=[[None, LANGUAGE_WIDTH, T5_WIDTH]] * 2,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=[8, 8], in_channels=1, out_channels=1, norm_num_groups=8, latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=8, sampling_rate=1600, upsample_initial_channel=8, upsample_rates=[2, 2], normalize_before=False,
            upsample_kernel_sizes=[4, 4], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
        )
    )  # fmt: skip
    for weight in vocoder.parameters():  # initialised so small that the sound would be silence
        weight.data.normal_(0, 0.3)
    return {"unet": unet, "vae": vae, "vocoder": vocoder}


def text_parts(golden: Path, folder: Path) -> dict[str, object]:
    """Tiny CLAP with a letter-by-letter tokenizer, and the T5 tokenizer of the reference components."""
    letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *map(chr, range(97, 123)), "\u0120"]
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer", "model_max_length": 20}')
    small = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16}
    audio = {"hidden_size": 16, "patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2],
             "num_hidden_layers": 2, "spec_size": 32, "window_size": 4, "num_mel_bins": 32, "patch_size": 2,
             "patch_stride": [2, 2]}  # fmt: skip
    clap = ClapModel(ClapConfig(text_config={**small, "vocab_size": 64}, audio_config=audio, projection_dim=10))
    projection = diffusers.AudioLDM2ProjectionModel(10, T5_WIDTH, LANGUAGE_WIDTH)
    return {
        "text_encoder": clap, "tokenizer": RobertaTokenizer.from_pretrained(folder), "projection_model": projection,
        "feature_extractor": ClapFeatureExtractor(), "tokenizer_2": AutoTokenizer.from_pretrained(golden / "components/musicgen"),
    }  # fmt: skip


def tiny(**parts: object) -> AudioLDM2Decoder:
    torch.manual_seed(0)
    absent = dict.fromkeys(("text_encoder", "projection_model", "tokenizer", "tokenizer_2", "feature_extractor"))
    t5 = T5EncoderModel(T5Config(vocab_size=160, d_model=T5_WIDTH, d_kv=4, d_ff=16, num_layers=1, num_heads=2))
    language = GPT2Config(n_embd=LANGUAGE_WIDTH, n_layer=1, n_head=2, vocab_size=40, max_new_tokens=GENERATED)
    scheduler = diffusers.DDIMScheduler(beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False)
    pipeline = diffusers.AudioLDM2Pipeline(
        **{**absent, **parts}, **networks(), text_encoder_2=t5, language_model=GPT2LMHeadModel(language), scheduler=scheduler
    )
    return AudioLDM2Decoder(pipeline, num_inference_steps=3)


@pytest.fixture(scope="module")
def decoder() -> AudioLDM2Decoder:
    return tiny()


@pytest.fixture(scope="module")
def complete(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> AudioLDM2Decoder:
    return tiny(**text_parts(golden, tmp_path_factory.mktemp("roberta")))


def states(decoder: AudioLDM2Decoder, rows: int = 1, seed: int = 1) -> Tensor:
    return torch.randn(rows, *decoder.condition_shape, generator=torch.Generator().manual_seed(seed))


def sound(decoder: AudioLDM2Decoder, *args: object, **options: object) -> Tensor:
    return torch.cat(list(decoder.synthesize(decoder.request(*args, **options))), -1)


def close(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= 1e-4 * other.abs().max())


def test_the_condition_is_the_published_vector(decoder):
    assert decoder.condition_shape == (1, 128 * T5_WIDTH + GENERATED * LANGUAGE_WIDTH)
    condition = states(decoder)
    prompt, keep, generated = decoder.split(condition)
    assert torch.equal(prompt[0, 5], condition[0, 0, 5 * T5_WIDTH : 6 * T5_WIDTH])
    assert torch.equal(generated[0, 2], condition[0, 0, -LANGUAGE_WIDTH:]) and keep.all()


def test_seed_condition_and_guidance_decide(decoder):
    one, other = states(decoder, seed=1), states(decoder, seed=2)
    base = sound(decoder, one, 0.05, seeds=[0])
    assert base.std() > 1e-4 and close(sound(decoder, one, 0.05, seeds=[0]), base)
    assert not close(sound(decoder, one, 0.05, seeds=[1]), base)
    assert not close(sound(decoder, other, 0.05, seeds=[0]), base)
    assert not close(sound(decoder, one, 0.05, seeds=[0], guidance=1.0), base)


def test_a_row_in_a_batch_equals_the_row_alone(decoder):
    conditions = states(decoder, 2)
    together = sound(decoder, conditions, 0.3, seeds=[3, 4])
    for row in range(2):
        assert close(together[row : row + 1], sound(decoder, conditions[row : row + 1], 0.3, seeds=[3 + row]))


@pytest.mark.parametrize("seconds", [0.001, 0.0507, 0.12, 0.345])  # one pass reaches 0.12 s here
def test_exact_length(decoder, seconds):
    assert decoder.longest_seconds == pytest.approx(0.12)
    assert sound(decoder, states(decoder), seconds, seeds=[0]).shape == (1, 1, max(1, round(seconds * 1600)))


def test_crossfade_keeps_both_ends():
    one, other = torch.ones(1, 10), torch.full((1, 10), 2.0)
    mixed = crossfade(one, other, 4)
    assert mixed.shape == (1, 16)
    assert torch.equal(mixed[:, :6], one[:, :6]) and torch.equal(mixed[:, -6:], other[:, -6:])
    assert mixed[0, 6] == 1 and mixed[0, 9] == pytest.approx(2.0)


def test_captions_become_conditions(complete):
    captions = ["a slow piano", "fast drums, happy"]
    embedded, mask = complete.embed(captions)
    assert embedded.shape == (2, *complete.condition_shape) and mask.shape == (2, 1)
    keep = complete.split(embedded)[1]
    assert 0 < keep[0].sum() < keep[1].sum() < 128
    assert torch.allclose(complete.embed(captions[:1])[0], embedded[:1], atol=1e-5)
    own = complete.pipeline(
        captions[:1], num_inference_steps=3, guidance_scale=1.0, audio_length_in_s=0.0501, output_type="pt",
        generator=[torch.Generator().manual_seed(0)],
    ).audios  # fmt: skip
    assert close(sound(complete, embedded[:1], 0.0475, guidance=1.0, seeds=[0])[0], own[:, :76])


def test_a_released_folder_loads_though_it_names_a_bare_language_model(complete, tmp_path):
    complete.save(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    index["language_model"] = ["transformers", "GPT2Model"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    again = AudioLDM2Decoder.from_folder(tmp_path)
    again.num_inference_steps = 3
    assert torch.allclose(again.embed(["a harp"])[0], complete.embed(["a harp"])[0], atol=1e-6)
    condition = states(complete)
    assert close(sound(again, condition, 0.05, seeds=[0]), sound(complete, condition, 0.05, seeds=[0]))
    complete.save(tmp_path / "half", dtype=torch.float16)
    full, half = (next((tmp_path / name / "unet").glob("*.safetensors")).stat().st_size for name in (".", "half"))
    assert half < 0.9 * full and AudioLDM2Decoder.from_folder(tmp_path / "half").pipeline.unet.dtype == torch.float32


def test_refusals_are_sentences(decoder, tmp_path):
    with pytest.raises(ValueError, match="AudioLDM2 cannot continue a recording"):
        decoder.synthesize(decoder.request(states(decoder), 1.0, seeds=[0], prompt=Waveform(torch.zeros(1, 16), 16)))
    with pytest.raises(ValueError, match="choose the decoder that the checkpoint was trained with"):
        decoder.request(torch.zeros(1, 128, 768), 1.0, seeds=[0])
    with pytest.raises(ValueError, match="seconds is -3"):
        decoder.request(states(decoder), -3.0, seeds=[0])
    with pytest.raises(ValueError, match="no tokenizers"):
        decoder.embed(["a harp"])
    with pytest.raises(FileNotFoundError, match="no model_index.json"):
        AudioLDM2Decoder.from_folder(tmp_path)
    (tmp_path / "model_index.json").write_text('{"_class_name": "MusicLDMPipeline"}')
    with pytest.raises(ValueError, match="holds a MusicLDMPipeline"):
        AudioLDM2Decoder.from_folder(tmp_path)


def test_a_checkpoint_contains_none_of_its_weights(decoder):
    assert decoder.export_state() == {} and not decoder.train().pipeline.unet.training
