"""Makes a data set: the same run as its notebook's, for a terminal or a cluster.

    python -m DataSet.pipeline MUCaps --out runs/MUCaps
    python -m DataSet.pipeline MUImage --config DataSet/configs/muimage.yaml --profile modern --runner ray --workers 8 --out /data/MUImage

A configuration is a YAML file of your own or of DataSet/configs; docs/datasets.md describes its keys, and
DataSet/configs/own_folder.yaml is one for a folder of your own recordings.

Stopped, the same command goes on; --retry also computes the items again that failed. The exported set is in OUT/NAME.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from llama.console import CommandParser, run_command

SETS = ("MUCaps", "MUEdit", "MUImage", "MUVideo")
RUNNERS = ("local", "processes", "ray")


def parser() -> argparse.ArgumentParser:
    result = CommandParser(prog="python -m DataSet.pipeline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = result.add_argument
    add("name", type=_set_name, choices=SETS, metavar="NAME", help=f"the set: {', '.join(SETS)}")
    add("--out", type=Path, required=True, metavar="FOLDER", help="the work folder; the exported set is in FOLDER/NAME")
    add("--config", type=Path, metavar="FILE", help="the configuration (default: DataSet/configs/NAME.yaml)")
    add("--profile", metavar="NAME", help="any profile that the configuration has, such as small, published or modern in those of DataSet/configs "
        "(default: MUMU_PROFILE, or else the configuration's)")
    add("--runner", choices=RUNNERS, default="local", help="where steps run (default: %(default)s); the result is the same")
    add("--workers", type=int, default=1, metavar="N", help="processes of a step; each loads the step's model (default: %(default)s)")
    add("--gpus_per_worker", type=int, default=0, metavar="N", help="GPUs that each process has for itself (default: %(default)s)")
    add("--batch_size", type=int, default=8, metavar="N", help="items that a model gets at once (default: %(default)s)")
    add("--retry", action="store_true", help="compute items again that failed in an earlier run")
    return result


def _set_name(text: str) -> str:
    """The name of a set, however its letters are written."""
    return next((name for name in SETS if name.lower() == text.lower()), text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one sentence on what was wrong."""
    return run_command(lambda: run(parser().parse_args(arguments)))


def run(values: argparse.Namespace) -> int:
    from DataSet.pipeline import notebook_tables as tables
    from DataSet.pipeline.config import load_config
    from DataSet.pipeline.muedit import run_muedit
    from DataSet.pipeline.run_options import RunOptions
    from DataSet.pipeline.set_pipeline import run_set

    config = load_config(values.name, values.config, values.profile)
    options = RunOptions(values.runner, values.workers, values.batch_size, retry=values.retry, log=_log, gpus_per_worker=values.gpus_per_worker)
    result = (run_muedit if config.name == "MUEdit" else run_set)(config, values.out, options)
    print(tables.counts(result), tables.speed(result), sep="\n")
    print(f"The set is in {result.export.folder}; its README.md is the data card.")
    return 0


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
