"""Before the first step: model, data, optimiser and schedule of a run, and all that can be refused by then."""

from __future__ import annotations

from typing import Any

import torch

from llama.checkpoint import load
from llama.config import VARIANTS
from llama.features import ENCODERS
from llama.learner import (
    Learner,
    checkpoint_activations,
    choose_trainable,
    condition_weights,
    leave_out_silent,
    open_gates,
)
from llama.mumu_llama import MuMuLLaMA
from llama.order import Examples, Order, Streams, read_examples, split
from llama.overlay import NEW_ROWS
from llama.parallel import Team
from llama.settings import Source, TrainConfig
from llama.stages import group_of, stage

UNDECAYED = ("*.gate", "*norm*.weight", "*new_rows", "*prefix_query.*", "*.queries")  # beside vectors and biases
STREAMED_STEPS = "A stream has no known length, so epochs cannot say how long to train; give max_steps."


def load_for(config: TrainConfig, number: int, device: torch.device) -> MuMuLLaMA:
    """What trains comes in float32, the rest in `frozen_dtype`. Raises ValueError where the settings contradict."""
    arguments = {**config.model.arguments(), "dtype": frozen_dtype(config, device)}
    groups = {group for variant in VARIANTS for group in stage(number, config.preset, variant).trains}
    if "new_rows" in groups:
        groups.add("output")  # that they are taken from
    return load(**arguments, merge_lora=False, device=device, precise=lambda name: group_of(name) in groups)


def frozen_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """Of what stays frozen: the model's dtype if that is given, else what is computed in; a CPU saves no time by less."""
    kinds = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    asked = config.model.arguments()["dtype"]
    if config.precision == "no" and asked not in (None, torch.float32):
        raise ValueError(
            f"precision no computes in float32, so the model cannot be {config.model.dtype}; give precision bf16, or leave dtype out."
        )
    return asked or (kinds[config.precision] if device.type == "cuda" else torch.float32)


def learner_of(model: MuMuLLaMA, config: TrainConfig, names: tuple[str, ...]) -> Learner:
    if config.gate_start is not None:
        open_gates(model, config.gate_start)
    learner = Learner(model, condition_weights(config), new_rows=NEW_ROWS in names, blur=config.blur)
    choose_trainable(learner, names, frozen_dtype(config, model.device))
    leave_out_silent(learner)
    checkpoint_activations(model, config.activation_checkpointing, config.offload)
    return learner.train()


def read_data(config: TrainConfig, number: int) -> tuple[Examples | Streams, Examples | Streams | None]:
    """(to learn from, held out)."""
    learned = read_examples(config.data.get(number, ()), number)
    if config.validation.get(number):
        return learned, read_examples(config.validation[number], number)
    return split(learned, config.holdout) if config.holdout else (learned, None)


def check_parts(model: MuMuLLaMA, number: int, config: TrainConfig) -> None:
    """What a stage needs of the model is asked for at once, not when the first example comes."""
    if model.tokenizer is None:
        raise ValueError("The model has no tokenizer.model; put LLaMA's into its folder, or give llama_dir.")
    if config.max_tokens > (limit := model.config.llama.max_seq_len):
        raise ValueError(f"max_tokens is {config.max_tokens}, but this model reads at most {limit}; give no more.")
    for source in config.data.get(number, ()):
        kind = medium_of(source)
        if kind is not None and getattr(model, ENCODERS[kind]) is None:
            raise ValueError(f"{source.form} of stage {number} need the {ENCODERS[kind]} encoder; give {ENCODERS[kind]}_path.")
    music = any(source.form in ("captions_to_music", "songs", "instructions") for source in config.data.get(number, ()))
    if music and (model.music_decoder is None or getattr(model.music_decoder, "tokenizer", "") is None):
        raise ValueError(
            f"Stage {number} has examples with music, but the model no music decoder that reads captions; give music_decoder_path."
        )


def medium_of(source: Source) -> str | None:
    """The medium that every example of a source has; None where that is up to each."""
    if source.form == "captions":
        return source.kind
    return "audio" if source.form in ("musicqa", "songs") else None


def optimizer_for(team: Team, learner: Learner, config: TrainConfig) -> Any:
    """AdamW on what trains, without decay for vectors, gates, queries and single rows."""
    from timm.optim import param_groups_weight_decay

    fused = team.accelerator.device.type == "cpu" and not team.sharded or None  # the same steps in one pass over the numbers
    groups = param_groups_weight_decay(learner, config.weight_decay, no_weight_decay_list=UNDECAYED)
    return team.accelerator.prepare_optimizer(torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused))


def schedule(optimizer: Any, config: TrainConfig, total: int) -> Any:
    """Cosine from lr to min_lr over the steps, after a linear warm-up. It has no state: a step's number says its rate."""
    from timm.scheduler import CosineLRScheduler

    warmup = config.warmup_steps
    if warmup >= total:  # of epochs; max_steps was compared when the settings were read
        raise ValueError(f"warmup_steps {warmup} leave nothing of the {total} steps that the epochs make; give fewer.")
    return CosineLRScheduler(
        getattr(optimizer, "optimizer", optimizer), t_initial=total - warmup, lr_min=config.min_lr, warmup_t=warmup,
        warmup_lr_init=config.lr / (warmup + 1), warmup_prefix=True, t_in_epochs=False,
    )  # fmt: skip


def steps_of(config: TrainConfig, learned: Examples | Streams, world: int) -> int:
    if config.max_steps is not None:
        return config.max_steps
    if isinstance(learned, Streams):
        raise ValueError(STREAMED_STEPS)
    return Order.of(learned, config.seed, config.batch_size, config.accumulation, world).steps(config.epochs)
