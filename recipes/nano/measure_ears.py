"""Measure the trained ears on clips they never heard, beside what guessing gives.

    python -m recipes.nano.measure_ears --work nano

Prints a table and writes NAME/ears_measured.json: percent right of each attribute for attribute combinations that
training left out, played with the training soundfonts and with an unseen one. The heads that training used judge the
exported encoder and pools, read back from their files.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import HubertModel

from recipes.nano.ears import load_listener, scores, write_json
from recipes.nano.ears_data import CHOICES, CLIP_SAMPLES, CLIP_SECONDS, Clips
from recipes.nano.ears_model import Listener
from recipes.nano.ears_settle import Heard

COLUMNS = {"test_same": "own soundfonts", "test_unseen": "unseen soundfont"}


def exported_listener(work: Path) -> Listener:
    """The heads of training over the encoder and pools as they were saved for the model."""
    listener = load_listener(work)
    encoder = HubertModel.from_pretrained(work / "mert", dtype=torch.float32, attn_implementation="eager")
    listener.encoder = encoder.eval()
    tensors = load_file(work / "ears_pools.safetensors")
    for name, part in (("rhythm.", listener.rhythm), ("harmony.", listener.harmony), ("mean.", listener.mean_mix)):
        part.load_state_dict({key[len(name):]: value for key, value in tensors.items() if key.startswith(name)})
    return listener


def guesses(train: Clips, test: Clips) -> dict[str, float]:
    """Percent right when always answering what is commonest in training; for tempo the best single tempo."""
    found = {}
    for name in CHOICES:
        commonest = Counter(label[name] for label in train.labels).most_common(1)[0][0]
        found[name] = 100 * sum(label[name] == commonest for label in test.labels) / len(test)
    tempi = torch.tensor([math.log(label["tempo"]) for label in test.labels])
    near = (tempi[:, None] - tempi[None]).abs() < math.log(1.06)
    found["tempo"] = 100 * near.float().mean(0).max().item()
    return found


def measure(work: Path) -> dict[str, dict[str, float]]:
    listener, train = exported_listener(work), Clips(work / "data", "train")
    results: dict[str, dict[str, float]] = {}
    for name, title in COLUMNS.items():
        clips = Clips(work / "data", name)
        batch = clips.plain(range(len(clips)), CLIP_SAMPLES)
        results[title] = scores(listener, Heard.by(listener, clips).vectors(listener), batch)
        results.setdefault("guessing", guesses(train, clips))
    return results


def table(results: dict[str, dict[str, float]]) -> str:
    titles = [*COLUMNS.values(), "guessing"]
    lines = [f"{'':22}" + "".join(f"{title:>18}" for title in titles)]
    for name in results[titles[0]]:
        cells = (results[title].get(name) for title in titles)
        lines.append(f"{name:22}" + "".join(f"{'' if value is None else f'{value:.1f}':>18}" for value in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder with data/, mert/ and ears_pools.safetensors")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = measure(options.work)
    print(f"percent right; clips of {CLIP_SECONDS} seconds; tempo: within 6 %")
    print(table(results))
    write_json(results, options.work / "ears_measured.json")


if __name__ == "__main__":
    main()
