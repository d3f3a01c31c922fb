"""`evaluate.py symbolic`: tempo, key and compression ratio of the notes that a model writes for captions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.cli import add_model_flags, load_model, model_name
from llama.evaluation.commands.answers import log_at_intervals
from llama.evaluation.commands.command_flags import add_limit_flag, add_seed_flag, add_system_flag, systems_of

if TYPE_CHECKING:
    from llama.evaluation.text_to_notes import CaptionTarget, Measured
    from llama.mumu_llama import MuMuLLaMA

CAPTIONS = Path(__file__).resolve().parents[3] / "assets" / "evaluation" / "captions_with_notes.json"
BATCH = 8
SUFFIXES = (".mid", ".midi")


def add_symbolic(commands: Any) -> None:
    symbolic = commands.add_parser("symbolic", help="tempo, key and compression ratio of the notes that a model writes for captions")
    add = symbolic.add_argument
    add("--captions", type=Path, default=CAPTIONS, metavar="FILE", help="captions, their tempo and key (default: the project's 200)")
    add_system_flag(symbolic, "MIDI files of another system, named as the captions", required=False)
    add_limit_flag(symbolic, "captions")
    add("--seconds", type=float, default=30.0, help="length of the pieces (default: %(default)s)")
    add_seed_flag(symbolic, "the captions that a limit takes, and of the notes")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where the MIDI files and symbolic.md, .json and .png go")
    add_model_flags(symbolic)
    symbolic.set_defaults(run=run_symbolic)


def run_symbolic(values: argparse.Namespace) -> int:
    from llama.evaluation.controls import draw
    from llama.evaluation.run_record import digest, only_run, result_meta
    from llama.evaluation.tables import write_tables
    from llama.evaluation.text_to_notes import table
    from llama.files import check_writable

    check_writable(values.out / "symbolic.json", parents=True)
    captions = read_captions(values.captions)
    wanted = draw(captions, lambda each: each.name, values.limit, values.seed)
    own = model_name(values)
    folders = {name: existing_folder(name, folder) for name, folder in systems_of(values.system, (own,)).items()}
    with only_run(values.out):
        compose(load_model(values), wanted, digest([[each.name, each.caption] for each in captions]), values)
    systems = {name: measure_folder(folder, wanted) for name, folder in {own: values.out / "midi", **folders}.items()}
    notes = {"captions": values.captions.name, "count": len(wanted), "model": own, "seconds": values.seconds, "seed": values.seed}
    print(write_tables(values.out, "symbolic", [table("Notes for captions", wanted, systems)], result_meta(notes, "mido")))
    return 0


def existing_folder(name: str, folder: str) -> Path:
    """The folder of a system's MIDI files. Raises FileNotFoundError without it, and for one that holds none."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"There is no folder {folder} with the MIDI files of {name}; check --system.")
    if not any(path.suffix.lower() in SUFFIXES for path in Path(folder).iterdir()):
        raise FileNotFoundError(f"The folder {folder} of {name} holds no MIDI files; put a NAME.mid for each caption into it.")
    return Path(folder)


def read_captions(path: Path) -> list[CaptionTarget]:
    """Captions of a JSON list of {"name", "caption", "tempo", "key"}. Raises FileNotFoundError or ValueError."""
    from llama.data.formats import inside
    from llama.evaluation.caption_adherence import parse_key, tempo_bin
    from llama.evaluation.text_to_notes import CaptionTarget
    from llama.json_yaml import read_json

    if not path.is_file():
        raise FileNotFoundError(f"There is no file of captions {path}; check --captions.")
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} is no list of captions; give [{{\"name\", \"caption\", \"tempo\", \"key\"}}, ...].")
    wanted: dict[str, CaptionTarget] = {}
    for number, entry in enumerate(entries, 1):
        where = f"{path.name} #{number}"
        if not isinstance(entry, Mapping) or not all(isinstance(entry.get(name), str) for name in ("name", "caption", "key")) \
                or isinstance(entry.get("tempo"), bool) or not isinstance(entry.get("tempo"), (int, float)):
            raise ValueError(f"{where} lacks name, caption, tempo or key; give texts, and the tempo as a number.")
        if entry["name"] in wanted:
            raise ValueError(f"{where} has the name {entry['name']} of another caption; give each its own.")
        tempo_bin(entry["tempo"])
        wanted[entry["name"]] = CaptionTarget(inside(where, entry["name"]), entry["caption"], entry["tempo"], parse_key(entry["key"]))
    return list(wanted.values())


def compose(model: MuMuLLaMA, wanted: Sequence[CaptionTarget], captions: str, values: argparse.Namespace) -> None:
    """Writes OUT/midi/NAME.mid for each caption that has none yet. captions: the digest of the whole list.

    Raises ValueError for a decoder without notes, and where OUT holds pieces of another model, list, length or seed.
    """
    from llama.dialogue import Turn
    from llama.evaluation.question_model import weights_digest
    from llama.evaluation.run_record import start_run
    from llama.generation import GenerationOptions
    from llama.media.midi import write_midi

    folder = values.out / "midi"
    settings = {"weights": weights_digest(model), "captions": captions, "seconds": values.seconds, "seed": values.seed}
    start_run(values.out, settings, {"model": str(values.model)})
    folder.mkdir(parents=True, exist_ok=True)
    left = [each for each in wanted if not (folder / f"{each.name}.mid").is_file()]
    options = GenerationOptions(seconds=values.seconds, seed=values.seed)
    log = log_at_intervals()
    for first in range(0, len(left), BATCH):
        log(f"{len(wanted) - len(left) + first} of {len(wanted)} pieces")
        batch = left[first : first + BATCH]
        for each, reply in zip(batch, model.respond([Turn(each.caption) for each in batch], options), strict=True):
            if reply.music is not None and reply.score is None:
                raise ValueError(f"The decoder of {values.model} writes no notes; give a model whose decoder does, such as ckpts/nano.")
            if reply.score is not None:
                write_midi(reply.score, folder / f"{each.name}.mid")


def measure_folder(folder: Path, wanted: Sequence[CaptionTarget]) -> dict[str, Measured]:
    """Measures of the MIDI file of each caption; those without one that can be read are named on standard error, and count as wrong."""
    from llama.errors import comma_list
    from llama.evaluation.text_to_notes import measure
    from llama.media.midi_notes import read_notes

    pieces, problems = {}, []
    for each in wanted:
        files = [folder / f"{each.name}{suffix}" for suffix in SUFFIXES]
        try:
            pieces[each.name] = measure(read_notes(next(filter(Path.is_file, files), files[0])))
        except (ValueError, FileNotFoundError) as error:
            problems.append(str(error))
    if problems:
        first = comma_list(problems[:3])
        print(f"{folder}: {len(problems)} of {len(wanted)} captions have no piece and count as wrong: {first}", file=sys.stderr)
    return pieces
