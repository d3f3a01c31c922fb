"""Checks of weights when they are loaded: a NaN or an infinity would load without an error and answer nonsense."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ComponentError(ValueError):
    """A pretrained component that does not fit or is damaged, in one sentence; the net around the libraries lets it pass."""


def is_finite(weight: Tensor) -> bool:
    """Whether no value is NaN or infinite; integers are. One pass without a copy: the extremes of values with a NaN are NaN."""
    if not weight.is_floating_point() or not weight.numel() or weight.is_meta:
        return True
    if weight.element_size() == 1:  # torch finds no extremes of 8-bit floats
        weight = weight.float()
    return all(map(torch.isfinite, torch.aminmax(weight)))


def check_finite(name: str, stored: Tensor, loaded: Tensor) -> None:
    """Raises ValueError naming a weight that is not finite as it was loaded: as it was `stored`, or in the dtype of `loaded`."""
    if is_finite(loaded):
        return
    if loaded.dtype != stored.dtype and is_finite(stored):
        dtype = str(loaded.dtype).removeprefix("torch.")
        raise ValueError(f"The weight {name} has values that are too large for {dtype}; load the model in float32 or bfloat16.")
    raise ValueError(
        f"The weight {name} is not finite (NaN or infinity), as after a damaged download or a failed training; "
        "copy or download the checkpoint again, or take an earlier one."
    )


def check_component(kind: str, module: nn.Module) -> None:
    """Raises ComponentError naming the first weight of a pretrained component that is not finite."""
    weights = module.state_dict(keep_vars=True)
    distinct = {id(weight): name for name, weight in reversed(weights.items())}  # tied weights once, by their first name
    for name in reversed(distinct.values()):
        try:
            check_finite(f"{name} of {kind}", weights[name], weights[name])
        except ValueError as error:
            raise ComponentError(str(error)) from error
