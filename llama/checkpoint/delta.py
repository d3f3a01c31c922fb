"""Delta checkpoint: only the trained weights, with a reference to the base checkpoint they apply to.

weights.safetensors holds the trained weights under the model's internal names; origin.json holds the base as arguments of
`llama.load`, its sizes, and the stage that was trained. The base may be a delta checkpoint itself.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from llama.checkpoint.builder import OUTPUT, State
from llama.checkpoint.hub import recorded_folder
from llama.checkpoint.pretrained import trainable_state, unshare_tensors
from llama.checkpoint.readers import read_safetensors
from llama.checkpoint.source import FIELDS, PATHS
from llama.config import AUDIO_TOKENS, DTYPES, MuMuConfig
from llama.errors import quoted
from llama.files import atomic_path, write_text
from llama.json_yaml import parse_json
from llama.modules.lora import LoRALinear
from llama.mumu_model import MuMuModel
from llama.ranges import Range, check_choice
from llama.weights import check_finite

AUDIO_TOKEN_ROWS = "llama.output.rows"  # [8, D]: the audio tokens' rows of the output layer, where only they are trained
ORIGIN, WEIGHTS = "origin.json", "weights.safetensors"
FORMAT = 1
BASE_FIELDS = (*FIELDS, "dtype")
IGNORED_FIELDS = ("decoder.path", "llama.max_seq_len")  # the base may differ in these: no weight's shape depends on them

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BaseReference:
    """Reference of a delta checkpoint to its base, and which training made it.

    base: arguments of `llama.load` for the base. sizes: the base's configuration. folder: where the reference was read.
    relative_paths: the base's paths relative to that folder, for a tree that was moved as a whole (the key "near" of
    origin.json). Writing and reading fill in the last two.
    """

    base: Mapping[str, Any]
    sizes: MuMuConfig
    stage: int
    preset: str
    step: int = 0
    folder: Path | None = None
    relative_paths: Mapping[str, str] = field(default_factory=dict)

    @property
    def location(self) -> Path:
        """The folder that it was read from. Raises ValueError for one that was never written."""
        if self.folder is None:
            raise ValueError("This reference was not read from a delta checkpoint; write it and read it again.")
        return self.folder


# -- reading and writing ------------------------------------------------------------------------------------------


def is_delta(folder: str | Path) -> bool:
    """Whether `folder` is a delta checkpoint. A damaged one counts, so that reading it reports what is missing."""
    return (Path(folder) / ORIGIN).is_file()


def write_delta(folder: str | Path, state: State, reference: BaseReference) -> None:
    """Writes both files, each atomically. Raises WriteError where the disk does not take them."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    write_tensors(target / WEIGHTS, state)
    write_text(target / ORIGIN, _to_json(reference, target))


def write_tensors(file: Path, state: State) -> None:
    """Writes a safetensors file atomically."""
    with atomic_path(file) as partial:
        save_file(unshare_tensors(state, None), partial, metadata={"format": "pt"})


def read_delta(folder: str | Path) -> tuple[State, BaseReference]:
    """The weights, on the CPU, and the reference. Raises FileNotFoundError or ValueError naming what is missing or damaged."""
    reference = read_base_reference(folder)
    file = Path(folder) / WEIGHTS
    if not file.is_file():
        raise FileNotFoundError(f"{folder} has an {ORIGIN} but no {WEIGHTS}; copy the folder again, or give another checkpoint.")
    return read_safetensors(file), reference


def read_base_reference(folder: str | Path) -> BaseReference:
    """The reference alone, from origin.json. Raises FileNotFoundError or ValueError as `read_delta` does."""
    file = Path(folder) / ORIGIN
    if not file.is_file():
        raise FileNotFoundError(f"There is no {ORIGIN} in {folder}; give a folder that training wrote, such as OUTPUT_DIR/last.")
    try:
        raw = parse_json(file.read_bytes())
        _check_values(raw)
        sizes = MuMuConfig.from_json(json.dumps(raw["sizes"]))
        return BaseReference(raw["base"], sizes, raw["stage"], raw["preset"], raw["step"], Path(folder), raw["near"])
    except ValueError as error:
        raise ValueError(f"{file} is damaged or not ours ({error}); copy the folder again.") from error


def _check_values(raw: Any) -> None:
    """Raises ValueError naming the first value of origin.json that is missing, unknown or of another kind."""
    if not isinstance(raw, Mapping):
        raise ValueError("it is no object")
    for key in ("format", "stage", "preset", "step", "base", "near", "sizes"):
        if key not in raw:
            raise ValueError(f"it lacks {key}")
    if raw["format"] != FORMAT:
        raise ValueError(f"its format is {quoted(raw['format'])}, this code reads {FORMAT}")
    for key in ("base", "near"):
        if not isinstance(raw[key], Mapping):
            raise ValueError(f"{key} is {quoted(raw[key])}, not an object")
        for name, value in raw[key].items():
            if name not in BASE_FIELDS:
                raise ValueError(f"its {key} has {quoted(name)}, which is no argument of load")
            if not isinstance(value, str):
                raise ValueError(f"{key}.{name} is {quoted(value)}, not text")
    check_choice("base.dtype", raw["base"].get("dtype", "stored"), (*DTYPES, "stored"))
    Range(int, 1, 99).check("stage", raw["stage"])
    Range(int, 0, 10**12).check("step", raw["step"])
    if not isinstance(raw["preset"], str):
        raise ValueError(f"preset is {quoted(raw['preset'])}, not text")


def _to_json(reference: BaseReference, folder: Path) -> str:
    base = {name: _plain(name, value) for name, value in reference.base.items() if value is not None}
    absolute_paths = {name: value for name, value in base.items() if name in PATHS and os.path.isabs(value)}
    table = {
        "format": FORMAT, "stage": reference.stage, "preset": reference.preset, "step": reference.step, "base": base,
        "near": {name: os.path.relpath(value, os.path.abspath(folder)) for name, value in absolute_paths.items()},
        "sizes": json.loads(reference.sizes.to_json()),
    }  # fmt: skip
    return json.dumps(table, indent=2) + "\n"


def _plain(name: str, value: Any) -> str:
    """The value as text. Existing paths become absolute, since a run is loaded from other working directories."""
    if name in PATHS and Path(value).exists():
        return os.path.abspath(value)
    return str(value).removeprefix("torch.")


# -- the base -----------------------------------------------------------------------------------------------------


def base_arguments(reference: BaseReference, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `load` for the base: the recorded ones, and those that the caller gave for the model (None: not given).

    A given path replaces a recorded one that no longer exists. Raises ValueError for an argument that contradicts the
    recorded base or for bases in a circle, FileNotFoundError for a base that no longer exists, or that is a hub model which was
    never downloaded: a file may not decide what is.
    """
    requested = {name: value for name, value in given.items() if value is not None}
    result = {name: _base_value(reference, name, requested) for name in reference.base if name != "dtype"} | {
        name: value for name, value in requested.items() if name not in reference.base
    }
    if "dtype" in reference.base:
        result["dtype"] = getattr(torch, reference.base["dtype"], reference.base["dtype"])
    _refuse_circles(reference, result.get("model"))
    return result


def _base_value(reference: BaseReference, name: str, requested: Mapping[str, Any]) -> Any:
    recorded = reference.base[name]
    existing = next(iter(_existing_paths(reference, name)), None) if name in PATHS else recorded
    if name not in requested:
        if existing is None and os.path.isabs(recorded):
            raise FileNotFoundError(_missing_base(reference, name))
        return existing or recorded_folder(recorded, reference.location / ORIGIN, name)
    if existing is not None and not _same(existing, requested[name]):
        raise ValueError(
            f"{reference.location} was trained over {name} {recorded}, so {name} {requested[name]} would not fit it; leave it out."
        )
    return requested[name]


def _existing_paths(reference: BaseReference, name: str) -> list[str]:
    """Where the recorded path leads: as it was, or from the folder of the reference, if both were moved together."""
    recorded = reference.base[name]
    from_folder = (recorded, reference.relative_paths.get(name))
    relative = [os.path.join(reference.folder, path) for path in from_folder if path is not None] if reference.folder else []
    return [path for path in (recorded, *relative) if os.path.exists(path)]


def _same(first: Any, second: Any) -> bool:
    return str(first) == str(second) or os.path.realpath(first) == os.path.realpath(second)


def _missing_base(reference: BaseReference, name: str) -> str:
    elsewhere = "" if name == "model" else f"give its new place as {name}, or "
    return (
        f"The weights in {reference.location} lie over {name} {reference.base[name]}, which is not there; "
        f"put it back, {elsewhere}write its new place under base in {reference.location / ORIGIN}."
    )


def _refuse_circles(reference: BaseReference, model: Any) -> None:
    seen = {os.path.realpath(reference.location)}
    while model is not None and is_delta(model):
        if os.path.realpath(model) in seen:
            folder = reference.location
            raise ValueError(f"The base of {folder} leads back to {model}; name its true base in {folder / ORIGIN}.")
        seen.add(os.path.realpath(model))
        base_reference = read_base_reference(model)
        model = _base_value(base_reference, "model", {}) if "model" in base_reference.base else None


def check_sizes(reference: BaseReference, config: MuMuConfig) -> None:
    """Raises ValueError naming the first size in which the base differs from the one that was trained over."""
    recorded, base = dict(_flat(dataclasses.asdict(reference.sizes))), dict(_flat(dataclasses.asdict(config)))
    for name, size in recorded.items():
        if name not in IGNORED_FIELDS and base[name] != size:
            raise ValueError(
                f"{reference.folder or 'This run'} was trained over a model with {name} {size}, but its base has {base[name]}: "
                "a checkpoint of another size; name the base it was trained over."
            )


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def check_base_reference(reference: BaseReference, stage: int, preset: str, folder: str | Path | None = None) -> None:
    """Raises ValueError where a run of `stage` with `preset` cannot resume the run of `reference`.

    folder: named in the message; None for the folder that the reference was read from.
    """
    folder = folder or reference.folder
    if reference.stage != stage:
        raise ValueError(
            f"{folder} holds a run of stage {reference.stage}, which stage {stage} cannot resume; to build on it give it as the "
            f"model instead (--model {folder}), with another --output_dir and without --resume."
        )
    if reference.preset != preset:
        raise ValueError(
            f"{folder} holds a run with the preset {reference.preset}, which one with {preset} cannot resume; "
            f"give the preset {reference.preset}, or another --output_dir."
        )


def check_base(reference: BaseReference, current: BaseReference) -> None:
    """Raises ValueError where a run over the base of `current` cannot resume a run over that of `reference`.

    A recorded path that no longer exists is taken to have been moved to the current one, with a warning.
    """
    check_sizes(reference, current.sizes)
    for name in BASE_FIELDS:
        theirs, requested = reference.base.get(name), current.base.get(name)
        if theirs is None and requested is None:
            continue
        if theirs is None or requested is None or not _is_same_base(reference, name, requested):
            raise ValueError(
                f"{reference.folder or 'This run'} was trained with {name} {theirs}, this run has {requested}; "
                f"give {name} {theirs} again, or another --output_dir."
            )


def _is_same_base(reference: BaseReference, name: str, requested: Any) -> bool:
    """Whether `requested` is the recorded base, or stands where the recorded one is gone."""
    recorded = reference.base[name]
    if name not in PATHS or not os.path.isabs(recorded):
        return _same(recorded, requested)
    existing = _existing_paths(reference, name)
    if not existing and os.path.exists(requested):
        logger.warning(
            "The run was trained over %s %s, which is not there; it goes on over %s, so make sure that this is the same.",
            name, recorded, requested,
        )  # fmt: skip
        return True
    return any(_same(path, requested) for path in existing)


# -- applying the weights -----------------------------------------------------------------------------------------


@torch.no_grad()
def apply_delta(model: MuMuModel, state: State) -> None:
    """Copies the trained weights into the model, keeping its types and device.

    Merged LoRA is unmerged before and merged again after. Raises ValueError naming a weight that does not fit the model,
    before anything is changed.
    """
    merged = any(isinstance(module, LoRALinear) and module.merged for module in model.modules())
    if merged:
        model.unmerge_lora()
    weights = trainable_state(model)
    weights[AUDIO_TOKEN_ROWS] = weights[OUTPUT][-AUDIO_TOKENS:]
    try:
        for name, value in state.items():
            _check(name, value, weights)
        for name in sorted(state, key=lambda name: name == AUDIO_TOKEN_ROWS):  # the rows after the layer that they belong to
            weights[name].copy_(state[name])
    finally:
        if merged:
            model.merge_lora()


def _check(name: str, value: torch.Tensor, weights: State) -> None:
    if name not in weights:
        raise ValueError(f"The trained weights hold {name}, which this model has not: a checkpoint of another stage or size; "
                         "give the base that they were trained over.")  # fmt: skip
    if value.shape != weights[name].shape:
        raise ValueError(f"The trained {name} is {list(value.shape)}, this model's is {list(weights[name].shape)}: a checkpoint of "
                         "another stage or size; give the base that it was trained over.")  # fmt: skip
    check_finite(name, value, value.to(weights[name].dtype))
