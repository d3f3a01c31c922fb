"""Trains the embedded model from scratch into WORK/model: runs every step in order and resumes when it is run again.

    python -m recipes.nano.all                     # all of it, in build/nano
    python -m recipes.nano.all --list              # finished steps, and the commands of the others
    python -m recipes.nano.all --until stage1      # stop after this step

A finished step leaves WORK/done/NAME with its seconds; remove that file, and those of the steps that depend on it, to repeat it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = "recipes/nano/language/language.yaml"  # its paths begin with build/nano
DEFAULT_WORK = "build/nano"


@dataclass(frozen=True)
class Step:
    """One command of the recipe; `{work}` in its arguments stands for the work folder."""

    name: str
    module: str  # run with python -m; train.py is run as it is
    arguments: str
    partial: str = ""  # once this file exists, the step gets --resume

    def command(self, work: str) -> list[str]:
        program = [self.module] if self.module.endswith(".py") else ["-m", self.module]
        resume = ["--resume"] if self.partial and Path(self.partial.format(work=work)).exists() else []
        return [sys.executable, *program, *(word.format(work=work) for word in shlex.split(self.arguments)), *resume]


def _stage(number: int) -> Step:
    return Step(f"stage{number}", "train.py", f"--stage {number} --config {{work}}/language.yaml", f"{{work}}/stage{number}/checkpoints")


STEPS = (
    Step("vocabulary", "recipes.nano.language.tokenizer", "{work}/tokenizer.model"),
    Step("tunes", "DataSet.synthesis.tunes", "{work}/tunes.json"),
    Step("fonts", "recipes.nano.rendering.soundfonts", "{work}/samples --out {work}/fonts"),
    Step("clips", "recipes.nano.rendering.render_clips", "--out {work}/data --clips 12000 --tunes {work}/tunes.json --fonts {work}/fonts"),
    Step("instruments", "recipes.nano.music_decoder.sample_bank", "--out {work}/codec"),
    Step("decoder", "recipes.nano.music_decoder.train", "--work {work}/decoder_work --codec {work}/codec --out {work}/decoder --minutes 75"),
    Step("ears_distil", "recipes.nano.audio_encoder.train", "distil --work {work} --minutes 9"),
    Step("ears_attend", "recipes.nano.audio_encoder.train", "attend --work {work} --minutes 35"),
    Step("ears_pools", "recipes.nano.audio_encoder.train", "pools --work {work} --minutes 40"),
    Step("ears_export", "recipes.nano.audio_encoder.train", "export --work {work}"),
    Step("ears_features", "recipes.nano.audio_encoder.train", "features --work {work}"),
    Step("transcriber_data", "recipes.nano.audio_encoder.transcriber_data", "--work {work} --pieces 4000"),
    Step("transcriber", "recipes.nano.audio_encoder.transcriber", "--work {work} --minutes 72"),
    Step("eyes_picture", "recipes.nano.vision_encoder.train", "picture {work}/vit --minutes 7", "{work}/vit.pt"),
    Step("photographs", "recipes.nano.vision_encoder.photographs", "{work}/photographs_train --train"),
    Step("eyes_photographs", "recipes.nano.vision_encoder.finetune_photographs", "fit {work} --minutes 8"),
    Step("eyes_clip", "recipes.nano.vision_encoder.train", "clip {work}/vivit --minutes 8", "{work}/vivit.pt"),
    Step("eyes_features", "recipes.nano.vision_encoder.train", "cache {work} {work}/data"),
    Step("eyes_add", "recipes.nano.vision_encoder.finetune_photographs", "add {work}"),
    Step("lists", "recipes.nano.language.datasets", "{work} --rows 300000 --clips 7000"),
    Step("start", "recipes.nano.language.initialize", "{work}"),
    *map(_stage, (1, 2, 3)),
    Step("language", "recipes.nano.language.assemble", "{work} --language {work}/stage3/last"),
    Step("look", "recipes.nano.language.fit_image_adapter", "{work} --minutes 5"),
    Step("voice", "recipes.nano.language.fit_projector", "{work} --minutes 8"),
    Step("model", "recipes.nano.language.assemble", "{work} {work}/model"),
    Step("test_photographs", "recipes.nano.vision_encoder.photographs", "{work}/photographs"),
    Step("measure", "evaluate.py", "probes --model {work}/model --data {work} --out {work}/probes"),
    Step("card", "recipes.nano.evaluation.model_card", "{work}/probes {work}/model"),
)


def pending_steps(work: Path) -> Iterator[Step]:
    return (step for step in STEPS if not (work / "done" / step.name).exists())


def run(step: Step, work: Path) -> None:
    """Runs a step and marks it done. Raises CalledProcessError where it fails; its output stays, and the next run resumes."""
    print(f"== {step.name}: {shlex.join(step.command(str(work))[1:])}", flush=True)
    started = time.time()
    before = signal.signal(signal.SIGINT, lambda *_: None)  # the step gets it too: it saves, and then ends with an error
    try:
        subprocess.run(step.command(str(work)), check=True)
    finally:
        signal.signal(signal.SIGINT, before)
    (work / "done").mkdir(parents=True, exist_ok=True)
    (work / "done" / step.name).write_text(f"{time.time() - started:.1f}\n")
    print(f"== {step.name}: {duration(time.time() - started)}", flush=True)


def duration(seconds: float) -> str:
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def summary(work: Path) -> str:
    times = {step.name: float((work / "done" / step.name).read_text()) for step in STEPS if (work / "done" / step.name).exists()}
    lines = [f"{name:14} {duration(seconds):>14}" for name, seconds in times.items()]
    return "\n".join([*lines, f"{'in all':14} {duration(sum(times.values())):>14}"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(DEFAULT_WORK), help="work folder (default: %(default)s)")
    parser.add_argument("--until", choices=[step.name for step in STEPS], help="the last step to run")
    parser.add_argument("--list", action="store_true", help="list finished and pending steps, and do nothing")
    options = parser.parse_args(arguments)
    work, last = options.work if str(options.work) == DEFAULT_WORK else options.work.absolute(), options.until or STEPS[-1].name
    os.chdir(ROOT)
    if options.list:
        print(summary(work), *(shlex.join(step.command(str(work))[1:]) for step in pending_steps(work)), sep="\n")
        return 0
    work.mkdir(parents=True, exist_ok=True)
    (work / "language.yaml").write_text(Path(CONFIG).read_text().replace(DEFAULT_WORK, str(work)))
    names = [step.name for step in STEPS]
    for step in [step for step in pending_steps(work) if names.index(step.name) <= names.index(last)]:
        try:
            run(step, work)
        except subprocess.CalledProcessError as error:
            print(f"{step.name} ended with {error.returncode}; run this again to go on from there.", file=sys.stderr)
            return 1
    print(summary(work))
    return 0


if __name__ == "__main__":
    sys.exit(main())
