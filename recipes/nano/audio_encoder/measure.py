"""Measure the trained ears on clips they never heard, beside what guessing gives.

    python -m recipes.nano.audio_encoder.measure --work nano

Prints a table and writes NAME/ears_measured.json: percent right of each attribute, by the linear heads that training used,
from the cached features: those of the exported encoder and pools, as the model's adapter gets them.
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

from recipes.nano.audio_encoder.pools import Pools, right
from recipes.nano.audio_encoder.train import load_pools, write_json
from recipes.nano.rendering.clip_set import CHOICES, CLIP_SECONDS, LEARNED

COLUMNS = {"test_same": "own soundfonts", "test_unseen": "FreePats, never heard", "test_kin": "TimGM6mb, half heard",
           "test_tunes": "real tunes held out", "noise_test": "not music"}
Labels = Sequence[dict[str, Any]]


def cached(work: Path, name: str) -> tuple[dict[str, Tensor], Labels]:
    """Features and labels of a set; raises FileNotFoundError with what to run."""
    path = work / "data" / f"features_{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"No features at {path}; make them first: python -m recipes.nano.audio_encoder.train features --work {work}")
    return {key: value.float() for key, value in load_file(path).items()}, json.loads(path.with_suffix(".json").read_text())


def guesses(train: Labels, test: Labels) -> dict[str, float]:
    """Percent right when always answering what is commonest in training; for tempo the best single tempo."""
    found = {}
    for name in CHOICES:
        commonest = Counter(label[name] for label in train).most_common(1)[0][0]
        found[name] = 100 * sum(label[name] == commonest for label in test) / len(test)
    tempi = torch.tensor([math.log(label["tempo"]) for label in test])
    near = (tempi[:, None] - tempi[None]).abs() < math.log(1.06)
    found["tempo"] = 100 * near.float().mean(0).max().item()
    return found


def swapped(pools: Pools, features: dict[str, Tensor], labels: Labels) -> dict[str, float]:
    """The answers for one clip held against the facts of the next: what is left is what the sets' own shares give away."""
    return right(pools, {name: features[name].roll(1, 0) for name in LEARNED}, labels)


def measure(work: Path) -> dict[str, dict[str, float]]:
    pools, train = load_pools(work), cached(work, "train")[1]
    results: dict[str, dict[str, float]] = {}
    for name, title in COLUMNS.items():
        if (work / "data" / f"features_{name}.safetensors").exists():
            features, labels = cached(work, name)
            results[title] = {**right(pools, features, labels), "clips": len(labels)}
            if name == "test_same":
                results["another clip"] = swapped(pools, features, labels)
                results["guessing"] = guesses(train, labels)
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
    write_json(results, options.work / "ears_measured.json")


if __name__ == "__main__":
    main()
