"""Probes of the embedded model on held-out data: understanding, instruction following and sound, beside guessing.

    python evaluate.py probes --model ckpts/nano --count 200 --data build/nano --out build/probes

DATA is the recipe's work folder: data/test_same, test_unseen, test_kin, test_tunes, noise_test (recipes.nano.rendering.render_clips), tunes.json
(DataSet.synthesis.tunes) and photographs/ (recipes.nano.vision_encoder.photographs). Missing data is replaced by the shipped examples, or
reported as not measured. Writes probes.json, probes.md and probes.png.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from llama.mumu_llama import MuMuLLaMA
from recipes.nano.evaluation.figures import ProbeContext, Report
from recipes.nano.evaluation.report import write

# -- writing --------------------------------------------------------------------------------------------------------


def run(model: MuMuLLaMA, folder: Path, data: Path, count: int, out: Path, say: Callable[[str], None] = print) -> Report:
    """Runs all probes in order and writes the report after each. Raises ValueError for a count below 2."""
    from recipes.nano.evaluation import probes_following, probes_hearing, probes_sound, probes_typed

    if count < 2:
        raise ValueError(f"--count is {count}; give at least 2, since answers are also held against other cases.")
    out.mkdir(parents=True, exist_ok=True)  # fails before hours of measuring if the folder cannot be written
    context = ProbeContext(model, data, count, Report(), folder)
    steps = {**probes_hearing.STEPS, **probes_following.STEPS, **probes_typed.STEPS, **probes_sound.STEPS}
    for name, step in steps.items():
        started, before = time.monotonic(), len(context.report.figures)
        step(context)
        context.report.seconds[name] = round(time.monotonic() - started, 1)
        say(f"{name}: {context.report.seconds[name]:.0f} s, {len(context.report.figures) - before} figures")
        write(context.report, out)
    return context.report
