"""`evaluate.py paper`: all five tables of the paper for one model, by the commands that also make each of them alone."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.checkpoint.source import FIELDS
from llama.cli import add_model_flags, model_name
from llama.evaluation.commands.command_flags import add_limit_flag, add_seed_flag

if TYPE_CHECKING:
    from llama.evaluation.paper_tables import Part
    from llama.evaluation.tables import Table

MODEL_VALUES = (*FIELDS, "device", "dtype", "verify")
MEDIA = {"image_to_music": "images", "video_to_music": "videos"}


def add_paper(commands: Any) -> None:
    paper = commands.add_parser("paper", help="the five tables of the paper: understanding, text, image and video to music, editing")
    add = paper.add_argument
    add("--folder", type=Path, required=True, metavar="FOLDER", help="with musicqa, mucaps, muimage, muvideo, muedit, or some of them")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where paper.md, .json and .png go, and what each table is made of")
    add_limit_flag(paper, "questions and pieces of each set")
    add("--seconds", type=float, default=10.0, help="length of the music (default: %(default)s)")
    add_seed_flag(paper, "all that is drawn, as in the commands of each table")
    add("--embedder", default="nano", metavar="MODEL", help="as of the command audio (default: %(default)s)")
    add("--classifier", metavar="MODEL", help="as of the command audio")
    add("--matcher", metavar="MODEL", help="the embedder of the command matching (default: its own)")
    add("--bert", metavar="FOLDER", help="as of the command text")
    add_model_flags(paper)
    paper.set_defaults(run=run_paper)


def run_paper(values: argparse.Namespace) -> int:
    from llama.errors import comma_list
    from llama.evaluation.paper_tables import PARTS, paper_tables
    from llama.evaluation.run_record import result_meta
    from llama.evaluation.tables import write_tables
    from llama.files import check_writable

    check_writable(values.out / "paper.json", parents=True)
    if not values.folder.is_dir():
        raise FileNotFoundError(f"There is no folder {values.folder} with the sets of the paper; check --folder.")
    if not any((values.folder / part.folder).is_dir() for part in PARTS):
        names = comma_list(part.folder for part in PARTS)
        raise FileNotFoundError(f"{values.folder} has none of the folders {names}; name a folder of each set so, in lower case.")
    tables = [table for part in PARTS for table in paper_tables(part, measure_part(part, values))]
    notes = {"model": model_name(values), "limit": values.limit, "seconds": values.seconds, "seed": values.seed,
             "embedder": values.embedder, "classifier": values.classifier, "matcher": values.matcher, "bert": values.bert}  # fmt: skip
    print(write_tables(values.out, "paper", tables, result_meta(notes)))
    return 0


def measure_part(part: Part, values: argparse.Namespace) -> list[Table]:
    """Runs the commands of one part, and reads their tables; none where the data folder lacks its set."""
    from llama.evaluation.tables import table_from_json
    from llama.json_yaml import read_table

    folder = values.folder / part.folder
    if not folder.is_dir():
        return []
    tables: list[Table] = []
    for arguments, result in measuring_commands(part, folder, values):
        print(f"-- {part.title}: evaluate.py {arguments[0]}", flush=True)
        if result is None:
            _run(arguments, values)
        else:
            with redirect_stdout(StringIO()):  # the table is printed with the others at the end
                _run(arguments, values)
            tables += [table_from_json(table) for table in read_table(result)["tables"]]
    return tables


def measuring_commands(part: Part, folder: Path, values: argparse.Namespace) -> Iterator[tuple[list[str], Path | None]]:
    """Arguments of each command, and the JSON file of its tables."""
    out = values.out / part.name
    source = ["--form", part.form, "--folder", str(folder), "--seed", str(values.seed), *_given("--limit", values.limit)]
    if part.form == "musicqa":
        yield ["answers", *source, "--out", str(out)], None
        yield ["text", "--answers", str(out), "--published", *_given("--bert", values.bert)], out / "text.json"
        return
    yield ["music", *source, "--out", str(out / "music"), "--seconds", str(values.seconds)], None
    system = ["--system", f"{model_name(values)}={out / 'music'}"]
    sound = ["--embedder", values.embedder, *_given("--classifier", values.classifier), "--seed", str(values.seed)]
    if part.name == "editing":
        yield ["editing", "--folder", str(folder), *system, *sound, "--out", str(out)], out / "editing.json"
        return
    reference = folder / "audios" if (folder / "audios").is_dir() else folder
    yield ["audio", "--reference", str(reference), *_captions(out / "music"), *system, *sound, "--out", str(out)], out / "audio.json"
    if part.name in MEDIA:
        media = folder / MEDIA[part.name] if (folder / MEDIA[part.name]).is_dir() else folder
        yield ["matching", "--media", str(media), *system, *_given("--embedder", values.matcher), "--out", str(out)], out / "matching.json"


def _captions(music: Path) -> list[str]:
    """Flags that take the references of the pieces in a folder of music, and their captions; none where its list has no captions."""
    from llama.evaluation.composing import CAPTIONS
    from llama.json_yaml import read_table

    file = music / CAPTIONS
    return ["--reference_names", str(file), "--captions", str(file)] if read_table(file) else []


def _given(flag: str, value: object) -> list[str]:
    return [] if value is None else [flag, str(value)]


def _run(arguments: Sequence[str], values: argparse.Namespace) -> None:
    """Runs a command of evaluate.py with the model of this one."""
    from llama.console import CommandParser
    from llama.evaluation.commands.answers import add_answers
    from llama.evaluation.commands.audio import add_audio
    from llama.evaluation.commands.editing import add_editing
    from llama.evaluation.commands.matching import add_matching
    from llama.evaluation.commands.music import add_music
    from llama.evaluation.commands.text import add_text

    parser = CommandParser()
    commands = parser.add_subparsers()
    for add in (add_answers, add_audio, add_editing, add_matching, add_music, add_text):
        add(commands)
    chosen = parser.parse_args(arguments)
    for name in _shared_values(chosen, values):
        setattr(chosen, name, getattr(values, name))
    chosen.run(chosen)


def _shared_values(chosen: argparse.Namespace, values: argparse.Namespace) -> Sequence[str]:
    """What a command takes from this one: the model, or where an embedder runs."""
    if hasattr(chosen, "model"):
        return MODEL_VALUES
    return () if hasattr(chosen, "bert") and values.bert is None else ("device",)
