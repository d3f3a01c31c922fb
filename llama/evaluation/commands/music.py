"""`evaluate.py music`: the music that a published list asks for, as WAV files to be measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.cli import add_model_flags, load_model
from llama.evaluation.commands.answers import log_at_intervals, print_problems
from llama.evaluation.commands.command_flags import add_limit_flag, add_seed_flag, positive

if TYPE_CHECKING:
    from llama.evaluation.music_lists import MusicList
    from llama.generation import GenerationOptions
    from llama.mumu_llama import MuMuLLaMA

FORMS = ("mucaps", "muimage", "muvideo", "muedit")


def add_music(commands: Any) -> None:
    music = commands.add_parser("music", help="music for a published list of captions, or of instructions with pictures, clips, recordings")
    add = music.add_argument
    add("--form", required=True, choices=FORMS, help="the list's published form")
    add("--folder", type=Path, required=True, metavar="FOLDER", help="the list, with the media anywhere in the folder")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where NAME.wav and asked.jsonl go; pieces that are there stay")
    add_limit_flag(music, "pieces of the list")
    add("--seconds", type=float, default=10.0, help="length of each piece, exact (default: %(default)s)")
    add_seed_flag(music, "the pieces that a limit takes, of words and of sound")
    add("--temperature", type=float, default=0.0, help="of the words; 0 is greedy (default: %(default)s)")
    add("--guidance", type=float, help="how strictly the music follows (default: the decoder's own)")
    add("--conditioning", choices=("hidden", "caption"), default="hidden", help="what the decoder follows (default: %(default)s)")
    add("--batch_size", type=positive, default=4, metavar="N", help="pieces made at once (default: %(default)s)")
    add_model_flags(music)
    music.set_defaults(run=run_music)


def run_music(values: argparse.Namespace) -> int:
    from llama.evaluation.composing import ASKED, FAILED, MuMuMusicModel, compose_music
    from llama.evaluation.controls import draw
    from llama.evaluation.music_lists import read_music_list
    from llama.files import check_writable
    from llama.generation import GenerationOptions

    options = GenerationOptions(temperature=values.temperature, seconds=values.seconds, guidance=values.guidance, seed=values.seed,
                                conditioning=values.conditioning)  # fmt: skip
    check_writable(values.out / ASKED, parents=True)
    music_list = read_music_list(values.form, values.folder)
    requests = draw(music_list.requests, lambda request: request.name, values.limit, values.seed)
    print_problems(music_list.problems, f"{len(requests)} pieces of {values.form}")
    model = load_model(values)
    _record(values, model, music_list, options)
    summary = compose_music(MuMuMusicModel(model), requests, values.out, options, values.batch_size, log_at_intervals())
    counts = f"{summary.made} of {len(requests)} pieces are there, {summary.former} of them from before"
    print(f"{counts}; {len(summary.failed)} could not be made.")
    for name, reason in list(summary.failed.items())[:5]:
        print(f"  {name}: {reason}")
    if summary.failed:
        print(f"All of these stand in {values.out / FAILED}.")
    return 0


def _record(values: argparse.Namespace, model: MuMuLLaMA, music_list: MusicList, options: GenerationOptions) -> None:
    from llama.evaluation.question_model import weights_digest
    from llama.evaluation.run_record import digest, start_run

    rows = [[request.name, request.text, request.kind] for request in music_list.requests]
    settings = {
        "weights": weights_digest(model), "form": values.form, "list": digest(rows),
        "seconds": options.seconds, "seed": options.seed, "temperature": options.temperature, "guidance": options.guidance,
        "conditioning": options.conditioning,
    }  # fmt: skip
    start_run(values.out, settings, {"model": str(values.model), "device": str(model.device), "folder": str(values.folder)})
