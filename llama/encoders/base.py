"""Base class of the frozen encoders: loading, saving and checks under the published weight names, no training.

Stock transformers maps the published names to its internal ones and back; this file uses the published names only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal, Self

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from llama.component_config import check_component_folder, check_weights_suffice, weight_bytes
from llama.files import atomic_files
from llama.hf import check_report, check_unexpected, library_errors, suppress_hf_logging
from llama.json_yaml import read_table
from llama.weights import ComponentError, check_component

PREPROCESSOR_FILE = "preprocessor_config.json"
WEIGHTS_FILE = "model.safetensors"
# Weights that no feature depends on; checkpoints of classifiers lack them.
UNUSED_KEYS = re.compile(r"(^|\.)(masked_spec_embed$|pooler\.)")
LAYER = re.compile(r"encoder\.layers?\.(\d+)\.")

# Architectures of the published encoders, so that a checkpoint with all weights needs no download.
KNOWN: dict[str, dict[str, dict[str, Any]]] = {
    "mert": {
        "m-a-p/MERT-v1-330M": {
            "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
            "conv_bias": False, "feat_extract_norm": "group", "do_stable_layer_norm": True},
        "m-a-p/MERT-v1-95M": {
            "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
            "conv_bias": False, "feat_extract_norm": "group", "do_stable_layer_norm": False},
    },
    "vit": {"google/vit-base-patch16-224": {"image_size": 224, "patch_size": 16}},  # -in21k has the same architecture
    "vivit": {"google/vivit-b-16x2-kinetics400": {"image_size": 224, "num_frames": 32, "tubelet_size": [2, 16, 16]}},
}


class FrozenEncoder(nn.Module):
    """A pretrained transformers model that is never trained: no gradients, and no dropout even after `train()`."""

    model_class: ClassVar[type[PreTrainedModel]]
    config_class: ClassVar[type[PretrainedConfig]]
    kind: ClassVar[str]  # key of KNOWN, and prefix of the `*_path` argument

    def __init__(self, model: PreTrainedModel, preprocessor: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.feature_dim: int = model.config.hidden_size
        self.preprocessor: dict[str, Any] = {**self.default_preprocessor(model.config), **(preprocessor or {})}

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode."""
        return super().train(False)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.model.dtype

    @classmethod
    def default_preprocessor(cls, config: PretrainedConfig) -> dict[str, Any]:
        """The published preprocessor_config.json of this architecture."""
        raise TypeError(f"{cls.__name__} is an abstract encoder.")

    @classmethod
    def expected_shapes(cls, config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
        """Published names and shapes of weights by which architectures are recognised."""
        raise TypeError(f"{cls.__name__} is an abstract encoder.")

    @classmethod
    def from_folder(cls, path: str | Path, dtype: torch.dtype | Literal["auto"] = torch.float32, revision: str | None = None) -> Self:
        """Load a `save_pretrained` folder or a hub name, in `dtype` ("auto": as it is stored). Never runs remote code.

        revision: of a hub name: a branch, tag or commit; None for the newest.

        Raises FileNotFoundError if it does not exist, ValueError if it contains another kind of model.
        """
        if Path(path).is_file() or (Path(path).is_absolute() and not Path(path).exists()):
            raise FileNotFoundError(f"There is no folder {path}; {cls.kind}_path takes a folder with config.json and "
                                    "weights, or a hub name.")
        check_component_folder(path)
        advice = f"{cls.kind}_path takes a folder with config.json and weights, or a hub name"
        with suppress_hf_logging(), library_errors(cls.__name__, path, advice):
            values, _ = cls.config_class.get_config_dict(str(path), revision=revision)
            config = cls.config_from(values)
            check_weights_suffice(cls.kind, lambda: cls.model_class(config), weight_bytes(path))
            load: Any = cls.model_class.from_pretrained
            model, report = load(str(path), config=config, dtype=dtype, attn_implementation="sdpa", revision=revision or "main",
                                 output_loading_info=True, ignore_mismatched_sizes=True)
            cls._check(model, report)
            check_component(cls.kind, model)
            return cls(model, _read_preprocessor(path, revision))

    @classmethod
    def from_state(cls, config: Mapping[str, Any] | None, state: Mapping[str, Tensor],
                   preprocessor: Mapping[str, Any] | None = None) -> Self:
        """Build from weights under their published names, in their own type; the tensors are used, not copied.

        `config`: the encoder's config.json, or None to recognise a published architecture by its shapes.
        Raises ValueError if the weights do not fit the architecture.
        """
        advice = f"name the folder of the component they belong to with {cls.kind}_path"
        with library_errors(cls.__name__, "its config.json", advice):
            encoder_config = cls._known_config(state) if config is None else cls.config_from(config)
            problem = cls._mismatch(encoder_config, state)
        if problem:
            raise ValueError(f"The {cls.kind} weights do not fit their config ({problem}); {advice}.")
        first = next(iter(state.values()))
        with suppress_hf_logging(), library_errors(cls.__name__, "the checkpoint", advice):
            held = sum(value.nbytes for value in state.values())
            check_weights_suffice(cls.kind, lambda: cls.model_class(encoder_config), held)
            load: Any = cls.model_class.from_pretrained
            model, report = load(None, config=encoder_config, state_dict=_placeholders(state) if first.is_meta else dict(state),
                                 dtype=first.dtype, attn_implementation="sdpa", output_loading_info=True,
                                 ignore_mismatched_sizes=True)
            check_unexpected(cls.kind, f"{cls.kind}_path", report)
            cls._check(model, report)
            if first.is_meta:
                model.to("meta")
            check_component(cls.kind, model)
            return cls(model, preprocessor)

    @classmethod
    def _check(cls, model: PreTrainedModel, report: Mapping[str, Any]) -> None:
        """Raise ValueError for missing weights, except those that no feature needs; these become zero."""
        check_report(cls.kind, f"{cls.kind}_path", report, UNUSED_KEYS)
        for key in report["missing_keys"]:
            nn.init.zeros_(model.get_parameter(key))

    @classmethod
    def config_from(cls, values: Mapping[str, Any]) -> PretrainedConfig:
        """Configuration from the values that describe the architecture; model type and remote code are ignored."""
        ignored = ("model_type", "architectures", "auto_map", "torch_dtype", "dtype", "transformers_version")
        return cls.config_class.from_dict({key: value for key, value in values.items() if key not in ignored})

    @classmethod
    def _known_config(cls, state: Mapping[str, Tensor]) -> PretrainedConfig:
        """The published architecture whose shapes the weights have."""
        for values in KNOWN[cls.kind].values():
            config = cls.config_from(values)
            if not cls._mismatch(config, state):
                return config
        names = " or ".join(KNOWN[cls.kind])
        raise ComponentError(f"The {cls.kind} weights are not of {names}; name the folder of the component they belong to "
                             f"with {cls.kind}_path.")

    @classmethod
    def _mismatch(cls, config: PretrainedConfig, state: Mapping[str, Tensor]) -> str:
        """The first difference between weights and architecture; "" if there is none."""
        for name, shape in cls.expected_shapes(config).items():
            if name not in state:
                return f"{name} is missing"
            if tuple(state[name].shape) != shape:
                return f"{name} is {tuple(state[name].shape)}, not {shape}"
        layers = 1 + max((int(match[1]) for match in map(LAYER.search, state) if match), default=-1)
        expected = config.num_hidden_layers
        return "" if layers == expected else f"{layers} layers, not {expected}"

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write config, weights (in `dtype`, or as they are) and preprocessor, each file whole or not at all."""
        model = self.model if dtype in (None, self.dtype) else deepcopy(self.model).to(dtype)
        with atomic_files(folder) as draft:
            _save_model(model, draft)
            (draft / PREPROCESSOR_FILE).write_text(json.dumps(self.preprocessor, indent=2) + "\n")

    def export_state(self) -> dict[str, Tensor]:
        """The weights under their published names; the inverse of `from_state`."""
        with TemporaryDirectory() as partial:  # transformers restores the published names when it saves
            _save_model(self.model, partial)
            return load_file(Path(partial, WEIGHTS_FILE))


def _placeholders(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the same shapes that need the memory of one number each; transformers does not load meta tensors."""
    return {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in state.items()}


def _read_preprocessor(path: str | Path, revision: str | None = None) -> dict[str, Any] | None:
    file = cached_file(str(path), PREPROCESSOR_FILE, revision=revision, _raise_exceptions_for_missing_entries=False)
    return read_table(Path(file)) if file else None


def _save_model(model: PreTrainedModel, folder: str | Path) -> None:
    with suppress_hf_logging():
        model.save_pretrained(folder, max_shard_size="1TB")  # one file
