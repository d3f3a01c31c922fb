"""MuMuLLaMA: three frozen encoders -> adapters -> LLaMA -> eight audio tokens -> a music decoder (arXiv 2412.06660).

Legend: B turns, P prompt positions, D the LLaMA's width, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from llama.adapters import UnderstandingAdapter, join
from llama.audio import Waveform
from llama.cache import KVCache
from llama.config import AUDIO_TOKENS, MODALITIES, MuMuConfig
from llama.dialogue import Turn
from llama.encoders import MERTEncoder, ViTEncoder, ViViTEncoder
from llama.knn import PrototypeIndex
from llama.lora import merge_lora, unmerge_lora
from llama.media import load_frames, load_image
from llama.projector import OutputProjector
from llama.synthesis import MusicDecoder
from llama.tokenizer import Tokenizer
from llama.transformer import MuMuOutput, Transformer

if TYPE_CHECKING:
    from llama.generation import Event, GenerationOptions


@dataclass(frozen=True)
class ModalityFeatures:
    """What encoding returns: each [B, P, D], or None where no turn has that medium. A row of zeros is an absent medium."""

    audio: Tensor | None = None
    image: Tensor | None = None
    video: Tensor | None = None


class MuMuLLaMA(nn.Module):
    """One model that hears music and makes it. Build it with `llama.load` or `MuMuLLaMA.from_pretrained`.

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
        neighbours: PrototypeIndex | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.mert, self.vit, self.vivit = mert, vit, vivit
        self.music_decoder = music_decoder
        self.neighbours = neighbours
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
        return adapter.prompts(adapter.pool(join(windows), self.neighbours))

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

    def merge_lora(self) -> MuMuLLaMA:
        """Folds the low-rank weights into the LLaMA for faster inference; `unmerge_lora` takes them out again."""
        merge_lora(self.llama)
        return self

    def unmerge_lora(self) -> MuMuLLaMA:
        unmerge_lora(self.llama)
        return self

    def respond(self, turn: Turn | Sequence[Turn], options: GenerationOptions | None = None) -> Any:
        """A `Reply` to a turn, or a list of replies to a list of turns; each row answers as it would alone."""
        from llama.generation import respond

        single = isinstance(turn, Turn)
        replies = respond(self, [turn] if single else list(turn), options)
        return replies[0] if single else replies

    def stream(self, turn: Turn, options: GenerationOptions | None = None) -> Iterator[Event]:
        """`TextDelta`s, then `MusicChunk`s, then one `Done` with the whole `Reply`."""
        from llama.generation import stream

        return stream(self, turn, options)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **arguments: Any) -> MuMuLLaMA:
        """Reads our own format from a folder or a hub name; see `llama.checkpoint.from_pretrained`."""
        from llama.folder import from_pretrained

        return from_pretrained(folder, **arguments)

    def save_pretrained(self, folder: str | Path, **arguments: Any) -> None:
        """Writes our own format; see `llama.checkpoint.save_pretrained`."""
        from llama.folder import save_pretrained

        save_pretrained(self, folder, **arguments)

