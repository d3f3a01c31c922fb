"""Training benchmarks: both ways have equal losses, a difference is detected, missed targets are only reported."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import gates, train
from DataSet.synthesis.made_set import make_set
from llama.cli import DEFAULT_MODEL
from llama.config import LlamaConfig


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "set"
    make_set(folder, 2, 0, lambda _: None)
    return folder


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_both_ways_learn_the_same_and_a_difference_is_seen(
    monkeypatch: pytest.MonkeyPatch, made: Path, tmp_path: Path, factor: float
) -> None:
    monkeypatch.setattr(train, "BATCH", 4)
    step = train.Published.step
    monkeypatch.setattr(train.Published, "step", lambda self, examples: factor * step(self, examples))
    found = train.compare(train.make_config(made, str(DEFAULT_MODEL), 3, tmp_path), 3, 1)
    assert found.same == (factor == 1.0)
    assert found.published > 0 and found.first > 0 and found.later > 0 and len(found.ratios) == 1


def test_checkpointing_leaves_the_loss_alone() -> None:
    llama = LlamaConfig(dim=32, n_layers=6, n_heads=2, vocab_size=64, max_seq_len=32)
    losses = {way: train.measure(way, 2, 16, llama)[2] for way in train.WAYS}
    assert max(losses.values()) - min(losses.values()) < 1e-5, losses


@pytest.mark.parametrize("ratio", [train.TARGET, train.TARGET - 0.1])
def test_a_missed_target_is_reported(ratio: float) -> None:
    told = train.line(train.Speed(1.0, 2.0, 3.0, (ratio,), same=True))
    assert ("missed" in told) == (ratio < train.TARGET)


@pytest.mark.parametrize(("same", "equal", "code"), [(True, True, 0), (False, True, 1), (True, False, 1)])
def test_a_difference_fails(monkeypatch: pytest.MonkeyPatch, same: bool, equal: bool, code: int) -> None:
    monkeypatch.setattr("sys.argv", ["train"])
    monkeypatch.setattr(train.torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(train, "report_speed", lambda *_: same)
    monkeypatch.setattr(train, "report_memory", lambda _: equal)
    assert train.main() == code


@pytest.mark.parametrize(
    ("shares", "steps"),
    [([0.2, 0.9, 0.9], 2), ([0.9, 0.2, 0.9], 3), ([0.9, 0.9], 1), ([0.9, 0.2], math.inf), ([0.2], math.inf)],
)
def test_quick_counts_to_where_answers_stay_right(shares: list[float], steps: float) -> None:
    assert gates.steps_until_good(shares) == steps * gates.CHECK_EVERY


def test_accuracy_and_what_swapping_makes_of_it() -> None:
    wanted = ["guitar", "flute", "guitar", "flute"]
    assert gates.accuracy(wanted, wanted) == (1.0, pytest.approx(1 / 3))  # one of three others has the same answer
    assert gates.accuracy(["guitar"] * 4, wanted) == (0.5, 0.5)  # constant answers do not change when swapped
    assert gates.accuracy([""] * 4, wanted) == (0.0, 0.0)


def test_the_instrument_named_first_counts() -> None:
    assert gates.first_instrument("A flute, then a guitar.") == "flute"
    assert gates.first_instrument("A drum.") == ""


def test_a_start_is_trained_or_kept_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "TRAINING_RECORDINGS", 8)
    monkeypatch.setattr(gates, "HELD_OUT", 4)
    monkeypatch.setattr(gates, "BATCH", 2)
    monkeypatch.setattr(gates, "CHECK_EVERY", 1)
    gates.make_lists(tmp_path / "made")
    gates.make_model(0, trained=False).save_pretrained(tmp_path / "model")
    closed, opened = (
        gates.train(gates.make_config(tmp_path, tmp_path / "model", gates.Case(0.0, trained), 0, 2), tmp_path / "made")
        for trained in (False, True)
    )
    assert closed.gate == 0.0 < opened.gate
