"""Peak memory of loading a checkpoint: python -m benchmarks.loading [--gigabytes 2]

Writes a checkpoint of that size in the published format (the test model's encoders and decoder, and a LLaMA of the
necessary size), then loads it in separate processes. Printed: the peak resident memory above that of a process
that only imports the libraries, as a ratio to the file; compared with the usual way, which builds a random model, reads
the whole file and copies it.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from llama.checkpoint.key_mapping import infer_config, rename_legacy_keys, split_components, to_internal, to_published
from llama.checkpoint.readers import read_safetensors
from llama.config import LlamaConfig, MuMuConfig
from llama.mumu_llama import MuMuLLaMA, load

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
TARGET = 1.2
DIM = 2048


def sizes(gigabytes: float, small: MuMuConfig) -> MuMuConfig:
    """The small model with a LLaMA of width 2048 and as many layers as the file needs in float32."""
    adapters = 3 * 9 * DIM * DIM
    layers = max(3 * small.query_layer, round((gigabytes * 1e9 / 4 - adapters) / (12 * DIM * DIM)))
    llama = LlamaConfig(dim=DIM, n_layers=layers, n_heads=16, vocab_size=small.llama.vocab_size, lora_rank=16)
    return dataclasses.replace(small, llama=llama)


def write(file: Path, gigabytes: float) -> None:
    """Writes a published-format checkpoint of random weights, with the test model's encoders and decoder."""
    published = read_safetensors(GOLDEN / "m2ugen" / "model.safetensors")
    neighbours = {name: value for name, value in published.items() if "_model." in name}
    config = sizes(gigabytes, infer_config(published, {}, MuMuConfig()))
    with torch.device("meta"):
        shapes = to_published(MuMuLLaMA(config).state_dict())
    torch.manual_seed(0)
    own = {name: 0.02 * torch.randn(value.shape) for name, value in shapes.items()}
    torch.save({"model": {**own, **neighbours}}, file)
    (file.parent / "LLaMA-2").mkdir()
    shutil.copy(GOLDEN / "components" / "llama" / "tokenizer.model", file.parent / "LLaMA-2")


def ours(file: Path) -> Any:
    parts = GOLDEN / "components"
    return load(
        file, llama_dir=file.parent / "LLaMA-2", mert_path=parts / "mert", vit_path=parts / "vit",
        vivit_path=parts / "vivit", music_decoder_path=parts / "musicgen",
    )  # fmt: skip


def naive(file: Path) -> Any:
    """The usual way: builds a random model, reads the whole file, copies."""
    header = rename_legacy_keys(torch.load(file, mmap=True, weights_only=True)["model"])
    model = MuMuLLaMA(infer_config(header, {}, MuMuConfig()))
    state = rename_legacy_keys(torch.load(file, map_location="cpu", weights_only=True)["model"])
    split_components(state)
    model.load_state_dict(to_internal(state))
    return model


LOADERS = {"imports": lambda file: None, "ours": ours, "naive": naive}


def measure(way: str, file: Path) -> tuple[float, float]:
    """Peak resident bytes and seconds of one way, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loading", "--way", way, "--file", str(file)]
    peak, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
    return float(peak) * 1024, float(seconds)


def run(gigabytes: float, folder: Path) -> bool:
    file = folder / "checkpoint.pth"
    # This process stays small: a child begins with the peak of the process that started it.
    command = [sys.executable, "-m", "benchmarks.loading", "--write", "--gigabytes", str(gigabytes), "--file", str(file)]
    subprocess.run(command, check=True)
    base, _ = measure("imports", file)
    size = file.stat().st_size
    print(f"checkpoint: {size / 1e9:.2f} GB; interpreter and libraries: {base / 1e9:.2f} GB")
    for way in ("ours", "naive"):
        peak, seconds = measure(way, file)
        ratio = (peak - base) / size
        print(f"{way}: peak {peak / 1e9:.2f} GB, {ratio:.2f} x the file above the libraries, {seconds:.1f} s", flush=True)
        if way == "ours":
            good = ratio <= TARGET
            print(f"ratio: {ratio:.2f} (target {TARGET}) {'ok' if good else 'FAIL'}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=sorted(LOADERS), help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(options.file, options.gigabytes)
    elif options.way:
        start = time.perf_counter()
        model = LOADERS[options.way](options.file)
        seconds = time.perf_counter() - start
        if model is not None:  # mapped weights count once they are read: read every one
            sum(float(value.sum()) for value in model.parameters())
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, seconds)
        del model
    else:
        with TemporaryDirectory() as folder:
            return 0 if run(options.gigabytes, Path(folder)) else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
