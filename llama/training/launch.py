"""Before the first step: model, data, optimiser and schedule of a run, and all that can be refused by then."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from llama.checkpoint.builder import OUTPUT
from llama.checkpoint.conversion import save_published
from llama.checkpoint.delta import AUDIO_TOKEN_ROWS, BaseReference, read_delta
from llama.checkpoint.pretrained import is_native, save_pretrained
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
    TrainingModule,
    checkpoint_activations,
    condition_weights,
    detach_components,
    fold_zero_lora,
    mark_trainable,
    open_gates,
)
from llama.training.run_checkpoints import RunCheckpoints, RunLock
from llama.training.stages import group_of, stage, trainable
from llama.training.train_step import TrainStep
from llama.training.trainer import Trainer

UNDECAYED = ("*.gate", "*norm*.weight", "*new_rows", "*prefix_query.*", "*.queries")  # beside vectors and biases
STREAMED_STEPS = "A stream has no known length, so epochs cannot say how long to train; give max_steps."


def load_for_training(config: TrainConfig, number: int, device: torch.device) -> MuMuLLaMA:
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


def training_module(model: MuMuLLaMA, config: TrainConfig, names: tuple[str, ...]) -> TrainingModule:
    if config.gate_start is not None:
        open_gates(model, config.gate_start)
    learner = TrainingModule(model, condition_weights(config), new_rows=AUDIO_TOKEN_ROWS in names, blur=config.blur)
    mark_trainable(learner, names, frozen_dtype(config, model.device))
    fold_zero_lora(learner)
    checkpoint_activations(model, config.activation_checkpointing, config.offload)
    return learner.train()


def read_data(config: TrainConfig, number: int) -> tuple[ExampleMixture | StreamMixture, ExampleMixture | StreamMixture | None]:
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


def build_optimizer(team: DistributedContext, learner: TrainingModule, config: TrainConfig) -> Any:
    """AdamW on what trains, without decay for vectors, gates, queries and single rows."""
    from timm.optim import param_groups_weight_decay

    fused = team.accelerator.device.type == "cpu" and not team.sharded or None  # the same steps in one pass over the numbers
    groups = param_groups_weight_decay(learner, config.weight_decay, no_weight_decay_list=UNDECAYED)
    return team.accelerator.prepare_optimizer(torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused))


def build_scheduler(optimizer: Any, config: TrainConfig, total: int) -> Any:
    """Cosine from lr to min_lr over the steps, after a linear warm-up. It has no state: a step's number says its rate."""
    from timm.scheduler import CosineLRScheduler

    warmup = config.warmup_steps
    if warmup >= total:  # of epochs; max_steps was compared when the settings were read
        raise ValueError(f"warmup_steps {warmup} leave nothing of the {total} steps that the epochs make; give fewer.")
    return CosineLRScheduler(
        getattr(optimizer, "optimizer", optimizer), t_initial=total - warmup, lr_min=config.min_lr, warmup_t=warmup,
        warmup_lr_init=config.lr / (warmup + 1), warmup_prefix=True, t_in_epochs=False,
    )  # fmt: skip


def total_steps(config: TrainConfig, learned: ExampleMixture | StreamMixture, world: int) -> int:
    if config.max_steps is not None:
        return config.max_steps
    if isinstance(learned, StreamMixture):
        raise ValueError(STREAMED_STEPS)
    return BatchSampler.of(learned, config.seed, config.batch_size, config.accumulation, world).steps(config.epochs)


def fit(config: TrainConfig, number: int, *, resume: bool = False, export: str | Path | None = None) -> Path:
    """Trains stage `number`; the folder of the newest weights, OUTPUT_DIR/last.

    resume: goes on from the newest checkpoint of OUTPUT_DIR. export: also writes the whole model there at the end.
    Raises ValueError, FileNotFoundError or OSError in one sentence, FloatingPointError for a loss that is not finite.
    """
    accelerator = make_accelerator(config)
    snapshots = RunCheckpoints(Path(config.output_dir), config.keep)
    with ExitStack() as held:
        run_on_main(accelerator, lambda: lock_folder(held, snapshots, resume))
        train(config, number, accelerator, snapshots, resume, export)
        shut_down(accelerator)
    return snapshots.last


def train(
    config: TrainConfig, number: int, accelerator: Any, snapshots: RunCheckpoints, resume: bool, export: str | Path | None
) -> None:
    """The run from its first step, or the newest checkpoint, to its last; nothing of it is held afterwards."""
    run = build_trainer(config, number, accelerator, snapshots)
    if export is not None:
        check_export(export, run.origin.sizes)
    start = run.resume() if resume else 0
    # not before: a run that is refused leaves what an earlier one wrote
    run_on_main(accelerator, lambda: write_text(snapshots.output_dir / "config.yaml", to_yaml(config)))
    step = run.go(start)
    if export is not None and step >= run.total:
        run_on_main(accelerator, lambda: export_model(snapshots.last, export))


def lock_folder(held: ExitStack, snapshots: RunCheckpoints, resume: bool) -> None:
    """Takes the folder for this run; what an earlier run left there is tidied, or refused."""
    held.enter_context(RunLock(snapshots.output_dir))
    if resume:
        snapshots.tidy()
    else:
        snapshots.check_fresh()


def check_export(target: str | Path, sizes: MuMuConfig) -> None:
    """Raises ValueError for what would be refused after the last step only."""
    path = Path(target)
    if path.suffix == ".pth":
        if path.is_dir():
            raise ValueError(f"--export {path} is a folder; name the file to write, for instance {path / 'checkpoint.pth'}.")
        if any(sizes.adapter(name).positions > 1 for name in MODALITIES):
            raise ValueError(f"This model has several prompt positions, which a published file like {path} cannot hold; give a folder.")
    elif path.exists() and not (path.is_dir() and (is_native(path) or not any(path.iterdir()))):
        raise ValueError(f"--export {path} exists and is no model folder of ours, so it is not replaced; give another place.")


def export_model(last: Path, target: str | Path) -> None:
    """The whole model that `last` is the trained part of: a .pth file in the published format, else a folder of ours."""
    trained = set(read_delta(last)[0])
    if AUDIO_TOKEN_ROWS in trained:
        trained.add(OUTPUT)  # which they are part of
    model = load(last, merge_lora=False, dtype="stored", precise=lambda name: name in trained)
    (save_published if Path(target).suffix == ".pth" else save_pretrained)(model, target)


def build_trainer(config: TrainConfig, number: int, accelerator: Any, snapshots: RunCheckpoints) -> Trainer:
    """The model with what trains chosen, its data, optimiser and schedule, each on every process."""
    learned, held_out = read_data(config, number)
    model = load_for_training(config, number, accelerator.device)
    check_parts(model, number, config)
    chosen = stage(number, config.preset, model.config.variant)
    names = trainable(model, chosen, config.freeze)
    features = FeatureCache(model, Path(config.cache_dir) if config.cache_dir else None, names)
    origin = BaseReference({**config.model.arguments(), "dtype": config.model.dtype}, model.config, number, config.preset)
    tokenizer, neighbours = model.tokenizer, detach_components(model)
    learner = training_module(model, config, names)
    team = distributed_context(accelerator, learner, config)
    optimizer, total = build_optimizer(team, learner, config), total_steps(config, learned, team.world)
    updater = TrainStep(config, team, learner, features, optimizer)
    scheduler = build_scheduler(optimizer, config, total)
    return Trainer(config, chosen, updater, neighbours, tokenizer, scheduler, snapshots, origin, learned, held_out, total)
