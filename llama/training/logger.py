"""What a training run tells: a bar, tables (CSV), TensorBoard, and examples of what the model says and plays by now."""

from __future__ import annotations

import csv
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.dialogue import MEDIA, Reply, Turn
from llama.media.plots import write_picture

if TYPE_CHECKING:
    from llama.data.examples import Example

COLUMNS = ("step", "epoch", "loss", "words", "condition", "learning_rate", "gradient_norm", "examples_per_second", "seconds")
VALIDATION_COLUMNS = ("step", "task", "loss", "rows")


# -- the run ----------------------------------------------------------------------------------------------------


class RunLogger:
    """Tells how a run goes: to stderr, OUTPUT_DIR/log.csv, validation.csv and tensorboard/. Silent off the main process.

    start: the step a run goes on from (0 for a new one); what earlier runs wrote of later steps is dropped. A bar is
    drawn where stderr is a terminal, and a line is written every `log_every` steps where it is none.
    Raises ValueError where log.csv or validation.csv is a table of something else.
    """

    def __init__(
        self, output_dir: str | Path, total: int, start: int = 0, tensorboard: bool = True, main: bool = True, log_every: int = 10
    ) -> None:
        self.total, self.start, self.main, self.log_every = total, start, main, log_every
        self.bar: Any = None
        self.writer: Any = None
        if not main:
            return
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.log, self.validation_log = folder / "log.csv", folder / "validation.csv"
        kept = begin_table(self.log, COLUMNS, start)
        begin_table(self.validation_log, VALIDATION_COLUMNS, start)
        self.began, self.earlier = time.monotonic(), float(kept[-1][-1] or 0) if kept else 0.0
        self.bar = _bar(total, start) if sys.stderr.isatty() else None
        if tensorboard:
            self._open_tensorboard(folder / "tensorboard")

    def __enter__(self) -> RunLogger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def due(self, step: int) -> bool:
        """Whether `step` writes a row; a loop may leave out the values of other steps."""
        return step % self.log_every == 0 or step == self.total

    def step(self, step: int, values: Mapping[str, float] | None = None) -> None:
        """After each step: moves the bar, and every `log_every` steps writes a row. `values` by names of COLUMNS; those not
        given stay empty, but for `seconds`, which counts the training, earlier runs included."""
        if not self.main:
            return
        if self.bar is not None:
            self.bar.update(step - self.bar.n)
        if not self.due(step):
            return
        row = {"step": step, "seconds": self.earlier + time.monotonic() - self.began, **(values or {})}
        append_rows(self.log, COLUMNS, [row])
        self._draw({f"train/{name}": value for name, value in row.items() if name != "step"}, step)
        self._tell(row)

    def validation(self, step: int, losses: Mapping[str, float], rows: Mapping[str, int]) -> None:
        """The loss of each task on `rows` examples of it that are not learned from."""
        if not self.main:
            return
        found = [{"step": step, "task": task, "loss": loss, "rows": rows[task]} for task, loss in losses.items()]
        append_rows(self.validation_log, VALIDATION_COLUMNS, found)
        self._draw({f"validation/{task}": loss for task, loss in losses.items()}, step)
        self.say(f"validation at step {step}: " + ", ".join(f"{task} {loss:.4g}" for task, loss in losses.items()))

    def say(self, sentence: str) -> None:
        """A line on stderr, above the bar if there is one."""
        if self.bar is not None:
            self.bar.write(sentence, file=sys.stderr)
        elif self.main:
            print(sentence, file=sys.stderr, flush=True)

    def close(self) -> None:
        for part in (self.bar, self.writer):
            if part is not None:
                part.close()
        self.bar = self.writer = None

    def _open_tensorboard(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.say("TensorBoard is not installed, so only CSV files are written; `pip install tensorboard` adds it.")
            return
        self.writer = SummaryWriter(str(folder), purge_step=self.start + 1)

    def _draw(self, values: Mapping[str, float], step: int) -> None:
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def _tell(self, row: Mapping[str, float]) -> None:
        names = [name for name in ("loss", "words", "condition") if name in row]
        parts = [f"{name} {row[name]:.4g}" for name in names]
        if "examples_per_second" in row:
            parts.append(f"{row['examples_per_second']:.3g} examples/s")
        if self.bar is not None:
            self.bar.set_postfix_str(", ".join(parts))
            return
        step = int(row["step"])
        left = (time.monotonic() - self.began) / max(1, step - self.start) * (self.total - step)
        self.say(", ".join([f"step {step}/{self.total}", *parts, f"{timedelta(seconds=round(left))} left"]))


def _bar(total: int, start: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, initial=start, unit="step", dynamic_ncols=True, file=sys.stderr)


# -- tables -----------------------------------------------------------------------------------------------------


def begin_table(path: Path, columns: Sequence[str], last: int) -> list[list[str]]:
    """Makes `path` a CSV of `columns` (the first of them the step) with the rows it held up to step `last`; returns them.

    A row that a killed run left unfinished is dropped. The file is replaced whole. ValueError where it has other columns.
    """
    rows: list[list[str]] = []
    if path.exists():
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]  # what no newline ends is unfinished
        if lines and lines[0].split(",") != list(columns):
            raise ValueError(f"{path} is a table of {lines[0]!r}, not of this training; move it away or choose another output_dir.")
        whole = [row for row in csv.reader(lines[1:]) if len(row) == len(columns) and row[0].isdecimal()]
        rows = [row for row in whole if int(row[0]) <= last]
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([list(columns), *rows])
    os.replace(partial, path)
    return rows


def append_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows to a table; a name that is none of its columns is a ValueError."""
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> str:
    return str(value) if isinstance(value, (str, int)) else f"{value:.9g}"  # nine digits keep a float32 exact


# -- examples ---------------------------------------------------------------------------------------------------


def write_examples(folder: str | Path, items: Sequence[tuple[Example, Turn, Reply]]) -> None:
    """Writes what was asked, expected and said (00.txt), played (00.flac) and drawn (00.png), and index.md that shows all.

    The folder appears complete, in place of one that was there.
    """
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        sections = [_write_example(partial, f"{number:02d}", *item) for number, item in enumerate(items)]
        (partial / "index.md").write_text("\n".join([f"# {folder.name}\n", *sections]), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_example(folder: Path, name: str, example: Example, turn: Turn, reply: Reply) -> str:
    """Writes the files of one example; returns its section of index.md."""
    told = _told(example, turn, reply)
    (folder / f"{name}.txt").write_text("\n\n".join(f"{word}:\n{text}" for word, text in told.items()) + "\n", encoding="utf-8")
    section = [f"## {name} {example.task}\n\n[text]({name}.txt)\n"]
    for word, text in told.items():  # indented, so that no mark in an answer is taken for markdown
        section.append(f"{word}:\n\n" + "".join(f"    {line}\n" for line in text.splitlines() or [""]))
    if reply.music is not None:
        reply.music.write(folder / f"{name}.flac")
        write_picture(reply.music, folder / f"{name}.png")
        section.append(f"[sound]({name}.flac), {reply.music.seconds:.1f} s\n\n![waveform and spectrogram]({name}.png)\n")
    return "\n".join(section)


def _told(example: Example, turn: Turn, reply: Reply) -> dict[str, str]:
    media = [name for name in MEDIA if getattr(turn, name) is not None]
    told = {"source": example.source + (f" (with {', '.join(media)})" if media else "")}
    told |= {"instruction": turn.text, "expected answer": example.answer}
    if example.caption is not None:
        told["expected music"] = example.caption
    return told | {"said answer": reply.text, "ended by": reply.finish}
