"""MusicGen (Copet et al. 2023, "Simple and Controllable Music Generation"): stock transformers model, own decoding loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from llama.component_config import check_weights_suffice
from llama.decoders.base import (
    AudioGenerator,
    RequestBuilder,
    StreamingCodec,
    SymbolicCodec,
    SynthesisRequest,
    reading,
)
from llama.decoders.musicgen.audio_stream import AudioStreamer
from llama.decoders.musicgen.continuation import Seam, fit_channels, prompt_frames
from llama.decoders.musicgen.continuous_batch import CodeBatch
from llama.decoders.musicgen.encodec_stream import can_stream
from llama.decoders.musicgen.lm import CodeLM, DecoderWeights, generate
from llama.decoders.musicgen.loading import (
    CLASSES,
    MELODY_WEIGHT,
    QUANTIZER,
    MusicGen,
    check_kind,
    default_chroma_extractor,
    find_chroma_extractor,
    find_tokenizer,
    known_config,
    load_checked,
    load_folder,
)
from llama.decoders.musicgen.melody import MelodyLM, melody_of
from llama.decoders.musicgen.sampling import CodeSampler, ContextWindow, DelayPattern, Grammar, Sampling
from llama.decoders.musicgen.score_player import ScorePlayer
from llama.decoders.recording_edits import check_recording_edit
from llama.files import atomic_files
from llama.hf import library_errors, suppress_hf_logging
from llama.media.audio import Waveform
from llama.media.edit import Edit, apply_edit, prepare
from llama.media.score import Score

CONDITION_TOKENS = 128  # the published training padded captions to this many tokens
WINDOW_SECONDS = 30.0  # length of the training clips of the released models


class MusicGenDecoder(ScorePlayer, RequestBuilder, nn.Module):
    """MusicGen with its text encoder and codec; frozen, always in eval mode.

    `hop`: samples of a frame of codes; `audio_channels`: channels that the codec codes as separate recordings.
    """

    def __init__(self, model: MusicGen, tokenizer: Any = None, chroma_extractor: Any = None):
        """`chroma_extractor`: transformers' MusicgenMelodyFeatureExtractor of MusicGen Melody; None takes the released models'."""
        super().__init__()
        # The default attention of a text encoder built in memory ignores the padding mask.
        model.text_encoder.set_attn_implementation("eager")
        self.model, self.tokenizer = model.eval(), tokenizer
        self.chroma_extractor = chroma_extractor or default_chroma_extractor(model.config)
        config, codec = model.config, model.config.audio_encoder
        options = model.generation_config
        self.sample_rate: int = codec.sampling_rate
        self.hop: float = getattr(codec, "hop_length", None) or codec.sampling_rate / codec.frame_rate
        self.audio_channels: int = getattr(config.decoder, "audio_channels", 1)  # 2 in stereo MusicGen
        self.channels: int = max(self.audio_channels, getattr(codec, "audio_channels", 1))
        self.condition_shape = (getattr(config, "condition_tokens", CONDITION_TOKENS), config.text_encoder.hidden_size)
        self.streams = can_stream(model.audio_encoder) or isinstance(model.audio_encoder, StreamingCodec)
        self.guidance = float(options.guidance_scale or 3.0)
        self.temperature = float(options.temperature or 1.0) if options.do_sample else 0.0
        self.top_k = int(options.top_k or 250)
        self.context_window = self._context_window(getattr(config, "window_seconds", WINDOW_SECONDS))
        self._cached_weights: tuple[list[tuple[int, int]], DecoderWeights] | None = None  # with the state of their parameters

    def _decoder_weights(self) -> DecoderWeights:
        """The weights for decoding. Those of a small model are kept between requests, until a parameter changes."""
        stamp = [(weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in self.model.parameters()]
        if self._cached_weights is None or self._cached_weights[0] != stamp:
            self._cached_weights = stamp, DecoderWeights(self.model)
        weights = self._cached_weights[1]
        self._cached_weights = self._cached_weights if weights.is_small else None
        return weights

    def __getstate__(self) -> dict[str, Any]:
        """Drop the cached weights: a weight packed by oneDNN can be neither copied nor saved."""
        return {**self.__dict__, "_cached_weights": None}

    def _context_window(self, seconds: float) -> ContextWindow:
        decoder = self.model.config.decoder
        limit = decoder.max_position_embeddings - decoder.num_codebooks
        if self.keeps_melody:  # chroma and text states precede the codes
            limit -= self.model.config.chroma_length + self.condition_shape[0]
        window = min(limit, math.ceil(seconds * self.sample_rate / self.hop))
        return ContextWindow(window, max(1, window // 3))

    @classmethod
    def from_folder(cls, path: str | Path, dtype: torch.dtype | Literal["auto"] = torch.float32) -> MusicGenDecoder:
        """Load a save_pretrained folder or a hub name. Raises FileNotFoundError, or ValueError for another kind of model."""
        model = load_folder(path, dtype)
        with reading("MusicGen", path):
            decoder = cls(model, chroma_extractor=find_chroma_extractor(path, model.config)).requires_grad_(False)
        decoder.tokenizer = find_tokenizer(path)
        return decoder

    @classmethod
    def from_state(
        cls,
        config: Mapping[str, Any] | None,
        state: Mapping[str, Tensor],
        tokenizer: str | Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> MusicGenDecoder:
        """Build from weights under their published names; `config` as in config.json, or None for a released size.

        `tokenizer`: folder or hub name with the text encoder's tokenizer; without it captions cannot be embedded.
        """
        if config is None:
            heads = [name for name in state if name.startswith("decoder.lm_heads.")]
            if not heads:
                raise ValueError("These weights hold no MusicGen (decoder.lm_heads.* is missing); choose music_decoder audioldm2.")
            width = state[heads[0]].shape[-1] if state[heads[0]].dim() else 1
            config = known_config(width, len(heads), melody=MELODY_WEIGHT in state)
        advice = "name the folder of the decoder they belong to with music_decoder_path"
        with suppress_hf_logging(), library_errors("MusicGen", "the checkpoint and its config.json", advice):
            check_kind("config.json", kind := config.get("model_type", "musicgen"))
            config_class, network = CLASSES[kind]
            musicgen_config = config_class.from_dict(copy.deepcopy(dict(config)))
            held = sum(value.nbytes for value in state.values())
            check_weights_suffice("MusicGen", lambda: network(musicgen_config), held)
            model = load_checked(network, None, config=musicgen_config, state_dict=dict(state), dtype=dtype)
            model.generation_config.update(do_sample=True, guidance_scale=3.5, temperature=1.0, top_k=250)
            decoder = cls(model).requires_grad_(False)
        decoder.tokenizer = find_tokenizer(tokenizer) if tokenizer else None
        return decoder

    def train(self, mode: bool = True) -> MusicGenDecoder:
        """Stay in eval mode: the text states are a regression target and must not change by dropout."""
        return super().train(False)

    def export_state(self) -> dict[str, Tensor]:
        """All weights under their published names; the inverse of `from_state`."""
        n_q = self.model.config.decoder.num_codebooks // self.audio_channels
        state = {}
        for name, value in self.model.state_dict().items():
            layer = QUANTIZER.match(name)
            if layer is None or int(layer[1]) < n_q:
                name = name.replace("parametrizations.weight.original0", "weight_g")
                state[name.replace("parametrizations.weight.original1", "weight_v")] = value
        table = self.model.decoder.model.decoder.embed_positions.weights
        return {**state, "decoder.model.decoder.embed_positions.weights": table}

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a save_pretrained folder, with the tokenizer if there is one; files are replaced atomically."""
        model = self.model if dtype is None else copy.deepcopy(self.model).to(dtype)
        with atomic_files(folder) as draft:
            with suppress_hf_logging():
                model.save_pretrained(draft)
            for part in (self.tokenizer, self.chroma_extractor):
                if part is not None:
                    part.save_pretrained(draft)

    @property
    def device(self) -> torch.device:
        return self.model.decoder.lm_heads[0].weight.device

    @torch.no_grad()
    def embed(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Text states [B, tokens, width] of captions, those of padding included, and their mask [B, tokens]."""
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

    def synthesize(self, request: SynthesisRequest, progress: Callable[[float], None] | None = None) -> AudioGenerator:
        """Generate music: chunks [B, channels, n] float32 of exactly the requested length in all.

        The generator returns a score for each row at the end if the codec is symbolic. `progress` is not called: the chunks
        show the progress. Raises ValueError before any work is done if the prompt is too short or cannot be continued.
        """
        if request.edit is not None and self.edits_scores:
            return self.edited_score(request)
        return self._chunks(request, self.prompt_codes(request))

    @property
    def keeps_melody(self) -> bool:
        """Whether this is MusicGen Melody, which can keep the melody of a recording."""
        return self.chroma_extractor is not None

    def check_edit(self, edit: Edit, source: Score | Waveform) -> None:
        """Raises ValueError in one sentence, before any work, for an edit that this decoder cannot make of the source."""
        if not self.edits_scores:
            name, able = ("MusicGen Melody", {"keep", "continuation"}) if self.keeps_melody else ("MusicGen", {"continuation"})
            check_recording_edit(name, edit, source, able)
            if edit.continuation is not None and isinstance(source, Waveform):
                self._check_prompt(source)
        elif isinstance(source, Score):
            apply_edit(prepare(source, edit), edit)
        else:
            raise ValueError("This music decoder edits notes, not recordings; give the piece's score, or model.transcribe(recording).")

    def frames(self, request: SynthesisRequest) -> int:
        """Frames of codes that the request needs."""
        return math.ceil(self._new_samples(request) / self.hop - 1e-6)

    def grammar(self, frames: int) -> Grammar | None:
        """The rules of a symbolic codec for so many frames; None for a neural codec."""
        codec = self.model.audio_encoder
        return codec.grammar(frames) if isinstance(codec, SymbolicCodec) else None

    def code_batch(self) -> CodeBatch:
        """An empty continuous batch."""
        n_q = self.model.decoder.model.decoder.num_codebooks
        delays = [codebook // self.audio_channels for codebook in range(n_q)]
        return CodeBatch(self._decoder_weights, self.code_lm, self.prompt_codes, self.context_window, self.top_k, delays)

    def code_lm(self, weights: DecoderWeights, request: SynthesisRequest) -> CodeLM:
        """The decoding state of a request, which reads its condition, and in MusicGen Melody the melody that it keeps."""
        condition = request.condition.to(self.device)
        if not self.keeps_melody:
            return CodeLM(weights, condition, request.mask, request.guided)
        kept = request.source if request.edit is not None and request.edit.keep else None
        melody = None if kept is None else melody_of(kept, self.chroma_extractor)
        return MelodyLM(weights, condition, request.mask, request.guided, melody, self.sample_rate / self.hop)

    def audio_streamer(self, request: SynthesisRequest) -> AudioStreamer:
        """The decoder of the request's codes to sound: its own, and before it the recording that an edit continues."""
        prompt = _prompt(request)
        samples = None if prompt is None else fit_channels(prompt, self.sample_rate, self.channels).to(self.device)
        frames = 0 if samples is None else prompt_frames(samples.shape[-1], self.hop, self.context_window.overlap)
        seam = None
        if samples is not None and request.edit is not None:
            seam = Seam(samples, self._new_samples(request), self.hop, frames)
        return AudioStreamer(
            self.model.audio_encoder, request, audio_channels=self.audio_channels, sample_rate=self.sample_rate, hop=self.hop,
            prompt_frames=frames, seam=seam,
        )  # fmt: skip

    def _new_samples(self, request: SynthesisRequest) -> int:
        """Samples of the music that must be generated."""
        if request.edit is not None and request.edit.continuation is not None:
            return round(request.edit.continuation * self.sample_rate)
        return request.samples(self.sample_rate)

    def codes(self, request: SynthesisRequest, prompt_codes: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Yield after every step all codes [B, K, n + F], `prompt_codes` [B, K, n] first, and the number of complete frames."""
        frames = self.frames(request)
        return self.sample(request, prompt_codes, frames, self.grammar(frames))

    @torch.inference_mode()
    def sample(
        self, request: SynthesisRequest, prompt_codes: Tensor, frames: int, grammar: Grammar | None
    ) -> Iterator[tuple[Tensor, int]]:
        """As `codes`, for so many new frames under a grammar."""
        model = self.code_lm(self._decoder_weights(), request)
        pattern = DelayPattern(prompt_codes, frames, model.pad, self.audio_channels)
        sampling = Sampling(request.guidance, request.temperature, self.top_k)
        sampler = CodeSampler(pattern, sampling, request.seeds, grammar)
        for complete in generate(model, pattern, self.context_window, sampler):
            yield pattern.codes, complete

    @torch.inference_mode()
    def _chunks(self, request: SynthesisRequest, prompt_codes: Tensor) -> AudioGenerator:
        """Yield sound as its codes become final, cut to the exact length; return the scores of a symbolic codec."""
        codes, streamer = prompt_codes, self.audio_streamer(request)
        for codes, complete in self.codes(request, prompt_codes):
            if complete < codes.shape[-1] and streamer.chunk_ready(complete):
                sound = streamer.next_chunk(codes[..., :complete])
                if sound.shape[-1]:
                    yield sound
        sound, scores = streamer.finish(codes)
        if sound.shape[-1]:
            yield sound
        return scores

    @torch.no_grad()
    def prompt_codes(self, request: SynthesisRequest) -> Tensor:
        """Codes [B, K, n] of the end of the recording that the request continues; n is 0 without one, at most `context_window.overlap`."""
        rows, n_q, codec = len(request.seeds), self.model.config.decoder.num_codebooks, self.model.audio_encoder
        if (prompt := _prompt(request)) is None:
            return torch.zeros(rows, n_q, 0, dtype=torch.long, device=self.device)
        self._check_prompt(prompt)
        samples = fit_channels(prompt, self.sample_rate, self.channels)
        frames = prompt_frames(samples.shape[-1], self.hop, self.context_window.overlap)
        samples = samples[:, -round(frames * self.hop) :]  # whole frames, so that the new sound begins where the recording ends
        # Stereo MusicGen codes left and right as two recordings with interleaved codebooks; a stereo codec codes both at once.
        recordings = samples[:, None] if self.audio_channels == 2 else samples[None]
        recordings = recordings.to(self.device, next(codec.parameters()).dtype)
        codes = codec.encode(recordings, bandwidth=max(codec.config.target_bandwidths)).audio_codes[0]
        interleaved = codes[:, : n_q // self.audio_channels].transpose(0, 1).reshape(1, n_q, -1)
        return interleaved.expand(rows, -1, -1)

    def _check_prompt(self, prompt: Waveform) -> None:
        """Raises ValueError for a recording that cannot be continued."""
        codec = self.model.audio_encoder
        if not callable(getattr(codec, "encode", None)) or isinstance(codec, SymbolicCodec):
            raise ValueError("This music decoder cannot continue a recording: its codec has no encoder; leave the prompt out.")
        if prompt.seconds * self.sample_rate < self.hop:
            raise ValueError(f"The recording lasts {prompt.seconds:.3f} s; a continuation needs at least {self.hop / self.sample_rate} s.")


def _prompt(request: SynthesisRequest) -> Waveform | None:
    """The recording that a request continues: the source of such an edit, or one that is not returned itself."""
    if request.edit is not None and request.edit.continuation is not None and isinstance(request.source, Waveform):
        return request.source
    return request.prompt
