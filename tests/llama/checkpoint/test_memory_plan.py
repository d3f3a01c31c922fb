"""Memory plan: what does not fit is known before weights are read, with a made-up amount of free memory."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from conftest import component_paths

import llama
from llama.__main__ import main as command
from llama.checkpoint import memory_plan
from llama.checkpoint.llama_weights import merge_shards
from llama.checkpoint.memory_plan import LoadPlan, WeightSize, folder_sizes, plan_loading, sizes_of
from llama.checkpoint.readers import read_safetensors
from llama.modules.lora import LoRALinear, merge_lora

CPU, GPU = torch.device("cpu"), torch.device("cuda")
NANO = Path(__file__).resolve().parents[3] / "ckpts" / "nano"
HALF, FULL, BRAIN = torch.float16, torch.float32, torch.bfloat16
# A published checkpoint in small: 10 GB of weights with LoRA and 6 GB without, in float16.
PUBLISHED = [WeightSize(5 * 10**9, HALF, has_lora=True), WeightSize(3 * 10**9, HALF)]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, float | None]:
    """Gigabytes of free memory, to be set."""
    amount: dict[str, float | None] = {"GB": None}
    monkeypatch.setattr(memory_plan, "available_memory", lambda device: None if amount["GB"] is None else int(amount["GB"] * 1e9))
    return amount


@pytest.mark.parametrize(
    ("gigabytes", "stored", "expected"),
    [
        (None, HALF, LoadPlan(FULL, True)),  # not known: as asked
        (64, HALF, LoadPlan(FULL, True)),
        (24, HALF, LoadPlan(HALF, True)),  # 32 GB in float32, 10 GB of copies in float16
        (4, HALF, LoadPlan(HALF, False)),  # nothing is copied
        (64, FULL, LoadPlan(FULL, True)),
        (18, FULL, LoadPlan(BRAIN, True)),  # 20 GB of copies in float32, 16 GB in bfloat16
        (4, FULL, LoadPlan(FULL, False)),
    ],
)
def test_a_dtype_that_fits_is_chosen(free: dict[str, float | None], gigabytes: float | None, stored: torch.dtype, expected: LoadPlan,
                                     caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    free["GB"] = gigabytes
    sizes = [WeightSize(size.count, stored, size.has_lora) for size in PUBLISHED]
    with caplog.at_level(logging.WARNING):
        assert plan_loading(sizes, None, stored, CPU, True) == expected
    changed = expected != LoadPlan(FULL, True)
    assert len(caplog.messages) == changed
    if changed:
        assert "Loading this model in float32 takes" in caplog.text and f"{gigabytes:.1f} GB are free" in caplog.text
        assert ("LoRA is not merged" in caplog.text) != expected.merge_lora


def test_what_is_asked_for_is_never_changed(free: dict[str, float | None]) -> None:
    free["GB"] = 24
    words = r"in float32 takes 33\.6 GB of memory, and 24\.0 GB are free; give dtype float16 \(--dtype float16\), which fits"
    with pytest.raises(ValueError, match=words):
        plan_loading(PUBLISHED, FULL, HALF, CPU, True)
    with pytest.raises(ValueError, match="give dtype float16"):
        plan_loading(PUBLISHED, None, HALF, CPU, False, fixed=True)
    assert plan_loading(PUBLISHED, HALF, HALF, CPU, True) == LoadPlan(HALF, True)
    free["GB"] = 4
    assert plan_loading(PUBLISHED, HALF, HALF, CPU, True) == LoadPlan(HALF, False)  # the same dtype, and the same answers
    with pytest.raises(ValueError, match="in bfloat16 takes 16.8 GB"):
        plan_loading(PUBLISHED, BRAIN, HALF, CPU, True)


def test_what_fits_nowhere_is_refused(free: dict[str, float | None]) -> None:
    free["GB"] = 2
    with pytest.raises(ValueError, match="close other programs, or take a machine with more memory"):
        plan_loading(PUBLISHED, None, HALF, GPU, True)
    assert plan_loading(PUBLISHED, "stored", HALF, CPU, False) == LoadPlan(None, False)  # for conversion: all stay mapped


def test_on_a_gpu_all_weights_count(free: dict[str, float | None]) -> None:
    free["GB"] = 20
    sizes = [WeightSize(6 * 10**9, FULL)]
    assert plan_loading(sizes, None, FULL, GPU, False) == LoadPlan(BRAIN, False)
    assert plan_loading(sizes, None, FULL, CPU, False) == LoadPlan(FULL, False)


def test_sizes_are_read_from_headers(golden: Path) -> None:
    state = {"llama.layers.0.attention.wq.weight": torch.zeros(4, 4), "llama.layers.0.attention.lora_wq_l1.weight": torch.zeros(2, 4),
             "llama.layers.0.attention.wk.weight": torch.zeros(4, 4, dtype=HALF)}  # fmt: skip
    assert list(sizes_of(state)) == [WeightSize(16, FULL, True), WeightSize(8, FULL), WeightSize(16, HALF)]
    internal = {"llama.layers.1.feed_forward.w1.weight": torch.zeros(4), "llama.layers.1.feed_forward.w1.l1": torch.zeros(2)}
    assert [size.has_lora for size in sizes_of(internal)] == [True, False]
    stored = read_safetensors(NANO / "vit" / "model.safetensors")
    assert sum(size.count for size in folder_sizes(NANO / "vit")) == sum(value.numel() for value in stored.values())
    assert list(folder_sizes(golden / "nowhere")) == []


def test_loading_follows_the_plan(published_tree: Path, free: dict[str, float | None], caplog: pytest.LogCaptureFixture) -> None:
    def load(**options: object) -> llama.MuMuLLaMA:
        return llama.load(published_tree / "MuMu-LLaMA-MusicGen", llama_dir=published_tree / "LLaMA-2", **component_paths(), **options)

    free["GB"] = 1.2e-3  # the LLaMA's own weights alone take more when LoRA is merged
    sizes = sum(value.nbytes for value in load(merge_lora=False).parameters())
    assert sizes > 1.2e6
    model = load()
    assert not model.llama.layers[0].attention.wq.merged or model.dtype == BRAIN
    assert "so its weights are kept in" in caplog.text
    free["GB"] = 1
    assert load().llama.layers[0].attention.wq.merged


def test_shards_are_joined_only_where_they_fit(free: dict[str, float | None]) -> None:
    free["GB"] = 1e-6
    with pytest.raises(ValueError, match="Joining the shards of LLaMA's weights takes"):
        merge_shards([{"output.weight": torch.zeros(20, 20)}, {"output.weight": torch.zeros(20, 20)}])


def test_the_command_refuses_in_one_sentence(free: dict[str, float | None], capsys: pytest.CaptureFixture[str]) -> None:
    free["GB"] = 1e-6
    assert command(["What is a drum?", "--model", str(NANO), "--device", "cpu", "--dtype", "bfloat16"]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("Loading this model in bfloat16 takes") and len(error.splitlines()) == 1


def test_a_branch_of_zeros_copies_no_weight() -> None:
    linear, trained = LoRALinear(4, 3, rank=2, bias=False), LoRALinear(4, 3, rank=2, bias=False)
    torch.nn.init.normal_(trained.l2)
    versions = linear.weight._version, trained.weight._version
    merge_lora(torch.nn.ModuleList([linear, trained]))
    assert linear.merged and trained.merged
    assert linear.weight._version == versions[0] and trained.weight._version > versions[1]
