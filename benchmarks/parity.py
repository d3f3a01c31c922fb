"""Compares this implementation with reference values of the published model: python -m benchmarks.parity FOLDER

FOLDER is laid out like tests/golden, in any sizes: `components/`, `inputs.safetensors`, `m2ugen/`, `mumu/` and so on;
values that are missing are not checked. One line a check: name, largest error relative to the largest reference value, ok or FAIL.
Exit code 1 if any check failed.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import MusicgenConfig, MusicgenForConditionalGeneration

from benchmarks.parity_checks import BOUND, Check, close, present, same
from llama.checkpoint.key_mapping import COMPONENT_PREFIXES, infer_config, infer_projector, to_internal, to_published
from llama.checkpoint.llama_weights import merge_shards
from llama.checkpoint.pretrained import ENCODER_CLASSES
from llama.checkpoint.readers import read_torch, weights_of
from llama.config import MuMuConfig
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.decoders.musicgen.loading import known_config
from llama.encoders.base import KNOWN
from llama.generation import sample_top_p, top_p_filter
from llama.hf import suppress_hf_logging
from llama.media.audio import Waveform
from llama.modules.output_projector import OutputProjector
from llama.modules.tokenizer import Tokenizer
from llama.mumu_llama import MuMuLLaMA

# -- checks without a checkpoint ------------------------------------------------------------------------------------


def tokens(folder: Path) -> Iterator[Check]:
    tokenizer = Tokenizer(folder / "components/llama/tokenizer.model")
    cases = json.loads((folder / "tokenizer_cases.json").read_text())
    sizes = cases.pop("_meta", {})
    if sizes:
        sizes_found = [tokenizer.vocab_size, list(tokenizer.audio_tokens), tokenizer.bos, tokenizer.eos]
        yield same("tokenizer.sizes", sizes_found, [sizes[name] for name in ("len", "audio_tokens", "bos", "eos")])
    for name, case in cases.items():
        yield same(f"tokenizer.{name}.ids", tokenizer.encode(case["text"]), case["ids"])
        yield same(f"tokenizer.{name}.ids_nospecial", tokenizer.encode(case["text"], bos=False), case["ids_nospecial"])
        yield same(f"tokenizer.{name}.decode", tokenizer.decode(case["ids"]), case["decode"])
        yield same(f"tokenizer.{name}.decode_nospecial", tokenizer.decode(case["ids_nospecial"]), case["decode_nospecial"])


def resampling(folder: Path) -> Iterator[Check]:
    values = load_file(folder / "resample_torchaudio.safetensors")
    for name in sorted(name for name in values if name.startswith("in_")):
        rate, target = int(name.removeprefix("in_")), 24_000
        wave = Waveform(values[name], rate)
        yield close(f"resample.{rate}", wave.resample(target).samples, values[f"out_{target}_from_{rate}"])
        yield close(f"resample.mono.{rate}", wave.resample(target).mono().samples[0], values[f"mono_{target}_from_{rate}"])


def sampling(folder: Path) -> Iterator[Check]:
    values = load_file(folder / "sample_top_p.safetensors")
    for name in sorted(name for name in values if name.endswith(".sorted_filtered")):
        p = float(name.removeprefix("p").removesuffix(".sorted_filtered"))
        filtered, _ = top_p_filter(values["probs"], p)
        yield close(f"sample_top_p.{p}.filtered", filtered, values[name])
        tokens_drawn = sample_top_p(values["probs"], p, torch.Generator().manual_seed(123))
        yield same(f"sample_top_p.{p}.tokens", tokens_drawn, values[f"p{p}.token_seed123"])


def small_projector(folder: Path) -> Iterator[Check]:
    """The AudioLDM2 form of the projector: one query, one wide output."""
    values = load_file(folder / "projector_audioldm2_tiny.safetensors")
    state = {name: value for name, value in values.items() if name.startswith("output_projector.")}
    config = infer_projector(state, MuMuConfig().projector)
    projector = OutputProjector(config, state["output_projector.fc.weight"].shape[1])
    projector.load_state_dict({name.removeprefix("output_projector."): value for name, value in to_internal(state).items()})
    yield close("projector.audioldm2", projector(values["in_hidden"], values["in_embs"]), values["out"])


def shards(folder: Path) -> Iterator[Check]:
    single_parts, double_parts = ([weights_of(read_torch(file), file) for file in sorted((folder / f"llama_base_{count}").glob("*.pth"))]
                for count in ("one", "two"))  # fmt: skip
    single, merged = merge_shards(single_parts), merge_shards(double_parts)
    yield same("shards.names", sorted(merged), sorted(single))
    yield same("shards.two_equal_one", [name for name in single if not torch.equal(single[name], merged[name])], [])


# -- every name of the full-scale checkpoints -----------------------------------------------------------------------


def read_keys(path: Path) -> dict[str, Tensor]:
    """A list of published names and shapes as tensors without memory."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    rows = (line.split("\t") for line in text.splitlines() if line)
    return {name: torch.empty([int(size) for size in shape.split("x") if size], device="meta") for name, shape in rows}


def full_keys(folder: Path) -> Iterator[Check]:
    """The model that the list implies, built without memory, has exactly the list's names and shapes."""
    for path in sorted([*folder.glob("full_keys_*.tsv"), *folder.glob("full_keys_*.tsv.gz")]):
        listed = read_keys(path)
        ours = {name: tuple(value.shape) for name, value in full_scale(listed).items()}
        theirs = {name: tuple(value.shape) for name, value in listed.items()}
        label = path.name.split(".")[0]
        yield same(f"{label}.missing", sorted(set(theirs) - set(ours)), [], f"of {len(theirs)}")
        yield same(f"{label}.left_over", sorted(set(ours) - set(theirs)), [])
        yield same(f"{label}.shapes", [name for name in theirs if ours.get(name) != theirs[name]], [])


def full_scale(listed: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published names of the model whose sizes `listed` implies, on the meta device."""
    with torch.device("meta"):
        model = MuMuLLaMA(infer_config(listed, {}, MuMuConfig()))
        state = to_published(model.state_dict())
        for kind, encoder in ENCODER_CLASSES.items():
            network = encoder.model_class(encoder.config_from(next(iter(KNOWN[kind].values()))))
            state.update({COMPONENT_PREFIXES[kind] + name: value for name, value in published_names(network).items()})
    prefix = COMPONENT_PREFIXES["decoder"]
    if f"{prefix}decoder.lm_heads.0.weight" in listed:
        width = listed[f"{prefix}decoder.lm_heads.0.weight"].shape[1]
        state.update({prefix + name: value for name, value in full_musicgen(width).items()})
    return state


def full_musicgen(width: int) -> dict[str, Tensor]:
    with torch.device("meta"), suppress_hf_logging():
        return MusicGenDecoder(MusicgenForConditionalGeneration(MusicgenConfig.from_dict(known_config(width)))).export_state()


def published_names(network: Any) -> dict[str, Tensor]:
    """transformers 5 names weights differently inside; this is what it would save."""
    try:
        from transformers.core_model_loading import revert_weight_conversion
    except ImportError:  # transformers 4: the inner names are the published ones
        return network.state_dict()
    return revert_weight_conversion(network, network.state_dict())


SHARED: dict[str, tuple[Callable[[Path], Iterator[Check]], tuple[str, ...]]] = {
    "tokens": (tokens, ("tokenizer_cases.json", "components/llama/tokenizer.model")),
    "resampling": (resampling, ("resample_torchaudio.safetensors",)),
    "sampling": (sampling, ("sample_top_p.safetensors",)),
    "small_projector": (small_projector, ("projector_audioldm2_tiny.safetensors",)),
    "shards": (shards, ("llama_base_one", "llama_base_two")),
    "full_keys": (full_keys, ()),
}


def checks(folder: Path) -> Iterator[Check]:
    """Every check that the folder has values for."""
    from benchmarks.parity_learner import learner_checks
    from benchmarks.parity_variant import variant_checks

    for work, needed in SHARED.values():
        if present(folder, *needed):
            yield from work(folder)
    for variant in ("m2ugen", "mumu"):
        yield from variant_checks(folder, variant)
        yield from learner_checks(folder, variant)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if not folder.is_dir():
        parser.error(f"there is no folder {folder}; give one laid out like tests/golden")
    results = []
    for check in checks(folder):
        print(check.line(), flush=True)
        results.append(check)
    failed = [check for check in results if not check.ok]
    worst = max((check.error for check in results if check.bound == BOUND), default=0.0)
    print(f"{len(results)} checks, {len(failed)} failed, largest relative error {worst:.2e} (bound {BOUND:g})")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    raise SystemExit(main())
