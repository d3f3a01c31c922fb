"""Language stages of the nano model: labels of examples, batches, and features at the right rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from DataSet.synthesis import dialogues
from DataSet.synthesis.stated_attributes import attribute_matches, parse_answer
from llama.modules.adapters import build_pool
from llama.modules.losses import IGNORE
from llama.modules.tokenizer import Tokenizer
from recipes.nano.audio_encoder.exported_pools import load_pools
from recipes.nano.language.cached_data import (
    CachedExample,
    ExampleSampler,
    Library,
    batch_by_length,
    ideal_features,
    load_library,
    pad_batch,
)
from recipes.nano.language.train_cached import SHARES, encode_features, new_model
from recipes.nano.rendering.clip_set import AUDIO, FEATURE_NAMES, LEARNED_POOLS


@pytest.fixture(scope="module")
def tokenizer(golden: Path) -> Tokenizer:
    return Tokenizer.from_folder(golden / "components" / "llama")


@pytest.fixture(scope="module")
def shelf() -> Library:
    torch.manual_seed(0)
    scenes = [{"place": "sea", "light": "day", "weather": "clear", "mood": "calm", "energy": "low"}]
    films = [{"motion": "slow", "pulse": "none", "light": "day", "mood": "calm"}]
    return Library(None, [], torch.randn(1, 1, 65, 128), scenes, torch.randn(1, 1, 129, 96), films)


def test_only_the_answer_has_labels_and_it_ends(tokenizer: Tokenizer, shelf: Library) -> None:
    for row in ExampleSampler(tokenizer, shelf, SHARES["music"], seed=0).sample_many(60):
        start = next(place for place, label in enumerate(row.labels) if label != IGNORE)
        assert row.labels[start:] == row.tokens[start:]
        assert row.tokens[-1] == tokenizer.eos
        assert "### Response:" in tokenizer.decode(row.tokens[:start])
        assert (row.caption is not None) == (tokenizer.audio_tokens[7] in row.labels)


def test_batches_hold_every_row_once_and_keep_their_size(tokenizer: Tokenizer, shelf: Library) -> None:
    writer = ExampleSampler(tokenizer, shelf, SHARES["words"], seed=1)
    rows = writer.sample_many(80)
    made = batch_by_length(rows, 900, writer.rng)
    assert sorted(map(id, (row for batch in made for row in batch))) == sorted(map(id, rows))
    for batch in made:
        tokens, labels = pad_batch(batch, tokenizer.eos)
        assert tokens.shape == labels.shape
        assert len(batch) == 1 or tokens.numel() <= 900


def test_features_affect_only_their_rows(tokenizer: Tokenizer, shelf: Library) -> None:
    model = new_model(tokenizer).eval()
    rng = np.random.default_rng(2)
    heard, talk = ideal_features(dialogues.random_piece(rng)), CachedExample([1, 5], [IGNORE, 5], "talk", None)
    lead = CachedExample([1, 5], [IGNORE, 5], "lead", None, audio=heard)
    rows = [talk, lead, CachedExample([1, 5], [IGNORE, 5], "look", None, image=shelf.image[0])]
    with torch.no_grad():
        features = encode_features(model, rows)
        assert features.video is None
        assert features.audio.abs().amax((1, 2)).gt(0).tolist() == [False, True, False]
        assert torch.equal(features.image[2:], model.adapters["image"](shelf.image[:1]))
        alone = model(torch.tensor([[1, 5]]), encode_features(model, rows[:1])).logits
        together = model(torch.tensor([[1, 5]] * 3), features).logits
    torch.testing.assert_close(together[:1], alone)
    assert not torch.allclose(together[1], together[0]) and not torch.allclose(together[2], together[0])


def test_trained_pools_are_loaded_by_name(tmp_path: Path) -> None:
    torch.manual_seed(3)
    made = {name: build_pool(name, AUDIO) for name in LEARNED_POOLS}
    tensors = {f"{name}.{key}": value.half() for name, pool in made.items() for key, value in pool.state_dict().items()}
    save_file(tensors, tmp_path / "pools.safetensors")
    states = torch.randn(1, AUDIO.channels, 250, AUDIO.feature_dim)
    for name, pool in load_pools(tmp_path / "pools.safetensors").items():
        torch.testing.assert_close(pool(pool.frames(states)), made[name](made[name].frames(states)), atol=0.02, rtol=0.02)


def test_cached_non_music_is_named(tokenizer: Tokenizer, tmp_path: Path) -> None:
    piece = dialogues.random_piece(np.random.default_rng(6))
    music = {"kind": "music", **vars(piece)}
    speech = dict.fromkeys(music) | {"kind": "speech"}
    for name, rows in (("train", [music, music]), ("noise_train", [speech])):
        found = {one: torch.randn(len(rows), *((6, 192) if one == "states_mean" else (128,))) for one in FEATURE_NAMES}
        save_file(found, tmp_path / f"features_{name}.safetensors")
        (tmp_path / f"features_{name}.json").write_text(json.dumps(rows))
    shelf = load_library(tmp_path, "train")
    assert shelf.pieces == [piece, piece, "speech"] and len(shelf.audio["rhythm"]) == 3
    rows = ExampleSampler(tokenizer, shelf, {"hear": 1.0}, seed=3).sample_many(200)
    called = [row for row in rows if row.kind.startswith("nothing")]
    assert 0 < len(called) < 60
    assert all("speech" in tokenizer.decode(row.tokens) for row in called)


def test_without_a_cache_non_music_gets_ideal_features(tokenizer: Tokenizer, shelf: Library) -> None:
    rows = ExampleSampler(tokenizer, shelf, {"hear": 0.5, "edit": 0.5}, seed=4).sample_many(300)
    called = [row for row in rows if row.kind.startswith("nothing")]
    assert called and all(row.caption is None and row.audio is not None for row in called)


def test_answers_are_parsed_as_written() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        piece = dialogues.random_piece(rng)
        for name in ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums", "key"):
            assert attribute_matches(name, parse_answer(name, dialogues.fact(rng, name, piece)), getattr(piece, name)), (name, piece)
        caption = dialogues.full_caption(piece)
        for name in ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums"):
            assert attribute_matches(name, parse_answer(name, caption), getattr(piece, name)), (name, caption)
    assert not attribute_matches("tempo", None, 90) and attribute_matches("tempo", 92, 90) and not attribute_matches("tempo", 100, 90)
