"""MuMuModel: three frozen encoders -> adapters -> LLaMA -> eight audio tokens -> a music decoder (arXiv 2412.06660).

The network alone, which loading, generation and training work on; `MuMuLLaMA` adds the methods for users.
Legend: B turns, P prompt positions, D the LLaMA's width, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from llama.config import AUDIO_TOKENS, MODALITIES, MuMuConfig
from llama.decoders.base import MusicDecoder
from llama.dialogue import Turn
from llama.encoders.mert import MERTEncoder
from llama.encoders.transcriber import Transcriber
from llama.encoders.vit import ViTEncoder
from llama.encoders.vivit import ViViTEncoder
from llama.media.audio import Waveform, prepare_recording
from llama.media.image import load_image
from llama.media.video import load_frames
from llama.modules.adapters import UnderstandingAdapter, concat_windows
from llama.modules.kv_cache import KVCache
from llama.modules.lora import merge_lora, unmerge_lora
from llama.modules.output_projector import OutputProjector
from llama.modules.retrieval import PrototypeIndex
from llama.modules.tokenizer import Tokenizer
from llama.modules.transformer import MuMuOutput, Transformer


@dataclass(frozen=True)
class ModalityFeatures:
    """Adapter features of the media of B turns: each [B, P, D], or None if no turn has that medium.

    A turn without the medium has a row of zeros.
    """

    audio: Tensor | None = None
    image: Tensor | None = None
    video: Tensor | None = None


class MuMuModel(nn.Module):
    """The network of MuMuLLaMA.

    The caller builds the encoders, tokenizer, decoder and prototypes. A call that needs a missing one raises ValueError; without
    prototypes, audio features are used without retrieval.
    """

    def __init__(
        self,
        config: MuMuConfig,
        *,
        tokenizer: Tokenizer | None = None,
        mert: MERTEncoder | None = None,
        vit: ViTEncoder | None = None,
        vivit: ViViTEncoder | None = None,
        music_decoder: MusicDecoder | None = None,
        prototypes: PrototypeIndex | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.mert, self.vit, self.vivit = mert, vit, vivit
        self.music_decoder = music_decoder
        self.prototypes = prototypes
        self.transcriber: Transcriber | None = None
        dim = config.llama.dim
        self.adapters = nn.ModuleDict({name: UnderstandingAdapter(config.adapter(name), dim) for name in MODALITIES})
        self.prefix_query = nn.ParameterDict(
            {name: torch.randn(config.query_layer, config.adapter(name).positions, dim) * 0.02 for name in MODALITIES}
        )
        self.llama = Transformer(config.llama)
        self.output_projector = OutputProjector(config.projector, dim)

    # -- media ----------------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        return self.llama.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.llama.norm.weight.dtype

    def encode(self, turns: Sequence[Turn]) -> ModalityFeatures:
        """Encodes every medium of every turn once. ValueError if the model has no encoder for one."""
        encoders = {"audio": self._encode_audio, "image": self._encode_image, "video": self._encode_video}
        features = {}
        for name, encode in encoders.items():
            rows = [(row, getattr(turn, name)) for row, turn in enumerate(turns) if getattr(turn, name) is not None]
            if not rows:
                continue
            shape = (len(turns), self.config.adapter(name).positions, self.config.llama.dim)
            features[name] = torch.zeros(shape, device=self.device, dtype=self.dtype).index_copy(
                0, torch.tensor([row for row, _ in rows], device=self.device), torch.cat([encode(medium) for _, medium in rows])
            )
        return ModalityFeatures(**features)

    def _encode_audio(self, audio: Waveform | str) -> Tensor:
        """A recording of any length -> [1, P, D]. Recordings are not batched: padding would change MERT's group norm."""
        encoder = self._encoder("mert", "audio")
        wave = prepare_recording(audio if isinstance(audio, Waveform) else Waveform.read(audio))
        adapter = self.adapters["audio"]
        windows = [
            adapter.frames(encoder.encode(window[None].to(self.device))) for window in encoder.windows(wave)
        ]
        return adapter.prompts(adapter.pool(concat_windows(windows), self.prototypes))

    def _encode_image(self, image: Any) -> Tensor:
        """An image, or its path -> [1, P, D]."""
        encoder = self._encoder("vit", "a picture")
        pixels = encoder.prepare(load_image(image))[None].to(self.device, self.dtype)
        return self.adapters["image"](encoder.encode(pixels))

    def _encode_video(self, video: Any) -> Tensor:
        """Frames, or the path of a clip -> [1, P, D]."""
        encoder = self._encoder("vivit", "video")
        pixels = encoder.prepare(load_frames(video, encoder.frames))[None].to(self.device, self.dtype)
        return self.adapters["video"](encoder.encode(pixels))

    def _encoder(self, name: str, medium: str) -> Any:
        encoder = getattr(self, name)
        if encoder is None:
            raise ValueError(f"This model was loaded without its {name} encoder, so it cannot take {medium}; load it with {name}_path.")
        return encoder

    # -- language model -------------------------------------------------------------------------------------------

    def layer_prompts(self, features: ModalityFeatures | None, batch: int) -> list[Tensor | None]:
        """Adapter prompt [batch, P, D] of each layer, or None for a layer without one.

        The last layers have prompts: Q layers each for audio, image and video. A prompt is the layer's learned query plus the
        medium's feature; the query alone if there is none.
        """
        prompts: list[Tensor | None] = [None] * (self.config.llama.n_layers - len(MODALITIES) * self.config.query_layer)
        for name in MODALITIES:
            feature = getattr(features, name) if features is not None else None
            for query in self.prefix_query[name]:
                prompts.append(query.expand(batch, -1, -1) if feature is None else query + feature)
        return prompts

    def forward(
        self,
        tokens: Tensor,
        features: ModalityFeatures | None = None,
        cache: KVCache | None = None,
        *,
        last_only: bool = False,
    ) -> MuMuOutput:
        """tokens [B, T] int64 -> logits [B, T, V] and hidden [B, T, D] before the final norm.

        last_only: logits of the last position alone, [B, 1, V].
        With a cache, `features` are used in its first call only: it holds the keys and values of the prompts.
        """
        prompts = self.layer_prompts(features, tokens.shape[0]) if cache is None or cache.length == 0 else None
        return self.llama(tokens, prompts, cache, last_only=last_only)

    def project(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """The hidden states that predicted the audio tokens and the embeddings of those tokens, both [B, 8, D] -> the music
        decoder's condition times CONDITION_SCALE, [B, condition tokens, width].
        """
        return self.output_projector(hidden, embeddings)

    def audio_token_embeddings(self, batch: int) -> Tensor:
        """[B, 8, D]; the audio tokens are the last eight rows of the vocabulary."""
        return self.llama.tok_embeddings.weight[-AUDIO_TOKENS:].expand(batch, -1, -1)

    # -- LoRA -----------------------------------------------------------------------------------------------------

    def merge_lora(self) -> Self:
        """Adds the LoRA weights to the LLaMA's for faster inference; `unmerge_lora` undoes it."""
        merge_lora(self.llama)
        return self

    def unmerge_lora(self) -> Self:
        """Restores the separate LoRA weights after `merge_lora`."""
        unmerge_lora(self.llama)
        return self
