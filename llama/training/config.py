"""Training configuration: a checked dataclass for one stage, read from a YAML file with the settings of all stages.

Relative paths are resolved from the working directory.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from llama.data.source import Sources
from llama.errors import comma_list, require_fields
from llama.json_yaml import read_yaml
from llama.training.stages import PRESETS
from llama.training.stages import stage as stage_of
from llama.training.yaml_fields import fields_of, plain, value_of

Precision = Literal["no", "bf16", "fp16"]


@dataclass(frozen=True)
class ModelSettings:
    """The model that training starts from: arguments of `llama.load`. path None: built from llama_dir and the components."""

    path: str | None = "ckpts/nano"
    llama_dir: str | None = None
    llama_type: str = "7B"
    mert_path: str | None = None
    vit_path: str | None = None
    vivit_path: str | None = None
    music_decoder: Literal["musicgen", "audioldm2"] | None = None
    music_decoder_path: str | None = None
    knn_dir: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] | None = None  # of the frozen weights; None: as stored

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `llama.load`; `path` is its `model`."""
        import torch

        values = dataclasses.asdict(self)
        dtype = values.pop("dtype")
        return {"model": values.pop("path"), **values, "dtype": getattr(torch, dtype) if dtype else None}


@dataclass(frozen=True)
class SyntheticSet:
    """A small generated data set: `pieces` recordings, with pictures and clips; created if `folder` does not exist."""

    folder: str
    pieces: int = 240
    seed: int = 0

    def __post_init__(self) -> None:
        require_fields(self, ("pieces",), lambda value: value > 0, "more than 0")


POSITIVE = (
    "max_steps", "epochs", "batch_size", "accumulation", "window", "max_tokens", "lr", "clip", "register_weight", "validation_rows",
    "example_seconds", "save_every", "keep", "log_every",
)  # fmt: skip
NOT_NEGATIVE = (
    "max_broken", "workers", "seed", "min_lr", "warmup_steps", "weight_decay", "condition_weight", "condition_registers",
    "validate_every", "examples", "blur",
)  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one stage's training. Counts are in optimizer steps unless stated otherwise; `configs/` explains each key."""

    model: ModelSettings = ModelSettings()
    preset: str = "ours"  # of llama.training.stages.PRESETS
    freeze: tuple[str, ...] = ()  # prefixes of parameter names, or groups of training/stages.py, to keep frozen
    data: Sources = field(default_factory=dict)
    validation: Sources = field(default_factory=dict)
    holdout: float = 0.0  # share of the data held out for validation, if there is no validation source
    made: SyntheticSet | None = None
    output_dir: str = "runs/train"
    cache_dir: str | None = "runs/features"  # of encoder features and decoder targets; None: no cache
    max_steps: int | None = None  # takes precedence over epochs
    epochs: float | None = 1.0
    batch_size: int = 8  # of one process and one accumulation step
    accumulation: int = 1
    window: int = 4  # steps whose examples are sorted by length together: more means less padding, and fewer tasks in a step
    max_tokens: int = 512
    max_broken: int = 0  # examples that may be unreadable before training stops
    workers: int = 0
    seed: int = 0
    lr: float = 3e-4
    min_lr: float = 0.0
    warmup_steps: int = 0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    condition_weight: float = 1.0
    condition_padding: Literal["ignore", "count", "silence"] = "ignore"
    condition_registers: int = 0
    register_weight: float = 1.0
    blur: float = 0.0  # noise on audio features, as a share of their standard deviation over a batch
    precision: Precision = "no"
    device: str | None = None
    fsdp: bool = False
    activation_checkpointing: Literal["none", "torch", "fairscale"] = "none"
    offload: bool = False
    gate_start: float | None = None  # None: the gates of the model
    validate_every: int = 200  # 0: never
    validation_rows: int = 256
    examples: int = 4
    example_seconds: float = 6.0
    save_every: int = 200
    keep: int = 2
    log_every: int = 10
    tensorboard: bool = True

    def __post_init__(self) -> None:
        require_fields(self, POSITIVE, lambda x: x > 0, "more than 0")
        require_fields(self, NOT_NEGATIVE, lambda x: x >= 0, "0 or more")
        require_fields(self, ("holdout",), lambda x: 0 <= x < 1, "from 0 to below 1")
        for number in {*self.data, *self.validation}:
            _check_stage_number(number)
        require_fields(self, ("gate_start",), lambda x: 0 <= x <= 10, "from 0 to 10")
        self._check_contradictions()

    def _check_contradictions(self) -> None:
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {list(self.betas)}; give two numbers from 0 to below 1.")
        if self.max_steps is None and self.epochs is None:
            raise ValueError("neither max_steps nor epochs says how long to train; give one of them.")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr {self.min_lr} is above lr {self.lr}; the rate falls from lr to min_lr, so give less.")
        if self.max_steps is not None and self.warmup_steps >= self.max_steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} leave nothing of max_steps {self.max_steps}; give fewer.")
        if self.offload and self.activation_checkpointing != "fairscale":
            raise ValueError("offload moves fairscale's checkpoints to the CPU; give activation_checkpointing: fairscale too.")
        if self.register_weight != 1 and not self.condition_registers:
            raise ValueError("register_weight has no effect without registers; give condition_registers, their number.")


def _check_stage_number(number: int) -> None:
    numbers = sorted({number for stages in PRESETS.values() for number in stages})
    if number not in numbers:
        raise ValueError(f"settings for stage {number} would never be used; there are the stages {comma_list(numbers)}.")


# -- from YAML and back -------------------------------------------------------------------------------------------

BY_STAGE = ("data", "validation")  # keys whose values are given by stage already


def read_config(path: str | Path, stage: int, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The configuration of one stage: the file's top-level settings, overridden by `stages: {stage: ...}`, then `overrides`.

    A None in `overrides` keeps the file's value. If max_steps in `overrides` does not exceed the file's warmup_steps,
    the warm-up becomes a tenth of it, so that a short trial needs no second change.
    Raises FileNotFoundError without the file, and ValueError naming it for an unknown key (with the nearest correct
    one), a value of the wrong type, contradicting settings, an unknown stage, or a stage without data.
    """
    raw = _read(Path(path))
    try:
        config = _config(raw, stage, {key: value for key, value in (overrides or {}).items() if value is not None})
        stage_of(stage, config.preset)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not config.data.get(stage):
        raise ValueError(f"{path} has no data for stage {stage}; add it under data: {stage}:.")
    return config


def to_yaml(config: TrainConfig) -> str:
    """YAML text from which `read_config` reads an equal configuration, for any stage with data."""
    import yaml

    return yaml.safe_dump(plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True)


def _read(path: Path) -> dict[Any, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no configuration {path}; give a YAML file like configs/nano.yaml.")
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ValueError(f"{path} holds no settings; write lines like lr: 0.0003, or begin with a copy of configs/nano.yaml.")
    return raw


def _config(raw: Mapping[Any, Any], stage: int, overrides: Mapping[str, Any]) -> TrainConfig:
    """The merged settings of `stage`. Those of the other stages are checked too, so that a mistake shows early."""
    values = fields_of(TrainConfig, {key: value for key, value in raw.items() if key != "stages"}, "", ("stages",))
    by_stage = {number: _stage_fields(number, settings) for number, settings in _by_stage(raw.get("stages")).items()}
    values |= by_stage.get(stage, {})
    values |= (flags := fields_of(TrainConfig, overrides, " of the command line"))
    if "max_steps" in flags and "warmup_steps" not in flags and values.get("warmup_steps", 0) >= flags["max_steps"]:
        values["warmup_steps"] = flags["max_steps"] // 10
    return TrainConfig(**values)


def _by_stage(raw: Any) -> dict[int, Any]:
    if not isinstance(raw, (Mapping, types.NoneType)):
        raise ValueError(f"stages is {raw!r}; give settings by stage, like 1: {{lr: 0.0001}}.")
    return {value_of(int, number, "a key in stages"): settings for number, settings in (raw or {}).items()}


def _stage_fields(number: int, settings: Any) -> dict[str, Any]:
    """The fields set by `stages: {number: ...}`."""
    _check_stage_number(number)
    fields = fields_of(TrainConfig, settings or {}, f" in stages: {number}:")
    if misplaced := [name for name in BY_STAGE if name in fields]:
        raise ValueError(f"{misplaced[0]} has stages of its own; write it as {misplaced[0]}: {number}:, not in stages: {number}:.")
    return fields
