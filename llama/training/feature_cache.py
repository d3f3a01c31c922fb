"""Feature cache: outputs of the frozen encoders for media, and of the text encoder for captions, computed once and stored.

It stores the smallest features that the trainable parts of an adapter depend on (`FeatureReduction`), keyed by a hash of
the medium's content and of all frozen modules it passed. So no entry is ever out of date, renamed files are found again,
and processes can share a folder. Only `encode_missing` and `targets` write; readers in workers only read.

Legend: B rows, L layer states (or one), T frames (or tokens), F encoder width, P prompt positions, D the LLaMA's width.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from llama.config import ENCODERS, MODALITIES
from llama.data.examples import MediaRef
from llama.decoders.audioldm2 import AudioLDM2Decoder
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.encoders.base import FrozenEncoder
from llama.hf import no_autocast
from llama.media.audio import Waveform, prepare_recording
from llama.media.image import load_image
from llama.media.video import load_frames
from llama.modules.adapters import CachedFeatures, Retrieval, UnderstandingAdapter
from llama.mumu_llama import MuMuLLaMA
from llama.training.feature_reduction import FeatureReduction
from llama.training.feature_store import FeatureStore, fingerprint, settings_of, sha256

ItemT = TypeVar("ItemT")
FORMAT = "2"  # part of every key; change it when windows, frames or reductions change
ROWS = {"audio": 4, "image": 32, "video": 8, "caption": 32}  # batch sizes of the encoders on an accelerator
AUDIOLDM2_TEXT_PARTS = ("text_encoder", "text_encoder_2", "projection_model", "language_model")


@dataclass(frozen=True)
class PreparedMedia:
    """A medium read by a worker: with cached features (`features`), or decoded as the encoder's inputs (`inputs`)."""

    kind: str
    key: str  # "" without a cache
    source: str  # its name in error messages
    features: CachedFeatures | None
    inputs: tuple[Tensor, ...] | None  # windows of a recording; one tensor for a picture or clip
    record: tuple[str, str] | None = None  # stamp and digest of a file that was hashed now and is not recorded yet


# -- media ----------------------------------------------------------------------------------------------------------


class MediaReader:
    """Reads media in workers: from the cache, else decoded. It has no weights, so it is cheap to send to them."""

    def __init__(self, store: FeatureStore | None, encoders: Mapping[str, FrozenEncoder], fingerprints: Mapping[str, str]) -> None:
        self.store, self.fingerprints = store, fingerprints
        self.encoders = {kind: without_weights(encoder) for kind, encoder in encoders.items()}

    def __call__(self, medium: MediaRef) -> PreparedMedia:
        """The medium from the cache, else decoded. Raises the ValueError or OSError of its decoder."""
        if medium.kind not in self.encoders:
            name = ENCODERS[medium.kind]
            raise ValueError(f"{medium.source}: this model was loaded without its {name} encoder, so it cannot take "
                             f"{medium.kind}; name the encoder's folder with {name}_path.")
        if self.store is None:
            return PreparedMedia(medium.kind, "", medium.source, None, self._decode(medium))
        digest, record = self._digest(self.store, medium)
        key = sha256(FORMAT, digest, self.fingerprints[medium.kind])
        features = self.store.read(key)
        inputs = None if features is not None else self._decode(medium)
        return PreparedMedia(medium.kind, key, medium.source, features, inputs, record)

    def _digest(self, store: FeatureStore, medium: MediaRef) -> tuple[str, tuple[str, str] | None]:
        """(content digest, record to store or None). The digest of an unchanged file comes from the store, without reading it."""
        stamp = file_stamp(medium.path)
        recorded = store.digest(stamp) if stamp else None
        digest = recorded or medium.digest()
        return digest, (stamp, digest) if stamp and not recorded and stamp == file_stamp(medium.path) else None

    def _decode(self, medium: MediaRef) -> tuple[Tensor, ...]:
        encoder: Any = self.encoders[medium.kind]
        content = medium.open()
        if medium.kind == "audio":
            return tuple(encoder.windows(prepare_recording(Waveform.read(content))))
        pixels = load_image(content) if medium.kind == "image" else load_frames(content, encoder.frames)
        return (encoder.prepare(pixels),)


def without_weights(encoder: FrozenEncoder) -> FrozenEncoder:
    """A copy of the encoder that can only prepare media."""
    light = copy.copy(encoder)
    light.__dict__["_modules"] = {}
    return light


def file_stamp(path: Path | None) -> str | None:
    """Hash of a file's path, size and modification time; None without a file, about which reading it raises an error."""
    if path is None or not path.is_file():
        return None
    status = path.stat()
    return sha256(str(path.resolve()), str(status.st_size), str(status.st_mtime_ns))


class FeatureCache:
    """Frozen encoders of a model in training, and its decoder's text encoder, behind a cache on disk.

    `model`: with its components, before a training module detaches them. `cache_dir`: None disables the cache, so that
    everything is encoded at each use. `trained`: names of the trainable parameters, which decide the stored features.
    `hits` and `misses` count media that came from the cache and media that were decoded.
    """

    def __init__(self, model: MuMuLLaMA, cache_dir: Path | None, trained: Collection[str]) -> None:
        encoders = {kind: getattr(model, ENCODERS[kind]) for kind in MODALITIES}
        self.encoders: dict[str, FrozenEncoder] = {kind: encoder for kind, encoder in encoders.items() if encoder is not None}
        self.reductions = {kind: FeatureReduction(cast(UnderstandingAdapter, model.adapters[kind]), kind, trained) for kind in MODALITIES}
        self.decoder: Any = model.music_decoder
        self.store = FeatureStore(Path(cache_dir)) if cache_dir is not None else None
        self.hits = self.misses = 0

    @cached_property
    def reader(self) -> MediaReader:
        """The picklable reader for workers. Creating it hashes the weights, once a run."""
        fingerprints = {kind: self._fingerprint(kind) for kind in self.encoders} if self.store else {}
        return MediaReader(self.store, self.encoders, fingerprints)

    def _fingerprint(self, kind: str) -> str:
        """Hash of all that turns media of this kind into features."""
        encoder = self.encoders[kind]
        settings = settings_of(encoder.model.config), json.dumps(encoder.preprocessor, sort_keys=True, default=str)
        return sha256(kind, fingerprint(encoder.model, *settings), self._reduction_fingerprint(kind))

    def _reduction_fingerprint(self, kind: str) -> str:
        """The stored parts of the features, with a hash of the frozen modules that reduce them."""
        reduction = self.reductions[kind]
        parts = "+".join(reduction.parts)
        return fingerprint(reduction.frozen, parts, repr(reduction.config)) if reduction.frozen else parts

    @torch.no_grad()
    def encode_missing(self, prepared: Sequence[PreparedMedia | None]) -> list[CachedFeatures | None]:
        """Features of all media, on the CPU; those not cached are encoded on the encoders' device and written.

        Equal media are encoded once. None stays None.
        """
        names = ["" if medium is None else medium.key or f"row {row}" for row, medium in enumerate(prepared)]
        media = {name: medium for name, medium in zip(names, prepared, strict=True) if medium is not None}
        features: dict[str, CachedFeatures | None] = {name: medium.features or self._read(medium.key) for name, medium in media.items()}
        for kind, encoder in self.encoders.items():
            inputs = {name: medium.inputs or () for name, medium in media.items() if medium.kind == kind and features[name] is None}
            with no_autocast(encoder.model.device):
                encoded = self._encode(kind, inputs)
            for name, new_features in encoded.items():
                features[name] = new_features
                self._write(media[name].key, new_features)
        self._record([medium for medium in prepared if medium is not None])
        return [features[name] if name else None for name in names]

    def _read(self, key: str) -> CachedFeatures | None:
        """Looks again before encoding: an earlier batch or another process may have written it since the worker looked."""
        return self.store.read(key) if self.store is not None and key else None

    def _write(self, key: str, features: CachedFeatures) -> None:
        if self.store is not None and key:
            self.store.write(key, features)

    def _record(self, prepared: Sequence[PreparedMedia]) -> None:
        """Counts hits and misses and writes new digests; in a worker a full disk would be taken for a damaged medium."""
        decoded = sum(medium.inputs is not None for medium in prepared)
        self.misses, self.hits = self.misses + decoded, self.hits + len(prepared) - decoded
        if self.store is not None:
            for record in {medium.record for medium in prepared if medium.record is not None}:
                self.store.write_digest(*record)

    def _encode(self, kind: str, media: Mapping[str, tuple[Tensor, ...]]) -> dict[str, CachedFeatures]:
        """Encodes windows of equal shape together, reduces each at once, and joins those of one medium in order."""
        keys = [(name, number) for name, windows in media.items() for number in range(len(windows))]
        reduction = self.reductions[kind]
        reduced: dict[tuple[str, int], CachedFeatures] = {}
        frames = dict.fromkeys(media, 0)
        for group in grouped(keys, lambda key: media[key[0]][key[1]].shape, self._batch_size(kind)):
            encoder: Any = self.encoders[kind]
            states = encoder.encode(torch.stack([media[name][number] for name, number in group]))
            for key, row in zip(group, states.split(1), strict=True):
                reduced[key] = reduction.reduce_window(row)
                frames[key[0]] += row.shape[2]
        return {name: reduction.join_windows([reduced[name, number] for number in range(len(windows))], frames[name])
                for name, windows in media.items()}

    # -- captions -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def targets(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Targets of the condition, cached results of `MusicDecoder.embed`: text states [N, tokens, width] float32 and
        mask [N, tokens], on the CPU.

        Raises ValueError if the model has no decoder, or the decoder no tokenizer.
        """
        if self.decoder is None:
            raise ValueError("This model was loaded without a music decoder, so captions have no target; name its folder "
                             "with music_decoder_path.")
        keys = {caption: sha256(FORMAT, self._text_fingerprint, caption) if self._text_fingerprint else "" for caption in captions}
        states = {caption: self._read(key) for caption, key in keys.items()}
        missing = [caption for caption, cached in states.items() if cached is None]
        for group in grouped(missing, lambda caption: 0, self._batch_size("caption")):
            for caption, embedded in self._embed(group).items():
                states[caption] = embedded
                self._write(keys[caption], embedded)
        if not captions:
            tokens, width = self.decoder.condition_shape
            return torch.zeros(0, tokens, width), torch.zeros(0, tokens, dtype=torch.long)
        rows = [row for caption in captions if (row := states[caption]) is not None]
        return torch.stack([row["states"] for row in rows]), torch.stack([row["mask"] for row in rows])

    def _embed(self, captions: Sequence[str]) -> dict[str, CachedFeatures]:
        with no_autocast(self.decoder.device):
            states, mask = (value.cpu() for value in self.decoder.embed(captions))
        return {caption: {"states": states[row].clone(), "mask": mask[row].clone()} for row, caption in enumerate(captions)}

    @cached_property
    def _text_fingerprint(self) -> str:
        """Hash of the decoder's text encoder; "" for a decoder of an unknown kind, whose captions are not cached."""
        decoder = self.decoder
        if self.store is None or not isinstance(decoder, (MusicGenDecoder, AudioLDM2Decoder)):
            return ""
        if isinstance(decoder, MusicGenDecoder):
            parts, tokenizers = {"text_encoder": decoder.model.text_encoder}, [decoder.tokenizer]
        else:
            parts = {name: decoder.parts[name] for name in AUDIOLDM2_TEXT_PARTS}
            tokenizers = [decoder.pipeline.tokenizer, decoder.pipeline.tokenizer_2]
        settings = [settings_of(part.config) for part in parts.values()] + [tokenizer_rules(tokenizer) for tokenizer in tokenizers]
        return fingerprint(nn.ModuleDict(parts), *settings, str(decoder.condition_shape))

    def _batch_size(self, kind: str) -> int:
        """1 on the CPU: there the last bits of a row depend on the batch, and resuming must be exact."""
        device = self.decoder.device if kind == "caption" else self.encoders[kind].model.device
        return 1 if torch.device(device).type == "cpu" else ROWS[kind]


def tokenizer_rules(tokenizer: Any) -> str:
    """The rules of a tokenizer as JSON, without the padding and truncation of its last call."""
    if not getattr(tokenizer, "is_fast", False):
        return json.dumps(tokenizer.get_vocab(), sort_keys=True) if tokenizer is not None else ""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    return json.dumps({name: rule for name, rule in rules.items() if name not in ("padding", "truncation")}, sort_keys=True)


def grouped(items: Sequence[ItemT], key: Callable[[ItemT], Hashable], limit: int) -> Iterator[list[ItemT]]:
    """Items with equal keys in lists of at most `limit`, in order."""
    groups: dict[Hashable, list[ItemT]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    for group in groups.values():
        yield from (group[start : start + limit] for start in range(0, len(group), limit))


def prompts(adapter: UnderstandingAdapter, rows: Sequence[CachedFeatures | None], retrieval: Retrieval | None = None) -> Tensor:
    """The adapter's prompts [B, P, D] for cached features, with gradients into its trainable parts; zeros for None.

    Equal to `MuMuLLaMA.encode` of the media themselves. `retrieval`: the model's for audio, None for images and videos.
    """
    like = adapter.mix.weight
    result = like.new_zeros(len(rows), adapter.config.positions, adapter.dim)
    present = {number: features for number, features in enumerate(rows) if features is not None}

    def shapes(number: int) -> tuple[tuple[str, torch.Size], ...]:
        return tuple(sorted((name, value.shape) for name, value in present[number].items()))

    for group in grouped(list(present), shapes, len(rows)):
        features = {name: torch.stack([present[number][name] for number in group]).to(like) for name in present[group[0]]}
        pooled = adapter.prompts(adapter.pool_cached(features, retrieval)).to(result)
        result = result.index_copy(0, torch.tensor(group, device=result.device), pooled)
    return result
