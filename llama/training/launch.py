"""Launch of a training run: builds model, data, optimizer and schedule, and checks everything before the first step."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.optim import Optimizer

from llama.checkpoint.builder import OUTPUT
from llama.checkpoint.conversion import check_published_target, save_published
from llama.checkpoint.delta import AUDIO_TOKEN_ROWS, BaseReference, read_delta
from llama.checkpoint.pretrained import check_native_target, save_pretrained
from llama.config import ENCODERS, MODALITIES, VARIANTS, MuMuConfig
from llama.data.batch_sampler import BatchSampler
from llama.data.mixture import ExampleMixture, StreamMixture, read_examples, split
from llama.data.source import Source
from llama.files import write_text
from llama.mumu_llama import MuMuLLaMA, load
from llama.training.config import TrainConfig, to_yaml
from llama.training.distributed import DistributedContext, distributed_context, make_accelerator, run_on_main, shut_down
from llama.training.feature_cache import FeatureCache
from llama.training.module import (
    ConditionWeights,
    TrainingModule,
    checkpoint_activations,
    detach_components,
    fold_zero_lora,
    mark_trainable,
    open_gates,
)
from llama.training.run_checkpoints import RunCheckpoints, RunLock
from llama.training.stages import group_of, stage, trainable
from llama.training.train_step import TrainStep
from llama.training.trainer import Trainer

if TYPE_CHECKING:
    from accelerate import Accelerator
    from timm.scheduler.scheduler import Scheduler

UNDECAYED = ("*.gate", "*norm*.weight", "*new_rows", "*prefix_query.*", "*.queries")  # without weight decay, like vectors and biases
STREAMED_STEPS = "A stream has no known length, so epochs cannot say how long to train; give max_steps."


def load_for_training(config: TrainConfig, number: int, device: torch.device) -> MuMuLLaMA:
    """The model with trainable weights in float32 and the rest in `frozen_dtype`. ValueError for settings that contradict."""
    arguments = {**config.model.arguments(), "dtype": frozen_dtype(config, device)}
    groups = {group for variant in VARIANTS for group in stage(number, config.preset, variant).trains}
    if "new_rows" in groups:
        groups.add("output")  # the rows are copied from it
    return load(**arguments, merge_lora=False, device=device, precise=lambda name: group_of(name) in groups)


def frozen_dtype(config: TrainConfig, device: torch.device) -> torch.dtype:
    """dtype of the frozen weights: the model's if given, else that of `precision` on a GPU and float32 elsewhere."""
    dtypes = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = config.model.arguments()["dtype"]
    if config.precision == "no" and dtype not in (None, torch.float32):
        raise ValueError(
            f"precision no computes in float32, so the model cannot be {config.model.dtype}; give precision bf16, or leave dtype out."
        )
    return dtype or (dtypes[config.precision] if device.type == "cuda" else torch.float32)


def training_module(model: MuMuLLaMA, config: TrainConfig, names: tuple[str, ...]) -> TrainingModule:
    """The model as a training module in which exactly `names` train, with the configured noise and checkpointing."""
    if config.gate_start is not None:
        open_gates(model, config.gate_start)
    condition = ConditionWeights(config.condition_padding, config.condition_registers, config.register_weight)
    module = TrainingModule(model, condition, new_rows=AUDIO_TOKEN_ROWS in names, feature_noise=config.blur)
    mark_trainable(module, names, frozen_dtype(config, model.device))
    fold_zero_lora(module)
    checkpoint_activations(model, config.activation_checkpointing, config.offload)
    return module.train()


def read_data(config: TrainConfig, number: int) -> tuple[ExampleMixture | StreamMixture, ExampleMixture | StreamMixture | None]:
    """(training, validation) examples of a stage; validation is None without sources for it and without a holdout."""
    examples = read_examples(config.data.get(number, ()), number)
    if config.validation.get(number):
        return examples, read_examples(config.validation[number], number)
    return split(examples, config.holdout) if config.holdout else (examples, None)


def check_checkpointing(config: TrainConfig, processes: int) -> None:
    """Raises ValueError for fairscale's activation checkpointing in several processes that are not sharded."""
    if config.activation_checkpointing == "fairscale" and processes > 1 and not config.fsdp:
        raise ValueError("fairscale's activation checkpointing does not run in several processes unless they are sharded; "
                         "give activation_checkpointing: torch, or fsdp: true.")  # fmt: skip


def check_parts(model: MuMuLLaMA, number: int, config: TrainConfig) -> None:
    """Raises ValueError if the model lacks a part that the stage's data need, before any data are read."""
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
    """The medium that every example of a source has; None if it differs between examples."""
    if source.form == "captions":
        return source.kind
    return "audio" if source.form in ("musicqa", "songs") else None


def build_optimizer(context: DistributedContext, module: TrainingModule, config: TrainConfig) -> Optimizer:
    """AdamW over the trainable parameters, without decay for vectors, gates, queries and `new_rows`."""
    from timm.optim import param_groups_weight_decay

    fused = context.accelerator.device.type == "cpu" and not context.sharded or None  # the same update in one pass over memory
    groups = param_groups_weight_decay(module, config.weight_decay, no_weight_decay_list=UNDECAYED)
    return context.accelerator.prepare_optimizer(torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused))


def build_scheduler(optimizer: Optimizer, config: TrainConfig, total: int) -> Scheduler:
    """Cosine from lr to min_lr over the steps, after a linear warm-up. It is stateless: a step's rate follows from its number."""
    from timm.scheduler import CosineLRScheduler

    warmup = config.warmup_steps
    if warmup >= total:  # steps that follow from epochs; the configuration checks max_steps
        raise ValueError(f"warmup_steps {warmup} leave nothing of the {total} steps that the epochs make; give fewer.")
    return CosineLRScheduler(
        getattr(optimizer, "optimizer", optimizer), t_initial=total - warmup, lr_min=config.min_lr, warmup_t=warmup,
        warmup_lr_init=config.lr / (warmup + 1), warmup_prefix=True, t_in_epochs=False,
    )  # fmt: skip


def total_steps(config: TrainConfig, examples: ExampleMixture | StreamMixture, world: int) -> int:
    """The number of optimizer steps: max_steps, else what the epochs take. ValueError for a stream without max_steps."""
    if config.max_steps is not None:
        return config.max_steps
    if isinstance(examples, StreamMixture):
        raise ValueError(STREAMED_STEPS)
    assert config.epochs is not None  # TrainConfig requires max_steps or epochs
    return BatchSampler.of(examples, config.seed, config.batch_size, config.accumulation, world).steps(config.epochs)


def fit(config: TrainConfig, number: int, *, resume: bool = False, export: str | Path | None = None) -> Path:
    """Trains stage `number` and returns the folder of the newest weights, OUTPUT_DIR/last.

    resume: continue from the newest checkpoint of OUTPUT_DIR. export: also write the complete model there at the end.
    Raises ValueError, FileNotFoundError or OSError in one sentence, FloatingPointError for a loss that is not finite.
    """
    accelerator = make_accelerator(config.precision, config.device)
    checkpoints = RunCheckpoints(Path(config.output_dir), config.keep)
    with ExitStack() as stack:
        run_on_main(accelerator, lambda: lock_folder(stack, checkpoints, resume))
        if export is not None:
            run_on_main(accelerator, lambda: check_export_target(export))
        train(config, number, accelerator, checkpoints, resume, export)
        shut_down(accelerator)
    return checkpoints.last


def train(
    config: TrainConfig, number: int, accelerator: Accelerator, checkpoints: RunCheckpoints, resume: bool, export: str | Path | None
) -> None:
    """Runs the training from its first step, or the newest checkpoint, to its last. Keeps no reference to it afterwards."""
    trainer = build_trainer(config, number, accelerator, checkpoints)
    if export is not None:
        check_export_format(export, trainer.base.sizes)
    start = trainer.resume() if resume else 0
    # Not earlier: a run that is refused must not overwrite the files of the run before it.
    run_on_main(accelerator, lambda: write_text(checkpoints.output_dir / "config.yaml", to_yaml(config)))
    step = trainer.run(start)
    if export is not None and step >= trainer.total_steps:
        run_on_main(accelerator, lambda: export_model(checkpoints.last, export))


def lock_folder(stack: ExitStack, checkpoints: RunCheckpoints, resume: bool) -> None:
    """Locks the folder until `stack` closes; cleans up after the run to resume, or refuses a folder with checkpoints."""
    stack.enter_context(RunLock(checkpoints.output_dir))
    if resume:
        checkpoints.clean_up()
    else:
        checkpoints.check_fresh()


def check_export_target(target: str | Path) -> None:
    """Raises ValueError or WriteError for a place that could not be written, which would otherwise show only after the last step."""
    (check_published_target if Path(target).suffix == ".pth" else check_native_target)(target)


def check_export_format(target: str | Path, sizes: MuMuConfig) -> None:
    """Raises ValueError for a model that a published file cannot hold."""
    if Path(target).suffix == ".pth" and any(sizes.adapter(name).positions > 1 for name in MODALITIES):
        raise ValueError(f"This model has several prompt positions, which a published file like {target} cannot hold; give a folder.")


def export_model(last: Path, target: str | Path) -> None:
    """Writes the complete model whose trained weights are in `last`: a .pth file in the published format, else a model folder."""
    trained = set(read_delta(last)[0])
    if AUDIO_TOKEN_ROWS in trained:
        trained.add(OUTPUT)  # the rows are part of it
    model = load(last, merge_lora=False, dtype="stored", precise=lambda name: name in trained)
    (save_published if Path(target).suffix == ".pth" else save_pretrained)(model, target)


def build_trainer(config: TrainConfig, number: int, accelerator: Accelerator, checkpoints: RunCheckpoints) -> Trainer:
    """The trainer of a stage with its model, data, optimizer and schedule; every process builds its own."""
    check_checkpointing(config, accelerator.num_processes)
    train_data, validation_data = read_data(config, number)
    model = load_for_training(config, number, accelerator.device)
    check_parts(model, number, config)
    chosen = stage(number, config.preset, model.config.variant)
    names = trainable(model, chosen, config.freeze)
    features = FeatureCache(model, Path(config.cache_dir) if config.cache_dir else None, names)
    base = BaseReference({**config.model.arguments(), "dtype": config.model.dtype}, model.config, number, config.preset)
    tokenizer, components = model.tokenizer, detach_components(model)
    assert tokenizer is not None  # check_parts requires it
    module = training_module(model, config, names)
    context = distributed_context(accelerator, module, fsdp=config.fsdp, precision=config.precision)
    optimizer, steps = build_optimizer(context, module, config), total_steps(config, train_data, context.world)
    train_step = TrainStep(
        config.condition_weight, config.clip, config.precision, config.max_broken, Path(config.output_dir),
        context, module, features, optimizer,
    )  # fmt: skip
    scheduler = build_scheduler(optimizer, config, steps)
    return Trainer(
        config, chosen, train_step, components, tokenizer, scheduler, checkpoints, base, train_data, validation_data, steps
    )
