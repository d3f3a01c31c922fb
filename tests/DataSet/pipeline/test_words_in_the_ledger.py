"""Captions and instructions over a ledger: the outcomes do not depend on the batches, and factories can be sent to other processes."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from DataSet.pipeline.captioners import CaptionerConfig, CaptionStep
from DataSet.pipeline.instructions import InstructionStep
from DataSet.pipeline.isolation import ModelError
from DataSet.pipeline.item import Item
from DataSet.pipeline.ledger import Ledger
from DataSet.pipeline.runner import RunOptions, run_step
from DataSet.pipeline.step import Rejection, Step
from DataSet.pipeline.writers import WriterConfig
from llama.media.score import LEADS

PIECE = {"accompaniment": "strings", "style": "ballad", "tempo": 72, "mode": "minor", "metre": 4, "drums": True, "key": 9}
ITEMS = [Item("made", f"piece {seed}", {}, truth={**PIECE, "lead": lead}) for seed, lead in enumerate([*LEADS] * 2)]
ITEMS += [Item("made", "unknown", {}), Item("made", "chatty", {}, caption="[INST] Describe it. [/INST]")]


def outcomes(folder: Path, options: RunOptions, steps: list[partial[Any]]) -> list[dict[str, Any]]:
    with Ledger.open(folder, items_per_shard=8) as ledger:
        ledger.add_items(ITEMS)
        done: list[Step] = []
        for make in steps:
            step = make()
            run_step(ledger, make, step.spec, [earlier.spec for earlier in done], options)
            done.append(step)
        return [dict(ledger.outcomes(step.spec)) for step in done]


def factories(folder: Path) -> list[partial[Any]]:
    """As a worker process gets them."""
    steps = [partial(CaptionStep, CaptionerConfig("truth"), folder, "audio"), partial(InstructionStep, WriterConfig("faulty"), "mucaps")]
    return pickle.loads(pickle.dumps(steps))


def test_captions_and_instructions_of_a_run(tmp_path: Path) -> None:
    captions, written = outcomes(tmp_path / "one", RunOptions(log=str, batch_size=3), factories(tmp_path))
    assert len(captions) == len(ITEMS) and len(written) == len(ITEMS) - 2  # two have no caption
    rejected = {outcome.rule for outcome in captions.values() if isinstance(outcome, Rejection)}
    assert rejected == {"error", "caption"}
    assert outcomes(tmp_path / "other", RunOptions(log=str, batch_size=100), factories(tmp_path)) == [captions, written]
    assert {outcome["writer"] for outcome in written.values()} == {"faulty", "template"}


def test_a_model_that_does_not_load_ends_the_run_and_rejects_nothing(tmp_path: Path) -> None:
    make = partial(CaptionStep, CaptionerConfig("mumu", str(tmp_path / "nowhere")), tmp_path, "audio")
    with pytest.raises(ModelError, match="nowhere"):
        outcomes(tmp_path / "work", RunOptions(log=str), [make])
    with Ledger.open(tmp_path / "work") as ledger, pytest.raises(ValueError, match="has no results"):
        dict(ledger.outcomes(make().spec))
