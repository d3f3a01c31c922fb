"""Measures the trained audio encoder and pools on clips that they were not trained on, beside guessing.

    python -m recipes.nano.audio_encoder.measure --work nano

Prints a table and writes NAME/ears_measured.json: percent right of each attribute, by the linear heads of training,
from the cached features of the exported encoder and pools, which the model's adapter reads.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from llama.files import write_json
from recipes.nano.audio_encoder.pools import PoolsWithHeads, accuracy
from recipes.nano.audio_encoder.train import load_pools
from recipes.nano.rendering.clip_set import ATTRIBUTE_VALUES, CLIP_SECONDS, LEARNED_POOLS

COLUMNS = {"test_same": "own soundfonts", "test_unseen": "FreePats, never heard", "test_kin": "TimGM6mb, half heard",
           "test_tunes": "real tunes held out", "noise_test": "not music"}
Labels = Sequence[dict[str, Any]]


def read_features(work: Path, name: str) -> tuple[dict[str, Tensor], Labels]:
    """Features and labels of a set. Raises FileNotFoundError that names the command to run."""
    path = work / "data" / f"features_{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"No features at {path}; make them first: python -m recipes.nano.audio_encoder.train features --work {work}")
    return {key: value.float() for key, value in load_file(path).items()}, json.loads(path.with_suffix(".json").read_text())


def majority_baseline(train: Labels, test: Labels) -> dict[str, float]:
    """Percent right when always answering what is commonest in training; for tempo the best single tempo."""
    percent = {}
    for name in ATTRIBUTE_VALUES:
        commonest = Counter(label[name] for label in train).most_common(1)[0][0]
        percent[name] = 100 * sum(label[name] == commonest for label in test) / len(test)
    tempi = torch.tensor([math.log(label["tempo"]) for label in test])
    within_tolerance = (tempi[:, None] - tempi[None]).abs() < math.log(1.06)
    percent["tempo"] = 100 * within_tolerance.float().mean(0).max().item()
    return percent


def swapped_accuracy(pools: PoolsWithHeads, features: dict[str, Tensor], labels: Labels) -> dict[str, float]:
    """Accuracy of each clip's answers against the next clip's labels: what the distribution of the labels alone gives."""
    return accuracy(pools, {name: features[name].roll(1, 0) for name in LEARNED_POOLS}, labels)


def measure(work: Path) -> dict[str, dict[str, float]]:
    pools, train = load_pools(work), read_features(work, "train")[1]
    results: dict[str, dict[str, float]] = {}
    for name, title in COLUMNS.items():
        if (work / "data" / f"features_{name}.safetensors").exists():
            features, labels = read_features(work, name)
            results[title] = {**accuracy(pools, features, labels), "clips": len(labels)}
            if name == "test_same":
                results["another clip"] = swapped_accuracy(pools, features, labels)
                results["guessing"] = majority_baseline(train, labels)
    return results


def table(results: dict[str, dict[str, float]]) -> str:
    titles = list(results)
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for name in results[titles[0]] | {"kind": 0.0}:
        cells = (results[title].get(name) for title in titles)
        lines.append(f"| {name} | " + " | ".join("" if value is None else f"{value:.1f}" for value in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder with data/ and pools.pt")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = measure(options.work)
    print(f"percent right; clips of {CLIP_SECONDS} seconds; tempo: within 6 %")
    print(table(results))
    write_json(options.work / "ears_measured.json", results, indent=2)


if __name__ == "__main__":
    main()
