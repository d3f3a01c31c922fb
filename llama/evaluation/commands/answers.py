"""`evaluate.py answers`: a model's answers to a public benchmark in a local folder, under every control."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.cli import add_model_flags, load_model
from llama.evaluation.answer_file import CONTROLS, AnswerWriter, Control
from llama.evaluation.commands.command_flags import add_limit_flag, add_seed_flag, positive

if TYPE_CHECKING:
    from llama.evaluation.benchmarks.base import BenchmarkData, BenchmarkItem
    from llama.generation import GenerationOptions
    from llama.mumu_llama import MuMuLLaMA

FORMS = ("musicqa", "musiccaps", "sdd", "cmi", "muchomusic", "hummusqa", "mmau", "mmau-pro", "mmar")
SHOWN_PROBLEMS = 5
LOG_SECONDS = 10.0  # between two lines of progress


def add_answers(commands: Any) -> None:
    answers = commands.add_parser("answers", help="a model's answers to a local benchmark, also with other recordings and silence")
    add = answers.add_argument
    add("--form", required=True, choices=FORMS, help="the benchmark's published form")
    add("--folder", type=Path, required=True, metavar="FOLDER", help="its files, as they are published, with the audio anywhere in it")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where answers.jsonl and run.json go; what is there is not asked again")
    add("--subset", metavar="NAME", help="of the benchmark, such as eval, balanced or all of musiccaps, or a task of cmi")
    add("--controls", type=control_names, default=CONTROLS, metavar="NAMES",
        help=f"what is heard: some of {','.join(CONTROLS)} (default: all)")  # fmt: skip
    add("--choices_from_answers", action="store_true",
        help="score open questions with a few different answers as choices among these, which the model is not shown")  # fmt: skip
    add("--rotations", type=positive, metavar="N", help="orders in which choices are shown (default: 4 for muchomusic, hummusqa; else 1)")
    add_limit_flag(answers, "questions")
    add("--retry", action="store_true", help="ask again what could not be heard")
    add_seed_flag(answers, "the order of choices, of the other recordings, and of sampling")
    add("--batch_size", type=positive, default=8, metavar="N", help="questions answered at once (default: %(default)s)")
    add("--max_tokens", type=positive, default=128, metavar="N", help="of an answer (default: %(default)s)")
    add("--temperature", type=float, default=0.0, help="0 is greedy (default: %(default)s)")
    add("--top_p", type=float, default=0.8, help="of sampling (default: %(default)s)")
    add_model_flags(answers)
    answers.set_defaults(run=run_answers)


def control_names(text: str) -> tuple[Control, ...]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in CONTROLS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no control; give some of {','.join(CONTROLS)}")
    return tuple(name for name in CONTROLS if name in names)


def run_answers(values: argparse.Namespace) -> int:
    from llama.evaluation.answering import AnswerOptions, answer_questions
    from llama.evaluation.benchmarks.registry import BENCHMARKS, read_benchmark
    from llama.evaluation.controls import draw
    from llama.evaluation.question_model import MuMuQuestionModel
    from llama.files import check_writable
    from llama.generation import GenerationOptions

    options = GenerationOptions(values.max_tokens, values.temperature, values.top_p, seed=values.seed, music=False)
    check_writable(values.out / "answers.jsonl", parents=True)
    data = read_benchmark(values.form, values.folder, values.subset)
    items = _chosen(data, values.choices_from_answers)
    print_problems(data.problems, f"{len(items)} questions of {values.form}, {len(data.missing)} of them without their recording")
    model = load_model(values)
    _record(values, model, items, options)
    with AnswerWriter(values.out) as writer:
        if values.retry:
            writer.drop_errors()
        rotations = values.rotations or BENCHMARKS[values.form].rotations
        answer_options = AnswerOptions(values.controls, rotations, values.seed, values.batch_size)
        asked = draw(items, lambda item: item.id, values.limit, values.seed)
        summary = answer_questions(
            MuMuQuestionModel(model, options), values.form, items, asked, answer_options, writer, log_at_intervals()
        )
        _write_submission(values, writer)
    print("\n".join(summary.lines()))
    return 0


def _chosen(data: BenchmarkData, from_answers: bool) -> Sequence[BenchmarkItem]:
    from llama.evaluation.benchmarks.base import choices_from_answers

    if not from_answers:
        return data.items
    items = choices_from_answers(data.items)
    if not items:
        raise ValueError("No open question has two to eight different answers; leave out --choices_from_answers.")
    return items


def _record(values: argparse.Namespace, model: MuMuLLaMA, items: Sequence[BenchmarkItem], options: GenerationOptions) -> None:
    from llama.evaluation.answering import questions_digest
    from llama.evaluation.controls import PROMPT_VERSION
    from llama.evaluation.question_model import weights_digest
    from llama.evaluation.run_record import start_run

    settings = {
        "weights": weights_digest(model), "form": values.form, "questions": questions_digest(items), "prompt": PROMPT_VERSION,
        "seed": values.seed, "max_tokens": options.max_tokens, "temperature": options.temperature, "top_p": options.top_p,
    }  # fmt: skip
    notes = {"model": str(values.model), "device": str(model.device), "dtype": str(model.dtype), "subset": values.subset,
             "folder": str(values.folder)}  # fmt: skip
    start_run(values.out, settings, notes)


def _write_submission(values: argparse.Namespace, writer: AnswerWriter) -> None:
    """For a benchmark with a scorer of its own, and for questions whose answers are not published."""
    from llama.evaluation.answering import predictions
    from llama.evaluation.benchmarks.choice_lists import ChoiceList
    from llama.evaluation.benchmarks.registry import BENCHMARKS
    from llama.files import write_json

    benchmark = BENCHMARKS[values.form]
    if isinstance(benchmark, ChoiceList) and (chosen := predictions(writer.answers)):
        write_json(values.out / "submission.json", benchmark.submission(values.folder, chosen))


def print_problems(problems: Sequence[str], first_line: str) -> None:
    print(first_line + (f"; {len(problems)} entries left out:" if problems else "."))
    for problem in problems[:SHOWN_PROBLEMS]:
        print(f"  {problem}")
    if len(problems) > SHOWN_PROBLEMS:
        print(f"  and {len(problems) - SHOWN_PROBLEMS} more.")


def log_at_intervals(seconds: float = LOG_SECONDS) -> Callable[[str], None]:
    """A log on standard error that leaves out lines which follow too soon."""
    last = time.monotonic()

    def log(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    return log
