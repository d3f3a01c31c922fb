"""Assembles tokenizer, encoders, decoder and language model into one MuMuLLaMA and saves it in the native format.

    python -m recipes.nano.language.assemble WORK ckpts/nano

WORK holds tokenizer.model, mert/, ears_pools.safetensors, vit/, vivit/, decoder/, transcriber_model/ and language.pt, written by
`recipes.nano.language.fit_projector` or, before that, by `python -m recipes.nano.language.assemble WORK --language
WORK/stage3/last`. Missing encoders and a missing decoder are left out with a message, so that an unfinished model can be tried.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from llama.config import DecoderSpec
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.encoders.mert import MERTEncoder
from llama.encoders.transcriber import Transcriber
from llama.encoders.vit import ViTEncoder
from llama.encoders.vivit import ViViTEncoder
from llama.files import atomic_path
from llama.modules.tokenizer import Tokenizer
from llama.mumu_llama import MuMuLLaMA, load
from recipes.nano.audio_encoder.exported_pools import load_pools
from recipes.nano.language.train_cached import load_language_weights, new_model, read_checkpoint

LANGUAGE_PREFIXES = ("llama.", "adapters.", "prefix_query.", "output_projector.")
COMPONENT_READERS: dict[str, Callable[[Path], Any]] = {
    "mert": MERTEncoder.from_folder, "vit": ViTEncoder.from_folder, "vivit": ViViTEncoder.from_folder, "decoder": MusicGenDecoder.from_folder,
}


def assemble(work: Path, language: bool = True) -> MuMuLLaMA:
    """The model in eval mode, in float32; without `language` its LLaMA has initial weights.

    Raises FileNotFoundError where language.pt is missing.
    """
    components: dict[str, Any] = {}
    for name, reader in COMPONENT_READERS.items():
        if (work / name / "config.json").exists():
            components[name] = reader(work / name)
        else:
            print(f"{work / name} is not there; the model is assembled without it.")
    tokenizer = Tokenizer(work / "tokenizer.model")
    shape = components["decoder"].condition_shape if "decoder" in components else (32, 192)
    model = new_model(tokenizer, shape)
    model.config = dataclasses.replace(model.config, decoder=DecoderSpec("musicgen"))
    model.mert, model.vit, model.vivit, model.music_decoder = (components.get(name) for name in COMPONENT_READERS)
    if (work / "transcriber_model/config.json").exists():
        model.transcriber = Transcriber.from_folder(work / "transcriber_model")
    if language:
        weights = read_checkpoint(work / "language.pt").get("model")
        if weights is None:
            raise FileNotFoundError(f"There is no {work / 'language.pt'}; train the language stages first.")
        load_language_weights(model, weights)
    _load_audio_pools(model, work)
    return model.eval()


def export_language(trained: Path, checkpoint: Path) -> None:
    """Converts a stage of train.py to the checkpoint that `recipes.nano.language.fit_projector` and `assemble` read."""
    model = load(trained, merge_lora=False)
    weights = {name: value for name, value in model.state_dict().items() if name.startswith(LANGUAGE_PREFIXES)}
    with atomic_path(checkpoint) as partial:
        torch.save({"model": weights, "stage": trained.parent.name}, partial)


def _load_audio_pools(model: MuMuLLaMA, work: Path) -> None:
    """Loads the audio adapter's trained pools: the language stages read their outputs from a cache and do not contain them."""
    if not (work / "ears_pools.safetensors").exists():
        print("There are no trained pools; the audio adapter keeps untrained ones.")
        return
    for name, pool in load_pools(work / "ears_pools.safetensors", model.config.audio).items():
        model.adapters["audio"].get_submodule(f"pools.{name}").load_state_dict(pool.state_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--language", type=Path, metavar="FOLDER", help="take the language from a stage of train.py into WORK/language.pt")
    options = parser.parse_args()
    if options.language:
        export_language(options.language, options.work / "language.pt")
    if options.out is None:
        return
    model = assemble(options.work)
    model.save_pretrained(options.out, dtype=torch.float16)
    sizes = {path: path.stat().st_size for path in sorted(options.out.rglob("*")) if path.is_file()}
    for path, size in sizes.items():
        print(f"{size / 1e6:8.2f} MB  {path.relative_to(options.out)}")
    print(f"{sum(sizes.values()) / 1e6:8.2f} MB  in all, {sum(value.numel() for value in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
