"""Trains the model in three stages (M2UGen, arXiv 2311.11255): listen, play, follow instructions.

    python train.py --stage 1 --config configs/nano.yaml                          # on a CPU, the embedded default
    python train.py --stage 1 --config configs/nano.yaml --resume                 # goes on where it was stopped
    accelerate launch train.py --stage 3 --config configs/musicgen-medium.yaml    # many GPUs, or many machines
    torchrun --nproc_per_node 2 train.py --smoke                                  # two CPU processes, a minute
    python train.py --stage 3 --config configs/songs.yaml --songs ~/Music         # LoRA on your own songs

The newest weights lie in OUTPUT_DIR/last: `python -m llama --model OUTPUT_DIR/last` uses them, and the next stage builds on them
with `--model OUTPUT_DIR/last`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.errors import COMMAND_ERRORS, sentence

if TYPE_CHECKING:
    from llama.training.config import TrainConfig


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = result.add_argument
    add("--stage", type=int, metavar="1|2|3", help="which stage; required but for --smoke, where it is 3 unless given")
    add("--config", type=Path, metavar="FILE", help="what to train, from what and how: see configs/")
    add("--output_dir", metavar="DIR", help="instead of the configuration's")
    add("--max_steps", type=int, metavar="N", help="steps of the optimiser, instead of the configuration's length")
    add("--seed", type=int, metavar="N", help="of the order of the data, instead of the configuration's")
    add("--resume", action="store_true", help="go on from the newest checkpoint in the output folder")
    add("--smoke", action="store_true", help="a tiny model on a small set made on the spot: does everything work here?")
    add("--model", metavar="PATH", help="start from this instead of the configuration's: a folder of ours, OUTPUT_DIR/last of a stage")
    add("--songs", metavar="DIR", help="the folder of your own songs, for a configuration with songs")
    add("--export", metavar="PATH", help="also write the whole model at the end: a folder of ours, or a .pth in the published format")
    return result


def overrides(values: argparse.Namespace) -> dict[str, Any]:
    """What the flags say of the configuration."""
    given = {name: getattr(values, name) for name in ("output_dir", "max_steps", "seed")}
    given["model"] = {"path": values.model} if values.model is not None else None
    return {name: value for name, value in given.items() if value is not None}


def configure(values: argparse.Namespace) -> tuple[TrainConfig, int]:
    """The stage's configuration. Raises ValueError or FileNotFoundError in one sentence."""
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
    parts = config.data.get(stage, ())
    if not any(source.form == "songs" for source in parts):
        raise ValueError(f"--songs {folder} has no effect: stage {stage} of this configuration has no songs; take configs/songs.yaml.")
    changed = tuple(dataclasses.replace(one, media=folder) if one.form == "songs" else one for one in parts)
    return dataclasses.replace(config, data={**config.data, stage: changed})


def make_data(config: TrainConfig) -> None:
    """The small set that a configuration may ask for, where it is not there yet; one process makes it, others wait."""
    if config.made is not None:
        from DataSet.synthesis.made_set import make_set
        from llama.training.distributed import main_first

        with main_first(config.device):
            make_set(Path(config.made.folder), config.made.pieces, config.made.seed)


def main(arguments: Sequence[str] | None = None) -> int:
    values, first = parser().parse_args(arguments), os.environ.get("RANK", "0") == "0"
    try:
        config, stage = configure(values)
        make_data(config)
        from llama.training.launch import fit

        last = fit(config, stage, resume=values.resume, export=values.export)
    except (*COMMAND_ERRORS, FloatingPointError) as error:
        if first or not getattr(error, "shared", False):
            print(f"train.py: {sentence(error)}", file=sys.stderr)
        return 1
    if first:
        print(f"The newest weights are in {last}; python -m llama --model {last} uses them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
