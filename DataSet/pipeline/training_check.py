"""Training check: two steps of `train.py` on an exported set, in a process of its own, as a user would start it.

The base is the small trained model, so that it needs neither a download nor a GPU.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from DataSet.pipeline.config import ROOT
from llama.errors import shorten

STEPS, STAGE = 2, 3
# As configs/nano.yaml, but for the length.
SETTINGS = """
model: {{path: {model}}}
data: {{{stage}: {sources}}}
output_dir: {output}
cache_dir: null
device: cpu
batch_size: 2
max_tokens: 192
condition_weight: 0.03
condition_padding: silence
condition_registers: 4
register_weight: 4.0
validate_every: 0
examples: 0
log_every: 1
save_every: 1000
tensorboard: false
"""


def train_on(sources: Sequence[Mapping[str, Any]], stage: int = STAGE, steps: int = STEPS) -> list[float]:
    """Trains on these sources of a training configuration, and returns the loss of each step. The weights are thrown away.

    Raises ValueError with the last line of the output if training fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        config, output = Path(folder, "train.yaml"), Path(folder, "run")
        values = {"model": json.dumps(str(ROOT / "ckpts/nano")), "output": json.dumps(str(output)), "sources": json.dumps(list(sources))}
        config.write_text(SETTINGS.format(stage=stage, **values), encoding="utf-8")  # YAML reads JSON
        command = [sys.executable, "train.py", "--stage", str(stage), "--config", str(config), "--max_steps", str(steps)]
        import_path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": import_path}, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["it printed nothing"]
            raise ValueError(f"Training on the set failed: {shorten(lines[-1], 400)}")
        with (output / "log.csv").open(encoding="utf-8", newline="") as log:
            return [float(row["loss"]) for row in csv.DictReader(log)]
