"""Answering a benchmark: each recording encoded once, stopped runs that go on, recordings that cannot be heard, and the commands."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmark_folders import WRITERS, write_sound

import evaluate
from llama.dialogue import Turn
from llama.evaluation.answer_file import CONTROLS, Answer, AnswerWriter, read_answers
from llama.evaluation.answering import (
    AnswerOptions,
    AnswerSummary,
    answer_questions,
    predictions,
    questions_digest,
)
from llama.evaluation.benchmarks.base import BenchmarkItem, Recording
from llama.evaluation.benchmarks.registry import BENCHMARKS
from llama.evaluation.commands import answers as command
from llama.evaluation.controls import draw
from llama.evaluation.question_model import Features, MuMuQuestionModel, weights_digest
from llama.evaluation.run_record import start_run
from llama.generation import GenerationOptions
from llama.media.audio import Waveform
from llama.mumu_llama import MuMuLLaMA, load

ROOT = Path(__file__).resolve().parents[3]


class ScriptedModel:
    """Answers with the loudest frequency of what it hears, and counts what it is asked."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.encoded: Counter[str] = Counter()
        self.batches: list[int] = []
        self.stop_after = stop_after

    def check(self, with_audio: bool) -> None:
        self.with_audio = with_audio

    def encode(self, wave: Waveform) -> Features:
        spectrum = torch.fft.rfft(wave.samples.mean(0)).abs()
        tone = round(float(spectrum.argmax()) * wave.sample_rate / wave.samples.shape[1])
        self.encoded[str(tone)] += 1
        return torch.full((1, 1, 1), float(tone))

    def answer(self, questions: Sequence[str], features: Sequence[Features]) -> Sequence[str | Exception]:
        if self.stop_after is not None and len(self.batches) == self.stop_after:
            raise KeyboardInterrupt
        self.batches.append(len(questions))
        heard = ["nothing" if tone is None else f"{float(tone):.0f}" for tone in features]
        return [ValueError("The prompt is long.") if "long" in text else tone for text, tone in zip(questions, heard, strict=True)]


@pytest.fixture()
def items(tmp_path: Path) -> list[BenchmarkItem]:
    """Five recordings with two questions each, of 300, 320, ... Hz; their questions in mixed order."""
    paths = [write_sound(tmp_path / "audio" / f"{index}.wav", 300 + 20 * index) for index in range(5)]
    return [BenchmarkItem(f"{index}-{kind}", Recording(f"r{index}", paths[index]), kind, (f"{300 + 20 * index}",))
            for kind in ("lead", "mood") for index in range(5)]  # fmt: skip


def ask(folder: Path, model: ScriptedModel, items: list[BenchmarkItem], asked: list[BenchmarkItem] | None = None,
        options: AnswerOptions | None = None) -> AnswerSummary:  # fmt: skip
    with AnswerWriter(folder) as writer:
        return answer_questions(model, "musicqa", items, items if asked is None else asked, options or AnswerOptions(), writer)


def without_time(folder: Path) -> list[Answer]:
    return sorted((replace(answer, seconds=0.0) for answer in read_answers(folder)), key=lambda answer: answer.key)


def test_each_control_hears_what_it_should(items: list[BenchmarkItem], tmp_path: Path) -> None:
    model = ScriptedModel()
    summary = ask(tmp_path / "out", model, items)
    for answer in read_answers(tmp_path / "out"):
        own = answer.references[0]
        expected = {"own": {own}, "swapped": {str(tone) for tone in range(300, 400, 20)} - {own}, "silence": {"0"}, "none": {"nothing"},
                    "constant": {str(tone) for tone in range(300, 400, 20)} - {own}}  # fmt: skip
        assert answer.answer in expected[answer.control], answer
    assert summary.answered == dict.fromkeys(CONTROLS, 10) and not summary.unheard
    assert all(count == 1 for tone, count in model.encoded.items() if tone != "0"), "a recording was encoded twice"
    assert set(model.batches[:-1]) == {8} and sum(model.batches) == 40 and model.with_audio


def test_a_model_without_ears_is_asked_what_needs_none(items: list[BenchmarkItem], tmp_path: Path) -> None:
    """What a model without its audio encoder advises: --controls none,constant. Missing recordings are left out all the same."""
    model, gone = ScriptedModel(), replace(items[0].recording, path=None, error="gone")
    items = [replace(item, recording=gone) if item.recording.id == gone.id else item for item in items]
    ask(tmp_path / "out", model, items, options=AnswerOptions(("none", "constant")))
    answers = read_answers(tmp_path / "out")
    assert not model.encoded and not model.with_audio
    assert {answer.answer for answer in answers if answer.control == "none" and not answer.error} == {"nothing"}
    assert {answer.id for answer in answers if answer.error} == {"0-lead", "0-mood"} and len(answers) == 20


def test_both_questions_on_a_recording_get_the_same_other_one(items: list[BenchmarkItem], tmp_path: Path) -> None:
    ask(tmp_path / "out", ScriptedModel(), items)
    others = {(answer.recording, answer.answer) for answer in read_answers(tmp_path / "out") if answer.control == "swapped"}
    assert len(others) == 5 and len({tone for _, tone in others}) == 5


@pytest.mark.parametrize("stop_after", range(4))
def test_a_stopped_run_goes_on(stop_after: int, items: list[BenchmarkItem], tmp_path: Path) -> None:
    ask(tmp_path / "whole", ScriptedModel(), items)
    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path / "stopped", ScriptedModel(stop_after), items)
    done = len(read_answers(tmp_path / "stopped"))
    with (tmp_path / "stopped" / "answers.jsonl").open("ab") as file:
        file.write(b'{"id": "0-lead", "recor')  # cut while it was written
    model = ScriptedModel()
    ask(tmp_path / "stopped", model, items)
    assert without_time(tmp_path / "stopped") == without_time(tmp_path / "whole")
    constants = sum(answer.control == "constant" for answer in read_answers(tmp_path / "stopped")[done:])
    assert sum(model.batches) == 50 - done - constants


def test_the_time_of_an_answer_is_the_models() -> None:
    summary, times = AnswerSummary(), dict(zip(CONTROLS, (0.2, 0.3, 0.3, 0.4, 0.0), strict=True))
    for control, seconds in times.items():
        summary.add(Answer("q", "r", "sdd", control, "?", "x", seconds=seconds))
    assert list(summary.lines())[-1] == "0.300 s an answer"


def test_what_is_done_is_not_asked_again(items: list[BenchmarkItem], tmp_path: Path) -> None:
    ask(tmp_path, ScriptedModel(), items)
    model = ScriptedModel()
    assert ask(tmp_path, model, items).answered["own"] == 10
    assert not model.batches and not model.encoded


def test_controls_and_rotations_can_be_added_later(items: list[BenchmarkItem], tmp_path: Path) -> None:
    listed = [replace(item, choices=("x", item.references[0]), correct=1) for item in items]
    ask(tmp_path, ScriptedModel(), listed, options=AnswerOptions(("own",)))
    ask(tmp_path, ScriptedModel(), listed, options=AnswerOptions(("own", "none"), rotations=2))
    keys = Counter((answer.control, answer.rotation) for answer in read_answers(tmp_path))
    assert keys == {("own", 0): 10, ("own", 1): 10, ("none", 0): 10, ("none", 1): 10}
    assert all(answer.choices[answer.correct or 0] == answer.references[0] for answer in read_answers(tmp_path))


def test_recordings_that_cannot_be_heard_are_told_and_not_asked(items: list[BenchmarkItem], tmp_path: Path) -> None:
    (tmp_path / "audio" / "2.wav").write_bytes(b"RIFF no sound")
    missing = Recording("r3", error="There is no file 3.wav.")
    gone = [replace(item, recording=missing) if item.recording.id == "r3" else item for item in items]
    summary = ask(tmp_path / "out", ScriptedModel(), gone)
    assert summary.answered == dict.fromkeys(CONTROLS, 6) and summary.unheard == dict.fromkeys(CONTROLS, 4)
    for answer in read_answers(tmp_path / "out"):
        assert bool(answer.error) == (answer.recording in ("r2", "r3")) and (not answer.error or not answer.answer)
        assert answer.control != "swapped" or answer.error or answer.answer not in (answer.references[0], "340", "360")
    assert any("4 could not be heard" in line for line in summary.lines())


def test_what_could_not_be_heard_is_asked_again_on_demand(items: list[BenchmarkItem], tmp_path: Path) -> None:
    ask(tmp_path / "whole", ScriptedModel(), items, options=AnswerOptions(("own", "none")))
    (tmp_path / "audio" / "2.wav").rename(tmp_path / "away.wav")
    ask(tmp_path / "out", ScriptedModel(), items, options=AnswerOptions(("own", "none")))
    (tmp_path / "away.wav").rename(tmp_path / "audio" / "2.wav")
    with AnswerWriter(tmp_path / "out") as writer:
        assert writer.drop_errors() == 4 and writer.drop_errors() == 0
        answer_questions(ScriptedModel(), "musicqa", items, items, AnswerOptions(("own", "none")), writer)
    assert without_time(tmp_path / "out") == without_time(tmp_path / "whole")


def test_a_question_that_cannot_be_asked_fails_alone(items: list[BenchmarkItem], tmp_path: Path) -> None:
    changed = [replace(items[0], question="a long question"), *items[1:]]
    summary = ask(tmp_path, ScriptedModel(), changed, options=AnswerOptions(("own",)))
    assert summary.unheard["own"] == 1 and summary.answered["own"] == 9 and summary.first_error == "The prompt is long."


def test_all_recordings_but_one_lost_leave_nothing_to_swap(items: list[BenchmarkItem], tmp_path: Path) -> None:
    for index in range(1, 5):
        (tmp_path / "audio" / f"{index}.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match="swapped needs two recordings that can be heard"):
        ask(tmp_path / "out", ScriptedModel(), items)


def test_a_larger_limit_adds_questions(items: list[BenchmarkItem]) -> None:
    draws = [draw(items, item_id, limit, 0) for limit in range(1, 12)]
    assert [len(drawn) for drawn in draws] == [*range(1, 11), 10] and draw(items, item_id, None, 0) == items
    for smaller, larger in zip(draws, draws[1:], strict=False):
        assert {item.id for item in smaller} <= {item.id for item in larger}
    assert draw(items, item_id, 3, 0) != draw(items, item_id, 3, 1)


def item_id(item: BenchmarkItem) -> str:
    return item.id


def test_the_digest_is_of_what_is_asked(items: list[BenchmarkItem]) -> None:
    gone = [replace(items[0], recording=replace(items[0].recording, path=None, error="gone")), *items[1:]]
    assert questions_digest(gone) == questions_digest(items)  # it may be got later
    assert questions_digest([replace(items[0], question="?"), *items[1:]]) != questions_digest(items)


def test_predictions_are_choices() -> None:
    answer = Answer("q", "r", "mmau", "own", "?", "(B)", ("x",), ("Fast", "Slow"), None)
    others = [replace(answer, id="w", answer="Neither."), replace(answer, control="none"), replace(answer, id="e", error="gone")]
    assert predictions([answer, *others]) == {"q": "Slow", "w": "Neither."}


def test_another_model_or_option_in_the_folder_is_refused(tmp_path: Path) -> None:
    start_run(tmp_path, {"weights": "a", "seed": 1}, {"model": "x"})
    start_run(tmp_path, {"weights": "a", "seed": 1}, {"model": "y"})
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["model"] == "x" and record["versions"]["torch"] == torch.__version__.split("+")[0]
    for changes in ({"weights": "b", "seed": 1}, {"weights": "a"}, {"weights": "a", "seed": 1, "top_p": 0.5}):
        with pytest.raises(ValueError, match=r"holds results of another run \(.*\); give another folder"):
            start_run(tmp_path, changes, {})


# -- the embedded model -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano() -> MuMuLLaMA:
    return load(ROOT / "ckpts" / "nano")


def test_answers_equal_those_of_respond(nano: MuMuLLaMA) -> None:
    wave = Waveform.read(next((ROOT / "assets" / "examples").glob("*.flac")))
    options = GenerationOptions(max_tokens=8, music=False)
    model = MuMuQuestionModel(nano, options)
    features, questions = model.encode(wave), ["Which instrument plays the melody?", "How fast is it?", "Describe it."]
    batch = model.answer([*questions, "x" * 20000], [features, None, features, None])
    turns = [Turn(questions[0], audio=wave), Turn(questions[1]), Turn(questions[2], audio=wave)]
    assert list(batch[:3]) == [nano.respond(turn, options).text for turn in turns]
    assert isinstance(batch[3], ValueError) and "shorten the text" in str(batch[3])
    assert model.answer(questions[1:2], [None]) == batch[1:2]


def test_the_digest_of_weights_sees_one_changed_number(nano: MuMuLLaMA) -> None:
    layer = torch.nn.Linear(3, 3)
    former = weights_digest(layer)
    layer.weight.data[2, 2] += 1e-3
    assert weights_digest(layer) != former and len(weights_digest(nano)) == 16


def test_a_model_without_ears_is_told_before_anything_is_asked(nano: MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MuMuQuestionModel(nano, GenerationOptions())
    model.check(with_audio=True)
    monkeypatch.setitem(nano._modules, "mert", None)
    model.check(with_audio=False)
    with pytest.raises(ValueError, match="without its audio encoder.*--controls none,constant"):
        model.check(with_audio=True)


def test_the_command_writes_answers_and_a_submission(
    nano: MuMuLLaMA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_model", lambda values: nano)
    (tmp_path / "data").mkdir()
    WRITERS["mmau"](tmp_path / "data")
    arguments = ["answers", "--form", "mmau", "--folder", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--max_tokens", "3",
                 "--rotations", "2"]  # fmt: skip
    assert evaluate.main([*arguments, "--controls", "own,none"]) == 0
    output = capsys.readouterr().out
    assert "3 questions of mmau, 0 of them without their recording; 3 entries left out:" in output
    assert "own: 6 asked, 6 answered" in output and "s an answer" in output
    assert len(read_answers(tmp_path / "out")) == 12
    rows = json.loads((tmp_path / "out" / "submission.json").read_text())
    assert [row["id"] for row in rows] == ["a", "b", "c"] and all(row["model_output"] for row in rows)
    assert evaluate.main([*arguments, "--max_tokens", "4"]) == 2
    assert "max_tokens 3 there, 4 here" in capsys.readouterr().err


def test_wrong_flags_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["answers", "--form", "sdd", "--folder", str(tmp_path), "--out", str(tmp_path / "out")]
    for more, words in ((["--controls", "own,other"], "'other' is no control"), (["--limit", "0"], "0 is out of range")):
        with pytest.raises(SystemExit):
            evaluate.main([*arguments, *more])
        assert words in capsys.readouterr().err
    assert evaluate.main(arguments) == 2
    assert "There is no song_describer.csv" in capsys.readouterr().err


def test_the_command_knows_every_form() -> None:
    assert set(command.FORMS) == set(BENCHMARKS)
