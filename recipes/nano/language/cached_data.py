"""Training examples of the cached language stages: tokenized dialogues with cached features of their media.

Audio features are written by `recipes.nano.audio_encoder.train features`, image and video features by
`recipes.nano.vision_encoder.train cache`. Until the audio encoder is trained, ideal features stand in: vectors that encode
the attributes directly. The language model learns to use them; real features then only need new projections.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from DataSet.synthesis import dialogues
from DataSet.synthesis.composer import is_held_out
from DataSet.synthesis.dialogue import Dialogue
from DataSet.synthesis.habits import as_typed
from DataSet.synthesis.hearing import NOT_MUSIC
from DataSet.synthesis.wording import chance
from llama.dialogue import format_prompt
from llama.media.score import ACCOMPANIMENTS, LEADS, STYLES, TEMPI, Attributes
from llama.modules.losses import IGNORE
from llama.modules.tokenizer import Tokenizer
from recipes.nano.language.reserved_requests import is_reserved
from recipes.nano.rendering.clip_set import AUDIO, FEATURE_NAMES, LEARNED_POOLS

FIELDS = ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums", "key")
POOL_DIM = AUDIO.pool_dim
FEATURE_NOISE = 0.35  # noise on audio features in training, relative to their standard deviation over recordings
AUDIO_SETS = {"train": ("train", "noise_train"), "test": ("test_same", "noise_test")}  # rendered clips of music, and of non-music
NON_MUSIC_SHARE = 0.07  # share of questions that are about a recording without music


@dataclass(frozen=True)
class CachedExample:
    """A tokenized dialogue with the cached features of its media."""

    tokens: list[int]
    labels: list[int]  # IGNORE on the prompt
    kind: str
    caption: str | None
    audio: tuple[Tensor, ...] | None = None  # as FEATURE_NAMES: states mean [L, F], then a vector [POOL_DIM] a learned pool
    image: Tensor | None = None  # [1, tokens, F]
    video: Tensor | None = None


@dataclass(frozen=True)
class Library:
    """Cached features of one split ("train" or "test") with the labels of their media."""

    audio: Mapping[str, Tensor] | None  # None: ideal features stand in
    pieces: Sequence[Attributes | str]  # for non-music, its kind
    image: Tensor | None  # None: no pictures
    scenes: Sequence[Mapping[str, str]]
    video: Tensor | None
    films: Sequence[Mapping[str, str]]

    def allows(self, kind: str) -> bool:
        """Whether the library has the media for examples of this kind."""
        return {"picture": self.image, "clip": self.video}.get(kind, True) is not None


def load_library(folder: Path, part: str) -> Library:
    """Reads one split of the caches in `folder`."""
    audio, pieces = _load_audio([folder / f"features_{name}.safetensors" for name in AUDIO_SETS[part]])
    visual: dict[str, Any] = {"image": (None, []), "video": (None, [])}
    for name in [name for name in visual if (folder / f"features_{name}.safetensors").exists()]:
        labels = json.loads((folder / f"labels_{name}.json").read_text())[part]
        visual[name] = (load_file(folder / f"features_{name}.safetensors")[part], labels)
    return Library(audio, pieces, *visual["image"], *visual["video"])


def _load_audio(caches: Sequence[Path]) -> tuple[dict[str, Tensor] | None, list[Attributes | str]]:
    """Concatenated features of the caches that exist; (None, []) without the first, which holds the music."""
    if not caches[0].exists():
        return None, []
    caches = [cache for cache in caches if cache.exists()]
    loaded = [load_file(cache) for cache in caches]
    labels = [row for cache in caches for row in json.loads(cache.with_suffix(".json").read_text())]
    return {name: torch.cat([tensors[name].float() for tensors in loaded]) for name in FEATURE_NAMES}, [parse_label(row) for row in labels]


def parse_label(row: Mapping[str, Any]) -> Attributes | str:
    kind = row.get("kind", "music")
    return Attributes(**{field: row[field] for field in FIELDS}) if kind == "music" else str(kind)


def _directions(count: int, width: int, seed: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


_CODES = {"lead": _directions(len(LEADS), 192, 1), "accompaniment": _directions(len(ACCOMPANIMENTS), 192, 2), "style": _directions(len(STYLES), 192, 3),
          "drums": _directions(2, 192, 4), "metre": _directions(2, POOL_DIM, 5), "tempo": _directions(48, POOL_DIM, 6),
          "mode": _directions(2, POOL_DIM, 7), "key": _directions(24, POOL_DIM, 8), "nothing": _directions(len(NOT_MUSIC), 192, 9)}


def ideal_features(piece: Attributes | str, states: int = AUDIO.channels) -> tuple[Tensor, ...]:
    """Features of a perfect audio encoder: timbre in the mean and the timbre pool, beat in the rhythm pool, key in the harmony
    pool. Non-music gets its kind as timbre, and a random beat and key."""
    if isinstance(piece, str):
        sound, rhythm, harmony = 2 * _CODES["nothing"][NOT_MUSIC.index(piece)], torch.randn(POOL_DIM), torch.randn(POOL_DIM)
    else:
        sound = (_CODES["lead"][_INDICES["lead"][piece.lead]] + _CODES["accompaniment"][_INDICES["accompaniment"][piece.accompaniment]]
                 + _CODES["style"][STYLES.index(piece.style)] + _CODES["drums"][int(piece.drums)])
        rhythm = _TEMPO_CODES[int(piece.tempo)] + _CODES["metre"][piece.metre - 3]
        harmony = _CODES["mode"][int(piece.mode == "minor")] + _CODES["key"][piece.key + 12 * (piece.mode == "minor")]
    learned = {"timbre": sound[:POOL_DIM], "rhythm": rhythm, "harmony": harmony}
    return _with_noise(sound).expand(states, -1), *(_with_noise(torch.nn.functional.layer_norm(learned[name], (POOL_DIM,))) for name in LEARNED_POOLS)


def _with_noise(vector: Tensor) -> Tensor:
    return vector + 0.1 * torch.randn_like(vector)


def _tempo_code(tempo: int) -> Tensor:
    position = 47 * np.log(tempo / TEMPI[0]) / np.log(TEMPI[-1] / TEMPI[0])
    return 1.5 * torch.exp(-0.5 * (torch.arange(48) - position) ** 2) @ _CODES["tempo"]


_TEMPO_CODES = {tempo: _tempo_code(tempo) for tempo in TEMPI}
_INDICES = {"lead": {name: place for place, name in enumerate(LEADS)}, "accompaniment": {name: place for place, name in enumerate(ACCOMPANIMENTS)}}


class ExampleSampler:
    """Samples training examples: the kind by its share, the facts from the library, the wording from the grammar."""

    def __init__(self, tokenizer: Tokenizer, library: Library, shares: Mapping[str, float], seed: int, held_out: bool = False) -> None:
        self.tokenizer, self.library, self.held_out = tokenizer, library, held_out
        self.rng = np.random.default_rng(seed)
        self.music = [index for index, piece in enumerate(library.pieces) if not isinstance(piece, str)]
        self.non_music = [index for index, piece in enumerate(library.pieces) if isinstance(piece, str)]
        self.spread = [library.audio[name].std(0) for name in FEATURE_NAMES] if library.audio else []
        self.row_kinds = [kind for kind in shares if library.allows(kind)]
        weights = np.array([shares[kind] for kind in self.row_kinds])
        self.limits = np.cumsum(weights / weights.sum())

    def sample(self) -> CachedExample:
        index = int(np.searchsorted(self.limits, self.rng.random(), side="right"))
        return getattr(self, f"_{self.row_kinds[min(index, len(self.row_kinds) - 1)]}")()

    def sample_many(self, count: int) -> list[CachedExample]:
        return [self.sample() for _ in range(count)]

    def _talk(self) -> CachedExample:
        return self.encode(dialogues.talk(self.rng, self.held_out))

    def _wish(self) -> CachedExample:
        while is_reserved((dialogue := dialogues.wish(self.rng, self.held_out)).instruction):
            pass
        return self.encode(dialogue)

    def _hear(self) -> CachedExample:
        return self._nothing() if self._no_music(NON_MUSIC_SHARE) else self._about(dialogues.hear)

    def _edit(self) -> CachedExample:
        return self._nothing() if self._no_music(NON_MUSIC_SHARE / 4) else self._about(dialogues.edit)

    def _no_music(self, share: float) -> bool:
        return chance(self.rng, share) and (self.library.audio is None or bool(self.non_music))

    def _about(self, make_dialogue: Callable[..., Dialogue]) -> CachedExample:
        piece, features = self._recording()
        return self.encode(make_dialogue(self.rng, piece, self.held_out), audio=features)

    def _nothing(self) -> CachedExample:
        """An example about a recording without music, whose answer names its kind."""
        if self.library.audio is None:
            kind = str(self.rng.choice(NOT_MUSIC))
            return self.encode(dialogues.nothing(self.rng, kind, self.held_out), audio=ideal_features(kind))
        index = self.non_music[int(self.rng.integers(len(self.non_music)))]
        return self.encode(dialogues.nothing(self.rng, str(self.library.pieces[index]), self.held_out), audio=self._features(index))

    def _picture(self) -> CachedExample:
        assert self.library.image is not None, "`allows` leaves this kind out"
        index = int(self.rng.integers(len(self.library.scenes)))
        return self.encode(dialogues.picture(self.rng, self.library.scenes[index], self.held_out), image=self.library.image[index].float())

    def _clip(self) -> CachedExample:
        assert self.library.video is not None, "`allows` leaves this kind out"
        index = int(self.rng.integers(len(self.library.films)))
        return self.encode(dialogues.clip(self.rng, self.library.films[index], self.held_out), video=self.library.video[index].float())

    def _recording(self) -> tuple[Attributes, tuple[Tensor, ...]]:
        if self.library.audio is None:
            while is_held_out(piece := dialogues.random_piece(self.rng)) != self.held_out:
                pass
            return piece, ideal_features(piece)
        index = self.music[int(self.rng.integers(len(self.music)))]
        attributes = self.library.pieces[index]
        assert isinstance(attributes, Attributes)  # `music` lists these
        return attributes, self._features(index)

    def _features(self, index: int) -> tuple[Tensor, ...]:
        assert self.library.audio is not None
        features = [self.library.audio[name][index] for name in FEATURE_NAMES]
        if not self.held_out:  # against memorizing a few thousand recordings
            features = [vector + FEATURE_NOISE * spread * torch.randn_like(vector) for vector, spread in zip(features, self.spread, strict=True)]
        return tuple(features)

    def encode(self, dialogue: Dialogue, **media: Any) -> CachedExample:
        """Tokenizes prompt and answer. The answer ends with the end-of-sequence token, so that the model learns to stop."""
        prompt = format_prompt(dialogue.instruction if self.held_out else as_typed(self.rng, dialogue.instruction))
        start = len(self.tokenizer.encode(prompt))
        tokens = [*self.tokenizer.encode(prompt + dialogue.answer), self.tokenizer.eos]
        return CachedExample(tokens, [IGNORE] * start + tokens[start:], dialogue.kind, dialogue.caption, **media)


def pad_batch(rows: Sequence[CachedExample], filler: int) -> tuple[Tensor, Tensor]:
    """Tokens and labels [B, T], padded on the right, where causal attention ignores the padding."""
    width = max(len(row.tokens) for row in rows)
    tokens = [row.tokens + [filler] * (width - len(row.tokens)) for row in rows]
    labels = [row.labels + [IGNORE] * (width - len(row.labels)) for row in rows]
    return torch.tensor(tokens), torch.tensor(labels)


def batch_by_length(rows: Sequence[CachedExample], tokens: int, rng: np.random.Generator) -> list[list[CachedExample]]:
    """Groups rows of similar length into batches of about `tokens` positions, in random order."""
    groups: list[list[CachedExample]] = [[]]
    for row in sorted(rows, key=lambda example: len(example.tokens)):
        if len(row.tokens) * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(row)
    return [groups[index] for index in rng.permutation(len(groups))]
