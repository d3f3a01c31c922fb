"""Trains the model in three stages (M2UGen, arXiv 2311.11255): align, generate, instruct.

    python train.py --stage 1 --config configs/nano.yaml                          # on a CPU, the embedded default
    python train.py --stage 1 --config configs/nano.yaml --resume                 # continues a stopped run
    accelerate launch train.py --stage 3 --config configs/musicgen-medium.yaml    # many GPUs, or many machines
    torchrun --nproc_per_node 2 train.py --smoke                                  # two CPU processes, a minute
    python train.py --stage 3 --config configs/songs.yaml --songs ~/Music         # LoRA on your own songs

The newest weights are in OUTPUT_DIR/last: `python -m llama --model OUTPUT_DIR/last` uses them, and the next stage starts from
them with `--model OUTPUT_DIR/last`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.console import CommandParser, run_command
from llama.errors import COMMAND_ERRORS, CollectiveError

if TYPE_CHECKING:
    from llama.training.config import TrainConfig


def parser() -> argparse.ArgumentParser:
    result = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = result.add_argument
    add("--stage", type=int, metavar="1|2|3", help="the stage to train; required except with --smoke, where it is 3 by default")
    add("--config", type=Path, metavar="FILE", help="the training configuration: see configs/")
    add("--output_dir", metavar="DIR", help="instead of the configuration's")
    add("--max_steps", type=int, metavar="N", help="steps of the optimiser, instead of the configuration's length")
    add("--seed", type=int, metavar="N", help="of the data's order, instead of the configuration's")
    add("--resume", action="store_true", help="continue from the newest checkpoint in the output folder")
    add("--smoke", action="store_true", help="test the installation: train a tiny model on a small generated data set")
    add("--model", metavar="PATH", help="start from this model, not the configuration's: a model folder, or a stage's OUTPUT_DIR/last")
    add("--songs", metavar="DIR", help="the folder of your own songs, for a configuration with songs")
    add("--export", metavar="PATH", help="also write the complete model at the end: a model folder, or a .pth in the published format")
    return result


def overrides(values: argparse.Namespace) -> dict[str, Any]:
    """The settings that the flags override."""
    settings = {name: getattr(values, name) for name in ("output_dir", "max_steps", "seed")}
    settings["model"] = {"path": values.model} if values.model is not None else None
    return {name: value for name, value in settings.items() if value is not None}


def configure(values: argparse.Namespace) -> tuple[TrainConfig, int]:
    """(configuration, number of the stage). Raises ValueError or FileNotFoundError in one sentence."""
    from llama.training.config import read_config
    from llama.training.stages import stage

    if values.smoke:
        from recipes.smoke import smoke_config

        if useless := [name for name in ("config", "songs") if getattr(values, name) is not None]:
            raise ValueError(f"--smoke has a configuration of its own, so --{useless[0]} has no effect; leave it out.")
        number = 3 if values.stage is None else stage(values.stage).number
        return smoke_config(values.output_dir, values.max_steps, values.seed, values.model, values.resume), number
    if values.stage is None or values.config is None:
        missing = "--stage" if values.stage is None else "--config"
        raise ValueError(f"{missing} is missing; say for instance --stage 1 --config configs/nano.yaml, or try --smoke.")
    config = read_config(values.config, stage(values.stage).number, overrides(values))
    return (with_songs(config, values.stage, values.songs) if values.songs is not None else config), values.stage


def with_songs(config: TrainConfig, stage: int, folder: str) -> TrainConfig:
    """The configuration with its songs taken from `folder`."""
    sources = config.data.get(stage, ())
    if not any(source.form == "songs" for source in sources):
        raise ValueError(f"--songs {folder} has no effect: stage {stage} of this configuration has no songs; take configs/songs.yaml.")
    changed = tuple(dataclasses.replace(source, media=folder) if source.form == "songs" else source for source in sources)
    return dataclasses.replace(config, data={**config.data, stage: changed})


def make_data(config: TrainConfig) -> None:
    """Generates the configuration's synthetic data set if it is missing; one process does it while the others wait."""
    if config.made is not None:
        from DataSet.synthesis.made_set import make_set
        from llama.training.distributed import main_first

        with main_first(config.device):
            make_set(Path(config.made.folder), config.made.pieces, config.made.seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0, or 1 with an error in one sentence."""
    errors = (*COMMAND_ERRORS, FloatingPointError)
    return run_command(lambda: run(parser().parse_args(arguments)), prefix="train.py: ", failure=1, errors=errors)


def run(values: argparse.Namespace) -> int:
    try:
        config, stage = configure(values)
        make_data(config)
        from llama.training.launch import fit

        last = fit(config, stage, resume=values.resume, export=values.export)
    except CollectiveError:  # the main process prints it
        return 1
    if os.environ.get("RANK", "0") == "0":
        print(f"The newest weights are in {last}; python -m llama --model {last} uses them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
