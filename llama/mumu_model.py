"""MuMuModel: three frozen encoders -> adapters -> LLaMA -> eight audio tokens -> a music decoder (arXiv 2412.06660).

The network alone, which loading, generation and training work on; `MuMuLLaMA` adds what a user calls.
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
from llama.encoders.vit import ViTEncoder
from llama.encoders.vivit import ViViTEncoder
from llama.media.audio import Waveform
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
    """What encoding returns: each [B, P, D], or None where no turn has that medium. A row of zeros is an absent medium."""

    audio: Tensor | None = None
    image: Tensor | None = None
    video: Tensor | None = None


class MuMuModel(nn.Module):
    """The network of MuMuLLaMA.

    The encoders, tokenizer and decoder are given ready; a model without one of them refuses what would need it.
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
        dim = config.llama.dim
        self.adapters = nn.ModuleDict({name: UnderstandingAdapter(config.adapter(name), dim) for name in MODALITIES})
        self.prefix_query = nn.ParameterDict(
            {name: torch.randn(config.query_layer, config.adapter(name).positions, dim) * 0.02 for name in MODALITIES}
        )
        self.llama = Transformer(config.llama)
        self.output_projector = OutputProjector(config.projector, dim)

    # -- hearing and seeing -------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        return self.llama.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.llama.norm.weight.dtype

    def encode(self, turns: Sequence[Turn]) -> ModalityFeatures:
        """Every medium of every turn through its encoder and adapter, once."""
        readers = {"audio": self._hear, "image": self._look, "video": self._watch}
        features = {}
        for name, reader in readers.items():
            rows = [(row, getattr(turn, name)) for row, turn in enumerate(turns) if getattr(turn, name) is not None]
            if not rows:
                continue
            shape = (len(turns), self.config.adapter(name).positions, self.config.llama.dim)
            features[name] = torch.zeros(shape, device=self.device, dtype=self.dtype).index_copy(
                0, torch.tensor([row for row, _ in rows], device=self.device), torch.cat([reader(one) for _, one in rows])
            )
        return ModalityFeatures(**features)

    def _hear(self, audio: Waveform | str) -> Tensor:
        """A recording of any length -> [1, P, D]; each is encoded alone, since padding would change its group norm."""
        encoder = self._part("mert", "audio")
        wave = audio if isinstance(audio, Waveform) else Waveform.read(audio)
        adapter = self.adapters["audio"]
        windows = [
            adapter.frames(encoder.encode(window[None].to(self.device))) for window in encoder.windows(wave)
        ]
        return adapter.prompts(adapter.pool(concat_windows(windows), self.prototypes))

    def _look(self, image: Any) -> Tensor:
        encoder = self._part("vit", "a picture")
        pixels = encoder.prepare(load_image(image))[None].to(self.device, self.dtype)
        return self.adapters["image"](encoder.encode(pixels))

    def _watch(self, video: Any) -> Tensor:
        encoder = self._part("vivit", "video")
        pixels = encoder.prepare(load_frames(video, encoder.frames))[None].to(self.device, self.dtype)
        return self.adapters["video"](encoder.encode(pixels))

    def _part(self, name: str, medium: str) -> Any:
        part = getattr(self, name)
        if part is None:
            raise ValueError(f"This model was loaded without its {name} encoder, so it cannot take {medium}; load it with {name}_path.")
        return part

    # -- thinking -----------------------------------------------------------------------------------------------

    def layer_prompts(self, features: ModalityFeatures | None, batch: int) -> list[Tensor | None]:
        """One entry a layer: None for the plain ones, then Q layers each for audio, image and video: learned query + feature,
        or the query alone where the medium is absent."""
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

        With a cache, features matter in its first call only: it keeps what the prompts became.
        """
        prompts = self.layer_prompts(features, tokens.shape[0]) if cache is None or cache.length == 0 else None
        return self.llama(tokens, prompts, cache, last_only=last_only)

    def project(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """Hidden states that predicted the audio tokens and those tokens' embeddings, both [B, 8, D], -> 10 x the decoder's
        condition, [B, condition tokens, width]."""
        return self.output_projector(hidden, embeddings)

    def audio_token_embeddings(self, batch: int) -> Tensor:
        """[B, 8, D]; the audio tokens are the last eight rows of the vocabulary."""
        return self.llama.tok_embeddings.weight[-AUDIO_TOKENS:].expand(batch, -1, -1)

    # -- for use ------------------------------------------------------------------------------------------------

    def merge_lora(self) -> Self:
        """Folds the low-rank weights into the LLaMA for faster inference; `unmerge_lora` takes them out again."""
        merge_lora(self.llama)
        return self

    def unmerge_lora(self) -> Self:
        unmerge_lora(self.llama)
        return self
