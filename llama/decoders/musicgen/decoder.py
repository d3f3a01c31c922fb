"""Music decoders: stock MusicGen of transformers and stock AudioLDM2 of diffusers behind one protocol."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, MusicgenConfig, MusicgenForConditionalGeneration

from llama.decoders.audioldm2 import AudioLDM2Decoder
from llama.decoders.base import (
    AudioGenerator,
    MusicDecoder,
    SynthesisRequest,
    check_folder,
    read_json,
    reading,
)
from llama.decoders.musicgen.audio_stream import AudioStreamer
from llama.decoders.musicgen.continuous_batch import CodeBatch
from llama.decoders.musicgen.encodec_stream import can_stream
from llama.decoders.musicgen.lm import CodeLM, DecoderWeights, generate
from llama.decoders.musicgen.sampling import CodeSampler, ContextWindow, DelayPattern, Sampling
from llama.files import atomic_files
from llama.hf import check_report, check_unexpected, suppress_hf_logging
from llama.media.audio import Waveform

__all__ = ["AudioLDM2Decoder", "MusicDecoder", "MusicGenDecoder", "known_config"]

CONDITION_TOKENS = 128  # captions were padded to this many tokens in the published training
WINDOW_SECONDS = 30.0  # length of the pieces that the released sizes were trained on

# What no sound depends on, written by some versions of transformers and not by others: computed tables, padding as a
# number, the statistics that codebooks were trained with.
UNUSED = r"embed_positions\.weights$|\.(padding_total|stride|kernel_size|position_ids)$|\.codebook\.(cluster_size|embed_avg|inited)$"
QUANTIZER = re.compile(r"audio_encoder\.quantizer\.layers\.(\d+)\.")

# hidden size -> layers, heads, feed-forward width of facebook/musicgen-small, -medium and -large
KNOWN = {1024: (24, 16, 4096), 1536: (48, 24, 6144), 2048: (48, 32, 8192)}
T5_BASE = {
    "model_type": "t5", "d_model": 768, "d_ff": 3072, "d_kv": 64, "num_layers": 12, "num_heads": 12, "vocab_size": 32128,
    "feed_forward_proj": "relu", "relative_attention_num_buckets": 32, "decoder_start_token_id": 0,
}  # fmt: skip
ENCODEC_32KHZ = {
    "model_type": "encodec", "sampling_rate": 32000, "audio_channels": 1, "target_bandwidths": [2.2], "num_filters": 64,
    "upsampling_ratios": [8, 5, 4, 4], "codebook_size": 2048, "codebook_dim": 128, "hidden_size": 128, "num_lstm_layers": 2,
    "kernel_size": 7, "last_kernel_size": 7, "residual_kernel_size": 3, "num_residual_layers": 1, "compress": 2,
    "dilation_growth_rate": 2, "norm_type": "weight_norm", "normalize": False, "pad_mode": "reflect",
    "use_causal_conv": False, "use_conv_shortcut": False, "trim_right_ratio": 1.0, "chunk_length_s": None, "overlap": None,
}  # fmt: skip


def known_config(hidden: int, books: int = 4) -> dict[str, Any]:
    """The configuration of the released MusicGen whose decoder is `hidden` wide (eight codebooks: the stereo ones)."""
    if hidden not in KNOWN:
        sizes = ", ".join(map(str, KNOWN))
        raise ValueError(
            f"No released MusicGen has a decoder of width {hidden} (they have {sizes}); name its folder in music_decoder_path."
        )
    layers, heads, ffn = KNOWN[hidden]
    decoder = {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "ffn_dim": ffn,
        "num_codebooks": books, "audio_channels": books // 4, "vocab_size": 2048, "pad_token_id": 2048, "bos_token_id": 2048,
    }  # fmt: skip
    return {"model_type": "musicgen", "text_encoder": T5_BASE, "audio_encoder": ENCODEC_32KHZ, "decoder": decoder}


class MusicGenDecoder(nn.Module):
    """MusicGen with its text encoder and codec; frozen, always in eval mode."""

    def __init__(self, model: MusicgenForConditionalGeneration, tokenizer: Any = None):
        super().__init__()
        # A text encoder that was built in memory otherwise keeps an attention that drops its padding mask.
        model.text_encoder.set_attn_implementation("eager")
        self.model, self.tokenizer = model.eval(), tokenizer
        config, codec = model.config, model.config.audio_encoder
        options = model.generation_config
        self.sample_rate: int = codec.sampling_rate
        self.hop: float = getattr(codec, "hop_length", None) or codec.sampling_rate / codec.frame_rate
        self.voices: int = getattr(config.decoder, "audio_channels", 1)  # codec runs a frame: 2 in stereo MusicGen
        self.channels: int = max(self.voices, getattr(codec, "audio_channels", 1))
        self.condition_shape = (getattr(config, "condition_tokens", CONDITION_TOKENS), config.text_encoder.hidden_size)
        self.streams = can_stream(model.audio_encoder)
        self.guidance = float(options.guidance_scale or 3.0)
        self.temperature = float(options.temperature or 1.0) if options.do_sample else 0.0
        self.top_k = int(options.top_k or 250)
        self.span = self._span(getattr(config, "window_seconds", WINDOW_SECONDS))
        self._kept: tuple[list[tuple[int, int]], DecoderWeights] | None = None  # with what they were laid out of

    def _laid_out(self) -> DecoderWeights:
        """The weights for stepping; where they are light they are kept for the next piece, as long as they stay as they are."""
        stamp = [(one.data_ptr(), 0 if one.is_inference() else one._version) for one in self.model.parameters()]
        if self._kept is None or self._kept[0] != stamp:
            self._kept = stamp, DecoderWeights(self.model)
        laid = self._kept[1]
        self._kept = self._kept if laid.light else None
        return laid

    def __getstate__(self) -> dict[str, Any]:
        """Copies lay out their own: what oneDNN made of a weight can be neither copied nor saved."""
        return {**self.__dict__, "_kept": None}

    def _span(self, seconds: float) -> ContextWindow:
        decoder = self.model.config.decoder
        limit = decoder.max_position_embeddings - decoder.num_codebooks
        window = min(limit, math.ceil(seconds * self.sample_rate / self.hop))
        return ContextWindow(window, max(1, window // 3))

    @classmethod
    def from_folder(cls, path: str | Path, dtype: torch.dtype = torch.float32) -> MusicGenDecoder:
        """A save_pretrained folder, or a name on the hub. FileNotFoundError, ValueError if it is something else."""
        if check_folder(path, "config.json") is not None:
            config = read_json(Path(path) / "config.json")
            if config.get("model_type") != "musicgen":
                raise ValueError(f"{path} holds a {config.get('model_type')!r} model; music_decoder musicgen takes 'musicgen'.")
            if config.get("audio_encoder", {}).get("model_type") == "note_codec":
                from llama.decoders.notes import codec as note_codec  # only who plays notes pays for it

                note_codec.register()
        with suppress_hf_logging(), reading("MusicGen", path):
            model = _load_checked(str(path), dtype=dtype)
        return cls(model, find_tokenizer(path)).requires_grad_(False)

    @classmethod
    def from_state(
        cls,
        config: Mapping[str, Any] | None,
        state: Mapping[str, Tensor],
        tokenizer: str | Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> MusicGenDecoder:
        """Weights under their published names; `config` as in config.json, or None for a released size.

        `tokenizer`: folder or hub name with the text encoder's tokenizer; without it captions cannot be embedded.
        """
        if config is None:
            heads = [name for name in state if name.startswith("decoder.lm_heads.")]
            if not heads:
                raise ValueError("These weights hold no MusicGen (decoder.lm_heads.* is missing); choose music_decoder audioldm2.")
            config = known_config(state[heads[0]].shape[1], len(heads))
        built = MusicgenConfig.from_dict(copy.deepcopy(dict(config)))
        with suppress_hf_logging():
            model = _load_checked(None, config=built, state_dict=dict(state), dtype=dtype)
        model.generation_config.update(do_sample=True, guidance_scale=3.5, temperature=1.0, top_k=250)
        return cls(model, find_tokenizer(tokenizer) if tokenizer else None).requires_grad_(False)

    def train(self, mode: bool = True) -> MusicGenDecoder:
        """Stays in eval mode: its text states are a regression target, which dropout must not touch."""
        return super().train(False)

    def export_state(self) -> dict[str, Tensor]:
        """All weights under their published names; the inverse of `from_state`."""
        books = self.model.config.decoder.num_codebooks // self.voices
        state = {}
        for name, value in self.model.state_dict().items():
            unused = re.match(r"audio_encoder\.quantizer\.layers\.(\d+)\.", name)
            if unused is None or int(unused[1]) < books:
                name = name.replace("parametrizations.weight.original0", "weight_g")
                state[name.replace("parametrizations.weight.original1", "weight_v")] = value
        table = self.model.decoder.model.decoder.embed_positions.weights
        return {**state, "decoder.model.decoder.embed_positions.weights": table}

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a save_pretrained folder (with the tokenizer, if there is one), each file whole or not at all."""
        model = self.model if dtype is None else copy.deepcopy(self.model).to(dtype)
        with atomic_files(folder) as draft:
            with suppress_hf_logging():
                model.save_pretrained(draft)
            if self.tokenizer is not None:
                self.tokenizer.save_pretrained(draft)

    @property
    def device(self) -> torch.device:
        return self.model.decoder.lm_heads[0].weight.device

    @torch.no_grad()
    def embed(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Captions -> text states [B, tokens, width] (those of the padding too) and their mask [B, tokens]."""
        if self.tokenizer is None:
            raise ValueError(
                "This music decoder came without a text tokenizer, so it cannot read captions; "
                "name a MusicGen folder or hub name in music_decoder_path."
            )
        batch = self.tokenizer(
            list(captions), padding="max_length", truncation=True, max_length=self.condition_shape[0], return_tensors="pt"
        ).to(self.device)
        states = self.model.text_encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
        return states.last_hidden_state.float(), batch.attention_mask

    def synthesize(
        self,
        condition: Tensor,
        seconds: float,
        *,
        mask: Tensor | None = None,
        guidance: float | None = None,
        temperature: float | None = None,
        seeds: Sequence[int],
        prompt: Waveform | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> AudioGenerator:
        """Condition [B, tokens, width] -> chunks [B, channels, n] float32 of exactly `seconds` in all.

        Music that follows `prompt`, if given (not the prompt itself). `temperature` multiplies a symbolic codec's own;
        0 takes the likeliest code. A symbolic codec's notes are returned at the end, a score a row. `progress` has no
        effect: the chunks show how far the music is. Raises ValueError before any work is done.
        """
        request = self.request(condition, seconds, mask=mask, guidance=guidance, temperature=temperature, seeds=seeds)
        known = self._encode(prompt, len(request.seeds))
        return self._chunks(request, known)

    def request(
        self,
        condition: Tensor,
        seconds: float,
        *,
        mask: Tensor | None = None,
        guidance: float | None = None,
        temperature: float | None = None,
        seeds: Sequence[int],
    ) -> SynthesisRequest:
        """What `synthesize` was asked for, with this decoder's own guidance and temperature where none was given."""
        return SynthesisRequest(
            condition=condition,
            seconds=seconds,
            mask=mask,
            guidance=self.guidance if guidance is None else guidance,
            temperature=self.temperature if temperature is None else temperature,
            seeds=tuple(seeds),
            shape=self.condition_shape,
        )

    def frames(self, request: SynthesisRequest) -> int:
        """Frames of codes that the piece needs."""
        return math.ceil(request.samples(self.sample_rate) / self.hop - 1e-6)

    def grammar(self, frames: int) -> Any:
        """The rules of a symbolic codec for a piece of so many frames; None for a codec of sound."""
        codec = self.model.audio_encoder
        return codec.grammar(frames) if hasattr(codec, "grammar") else None

    def code_batch(self) -> CodeBatch:
        """Pieces made together, which may join and leave between frames."""
        books = self.model.decoder.model.decoder.num_codebooks
        return CodeBatch(self._laid_out, self.span, self.top_k, [book // self.voices for book in range(books)])

    def audio_streamer(self, request: SynthesisRequest) -> AudioStreamer:
        """What turns the codes of such a piece into sound."""
        return AudioStreamer(self, request)

    @torch.inference_mode()
    def codes(self, request: SynthesisRequest, known: Tensor) -> Iterator[tuple[Tensor, int]]:
        """After every step: all codes [B, K, n + F], `known` [B, K, n] first, and how many frames of them are complete."""
        frames = self.frames(request)
        model = CodeLM(self._laid_out(), request.condition.to(self.device), request.mask, request.guided)
        grid = DelayPattern(known, frames, model.pad, self.voices)
        sampling = Sampling(request.guidance, request.temperature, self.top_k)
        for complete in generate(model, grid, self.span, CodeSampler(grid, sampling, request.seeds, self.grammar(frames))):
            yield grid.codes, complete

    @torch.inference_mode()
    def _chunks(self, request: SynthesisRequest, known: Tensor) -> AudioGenerator:
        """Sound as its codes become final, cut to the exact length; then the notes, if there are any."""
        codes, streamer = known, AudioStreamer(self, request, known.shape[-1])
        for codes, complete in self.codes(request, known):
            if complete < codes.shape[-1] and streamer.chunk_ready(complete):
                sound = streamer.next_chunk(codes[..., :complete])
                if sound.shape[-1]:
                    yield sound
        sound, notes = streamer.finish(codes)
        if sound.shape[-1]:
            yield sound
        return notes

    @torch.no_grad()
    def _encode(self, prompt: Waveform | None, rows: int) -> Tensor:
        """The prompt's codes [B, K, n], its last `span.keep` frames at most; none without a prompt."""
        books, codec = self.model.config.decoder.num_codebooks, self.model.audio_encoder
        if prompt is None:
            return torch.zeros(rows, books, 0, dtype=torch.long, device=self.device)
        if not callable(getattr(codec, "encode", None)) or hasattr(codec, "grammar"):
            raise ValueError("This music decoder cannot continue a recording: its codec has no encoder; leave the prompt out.")
        wave = prompt.resample(self.sample_rate)
        samples = wave.samples if self.channels == 2 and wave.samples.shape[0] == 2 else wave.mono().samples
        samples = samples.expand(self.channels, -1)[:, -round(self.span.keep * self.hop) :]
        if samples.shape[-1] < self.hop:
            raise ValueError(f"The prompt lasts {prompt.seconds:.3f} s; a continuation needs at least {self.hop / self.sample_rate} s.")
        # Stereo MusicGen codes left and right as two recordings and interleaves the books; a codec that is stereo by itself takes both.
        voices = samples[:, None] if self.voices == 2 else samples[None]
        voices = voices.to(self.device, next(codec.parameters()).dtype)
        found = codec.encode(voices, bandwidth=max(codec.config.target_bandwidths)).audio_codes[0]
        interleaved = found[:, : books // self.voices].transpose(0, 1).reshape(1, books, -1)
        return interleaved.expand(rows, -1, -1)


def _load_checked(path: str | None, **options: Any) -> MusicgenForConditionalGeneration:
    """transformers' loading, which fills what is missing at random and says so in a log: here it is refused."""
    load: Any = MusicgenForConditionalGeneration.from_pretrained
    model, report = load(path, output_loading_info=True, ignore_mismatched_sizes=True, **options)
    strange = {_inner_name(key) for key in options.get("state_dict") or ()} - model.state_dict().keys()
    report["unexpected_keys"] |= strange  # transformers' own set leaves out whatever has "decoder" in its name
    decoder = model.config.decoder
    books = decoder.num_codebooks // getattr(decoder, "audio_channels", 1)
    layers = (QUANTIZER.search(key) for key in report["missing_keys"] | report["unexpected_keys"])
    spare = [re.escape(found[0]) for found in layers if found and int(found[1]) >= books]  # codebooks that are never played
    unused = re.compile("|".join([UNUSED, *spare]))
    check_report("MusicGen", "music_decoder_path", report, unused)
    check_unexpected("MusicGen", "music_decoder_path", report, unused)
    return model


def _inner_name(key: str) -> str:
    """A published name as torch has it today."""
    return key.replace(".weight_g", ".parametrizations.weight.original0").replace(".weight_v", ".parametrizations.weight.original1")


def find_tokenizer(path: str | Path) -> Any:
    """The tokenizer in a folder or behind a hub name; None if a folder has none."""
    names = ("tokenizer.json", "spiece.model", "tokenizer_config.json")
    if Path(path).is_dir() and not any((Path(path) / name).is_file() for name in names):
        return None
    check_folder(path)
    with reading("tokenizer", path):
        return AutoTokenizer.from_pretrained(str(path))
