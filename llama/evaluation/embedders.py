"""The embedders by name: `nano`, `mert`, `clap-music`, `clap`, `ast`, `vggish`; each from a folder or a hub name, none with remote code.

`nano` works offline and is the default. The others need weights that are not part of the project; their names here are the published ones.
Embeddings of different models, of different windows or of another decoder of mp3 are not comparable.
"""

from __future__ import annotations

from pathlib import Path

from llama.errors import quoted
from llama.evaluation.window_embedder import Classifier, Embedder, ModelSpec, Placement

DEFAULTS = {
    "nano": str(Path(__file__).resolve().parents[2] / "ckpts" / "nano"),
    "mert": "m-a-p/MERT-v1-95M",
    "clap-music": "laion/larger_clap_music",
    "clap": "laion/clap-htsat-unfused",
    "ast": "MIT/ast-finetuned-audioset-10-10-0.4593",
    "vggish": "",  # a file of the user's
}
CLASSIFIERS = ("ast",)


def parse_spec(text: str, defaults: dict[str, str]) -> ModelSpec:
    """NAME, NAME=FOLDER, NAME=HUB/NAME or NAME=HUB/NAME@REVISION; a folder whose name contains @ is taken as it is.

    defaults: the names that are allowed, and what each means alone; "" for nothing. Raises ValueError for another name.
    """
    name, given, path = text.partition("=")
    if name not in defaults:
        raise ValueError(f"There is no model called {quoted(name)}; give one of {', '.join(defaults)}.")
    if given and not path:
        raise ValueError(f"{text} names no folder; give {name}=FOLDER or a hub name.")
    path = path or defaults[name]
    if not path:
        raise ValueError(f"{name} has no weights of its own; give them as {name}=FILE.")
    base, at, revision = path.rpartition("@")
    return ModelSpec(name, base, revision) if at and base and revision and not Path(path).exists() else ModelSpec(name, path)


def load_embedder(spec: ModelSpec, placement: Placement) -> Embedder:
    """The embedder of that name. Raises ValueError or FileNotFoundError, in one sentence, where it cannot be loaded completely."""
    if spec.name == "nano":
        from llama.evaluation.encoder_embedders import NanoEmbedder

        return NanoEmbedder(spec, placement)
    if spec.name == "mert":
        from llama.evaluation.encoder_embedders import MertEmbedder

        return MertEmbedder(spec, placement)
    if spec.name in ("clap", "clap-music"):
        from llama.evaluation.clap_embedder import ClapEmbedder

        return ClapEmbedder(spec, placement)
    if spec.name == "ast":
        from llama.evaluation.ast_embedder import AstEmbedder

        return AstEmbedder(spec, placement)
    if spec.name == "vggish":
        from llama.evaluation.vggish import VGGishEmbedder

        return VGGishEmbedder(spec, placement)
    raise ValueError(f"There is no embedder called {quoted(spec.name)}; give one of {', '.join(DEFAULTS)}.")


def load_classifier(spec: ModelSpec, placement: Placement) -> Classifier:
    """The classifier of that name, for KL."""
    embedder = load_embedder(spec, placement)
    if not isinstance(embedder, Classifier):
        raise ValueError(f"{spec.name} gives no class probabilities; give one of {', '.join(CLASSIFIERS)}.")
    return embedder
