"""`evaluate.py audio`: folders of generated recordings against a folder of reference recordings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llama.evaluation.commands.command_flags import (
    add_placement_flags,
    add_seed_flag,
    add_system_flag,
    placement_of,
    systems_of,
)


def add_audio(commands: Any) -> None:
    parser = commands.add_parser("audio", help="generated recordings against reference ones: FAD, KL, CLAP score, density, coverage")
    add = parser.add_argument
    add("--reference", type=Path, required=True, metavar="FOLDER", help="recordings to compare with")
    add_system_flag(parser, "recordings of a system, named as those of the reference")
    add("--embedder", default="nano", metavar="MODEL",
        help="nano, mert, clap-music, clap, ast or vggish, or NAME=FOLDER or NAME=HUB/NAME@REVISION (default: %(default)s)")
    add("--classifier", metavar="MODEL", help="for KL: ast, or ast=FOLDER (default: KL is not measured)")
    add("--captions", type=Path, metavar="FILE", help="for the CLAP score: a JSON object of captions by file name")
    add("--reference_names", type=Path, metavar="FILE",
        help="take these recordings of the reference alone: a JSON object by file name, such as the captions.json of evaluate.py music")
    add("--components", type=int, metavar="K", help="take FAD of the reference's first K principal components, for small sets")
    add_seed_flag(parser, "halves, swaps and intervals")
    add_placement_flags(parser)
    add("--out", type=Path, required=True, metavar="FOLDER", help="where audio.md, audio.json and audio.png go")
    parser.set_defaults(run=run_audio)


def reference_of(files: dict[str, Path], names: Path | None) -> dict[str, Path]:
    """The files of the reference that a JSON object names; all of them without one. ValueError where it names none of them."""
    from llama.evaluation.media_folders import read_captions

    if names is None:
        return files
    chosen = {name: files[name] for name in read_captions(names) if name in files}
    if not chosen:
        raise ValueError(f"The reference has none of the recordings that {names} names; check --reference and --reference_names.")
    return chosen


def run_audio(values: argparse.Namespace) -> int:
    from llama.evaluation import audio_comparison as comparison
    from llama.evaluation.embedders import DEFAULTS, load_classifier, load_embedder, parse_spec
    from llama.evaluation.media_folders import AUDIO, list_media, read_captions
    from llama.evaluation.run_record import result_meta
    from llama.evaluation.tables import write_tables
    from llama.evaluation.window_embedder import TextEmbedder
    from llama.files import check_writable

    check_writable(values.out / "audio.json", parents=True)
    folders = systems_of(values.system, (comparison.HALVES, comparison.SILENCE))
    files = {name: list_media(folder, AUDIO) for name, folder in folders.items()}
    reference_files = reference_of(list_media(values.reference, AUDIO), values.reference_names)
    texts = read_captions(values.captions) if values.captions else {}
    specs = parse_spec(values.embedder, DEFAULTS), parse_spec(values.classifier, DEFAULTS) if values.classifier else None
    placement = placement_of(values)
    embedder, classifier = load_embedder(specs[0], placement), load_classifier(specs[1], placement) if specs[1] else None
    silence = comparison.SoundSet(comparison.SILENCE)
    reference = comparison.embed_files("reference", reference_files, embedder, classifier, silence)
    systems = [comparison.embed_files(name, found, embedder, classifier) for name, found in files.items()]
    unmeasured = {} if classifier else {comparison.KL: "no classifier was given; give --classifier ast"}
    captions = {}
    if not isinstance(embedder, TextEmbedder):
        unmeasured[comparison.CLAP] = f"{specs[0].name} has no text side; give --embedder clap-music"
    elif not texts:
        unmeasured[comparison.CLAP] = "no captions were given; give --captions FILE"
    else:
        names = sorted({name for sound in (reference, *systems) for name in sound.embeddings})
        captions = comparison.embed_captions(texts, names, embedder)
    table = comparison.compare(reference, systems, silence, captions, components=values.components, seed=values.seed, unmeasured=unmeasured)
    notes = {
        "embedder": str(specs[0]), "classifier": str(specs[1]) if specs[1] else None, "dtype": values.dtype,
        "components": values.components, "seed": values.seed, "reference": str(values.reference), "systems": folders,
        "unreadable": {sound.label: sound.broken for sound in (reference, *systems)},
    }  # fmt: skip
    print(write_tables(values.out, "audio", [table], result_meta(notes)))
    return 0
