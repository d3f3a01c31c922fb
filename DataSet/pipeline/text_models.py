"""Models of transformers that generate text: loaded without remote code and without missing weights, decoded greedily or by seeds.

Sampled text depends on the seed of its item alone, not on its batch (up to rounding).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from DataSet.pipeline.prompt_files import Decoding
from llama.component_config import check_weights_suffice, weight_bytes
from llama.device import device_named
from llama.errors import quoted
from llama.hf import check_report, library_errors, suppress_hf_logging
from llama.json_yaml import check_json_files
from llama.ranges import check_choice
from llama.weights import ComponentError, check_component

NOTHING_UNUSED = re.compile(r"(?!)")
ADVICE = "give a folder that save_pretrained wrote, or a name on the hub"


def torch_dtype(name: str) -> torch.dtype | str:
    """The torch dtype of that name; "auto", that of the stored weights, stays. Raises ValueError for another name."""
    check_choice("dtype", name, ("auto", "float32", "bfloat16", "float16"))
    return name if name == "auto" else getattr(torch, name)


def check_place(name: str) -> None:
    """Raises FileNotFoundError for an absolute path, or one that begins with a dot, where nothing lies: no hub has such names."""
    if (Path(name).is_absolute() or name.startswith(".")) and not Path(name).is_dir():
        raise FileNotFoundError(f"There is no folder {name}; {ADVICE}.")
    check_json_files(name)


def load_text_model(name: str, *, revision: str | None, dtype: str, device: str | None, expected: str | None = None) -> Any:
    """The model in eval mode, of the stock class that its config.json names. expected: the class that it must be.

    Raises FileNotFoundError or ValueError in one sentence: nothing there, another class, weights that are missing, damaged or of
    another shape.
    """
    import transformers

    check_place(name)
    kind = expected or "the language model"
    with suppress_hf_logging(), library_errors(kind, name, ADVICE):
        config = transformers.AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
        _check_attention(name, config)
        model_class = _model_class(name, config, expected)
        if hasattr(config, "enable_audio_output"):
            config.enable_audio_output = False  # a part of its own, which would be loaded for nothing
        if Path(name).is_dir():
            check_weights_suffice(kind, lambda: model_class(config), weight_bytes(name))
        model, report = model_class.from_pretrained(name, config=config, revision=revision, dtype=torch_dtype(dtype), output_loading_info=True,
                                                    ignore_mismatched_sizes=True, trust_remote_code=False)  # fmt: skip
        check_report(model_class.__name__, "model", report, NOTHING_UNUSED)
        check_component(model_class.__name__, model)
    return model.to(device_named(device)).eval()


def _check_attention(name: str, config: Any) -> None:
    """Raises ComponentError where a configuration, or one of a part, asks for an attention whose code transformers would fetch."""
    if (asked := getattr(config, "_attn_implementation", None)) not in (None, "eager", "sdpa"):
        raise ComponentError(f"The configuration of {name} asks for the attention {quoted(asked)}; give eager or sdpa: other code is not run.")
    for part in vars(config).values():
        if hasattr(part, "_attn_implementation"):
            _check_attention(name, part)


def _model_class(name: str, config: Any, expected: str | None) -> Any:
    import transformers

    named = (config.architectures or [""])[0]
    found = getattr(transformers, named, None)
    if expected and named != expected:
        raise ComponentError(f"The model {name} is {quoted(named)}, not {expected}; choose the captioner of its kind, or another model.")
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel) and hasattr(found, "generate")):
        raise ComponentError(f"The model {name} is {quoted(named)}, which is no model of transformers that writes text; give another.")
    return found


def load_part(loader: str, name: str, revision: str | None, **arguments: Any) -> Any:
    """A processor or tokenizer by one of transformers' Auto classes. Raises as `load_text_model` does."""
    import transformers

    check_place(name)
    with suppress_hf_logging(), library_errors(loader, name, ADVICE):
        return getattr(transformers, loader).from_pretrained(name, revision=revision, trust_remote_code=False, **arguments)


def prepare_tokenizer(tokenizer: Any) -> None:
    """Pads on the left, as models that go on with the text need it, with the end token where there is no other."""
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


class SeededSampling:
    """Logits processor that draws the next token of each row with the row's own generator, and leaves no other choice.

    With it a greedy search samples: temperature, then nucleus (arXiv 1904.09751).
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        self.generators = [torch.Generator().manual_seed(seed % 2**63) for seed in seeds]
        self.temperature, self.top_p = temperature, top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores [B, V] -> the same shape, 0 for the drawn token and -inf for the others."""
        probabilities, order = (scores.float() / self.temperature).softmax(-1).sort(dim=-1, descending=True)
        mass = probabilities.cumsum(-1)
        mass = mass.masked_fill(mass - probabilities > self.top_p, 0).cummax(-1).values  # what lies beyond the nucleus adds nothing
        drawn = torch.tensor([float(torch.rand((), generator=generator, dtype=torch.float64)) for generator in self.generators])
        place = torch.searchsorted(mass.contiguous(), (drawn.to(mass)[:, None] * mass[:, -1:]), right=True).clamp(max=mass.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, order.gather(1, place), 0.0)


def generate(model: Any, inputs: Mapping[str, Any], decoding: Decoding, seeds: Sequence[int], *, end: int | None = None, **options: Any) -> list[tuple[list[int], bool]]:
    """New tokens of each row, without the prompt, and whether the row ended by itself rather than at the limit.

    end: the token that ends a row, if it is not the one of the model's generation configuration. options: of the model's `generate`.
    """
    from transformers import LogitsProcessorList

    inputs = _on_device(inputs, model)
    processors = LogitsProcessorList([SeededSampling(seeds, decoding.temperature, decoding.top_p)] if decoding.temperature > 0 else [])
    with torch.inference_mode(), suppress_hf_logging():
        output = model.generate(**inputs, do_sample=False, num_beams=decoding.beams, max_new_tokens=decoding.max_tokens, logits_processor=processors, **options)
    tokens = getattr(output, "sequences", output)
    prompt = inputs.get("input_ids")
    if prompt is not None and torch.equal(tokens[:, : prompt.shape[1]], prompt):
        tokens = tokens[:, prompt.shape[1] :]
    ends = _end_tokens(model) if end is None else {end}
    return [_until_end(row, ends, decoding.max_tokens) for row in tokens.tolist()]


def _end_tokens(model: Any) -> set[int]:
    end = model.generation_config.eos_token_id
    return set(end if isinstance(end, list) else [] if end is None else [end])


def _until_end(row: list[int], ends: set[int], limit: int) -> tuple[list[int], bool]:
    end = next((place for place, token in enumerate(row) if token in ends and place > 0), None)
    return (row, len(row) < limit) if end is None else (row[: end + 1], True)


def _on_device(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The tensors where the model is, floats in its dtype."""
    return {
        name: value.to(model.device, model.dtype) if value.is_floating_point() else value.to(model.device)
        for name, value in inputs.items() if isinstance(value, Tensor)
    }  # fmt: skip
