"""MusicGen: equal to the reference values and to transformers' generate; batched equals alone, streamed equals whole."""

from __future__ import annotations

import copy
import gzip
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    T5Config,
)
from transformers.modeling_outputs import BaseModelOutput

from llama.decoders.audioldm2 import AudioLDM2Decoder
from llama.decoders.base import MusicDecoder, SynthesisRequest
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.decoders.musicgen.encodec_stream import EncodecStream
from llama.decoders.musicgen.lm import CodeLM, DecoderWeights
from llama.decoders.musicgen.loading import known_config
from llama.decoders.musicgen.sampling import DelayPattern, sample
from llama.media.audio import Waveform

VOCABULARY = 32
PREFIX = "generation_model."


def tiny(seed: int = 0, stereo: bool = False, causal: bool = False, **extra: float) -> MusicGenDecoder:
    """A random MusicGen whose sound really depends on its codes: a fresh Encodec has codebooks of zeros."""
    torch.manual_seed(seed)
    text = T5Config(vocab_size=40, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    codec = EncodecConfig(
        sampling_rate=800, upsampling_ratios=[4, 2, 2], num_filters=2, hidden_size=8, codebook_dim=8, num_lstm_layers=2,
        codebook_size=VOCABULARY, target_bandwidths=[1.0], use_causal_conv=causal,
    )  # fmt: skip
    books = 8 if stereo else 4
    decoder = MusicgenDecoderConfig(
        vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, num_codebooks=books,
        audio_channels=books // 4, pad_token_id=VOCABULARY, bos_token_id=VOCABULARY, max_position_embeddings=300,
        initializer_factor=0.5,
    )  # fmt: skip
    config = MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict(), condition_tokens=6, **extra
    )
    model = MusicgenForConditionalGeneration(config)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if "embed" in name and "positions" not in name or "lm_heads" in name or "_proj" in name:
            value.data.normal_(0, 0.5)
    options = model.generation_config
    options.decoder_start_token_id = options.pad_token_id = options.bos_token_id = VOCABULARY
    options.do_sample, options.guidance_scale = True, 3.0
    return MusicGenDecoder(model).requires_grad_(False)


def condition(decoder: MusicDecoder, rows: int = 1, seed: int = 1) -> Tensor:
    return torch.randn(rows, *decoder.condition_shape, generator=torch.Generator().manual_seed(seed))


def sound(decoder: MusicDecoder, *args: object, **options: object) -> Tensor:
    return torch.cat(list(decoder.synthesize(decoder.request(*args, **options))), -1)


def codes(decoder: MusicGenDecoder, states: Tensor, frames: int, known: Tensor | None = None, **options: object) -> Tensor:
    fields = {"mask": None, "guidance": 3.0, "temperature": 0.0, "seeds": (0,) * len(states), **options}
    request = SynthesisRequest(states, frames * decoder.hop / decoder.sample_rate, shape=decoder.condition_shape, **fields)
    books = decoder.model.config.decoder.num_codebooks
    empty = torch.zeros(len(states), books, 0, dtype=torch.long)
    return list(decoder.codes(request, empty if known is None else known))[-1][0].clone()


def transformers_codes(decoder: MusicGenDecoder, states: Tensor, frames: int, mask: Tensor, guidance: float) -> Tensor:
    """What stock generate chooses, greedily, for given text states."""
    caught: list[Tensor] = []
    model = decoder.model

    def catch(codes: Tensor, **_: object) -> SimpleNamespace:
        caught.append(codes[0])
        return SimpleNamespace(audio_values=codes[0].float())

    halves = 2 if guidance > 1 else 1
    encoded = torch.cat([states, torch.zeros_like(states)][:halves])
    attended = torch.cat([mask, torch.zeros_like(mask)][:halves])
    delay = (model.config.decoder.num_codebooks - 1) // decoder.audio_channels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.audio_encoder, "decode", catch)
        model.generate(
            input_ids=torch.ones(len(states), 1, dtype=torch.long), encoder_outputs=BaseModelOutput(encoded),
            attention_mask=attended, guidance_scale=guidance, do_sample=False, max_new_tokens=frames + delay,
        )  # fmt: skip
    return caught[0] if len(caught) == 1 else torch.stack(caught, 2).flatten(1, 2)


@pytest.fixture(scope="module")
def published(golden: Path) -> tuple[dict[str, Tensor], MusicGenDecoder]:
    tensors = load_file(golden / "m2ugen/model.safetensors")
    state = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    folder = golden / "components/musicgen"
    return state, MusicGenDecoder.from_state(json.loads((folder / "config.json").read_text()), state, tokenizer=folder)


class TestPublished:
    def test_codes_and_waveform_of_the_hidden_condition(self, golden, published):
        values, decoder = load_file(golden / "m2ugen/generate.safetensors"), published[1]
        states = values["scripted.projector_out"] / 10
        assert torch.equal(codes(decoder, states, 48, guidance=3.5), values["scripted.intended_codes_NOT_REFERENCE"][0])
        wave = sound(decoder, states, 0.96, guidance=3.5, temperature=0.0, seeds=[0])
        assert torch.allclose(wave[0, 0], values["scripted.intended_waveform_NOT_REFERENCE"], atol=1e-5)

    def test_captions_embed_to_the_training_target(self, golden, published):
        target = load_file(golden / "m2ugen/train_forward.safetensors")["music_text.target_x10"]
        states, mask = published[1].embed(["A slow piano plays at 90 beats per minute"])
        assert (states * 10 - target).abs().max() <= 1e-5 * target.abs().max()
        assert mask.shape == (1, 128) and 0 < mask.sum() < 128

    def test_weights_go_out_as_they_came_in(self, published):
        state, decoder = published
        back = decoder.export_state()
        assert back.keys() == state.keys()
        assert all(torch.equal(back[name], value) for name, value in state.items())

    def test_a_folder_without_weights_is_named(self, golden):
        with pytest.raises(FileNotFoundError, match="Cannot load MusicGen from"):
            MusicGenDecoder.from_folder(golden / "components/musicgen")

    @pytest.mark.parametrize("change", ["missing", "extra", "shape"])
    def test_weights_that_do_not_fit_are_named(self, golden, published, tmp_path, change, capsys):
        """From a checkpoint and from a folder: nothing is filled at random, nothing is swallowed."""
        name = "decoder.model.decoder.layers.0.fc1.weight"
        config = json.loads((golden / "components/musicgen/config.json").read_text())
        published[1].save(tmp_path)
        assert capsys.readouterr().err == ""  # no progress bars
        saved = load_file(tmp_path / "model.safetensors")
        changes = {"missing": {}, "extra": {name: saved[name], "decoder.frill": torch.zeros(2)}, "shape": {name: torch.zeros(2, 3)}}
        word = {"missing": f"lack {name};", "extra": "hold decoder.frill", "shape": f"hold {name} in another shape"}[change]
        for state in (published[0], saved):
            state = {key: value for key, value in state.items() if key != name} | changes[change]
            with pytest.raises(ValueError, match=word):
                MusicGenDecoder.from_state(config, state)
        if change == "extra":  # in a folder transformers overlooks those that have "decoder" in their name
            state, word = {**saved, "frill": torch.zeros(2)}, "hold frill"
        save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match=word):
            MusicGenDecoder.from_folder(tmp_path)

    @pytest.mark.parametrize("part", ["unet", "text_encoder_2"])
    def test_audioldm2_without_a_weight(self, part, tmp_path):
        pytest.importorskip("diffusers")
        from test_audioldm2 import tiny as tiny_audioldm2

        tiny_audioldm2().save(tmp_path)
        file = next((tmp_path / part).glob("*.safetensors"))
        state = load_file(file)
        name = next(key for key in sorted(state) if "layer" in key or "conv_in" in key)
        save_file({key: value for key, value in state.items() if key != name}, file, {"format": "pt"})
        with pytest.raises(ValueError, match=f"AudioLDM2 {part} weights lack {name};"):
            AudioLDM2Decoder.from_folder(tmp_path)
        save_file(state | {name: torch.zeros(3, 3, 3)}, file, {"format": "pt"})
        with pytest.raises(ValueError, match=f"AudioLDM2 {part} weights hold {name} in another shape"):
            AudioLDM2Decoder.from_folder(tmp_path)

    def test_both_names_of_the_words_table_may_not_be_missing(self, golden, published):
        config = json.loads((golden / "components/musicgen/config.json").read_text())
        state = {name: value for name, value in published[0].items() if name != "text_encoder.shared.weight"}
        assert torch.equal(MusicGenDecoder.from_state(config, state).export_state()["text_encoder.shared.weight"],
                           published[0]["text_encoder.shared.weight"])  # fmt: skip
        del state["text_encoder.encoder.embed_tokens.weight"]
        with pytest.raises(ValueError, match="lack text_encoder"):
            MusicGenDecoder.from_state(config, state)

    def test_released_size_has_exactly_the_published_tensors(self, golden):
        lines = gzip.decompress((golden / "full_keys_m2ugen_musicgen.tsv.gz").read_bytes()).decode().splitlines()
        pairs = [line.split("\t") for line in lines if line.startswith(PREFIX)]
        shapes = {name.removeprefix(PREFIX): tuple(map(int, shape.split("x"))) for name, shape in pairs}
        with torch.device("meta"):
            model = MusicgenForConditionalGeneration(MusicgenConfig.from_dict(known_config(1536)))
        ours = {name: tuple(value.shape) for name, value in MusicGenDecoder(model).export_state().items()}
        assert ours == shapes


class TestLoop:
    @pytest.mark.parametrize("guidance", [1.0, 3.0])
    @pytest.mark.parametrize("stereo", [False, True])
    def test_equals_transformers_generate(self, guidance, stereo):
        for seed in range(3):
            decoder = tiny(seed, stereo)
            states, mask = condition(decoder, 2, seed), torch.ones(2, 6, dtype=torch.long)
            mask[1, 3:] = 0
            theirs = transformers_codes(decoder, states, 40, mask, guidance)
            assert torch.equal(codes(decoder, states, 40, mask=mask, guidance=guidance), theirs)

    def test_a_row_in_a_batch_equals_the_row_alone(self):
        decoder = tiny()
        states, mask = condition(decoder, 3), torch.ones(3, 6, dtype=torch.long)
        mask[2, 2:] = 0
        together = sound(decoder, states, 3.0, mask=mask, seeds=[5, 6, 7])
        for row in range(3):
            alone = sound(decoder, states[row : row + 1], 3.0, mask=mask[row : row + 1], seeds=[5 + row])
            assert torch.allclose(together[row : row + 1], alone, atol=1e-5)

    def test_seed_and_condition_decide(self):
        decoder = tiny()
        one, other = condition(decoder, seed=1), condition(decoder, seed=2)
        base = sound(decoder, one, 1.0, seeds=[0])
        assert torch.equal(base, sound(decoder, one, 1.0, seeds=[0]))
        assert not torch.allclose(base, sound(decoder, one, 1.0, seeds=[1]), atol=1e-3)
        assert not torch.allclose(base, sound(decoder, other, 1.0, seeds=[0]), atol=1e-3)
        greedy = [codes(decoder, states, 30) for states in (one, other)]
        assert not torch.equal(*greedy)

    def test_sampling_follows_the_distribution(self):
        logits = torch.tensor([1.0, 0.0, -1.0, -9.0]).expand(20000, 1, 4)
        drawn = sample(logits, torch.rand(20000, 1), torch.tensor([0.7]), top_k=3)
        expected = (torch.tensor([1.0, 0.0, -1.0]) / 0.7).softmax(0)
        assert torch.allclose(drawn.flatten().bincount(minlength=4)[:3] / 20000, expected, atol=0.02)
        assert drawn.max() == 2

    def test_prompt_codes_are_continued_like_sampled_ones(self):
        decoder = tiny(3)
        states = condition(decoder)
        whole = codes(decoder, states, 40)
        assert torch.equal(codes(decoder, states, 25, known=whole[..., :15]), whole)

    def test_bfloat16_gives_sound(self):
        decoder = tiny()
        decoder.model.to(torch.bfloat16)
        wave = sound(decoder, condition(decoder), 0.5, seeds=[0])
        assert wave.dtype == torch.float32 and wave.isfinite().all() and wave.std() > 0


class TestLength:
    @pytest.mark.parametrize("seconds", [0.001, 0.5, 1.2345, 4.0])
    @pytest.mark.parametrize("stereo", [False, True])
    def test_exact(self, seconds, stereo):
        decoder = tiny(stereo=stereo)
        wave = sound(decoder, condition(decoder), seconds, seeds=[0])
        assert wave.shape == (1, 2 if stereo else 1, max(1, round(seconds * 800)))

    def test_past_the_window_by_overlapping_continuation(self):
        small, large = tiny(window_seconds=1.0), tiny()
        assert small.context_window.size == 50
        states = condition(small)
        assert sound(small, states, 3.3, seeds=[0]).shape[-1] == round(3.3 * 800)
        short, long = codes(small, states, 160), codes(large, states, 160)
        assert torch.equal(short[..., :50], long[..., :50])
        # Column 53 is chosen from the last `overlap` frames alone, as if the music had begun with them.
        begin = 53 - small.context_window.overlap - 3
        model = CodeLM(DecoderWeights(large.model), states, None, guided=True)
        model.allocate(54 - begin)
        conditional, free = model.step(DelayPattern(short[..., begin:], 0, VOCABULARY).decoder_input(0, 53 - begin)).chunk(2)
        choice = (free + 3.0 * (conditional - free)).argmax(-1)
        assert choice[0].tolist() == [short[0, book, 53 - book] for book in range(4)]


class TestCachedWeights:
    """Weights are cached between requests; a change of the model invalidates the cache."""

    def generate(self, decoder):
        return sound(decoder, condition(decoder), 1.0, seeds=[0])

    @pytest.mark.parametrize("change", ["copy", "loaded", "in place"])
    def test_a_change_of_the_model_invalidates_the_cache(self, change):
        used, fresh = tiny(seed=1), tiny(seed=1)
        before = self.generate(used)
        if change == "copy":
            used = copy.deepcopy(used)
        elif change == "loaded":  # through a parent, which never calls the decoder's own method
            state = {f"music.{name}": value for name, value in tiny(seed=2).state_dict().items()}
            for decoder in (used, fresh):
                torch.nn.ModuleDict({"music": decoder}).load_state_dict(state)
        else:
            with torch.no_grad():
                for weight in (*used.model.decoder.parameters(), *fresh.model.decoder.parameters()):
                    weight.mul_(1.5)
        assert torch.equal(self.generate(used), self.generate(fresh))
        assert torch.equal(self.generate(used), before) == (change == "copy")

    def test_small_models_are_packed_once(self, monkeypatch):
        decoder, packed = tiny(seed=1), []
        weights = "llama.decoders.musicgen.decoder.DecoderWeights"
        monkeypatch.setattr(weights, lambda model: packed.append(DecoderWeights(model)) or packed[-1])
        self.generate(decoder), self.generate(decoder)
        assert len(packed) == 1
        monkeypatch.setattr("llama.decoders.musicgen.lm.SMALL_MODEL_PARAMS", 10)
        heavy = tiny(seed=2)
        self.generate(heavy), self.generate(heavy)
        assert len(packed) == 3 and heavy._cached_weights is None


class TestStream:
    @pytest.mark.parametrize("causal", [False, True])
    def test_pieces_equal_the_whole(self, causal):
        codec = tiny(causal=causal).model.audio_encoder
        for length, cuts in ((60, (1, 9, 10, 31)), (7, (3,)), (1, ()), (30, (29,))):
            found = torch.randint(0, VOCABULARY, (2, 4, length))
            whole = codec.decode(found[None], [None]).audio_values
            stream = EncodecStream(codec)
            parts = [stream.feed(found[..., :cut], last=False) for cut in cuts] + [stream.feed(found, last=True)]
            assert torch.allclose(torch.cat(parts, -1), whole, atol=1e-6)

    def test_chunks_come_early_and_make_the_whole(self):
        decoder = tiny(seed=2)
        states = condition(decoder)
        chunks = list(decoder.synthesize(decoder.request(states, 6.0, temperature=0.0, seeds=[0])))
        assert len(chunks) >= 3 and chunks[0].shape[-1] <= 800
        whole = decoder.model.audio_encoder.decode(codes(decoder, states, 300)[None], [None]).audio_values
        assert torch.allclose(torch.cat(chunks, -1), whole[..., :4800], atol=1e-5)
        assert whole.std() > 1e-4

    def test_a_prompt_is_continued_and_not_repeated(self):
        decoder = tiny(seed=4)
        prompt = Waveform(torch.randn(1, 900), 800)
        states = condition(decoder)
        wave = sound(decoder, states, 2.0, temperature=0.0, seeds=[0], prompt=prompt)
        ending = prompt.samples[None, :, -56 * 16 :]  # whole frames, so that the new sound begins where the prompt ends
        known = decoder.model.audio_encoder.encode(ending).audio_codes[0][:, :4]
        frames = known.shape[-1]
        every = codes(decoder, states, 100, known=known)
        whole = decoder.model.audio_encoder.decode(every[None], [None]).audio_values
        assert wave.shape[-1] == 1600
        assert torch.allclose(wave, whole[..., frames * 16 :][..., :1600], atol=1e-5)


class FakeGrammar:
    """Codebook 0 counts frames, codebook 2 repeats codebook 0; codebook 1 has a low temperature."""

    def __init__(self, frames: int):
        self.frames = frames
        self.calls: list[tuple[int, int]] = []

    def forced_codes(self, codes: Tensor, book: int, frame: int) -> Tensor | None:
        self.calls.append((book, frame))
        assert codes.shape[-1] == self.frames
        if book == 0:
            return torch.full((codes.shape[0],), frame % VOCABULARY)
        return codes[:, 0, frame] if book == 2 else None

    def sampled_frames(self, codes: object) -> int:
        return self.frames

    def temperature(self, book: int) -> float | None:
        return 0.001 if book == 1 else None


def test_grammar_computes_codes_and_sets_temperatures():
    decoder = tiny(window_seconds=1.0)
    grammars: list[FakeGrammar] = []
    codec = decoder.model.audio_encoder
    codec.grammar, codec.notes = lambda frames: grammars.append(FakeGrammar(frames)) or grammars[-1], lambda codes: []
    states = condition(decoder, 2)
    found = codes(decoder, states, 80, temperature=1.0, seeds=(1, 2))
    assert torch.equal(found[:, 0], (torch.arange(80) % VOCABULARY).expand(2, -1))
    assert torch.equal(found[:, 2], found[:, 0])
    assert sorted(set(grammars[0].calls)) == [(book, frame) for book in range(4) for frame in range(80)]
    with pytest.raises(ValueError, match="cannot continue a recording"):
        decoder.synthesize(decoder.request(states, 1.0, seeds=[0, 1], prompt=Waveform(torch.zeros(1, 900), 800)))


class TestFolders:
    def test_save_and_load(self, tmp_path, published):
        decoder = published[1]
        decoder.save(tmp_path / "full")
        again = MusicGenDecoder.from_folder(tmp_path / "full")
        ours, theirs = decoder.export_state(), again.export_state()
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert torch.equal(decoder.embed(["a slow harp"])[0], again.embed(["a slow harp"])[0])
        decoder.save(tmp_path / "half", dtype=torch.float16)
        sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
        assert sizes[1] < 0.7 * sizes[0]
        assert MusicGenDecoder.from_folder(tmp_path / "half").model.dtype == torch.float32
        assert not [path for path in (tmp_path / "full").iterdir() if path.is_dir()]

    def test_wrong_folders_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="not a folder"):
            MusicGenDecoder.from_folder(tmp_path / "missing")
        with pytest.raises(FileNotFoundError, match="no config.json"):
            MusicGenDecoder.from_folder(tmp_path)
        (tmp_path / "config.json").write_text('{"model_type": "t5"}')
        with pytest.raises(ValueError, match="'t5'"):
            MusicGenDecoder.from_folder(tmp_path)

    def test_damaged_files_are_named(self, tmp_path, published):
        published[1].save(tmp_path)
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(ValueError, match="its weight files have 1,000 bytes; copy the folder again"):
            MusicGenDecoder.from_folder(tmp_path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(ValueError, match="not a configuration in JSON"):
            MusicGenDecoder.from_folder(tmp_path)

    def test_unknown_sizes_and_weights_of_another_kind(self):
        with pytest.raises(ValueError, match="choose music_decoder audioldm2"):
            MusicGenDecoder.from_state(None, {"unet.weight": torch.zeros(1)})
        with pytest.raises(ValueError, match="width 24"):
            MusicGenDecoder.from_state(None, {"decoder.lm_heads.0.weight": torch.zeros(64, 24)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seconds": -1.0}, "seconds is -1.0"),
        ({"seconds": 0.0}, "more than 0"),
        ({"seconds": 1e9}, "at most 600"),
        ({"seconds": math.nan}, "seconds is nan"),
        ({"guidance": -2.0}, "guidance is -2.0"),
        ({"guidance": math.inf}, "guidance is inf"),
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"seeds": [1, 2]}, "2 seeds were given for 1 rows"),
        ({"condition": torch.zeros(1, 1, 137216)}, "choose the decoder that the checkpoint was trained with"),
        ({"condition": torch.zeros(6, 12)}, "takes \\[batch, 6, 12\\]"),
        ({"mask": torch.ones(1, 5)}, "mask has shape"),
        ({"prompt": Waveform(torch.zeros(1, 3), 800)}, "a continuation needs at least"),
    ],
)
def test_bad_requests_are_refused_in_one_sentence(changes, words):
    decoder = tiny()
    arguments = {"condition": condition(decoder), "seconds": 1.0, "seeds": [0], **changes}
    with pytest.raises(ValueError, match=words):
        decoder.synthesize(decoder.request(arguments.pop("condition"), arguments.pop("seconds"), **arguments))


def test_no_tokenizer_no_captions():
    with pytest.raises(ValueError, match="music_decoder_path"):
        tiny().embed(["a harp"])


def test_stays_in_eval_mode():
    decoder = tiny()
    assert not decoder.train().model.training
