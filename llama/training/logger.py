"""Logs of a training run: progress bar, CSV tables, TensorBoard, and files of sample answers."""

from __future__ import annotations

import csv
import math
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from llama.dialogue import MEDIA, Reply, Turn
from llama.errors import shorten
from llama.files import atomic_folder, atomic_path
from llama.media.plots import write_picture

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    from llama.data.examples import Example

COLUMNS = ("step", "epoch", "loss", "words", "condition", "learning_rate", "gradient_norm", "examples_per_second", "seconds")
MAX_LINE = 10_000  # characters of a table's line; a longer one is damaged
VALIDATION_COLUMNS = ("step", "task", "loss", "rows")


# -- the run ----------------------------------------------------------------------------------------------------


class RunLogger:
    """Writes a run's progress to stderr, OUTPUT_DIR/log.csv, validation.csv and tensorboard/; does nothing off the main process.

    start: the step that the run continues from (0 for a new one); rows of later steps from earlier runs are dropped. If
    stderr is a terminal it shows a progress bar, else a line every `log_every` steps.
    Raises ValueError if log.csv or validation.csv has other columns.
    """

    def __init__(
        self, output_dir: str | Path, total_steps: int, start: int = 0, tensorboard: bool = True, is_main: bool = True, log_every: int = 10
    ) -> None:
        self.total_steps, self.start, self.is_main, self.log_every = total_steps, start, is_main, log_every
        self.bar: tqdm[NoReturn] | None = None
        self.writer: SummaryWriter | None = None
        if not is_main:
            return
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.log, self.validation_log = folder / "log.csv", folder / "validation.csv"
        earlier_rows = open_table(self.log, COLUMNS, start)
        open_table(self.validation_log, VALIDATION_COLUMNS, start)
        self.start_time, self.earlier_seconds = time.monotonic(), float(earlier_rows[-1][-1] or 0) if earlier_rows else 0.0
        self.bar = _progress_bar(total_steps, start) if sys.stderr.isatty() else None
        if tensorboard:
            self._open_tensorboard(folder / "tensorboard")

    def __enter__(self) -> RunLogger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def is_due(self, step: int) -> bool:
        """Whether `step` writes a row; the values of other steps need not be computed."""
        return step % self.log_every == 0 or step == self.total_steps

    def log_step(self, step: int, values: Mapping[str, float] | None = None) -> None:
        """Call after each step: moves the bar, and every `log_every` steps writes a row.

        values: by names of COLUMNS; missing ones stay empty, except `seconds`, the training time including earlier runs.
        """
        if not self.is_main:
            return
        if self.bar is not None:
            self.bar.update(step - self.bar.n)
        if not self.is_due(step):
            return
        row = {"step": step, "seconds": self.earlier_seconds + time.monotonic() - self.start_time, **(values or {})}
        append_rows(self.log, COLUMNS, [row])
        self._add_scalars({f"train/{name}": value for name, value in row.items() if name != "step"}, step)
        self._show_progress(row)

    def log_validation(self, step: int, losses: Mapping[str, float], rows: Mapping[str, int]) -> None:
        """Writes the validation loss of each task, over `rows` examples of it."""
        if not self.is_main:
            return
        table: list[dict[str, str | float]] = [
            {"step": step, "task": task, "loss": loss, "rows": rows[task]} for task, loss in losses.items()
        ]
        append_rows(self.validation_log, VALIDATION_COLUMNS, table)
        self._add_scalars({f"validation/{task}": loss for task, loss in losses.items()}, step)
        self.message(f"validation at step {step}: " + ", ".join(f"{task} {loss:.4g}" for task, loss in losses.items()))

    def message(self, text: str) -> None:
        """Prints a line to stderr, above the bar if there is one."""
        if self.bar is not None:
            self.bar.write(text, file=sys.stderr)
        elif self.is_main:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.writer is not None:
            self.writer.close()
        self.bar = self.writer = None

    def _open_tensorboard(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.message("TensorBoard is not installed, so only CSV files are written; `pip install tensorboard` adds it.")
            return
        self.writer = SummaryWriter(str(folder), purge_step=self.start + 1)

    def _add_scalars(self, values: Mapping[str, float], step: int) -> None:
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def _show_progress(self, row: Mapping[str, float]) -> None:
        names = [name for name in ("loss", "words", "condition") if name in row]
        parts = [f"{name} {row[name]:.4g}" for name in names]
        if "examples_per_second" in row:
            parts.append(f"{row['examples_per_second']:.3g} examples/s")
        if self.bar is not None:
            self.bar.set_postfix_str(", ".join(parts))
            return
        step = int(row["step"])
        left = (time.monotonic() - self.start_time) / max(1, step - self.start) * (self.total_steps - step)
        self.message(", ".join([f"step {step}/{self.total_steps}", *parts, f"{timedelta(seconds=round(left))} left"]))


def _progress_bar(total_steps: int, start: int) -> tqdm[NoReturn]:
    from tqdm import tqdm

    return tqdm(total=total_steps, initial=start, unit="step", dynamic_ncols=True, file=sys.stderr)


# -- tables -----------------------------------------------------------------------------------------------------


def open_table(path: Path, columns: Sequence[str], last: int) -> list[list[str]]:
    """Creates the CSV `path` with `columns` (the first is the step), or cuts it to the rows up to step `last`; returns these.

    Drops rows that a killed run left incomplete or that are damaged. Replaces the file atomically. ValueError if it has other columns.
    """
    rows: list[list[str]] = []
    if path.exists():
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]  # a last line without newline is incomplete
        if lines and lines[0].split(",") != list(columns):
            what = shorten(lines[0])
            raise ValueError(f"{path} is a table of {what!r}, not of this training; move it away or choose another output_dir.")
        rows = [row for line in lines[1:] if (row := _row(line, len(columns))) and int(row[0]) <= last]
    with atomic_path(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([list(columns), *rows])
    return rows


def _row(line: str, columns: int) -> list[str]:
    """The cells of a line; [] unless there are `columns` of them, the first a step and the last a number or nothing."""
    if len(line) > MAX_LINE:
        return []
    cells = next(csv.reader([line]), [])
    is_whole = len(cells) == columns and re.fullmatch(r"[0-9]{1,18}", cells[0]) and re.fullmatch(r"[0-9.e+-]{0,24}", cells[-1])
    try:
        return cells if is_whole and 0 <= float(cells[-1] or 0) < math.inf else []
    except ValueError:
        return []


def append_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str | float]]) -> None:
    """Appends rows to a table. ValueError for a name that is not one of its columns."""
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: str | float) -> str:
    return str(value) if isinstance(value, (str, int)) else f"{value:.9g}"  # nine digits keep a float32 exact


# -- examples ---------------------------------------------------------------------------------------------------


def write_examples(folder: str | Path, items: Sequence[tuple[Example, Turn, Reply]]) -> None:
    """Writes for each sample its texts (00.txt), music (00.flac) and plot (00.png), and index.md that shows all of them.

    The folder is replaced atomically.
    """
    folder = Path(folder)
    with atomic_folder(folder) as draft:
        sections = [_write_example(draft, f"{number:02d}", *item) for number, item in enumerate(items)]
        (draft / "index.md").write_text("\n".join([f"# {folder.name}\n", *sections]), encoding="utf-8")


def _write_example(folder: Path, name: str, example: Example, turn: Turn, reply: Reply) -> str:
    """Writes the files of one example; returns its section of index.md."""
    texts = _sample_texts(example, turn, reply)
    (folder / f"{name}.txt").write_text("\n\n".join(f"{label}:\n{text}" for label, text in texts.items()) + "\n", encoding="utf-8")
    section = [f"## {name} {example.task}\n\n[text]({name}.txt)\n"]
    for label, text in texts.items():  # indented, so that nothing in an answer is read as markdown
        section.append(f"{label}:\n\n" + "".join(f"    {line}\n" for line in text.splitlines() or [""]))
    if reply.music is not None:
        reply.music.write(folder / f"{name}.flac")
        write_picture(reply.music, folder / f"{name}.png")
        section.append(f"[sound]({name}.flac), {reply.music.seconds:.1f} s\n\n![waveform and spectrogram]({name}.png)\n")
    return "\n".join(section)


def _sample_texts(example: Example, turn: Turn, reply: Reply) -> dict[str, str]:
    """The texts of a sample by their labels."""
    media = [name for name in MEDIA if getattr(turn, name) is not None]
    texts = {"source": example.source + (f" (with {', '.join(media)})" if media else "")}
    texts |= {"instruction": turn.text, "expected answer": example.answer}
    if example.caption is not None:
        texts["expected music"] = example.caption
    return texts | {"said answer": reply.text, "ended by": reply.finish}
