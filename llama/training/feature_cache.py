"""Features once: what the frozen encoders say of a medium, and the text encoder of a caption, kept on disk.

Kept is the least that still decides what an adapter makes of a medium while parts of it train (`FeatureReduction`), under a key
of the medium's content and of everything frozen that it went through. So nothing is ever out of date, a renamed file is
still known, and several processes share a folder. Only `complete` and `targets` write; readers in workers only read.

Legend: B rows, L layer states (or one), T frames (or tokens), F encoder width, P prompt positions, D the LLaMA's width.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from llama.config import ENCODERS, MODALITIES
from llama.data.examples import MediaRef
from llama.decoders.audioldm2 import AudioLDM2Decoder
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.encoders.base import FrozenEncoder
from llama.hf import no_autocast
from llama.media.audio import Waveform
from llama.media.image import load_image
from llama.media.video import load_frames
from llama.modules.adapters import CachedFeatures, Retrieval, UnderstandingAdapter
from llama.mumu_llama import MuMuLLaMA
from llama.training.feature_reduction import FeatureReduction
from llama.training.feature_store import FeatureStore, fingerprint, settings_of, sha256

FORMAT = "1"  # part of every key; another number when windows, frames or reductions change their meaning
ROWS = {"audio": 4, "image": 32, "video": 8, "caption": 32}  # encoded together on an accelerator
AUDIOLDM2_READERS = ("text_encoder", "text_encoder_2", "projection_model", "language_model")


@dataclass(frozen=True)
class PreparedMedia:
    """A medium on its way to its features: found in the cache (`reduced`), or decoded for its encoder (`inputs`)."""

    kind: str
    key: str  # "" without a cache
    source: str  # how errors name it
    reduced: CachedFeatures | None
    inputs: tuple[Tensor, ...] | None  # windows of a recording; one tensor for a picture or clip
    record: tuple[str, str] | None = None  # stamp and digest of a file that was hashed just now


# -- media ----------------------------------------------------------------------------------------------------------


class MediaReader:
    """Medium -> `PreparedMedia`, in workers: it holds no weights, so it travels to them cheaply."""

    def __init__(self, store: FeatureStore | None, encoders: Mapping[str, FrozenEncoder], marks: Mapping[str, str]) -> None:
        self.store, self.marks = store, marks
        self.encoders = {kind: without_weights(encoder) for kind, encoder in encoders.items()}

    def __call__(self, medium: MediaRef) -> PreparedMedia:
        """From the cache, else decoded. Raises ValueError and OSError as `Waveform.read` and the like do."""
        if medium.kind not in self.encoders:
            name = ENCODERS[medium.kind]
            raise ValueError(f"{medium.source}: this model was loaded without its {name} encoder, so it cannot take "
                             f"{medium.kind}; name the encoder's folder with {name}_path.")
        if self.store is None:
            return PreparedMedia(medium.kind, "", medium.source, None, self._decoded(medium))
        digest, record = self._digest(medium)
        key = sha256(FORMAT, digest, self.marks[medium.kind])
        kept = self.store.read(key)
        inputs = None if kept is not None else self._decoded(medium)
        return PreparedMedia(medium.kind, key, medium.source, kept, inputs, record)

    def _digest(self, medium: MediaRef) -> tuple[str, tuple[str, str] | None]:
        """Of the content; from the record of a file that has not changed since, so that it is not even read."""
        stamp = file_stamp(medium.path) if medium.path is not None else None
        known = self.store.digest(stamp) if stamp else None
        digest = known or medium.digest()
        return digest, (stamp, digest) if stamp and not known and stamp == file_stamp(medium.path) else None

    def _decoded(self, medium: MediaRef) -> tuple[Tensor, ...]:
        encoder: Any = self.encoders[medium.kind]
        found = medium.open()
        if medium.kind == "audio":
            return tuple(encoder.windows(Waveform.read(found)))
        picture = load_image(found) if medium.kind == "image" else load_frames(found, encoder.frames)
        return (encoder.prepare(picture),)


def without_weights(encoder: FrozenEncoder) -> FrozenEncoder:
    """A copy that still prepares media."""
    light = copy.copy(encoder)
    light.__dict__["_modules"] = {}
    return light


def file_stamp(path: Path) -> str | None:
    """Path, size and time of change of a file; None if it is not there, which reading it says better."""
    if not path.is_file():
        return None
    status = path.stat()
    return sha256(str(path.resolve()), str(status.st_size), str(status.st_mtime_ns))


class FeatureCache:
    """The frozen side of a model in training: its encoders, and the text encoder of its decoder, each asked once.

    `model`: with its neighbours, before a learner takes them out or shards it. `cache_dir`: None keeps nothing, and
    everything is made afresh each time. `trained`: names of the parameters that train, which decide what is kept.
    `hits` and `misses` count media that came from the cache and that were decoded.
    """

    def __init__(self, model: MuMuLLaMA, cache_dir: Path | None, trained: Collection[str]) -> None:
        named = {kind: getattr(model, ENCODERS[kind]) for kind in MODALITIES}
        self.encoders: dict[str, FrozenEncoder] = {kind: one for kind, one in named.items() if one is not None}
        self.reductions = {kind: FeatureReduction(cast(UnderstandingAdapter, model.adapters[kind]), kind, trained) for kind in MODALITIES}
        self.decoder: Any = model.music_decoder
        self.store = FeatureStore(Path(cache_dir)) if cache_dir is not None else None
        self.hits = self.misses = 0

    @cached_property
    def reader(self) -> MediaReader:
        """Medium -> Prepared, picklable. Weights are fingerprinted here, once a run."""
        marks = {kind: self._mark(kind) for kind in self.encoders} if self.store else {}
        return MediaReader(self.store, self.encoders, marks)

    def _mark(self, kind: str) -> str:
        encoder = self.encoders[kind]
        settings = settings_of(encoder.model.config), json.dumps(encoder.preprocessor, sort_keys=True, default=str)
        return sha256(kind, fingerprint(encoder.model, *settings), self._form(kind))

    def _form(self, kind: str) -> str:
        """The form of what is kept, and the frozen parts that it went through."""
        reduction = self.reductions[kind]
        form = "+".join(reduction.parts)
        return fingerprint(reduction.frozen, form, repr(reduction.config)) if reduction.frozen else form

    @torch.no_grad()
    def complete(self, prepared: Sequence[PreparedMedia | None]) -> list[CachedFeatures | None]:
        """Encodes what is not cached, on the encoders' device and in their type, and writes it; CPU tensors come back."""
        names = ["" if one is None else one.key or f"row {row}" for row, one in enumerate(prepared)]
        asked = {name: one for name, one in zip(names, prepared, strict=True) if one is not None}
        known: dict[str, CachedFeatures | None] = {name: one.reduced or self._read(one.key) for name, one in asked.items()}
        for kind, encoder in self.encoders.items():
            media = {name: one.inputs for name, one in asked.items() if one.kind == kind and known[name] is None}
            with no_autocast(encoder.model.device):
                made = self._encoded(kind, media)
            for name, kept in made.items():
                known[name] = kept
                self._write(asked[name].key, kept)
        self._account([one for one in prepared if one is not None])
        return [known[name] if name else None for name in names]

    def _read(self, key: str) -> CachedFeatures | None:
        """Once more before encoding: an earlier batch or another process may have made it since it was looked for."""
        return self.store.read(key) if self.store is not None and key else None

    def _write(self, key: str, kept: CachedFeatures) -> None:
        if self.store is not None and key:
            self.store.write(key, kept)

    def _account(self, prepared: Sequence[PreparedMedia]) -> None:
        """Digests are written here and not where they were made: in a worker a full disk would pass for a broken medium."""
        decoded = sum(one.inputs is not None for one in prepared)
        self.misses, self.hits = self.misses + decoded, self.hits + len(prepared) - decoded
        for record in {one.record for one in prepared if one.record is not None}:
            self.store.write_digest(*record)

    def _encoded(self, kind: str, media: Mapping[str, tuple[Tensor, ...]]) -> dict[str, CachedFeatures]:
        """Windows of equal shape go together, each is reduced at once, and those of one medium are joined in order."""
        places = [(name, place) for name, windows in media.items() for place in range(len(windows))]
        reduction = self.reductions[kind]
        windows: dict[tuple[str, int], CachedFeatures] = {}
        frames = dict.fromkeys(media, 0)
        for group in grouped(places, lambda at: media[at[0]][at[1]].shape, self._rows(kind)):
            encoder: Any = self.encoders[kind]
            states = encoder.encode(torch.stack([media[name][place] for name, place in group]))
            for at, row in zip(group, states.split(1), strict=True):
                windows[at] = reduction.window(row)
                frames[at[0]] += row.shape[2]
        return {name: reduction.whole([windows[name, place] for place in range(len(given))], frames[name])
                for name, given in media.items()}

    # -- captions -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def targets(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """What `MusicDecoder.embed` says: text states [N, tokens, width] float32 and mask [N, tokens], on the CPU.

        Raises ValueError when the model has no decoder, or the decoder no tokenizer.
        """
        if self.decoder is None:
            raise ValueError("This model was loaded without a music decoder, so captions have no target; name its folder "
                             "with music_decoder_path.")
        keys = {caption: sha256(FORMAT, self._text_mark, caption) if self._text_mark else "" for caption in captions}
        known = {caption: self._read(key) for caption, key in keys.items()}
        missing = [caption for caption, kept in known.items() if kept is None]
        for group in grouped(missing, lambda caption: 0, self._rows("caption")):
            for caption, kept in self._embedded(group).items():
                known[caption] = kept
                self._write(keys[caption], kept)
        if not captions:
            tokens, width = self.decoder.condition_shape
            return torch.zeros(0, tokens, width), torch.zeros(0, tokens, dtype=torch.long)
        found = [known[caption] for caption in captions]
        return torch.stack([one["states"] for one in found]), torch.stack([one["mask"] for one in found])

    def _embedded(self, captions: Sequence[str]) -> dict[str, CachedFeatures]:
        with no_autocast(self.decoder.device):
            states, mask = (one.cpu() for one in self.decoder.embed(captions))
        return {caption: {"states": states[row].clone(), "mask": mask[row].clone()} for row, caption in enumerate(captions)}

    @cached_property
    def _text_mark(self) -> str:
        """Of the part of the decoder that reads; "" for a decoder of an unknown kind, whose captions are not cached."""
        decoder = self.decoder
        if self.store is None or not isinstance(decoder, (MusicGenDecoder, AudioLDM2Decoder)):
            return ""
        if isinstance(decoder, MusicGenDecoder):
            parts, tokenizers = {"text_encoder": decoder.model.text_encoder}, [decoder.tokenizer]
        else:
            parts = {name: decoder.parts[name] for name in AUDIOLDM2_READERS}
            tokenizers = [decoder.pipeline.tokenizer, decoder.pipeline.tokenizer_2]
        settings = [settings_of(part.config) for part in parts.values()] + [caption_texts(one) for one in tokenizers]
        return fingerprint(nn.ModuleDict(parts), *settings, str(decoder.condition_shape))

    def _rows(self, kind: str) -> int:
        """One at a time on the CPU, where a row's last bits would depend on its company, and resuming is exact."""
        device = self.decoder.device if kind == "caption" else self.encoders[kind].model.device
        return 1 if torch.device(device).type == "cpu" else ROWS[kind]


def caption_texts(tokenizer: Any) -> str:
    """How a tokenizer cuts words; its last call's padding is not part of that."""
    if not getattr(tokenizer, "is_fast", False):
        return json.dumps(tokenizer.get_vocab(), sort_keys=True) if tokenizer is not None else ""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return json.dumps({name: rule for name, rule in rules.items() if name not in ("padding", "truncation")}, sort_keys=True)


def grouped(items: Sequence[Any], alike: Callable[[Any], Any], most: int) -> Iterator[list[Any]]:
    """Items in lists of at most `most` that are alike, in order."""
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(alike(item), []).append(item)
    for group in groups.values():
        yield from (group[start : start + most] for start in range(0, len(group), most))


def prompts(adapter: UnderstandingAdapter, rows: Sequence[CachedFeatures | None], neighbours: Retrieval | None = None) -> Tensor:
    """What is kept of each row's medium -> [B, P, D], with gradients into what trains of the adapter; zeros for None.

    Equals `MuMuLLaMA.encode` of the media themselves. `neighbours`: the model's for audio, None for pictures and clips.
    """
    like = adapter.mix.weight
    made = like.new_zeros(len(rows), adapter.config.positions, adapter.dim)
    present = [row for row, kept in enumerate(rows) if kept is not None]
    for group in grouped(present, lambda row: tuple(sorted((name, value.shape) for name, value in rows[row].items())), len(rows)):
        kept = {name: torch.stack([rows[row][name] for row in group]).to(like) for name in rows[group[0]]}
        found = adapter.prompts(adapter.pool_cached(kept, neighbours)).to(made)
        made = made.index_copy(0, torch.tensor(group, device=made.device), found)
    return made
