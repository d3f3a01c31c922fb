"""Number of threads that torch uses for small models on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from llama.decoders.musicgen.lm import SMALL_MODEL_PARAMS

if TYPE_CHECKING:
    from llama.mumu_model import MuMuModel


def use_single_thread(model: MuMuModel) -> None:
    """Limits torch to one thread for small CPU models: on a thread other than the main one, more measured 1.5 to 3 times slower.

    Applies to the calling thread and to threads that start later. The other cores are left to other requests.
    """
    if model.device.type == "cpu" and sum(weight.numel() for weight in model.llama.parameters()) <= SMALL_MODEL_PARAMS:
        torch.set_num_threads(1)
