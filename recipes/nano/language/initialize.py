"""Writes the initial model for train.py: trained encoders and decoder around a LLaMA with initial weights, gates at 0.5.

    python -m recipes.nano.language.initialize WORK             # WORK/start, a native folder in float32
    python -m recipes.nano.language.initialize WORK --warm      # with the language model of WORK/language.pt

WORK holds what `recipes.nano.language.assemble` reads. With --warm, the audio projections are fitted by least squares, so that
prompts from real features are close to those from the ideal features that the language model was trained with (see
`recipes.nano.language.train_cached`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from recipes.nano.language.assemble import assemble
from recipes.nano.language.cached_data import load_library
from recipes.nano.language.train_cached import load_language_weights, read_checkpoint, refit_audio_projections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--warm", action="store_true", help="start from the language model of WORK/language.pt, which was trained with ideal features")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = assemble(options.work, language=False)
    if options.warm:
        load_language_weights(model, read_checkpoint(options.work / "language.pt")["model"])
        refit_audio_projections(model, load_library(options.work / "data", "train"))
    model.save_pretrained(options.work / "start")
    print(f"{options.work / 'start'}: {sum(value.numel() for value in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
