"""`evaluate.py matching`: how well music belongs to the pictures or clips that it was made for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llama.evaluation.commands.command_flags import add_placement_flags, add_system_flag, placement_of, systems_of


def add_matching(commands: Any) -> None:
    parser = commands.add_parser("matching", help="music with the pictures or clips it was made for: cosine, ranks, own among N")
    add = parser.add_argument
    add("--media", type=Path, required=True, metavar="FOLDER", help="pictures and clips")
    add_system_flag(parser, "music of a system, named as its pictures or clips, or as evaluate.py music wrote it")
    add("--pairs", type=Path, metavar="FILE", help="a published list, [{input_file, output_file}]: which music is of which picture or clip")
    add("--embedder", default="nano", metavar="MODEL",
        help="nano (feelings), pe-av or imagebind, or NAME=FOLDER or NAME=HUB/NAME@REVISION (default: %(default)s)")  # fmt: skip
    add_placement_flags(parser)
    add("--out", type=Path, required=True, metavar="FOLDER", help="where matching.md, matching.json and matching.png go")
    parser.set_defaults(run=run_matching)


def run_matching(values: argparse.Namespace) -> int:
    from llama.evaluation import matching_comparison as comparison
    from llama.evaluation.embedders import parse_spec
    from llama.evaluation.matchers import MATCHERS, load_matcher
    from llama.evaluation.media_folders import AUDIO, IMAGE, VIDEO, list_media
    from llama.evaluation.run_record import result_meta
    from llama.evaluation.tables import write_tables
    from llama.files import check_writable

    check_writable(values.out / "matching.json", parents=True)
    folders = systems_of(values.system, (comparison.SILENCE, comparison.CHANCE, comparison.MEDIA))
    media_files = list_media(values.media, IMAGE | VIDEO)
    by_piece = with_pieces(media_files, list(folders.values())) | (pairs_of(values.pairs, media_files) if values.pairs else {})
    files = {label: list_media(folder, AUDIO | VIDEO) for label, folder in folders.items()}
    names = comparison.shared_names(by_piece, files)
    chosen = {name: by_piece[name] for name in names}
    left_out = {comparison.MEDIA: [name for name, path in media_files.items() if path not in chosen.values()]}
    left_out |= {label: [name for name in found if name not in chosen] for label, found in files.items()}
    spec = parse_spec(values.embedder, MATCHERS)
    matcher = load_matcher(spec, placement_of(values))
    broken: dict[str, dict[str, str]] = {label: {} for label in (comparison.MEDIA, *files)}
    media = comparison.embed_sights(chosen, matcher, broken[comparison.MEDIA])
    systems = {
        label: comparison.embed_sounds({name: found[name] for name in names}, matcher, broken[label]) for label, found in files.items()
    }
    table = comparison.compare_matches(media, systems, matcher, broken, left_out)
    notes = {
        "embedder": str(spec), "dtype": values.dtype, "media": str(values.media), "systems": folders, "unreadable": broken,
    }  # fmt: skip
    print(write_tables(values.out, "matching", [table], result_meta(notes)))
    return 0


def pairs_of(file: Path, media: dict[str, Path]) -> dict[str, Path]:
    """The pictures and clips under the names of their music, from a published list of instructions, whichever of the two is the input.

    Raises ValueError for another form, and where no file of the list is here.
    """
    from llama.evaluation.media_folders import AUDIO, VIDEO, media_name
    from llama.json_yaml import read_json

    advice = "give a list of objects with input_file and output_file, such as MUImageInstructions.json"
    rows = read_json(file, advice)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{file} is no list of pairs; {advice}.")
    by_file_name = {path.name: path for path in media.values()}
    result: dict[str, Path] = {}
    for row in rows:
        ends = [str(row.get(key, "")) for key in ("input_file", "output_file")]
        for sight, piece in (ends, ends[::-1]):
            if (path := by_file_name.get(Path(sight).name)) is not None:
                result[media_name(piece, AUDIO | VIDEO)] = path
    if not result:
        raise ValueError(f"{file} names none of the pictures and clips; {advice}.")
    return result


def with_pieces(media: dict[str, Path], folders: list[str]) -> dict[str, Path]:
    """The pictures and clips also under the names of the pieces that were asked for them, as asked.jsonl of a folder says."""
    from llama.evaluation.composing import asked_media

    by_file_name: dict[str, list[Path]] = {}
    for path in media.values():
        by_file_name.setdefault(path.name, []).append(path)
    pieces = {piece: by_file_name.get(file, []) for folder in folders for piece, file in asked_media(Path(folder)).items()}
    return {**{piece: paths[0] for piece, paths in pieces.items() if len(paths) == 1}, **media}
