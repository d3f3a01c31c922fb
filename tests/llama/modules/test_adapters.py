"""Adapters, prompts and losses: gradients reach every part, windows weigh by length, pools give one position each."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from llama.config import AdapterConfig, MuMuConfig
from llama.modules.adapters import UnderstandingAdapter, concat_windows
from llama.modules.losses import IGNORE, answer_loss, audio_token_positions, condition_loss
from llama.modules.output_projector import CONDITION_SCALE
from llama.mumu_llama import MuMuLLaMA
from llama.mumu_model import ModalityFeatures

POOLED = AdapterConfig(32, 4, pools=("mean", "recurrent", "rhythm", "harmony"), pool_dim=16, frame_rate=37.5)


def test_each_pool_gives_a_position() -> None:
    adapter = UnderstandingAdapter(POOLED, 64).eval()
    assert adapter(torch.randn(2, 4, 150, 32)).shape == (2, 4, 64)


def test_windows_weigh_by_their_length() -> None:
    adapter, states = UnderstandingAdapter(AdapterConfig(32, 4), 64), torch.randn(1, 4, 90, 32)
    pieces = [adapter.frames(piece) for piece in states.split([60, 30], dim=2)]
    assert torch.allclose(adapter.pool(concat_windows(pieces))[0], adapter.pool(adapter.frames(states))[0], atol=1e-6)
    mean = torch.stack([adapter.pool(piece)[0] for piece in pieces]).mean(0)
    assert not torch.allclose(adapter.pool(adapter.frames(states))[0], mean, atol=1e-3)


def test_a_single_frame_layer_or_width_keeps_its_dimension() -> None:
    assert UnderstandingAdapter(AdapterConfig(1, 1), 8)(torch.randn(1, 1, 1, 1)).shape == (1, 1, 8)


def test_tokens_have_no_time_to_pool() -> None:
    with pytest.raises(ValueError, match="no time axis"):
        AdapterConfig(24, 17, mix="tokens", pools=("recurrent",))


@pytest.mark.parametrize("audio", [AdapterConfig(32, 4), AdapterConfig(32, 4, pools=("recurrent",)), POOLED])
def test_gradient_reaches_every_part(audio: AdapterConfig) -> None:
    """Adapters, gates, queries, LoRA, projector and the new token rows all learn from one mixed batch."""
    config = dataclasses.replace(MuMuConfig.tiny(), audio=audio)
    model = MuMuLLaMA(config)
    for name, parameter in model.llama.named_parameters():
        if name.endswith("l2"):  # zero at the start, which leaves l1 without gradient for one step, as LoRA means it
            torch.nn.init.normal_(parameter, std=0.1)
    states = {"audio": torch.randn(2, 4, 200, 32), "image": torch.randn(2, 1, 17, 24), "video": torch.randn(2, 1, 65, 24)}
    features = ModalityFeatures(**{name: model.adapters[name](value) for name, value in states.items()})
    tokens = torch.cat([torch.randint(3, 500, (2, 6)), torch.arange(512, 520).expand(2, 8)], dim=1)
    output = model(tokens, features)
    row, start = audio_token_positions(tokens, 512)[0].tolist()
    condition = model.project(output.hidden[row : row + 1, start : start + 8], model.audio_token_embeddings(1))
    (answer_loss(output.logits, tokens) + condition_loss(condition, torch.randn_like(condition))).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    plain = config.llama.n_layers - 3 * config.query_layer  # the layers without prompts have no use for their gates
    assert silent == [f"llama.layers.{layer}.attention.gate" for layer in range(plain)]
    assert model.llama.tok_embeddings.weight.grad[512:].abs().sum(-1).min() > 0
    assert model.llama.output.weight.grad[512:].abs().sum(-1).min() > 0
    for block in model.llama.layers[2:]:
        assert block.attention.gate.grad.abs().sum() > 0


def test_absent_media_leave_the_learned_query() -> None:
    model = MuMuLLaMA(MuMuConfig.tiny()).eval()
    bands = model.layer_prompts(ModalityFeatures(audio=torch.cat([torch.ones(1, 1, 64), torch.zeros(1, 1, 64)])), 2)
    assert bands[:2] == [None, None]
    assert torch.equal(bands[2][1], model.prefix_query["audio"][0]) and not torch.equal(bands[2][0], bands[2][1])
    assert torch.equal(bands[4][0], model.prefix_query["image"][0])
    mixed, alone = torch.randint(0, 500, (2, 5)), None
    with torch.no_grad():
        both = model(mixed, ModalityFeatures(audio=torch.cat([torch.ones(1, 1, 64), torch.zeros(1, 1, 64)]))).logits
        alone = model(mixed[1:]).logits
    assert torch.allclose(both[1], alone[0], atol=1e-5)


def test_answer_loss_ignores_what_is_not_learned() -> None:
    logits, labels = torch.randn(2, 5, 11), torch.full((2, 5), IGNORE)
    assert answer_loss(logits.requires_grad_(), labels) == 0.0
    labels[0, 3], labels[1, 4] = 0, 7  # id 0 is a token like any other
    expected = -(logits[0, 2].log_softmax(-1)[0] + logits[1, 3].log_softmax(-1)[7]) / 2
    assert torch.allclose(answer_loss(logits, labels), expected)
    padded = torch.nn.functional.pad(labels, (0, 3), value=IGNORE), torch.nn.functional.pad(logits, (0, 0, 0, 3))
    assert torch.allclose(answer_loss(padded[1], padded[0]), expected)


def test_condition_loss_is_on_ten_times_the_states() -> None:
    states, mask = torch.randn(2, 6, 4), torch.tensor([[1.0] * 6, [1.0] * 2 + [0.0] * 4])
    assert condition_loss(states * CONDITION_SCALE, states) == 0
    spoiled = states * CONDITION_SCALE
    spoiled[1, 3:] += 5
    assert condition_loss(spoiled, states) > 0 and condition_loss(spoiled, states, mask) == 0
