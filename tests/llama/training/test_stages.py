"""What trains in each stage, by name."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from pathlib import Path

import pytest
from safetensors import safe_open

from llama.checkpoint.delta import AUDIO_TOKEN_ROWS
from llama.checkpoint.key_mapping import PREFIX_QUERY, published_name
from llama.config import MuMuConfig
from llama.mumu_llama import MuMuLLaMA
from llama.training.stages import GROUPS, PRESETS, PUBLISHED_MUMU, own_parameters, stage, trainable

ROOT = Path(__file__).resolve().parents[3]
LORA = {
    f"llama.layers.{layer}.{part}.{low}"
    for layer in range(8)
    for part in (*(f"attention.w{x}" for x in "qkvo"), *(f"feed_forward.w{x}" for x in "123"))
    for low in ("l1", "l2")
}
BIASES = {
    f"llama.layers.{layer}.{part}.bias"
    for layer in range(8)
    for part in ("attention.wq", "attention.wo", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
}
NORMS = {"llama.norm.weight"} | {f"llama.layers.{layer}.{part}_norm.weight" for layer in range(8) for part in ("attention", "ffn")}
GATES = {f"llama.layers.{layer}.attention.gate" for layer in range(8)}
QUERIES = {f"prefix_query.{medium}" for medium in ("audio", "image", "video")}
ADAPTERS = {
    f"adapters.{medium}.{part}"
    for medium in ("audio", "image", "video")
    for part in (
        "mix.weight", "mix.bias", "project.0.weight", "project.0.bias",
        *(f"blocks.{block}.{weight}.weight" for block in range(3) for weight in ("norm", "f1", "f2", "f3")),
    )
}  # fmt: skip
LISTEN = ADAPTERS | QUERIES | GATES | LORA | NORMS | BIASES | {"llama.tok_embeddings.weight", "llama.output.rows"}
BASE = {"llama.output.weight"} | {f"{name.removesuffix('.l1')}.weight" for name in LORA if name.endswith(".l1")}


@pytest.fixture(scope="module")
def tiny() -> MuMuLLaMA:
    return MuMuLLaMA(MuMuConfig.tiny())


@pytest.fixture(scope="module")
def mumu() -> MuMuLLaMA:
    """The later variant: a recurrent pool that hears, and one for clips that nothing can use."""
    base = MuMuConfig.tiny(variant="mumu")
    return MuMuLLaMA(dataclasses.replace(
        base,
        audio=dataclasses.replace(base.audio, pools=("recurrent",)),
        video=dataclasses.replace(base.video, idle_recurrent=32),
    ))  # fmt: skip


def groups_of(name: str) -> list[str]:
    return [group for group, pattern in GROUPS.items() if pattern.fullmatch(name)]


def translated(names: tuple[str, ...]) -> set[str]:
    return {PREFIX_QUERY if name.startswith("prefix_query.") else published_name(name) for name in names}


def published_set(golden: Path, variant: str, number: int) -> set[str]:
    return set(json.loads(gzip.decompress((golden / variant / f"trainable_stage{number}.json.gz").read_bytes())))


def test_every_own_parameter_is_in_one_group(tiny: MuMuLLaMA, mumu: MuMuLLaMA) -> None:
    with safe_open(ROOT / "ckpts/nano/model.safetensors", "pt") as file:
        nano = list(file.keys())
    for name in {*own_parameters(tiny), *own_parameters(mumu), *nano, AUDIO_TOKEN_ROWS}:
        assert len(groups_of(name)) == 1, f"{name} is in {groups_of(name)}"


def test_the_neighbours_are_in_no_group_and_never_train(published: MuMuLLaMA) -> None:
    own = set(own_parameters(published))
    neighbours = {name for name, _ in published.named_parameters()} - own
    assert {name.split(".")[0] for name in neighbours} >= {"mert", "vit", "vivit"}
    assert not [name for name in neighbours if groups_of(name)]
    assert set(trainable(published, stage(3, "all"))) == own


def test_presets_name_groups_that_exist() -> None:
    stages = [one for table in (*PRESETS.values(), PUBLISHED_MUMU) for one in table.items()]
    assert all(number == one.number and set(one.trains) <= set(GROUPS) for number, one in stages)


def test_stage_1_of_ours_by_name(tiny: MuMuLLaMA) -> None:
    assert set(trainable(tiny, stage(1))) == LISTEN
    assert not LISTEN & BASE and not [name for name in LISTEN if name.startswith("output_projector.")]


@pytest.mark.parametrize("number", [2, 3])
def test_stages_2_and_3_of_ours_add_the_projector(tiny: MuMuLLaMA, number: int) -> None:
    names = set(trainable(tiny, stage(number)))
    projector = {name for name, _ in tiny.named_parameters() if name.startswith("output_projector.")}
    assert names == LISTEN | projector
    assert {"output_projector.queries", "output_projector.inputs.weight", "output_projector.outputs.bias"} < projector
    assert not names & BASE


def test_what_stays_frozen_is_the_base(tiny: MuMuLLaMA) -> None:
    """With no name left over: what ours never trains is LLaMA's maps and its whole output map."""
    assert set(own_parameters(tiny)) - set(trainable(tiny, stage(3))) == BASE
    assert "llama.layers.0.attention.wq.weight" in BASE and "llama.layers.7.feed_forward.w3.weight" in BASE


def test_lora_trains_factors_and_projector_alone(tiny: MuMuLLaMA) -> None:
    names = set(trainable(tiny, stage(3, "lora")))
    assert {name for name in names if not name.startswith("output_projector.")} == LORA


def test_all_trains_the_whole_output_map_once(tiny: MuMuLLaMA) -> None:
    names = trainable(tiny, stage(1, "all"))
    assert names == own_parameters(tiny) and AUDIO_TOKEN_ROWS not in names


@pytest.mark.parametrize("variant", ["m2ugen", "mumu"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_published_preset_gives_the_published_sets(
    golden: Path, tiny: MuMuLLaMA, mumu: MuMuLLaMA, variant: str, number: int
) -> None:
    model = {"m2ugen": tiny, "mumu": mumu}[variant]
    names = trainable(model, stage(number, "published", model.config.variant))
    assert translated(names) == published_set(golden, variant, number)
    assert not (GATES | {AUDIO_TOKEN_ROWS, "llama.output.weight"}) & set(names)


def test_pools_that_nothing_reads_do_not_train_in_ours(mumu: MuMuLLaMA) -> None:
    names = trainable(mumu, stage(1))
    assert "adapters.audio.pools.recurrent.rnn.weight_hh_l0" in names
    assert not [name for name in names if ".idle." in name]


def test_freeze_goes_by_whole_parts_of_a_name() -> None:
    model = MuMuLLaMA(MuMuConfig.tiny(llama=dataclasses.replace(MuMuConfig.tiny().llama, n_layers=11)))
    every, some = (set(trainable(model, stage(1), freeze)) for freeze in ((), ("llama.layers.1", "adapters.audio.", "llama.norm.weight")))
    gone = {re.sub(r"^(llama\.layers\.\d+|adapters\.\w+)\..*", r"\1", name) for name in every - some}
    assert gone == {"llama.layers.1", "adapters.audio", "llama.norm.weight"}
    assert not [name for name in some if name.startswith(("llama.layers.1.", "adapters.audio."))]


def test_freeze_may_name_what_the_stage_leaves_frozen(tiny: MuMuLLaMA) -> None:
    """One list of frozen names serves all stages of a configuration."""
    assert trainable(tiny, stage(1), ("output_projector",)) == trainable(tiny, stage(1))


@pytest.mark.parametrize("prefix", ["adapters.audoi", "llama.layers.1.att", "adapters.audio.pools"])
def test_freeze_that_fits_nothing_is_named(tiny: MuMuLLaMA, prefix: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(prefix))):
        trainable(tiny, stage(1), (prefix,))


def test_nothing_left_to_train(tiny: MuMuLLaMA) -> None:
    with pytest.raises(ValueError, match="Nothing is left to train in stage 3"):
        trainable(tiny, stage(3, "lora"), ("llama", "output_projector"))


@pytest.mark.parametrize(
    ("number", "preset", "says"),
    [
        (4, "ours", "no stage 4 in the preset 'ours'; choose stage 1, 2 or 3"),
        (0, "published", "no stage 0"),
        (1, "lora", "choose stage 3"),
        (1, "our", "preset 'our' is unknown; choose ours, published, lora or all"),
    ],
)
def test_unknown_stages_and_presets_say_what_there_is(number: int, preset: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        stage(number, preset)
