"""A run's tables survive a resume, its bar and lines say the same, and examples show what was said and played."""

from __future__ import annotations

import csv
import io
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from llama.dialogue import Reply, Turn
from llama.media import plots as pictures
from llama.media.audio import Waveform
from llama.media.plots import FLOOR, LOWEST, picture, spectrogram, write_picture
from llama.training import logger as reports
from llama.training.logger import COLUMNS, RunLogger, append_rows, write_examples


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class ShownExample:
    """What reports read of a manifest's example."""

    answer: str
    task: str = "text_to_music"
    source: str = "MUCaps.json #3"
    caption: str | None = None


def values(loss: float) -> dict[str, float]:
    return {
        "epoch": 0.5, "loss": loss, "words": loss / 2, "condition": loss / 2, "learning_rate": 1e-4, "gradient_norm": 1.0,
        "examples_per_second": 12.5,
    }  # fmt: skip


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def train(folder: Path, steps: range, total: int = 40) -> None:
    with RunLogger(folder, total, start=steps.start - 1, tensorboard=False) as run:
        for step in steps:
            run.log_step(step, values(1 / step) if run.is_due(step) else None)


def tone(hertz: float, rate: int, seconds: float = 1.0) -> Waveform:
    time = torch.arange(round(seconds * rate)) / rate
    return Waveform(0.5 * torch.sin(2 * math.pi * hertz * time)[None], rate)


# -- tables -----------------------------------------------------------------------------------------------------


def test_a_row_every_log_step_and_at_the_end(tmp_path: Path) -> None:
    train(tmp_path, range(1, 26), total=25)
    rows = read(tmp_path / "log.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [row["step"] for row in rows] == ["10", "20", "25"]
    assert float(rows[0]["loss"]) == 0.1 and float(rows[0]["seconds"]) >= 0
    assert rows[0]["learning_rate"] == "0.0001"


def test_numbers_come_back_exact(tmp_path: Path) -> None:
    loss = torch.rand(50).tolist()
    reports.open_table(tmp_path / "t.csv", ("step", "loss"), 0)
    append_rows(tmp_path / "t.csv", ("step", "loss"), [{"step": step, "loss": one} for step, one in enumerate(loss)])
    back = torch.tensor([float(row["loss"]) for row in read(tmp_path / "t.csv")])
    assert torch.equal(back, torch.tensor(loss))


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with RunLogger(tmp_path, 10, tensorboard=False) as run, pytest.raises(ValueError, match="lr"):
        run.log_step(10, {"lr": 1e-4})


def test_a_resumed_run_goes_on_from_its_step(tmp_path: Path) -> None:
    train(tmp_path, range(1, 31))
    with (tmp_path / "log.csv").open("a") as file:
        file.write("40,0.5,0.02")  # cut off by the kill
    train(tmp_path, range(11, 41))
    rows = read(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == ["10", "20", "30", "40"]
    assert not list(tmp_path.glob(".*"))


def test_an_unfinished_row_is_dropped_though_its_columns_are_all_there(tmp_path: Path) -> None:
    train(tmp_path, range(1, 21))
    path = tmp_path / "log.csv"
    path.write_text(path.read_text()[:-3])
    assert [row[0] for row in reports.open_table(path, COLUMNS, 40)] == ["10"]
    assert path.read_text().endswith("\n")


@pytest.mark.parametrize("damage", ["x", "1e", "-", "nan", "9" * 5000, '"' + "a" * 200_000, "1\x00", "\udcff"])
def test_damaged_rows_are_dropped(tmp_path: Path, damage: str) -> None:
    train(tmp_path, range(1, 21))
    path, row = tmp_path / "log.csv", f"15,1,1,1,1,1,1,1,{damage}"
    lines = path.read_text().splitlines()
    for line in (row, f"{damage}{row}"):
        path.write_text("\n".join([*lines[:2], line, *lines[2:], ""]), encoding="utf-8", errors="surrogateescape")
        with RunLogger(tmp_path, 40, start=20, tensorboard=False):
            assert [row["step"] for row in read(path)] == ["10", "20"]


def test_seconds_count_on_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [50.0]
    monkeypatch.setattr(reports.time, "monotonic", lambda: clock[0])
    reports.open_table(tmp_path / "log.csv", COLUMNS, 0)
    append_rows(tmp_path / "log.csv", COLUMNS, [{"step": 10, "seconds": 1000.0}, {"step": 20, "seconds": 2000.0}])
    with RunLogger(tmp_path, 20, start=10, tensorboard=False) as run:
        clock[0] += 60
        run.log_step(20)
    assert [row["seconds"] for row in read(tmp_path / "log.csv")] == ["1000", "1060"]


def test_a_table_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("name,price\npiano,9\n")
    with pytest.raises(ValueError, match="name,price.*move it away"):
        RunLogger(tmp_path, 10)
    assert (tmp_path / "log.csv").read_text() == "name,price\npiano,9\n"


def test_validation_by_task(tmp_path: Path) -> None:
    for start, steps in ((0, (10, 20)), (10, (20,))):
        with RunLogger(tmp_path, 20, start, tensorboard=False) as run:
            for step in steps:
                run.log_validation(step, {"question": 1.5, "text_to_music": 0.25}, {"question": 7, "text_to_music": 3})
    rows = [tuple(row.values()) for row in read(tmp_path / "validation.csv")]
    assert rows[:2] == [("10", "question", "1.5", "7"), ("10", "text_to_music", "0.25", "3")]
    assert [row[0] for row in rows] == ["10", "10", "20", "20"]


def test_other_processes_are_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with RunLogger(tmp_path / "out", 10, is_main=False) as run:
        run.log_step(10, values(1.0))
        run.log_validation(10, {"chat": 1.0}, {"chat": 1})
        run.message("hello")
    assert not (tmp_path / "out").exists() and capfd.readouterr() == ("", "")


# -- bar, lines, TensorBoard ------------------------------------------------------------------------------------


def test_without_a_terminal_a_line_every_log_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path, range(1, 41))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert not out and len(lines) == 4
    assert lines[1] == "step 20/40, loss 0.05, words 0.025, condition 0.025, 12.5 examples/s, 0:00:00 left"


def test_time_left_is_of_this_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(reports.time, "monotonic", lambda: clock[0])
    with RunLogger(tmp_path, 40, start=10, tensorboard=False) as run:
        clock[0] += 60  # ten steps a minute
        run.log_step(20, {"loss": 1.0})
    assert capsys.readouterr().err == "step 20/40, loss 1, 0:02:00 left\n"


def test_on_a_terminal_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with RunLogger(tmp_path, 40, start=20, tensorboard=False) as run:
        for step in range(21, 31):
            run.log_step(step, values(0.125))
        run.message("song.mp3 was skipped")
    shown = screen.getvalue()
    assert "30/40" in shown and "loss 0.125" in shown and "12.5 examples/s" in shown
    assert "song.mp3 was skipped\n" in shown and "step 30/40" not in shown


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_tensorboard_shows_the_same_and_forgets_what_was_undone(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for start, loss in ((0, 0.5), (10, 0.25)):
        with RunLogger(tmp_path, 30, start) as run:
            for step in range(start + 1, 31):
                run.log_step(step, {"loss": loss})
            run.log_validation(30, {"chat": loss}, {"chat": 2})
    found = scalars(tmp_path / "tensorboard")
    assert found["train/loss"] == [(10, 0.5), (20, 0.25), (30, 0.25)]
    assert found["validation/chat"] == [(30, 0.25)]


def test_without_tensorboard_the_tables_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with RunLogger(tmp_path, 10) as run:
        run.log_step(10, values(1.0))
    assert capsys.readouterr().err.count("TensorBoard is not installed") == 1
    assert len(read(tmp_path / "log.csv")) == 1 and not (tmp_path / "tensorboard").exists()


# -- pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 32000, 44100])
@pytest.mark.parametrize("hertz", [110.0, 440.0, 3000.0])
def test_a_tone_is_brightest_in_its_semitone(hertz: float, rate: int) -> None:
    bands, step = spectrogram(tone(hertz, rate))
    middle = bands[:, bands.shape[1] // 2]
    assert abs(int(middle.argmax()) - 12 * math.log2(hertz / LOWEST)) <= 1
    assert bands.max() == 0 and bands.min() >= FLOOR
    assert abs((bands.shape[1] - 1) * step - 1.0) <= step


def test_time_runs_to_the_right() -> None:
    late = torch.cat([torch.zeros(1, 16000), tone(440, 16000).samples], dim=1)
    bands, step = spectrogram(Waveform(late, 16000))
    loud = bands.amax(0)
    assert bool((loud[: int(0.9 / step)] == FLOOR).all()) and bool((loud[math.ceil(1.1 / step) : int(1.9 / step)] > -6).all())


def test_no_semitone_is_blind() -> None:
    for rate in (4000, 16000, 48000):
        assert bool((pictures.semitone_filters(2048, rate).sum(1) > 0).all())


def test_a_long_piece_makes_no_larger_picture() -> None:
    bands, _ = spectrogram(tone(440, 8000, seconds=600))
    assert bands.shape[1] <= pictures.PICTURE_COLUMNS + 2


def test_a_picture_says_what_its_axes_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # its state is one for all threads
    figure = picture(tone(440, 16000, seconds=2.0))
    above, below, colours = figure.axes
    assert (above.get_ylabel(), below.get_ylabel(), below.get_xlabel(), colours.get_ylabel()) == ("amplitude", "Hz", "seconds", "dB")
    assert below.get_xlim() == (0, 2.0) and above.get_xlim() == (0, 2.0)
    ticks = dict(zip(below.get_yticks(), [label.get_text() for label in below.get_yticklabels()], strict=True))
    assert {label: round(2**height) for height, label in ticks.items()}["1000"] == 1000
    low, high = below.get_ylim()
    assert low < math.log2(LOWEST) < math.log2(7500) < high


@pytest.mark.parametrize("wave", [tone(440, 32000), Waveform(torch.zeros(2, 1), 8000), Waveform(3 * torch.ones(1, 9000), 2)])
def test_any_sound_has_a_picture(wave: Waveform, tmp_path: Path) -> None:
    write_picture(wave, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.format == "PNG" and min(image.size) >= 400


# -- examples ---------------------------------------------------------------------------------------------------


def items() -> list[tuple[ShownExample, Turn, Reply]]:
    music = tone(440, 16000, 0.25)
    return [
        (ShownExample("A slow waltz", caption="slow waltz, piano"), Turn("Play a waltz"), Reply("Here it is", (5, 6), music, "music")),
        (ShownExample("Ja, é", "question", "q.json #0"), Turn("Fast?", audio="a.flac"), Reply("```\n# no\n![x](y)", (7,), None, "length")),
    ]


def test_examples_show_what_was_asked_expected_said_and_played(tmp_path: Path) -> None:
    folder = tmp_path / "examples" / "step-000200"
    write_examples(folder, items())
    assert sorted(path.name for path in folder.iterdir()) == ["00.flac", "00.png", "00.txt", "01.txt", "index.md"]
    text = (folder / "00.txt").read_text(encoding="utf-8")
    for part in ("Play a waltz", "expected answer:\nA slow waltz\n", "slow waltz, piano", "said answer:\nHere it is\n"):
        assert part in text
    heard = Waveform.read(folder / "00.flac")
    assert heard.sample_rate == 16000
    torch.testing.assert_close(heard.samples, tone(440, 16000, 0.25).samples, atol=2**-15, rtol=0)


def test_the_index_links_all_and_lets_no_answer_pose_as_markdown(tmp_path: Path) -> None:
    import re

    write_examples(tmp_path / "step-000200", items())
    index = (tmp_path / "step-000200/index.md").read_text(encoding="utf-8")
    own = "\n".join(line for line in index.splitlines() if not line.startswith("    "))
    links = re.findall(r"\]\(([^)]+)\)", own)
    assert sorted(links) == ["00.flac", "00.png", "00.txt", "01.txt"]
    assert "    ![x](y)" in index and "    Ja, é" in index and "with audio" in index and "```" not in own


def test_examples_of_a_resumed_step_take_the_place_of_the_old(tmp_path: Path) -> None:
    write_examples(tmp_path / "step-000200", items())
    write_examples(tmp_path / "step-000200", items()[1:])
    assert sorted(path.name for path in (tmp_path / "step-000200").iterdir()) == ["00.txt", "index.md"]
    assert [path.name for path in tmp_path.iterdir()] == ["step-000200"]


def test_examples_appear_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reports, "write_picture", full)
    with pytest.raises(OSError, match="No space"):
        write_examples(tmp_path / "step-000200", items())
    assert not list(tmp_path.iterdir())
