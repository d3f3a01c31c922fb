"""`evaluate.py text` and `evaluate.py choices`: files in, tables out, one sentence for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import evaluate
from llama.evaluation.answer_file import ANSWERS, Answer
from llama.evaluation.tables import Table, table_from_json

CHOICES = ("piano", "drums")


def write_answers(folder: Path, answers: list[Answer]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / ANSWERS).write_text("".join(json.dumps(answer.as_json()) + "\n" for answer in answers))


def answers_of(form: str = "mmau") -> list[Answer]:
    return [
        Answer(f"q{number}", f"r{number}", form, control, "Which?", CHOICES[number % 2 if control == "own" else 0], (CHOICES[number % 2],),
               CHOICES, number % 2)
        for number in range(6) for control in ("own", "swapped")
    ]  # fmt: skip


def tables_of(folder: Path, name: str) -> list[Table]:
    return [table_from_json(table) for table in json.loads((folder / f"{name}.json").read_text())["tables"]]


@pytest.mark.parametrize("name", ["text", "choices"])
def test_tables_are_written_beside_the_answers(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_answers(tmp_path, answers_of())
    assert evaluate.main([name, "--answers", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (tmp_path / f"{name}.md").read_text()
    table = tables_of(tmp_path, name)[0]
    assert table.rows[0].label == "own" and table.rows[-1].label == "own minus swapped"
    assert evaluate.main([name, "--answers", str(tmp_path / ANSWERS), "--out", str(tmp_path / "new/out")]) == 0
    assert {path.name for path in (tmp_path / "new/out").iterdir()} == {f"{name}.{suffix}" for suffix in ("md", "json", "png")}
    meta = json.loads((tmp_path / f"{name}.json").read_text())["meta"]
    assert meta["answers"] == str(tmp_path) and meta["versions"]["numpy"] and "command" in meta


def test_answers_of_another_system_take_the_questions_of_ours(tmp_path: Path) -> None:
    write_answers(tmp_path, answers_of())
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps({f"q{number}": "the drums" for number in range(5)}))  # q5 has none: unanswered, not left out
    assert evaluate.main(["choices", "--answers", str(tmp_path), "--texts", str(texts), "--out", str(tmp_path / "other")]) == 0
    own = tables_of(tmp_path / "other", "choices")[0].rows[0].cells
    assert own["accuracy"].value == pytest.approx(2 / 6) and own["unanswered"].value == pytest.approx(1 / 6)  # type: ignore[union-attr]


def bad_texts(folder: Path, text: str) -> list[str]:
    (folder / "texts.json").write_text(text)
    return ["--texts", str(folder / "texts.json")]


@pytest.mark.parametrize(("text", "words"), [
    ('{"q9": "x"}', "answer 'q9', one of 1 that"), ("[]", "holds no object"), ('{"q1": 3}', "has 3 for the question 'q1'"),
    ('{"q1": "x", "q1": "y"}', "names 'q1' 2 times"), ("{", "is not readable as JSON")])  # fmt: skip
def test_bad_texts_are_a_sentence(tmp_path: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_answers(tmp_path, answers_of())
    assert evaluate.main(["choices", "--answers", str(tmp_path), *bad_texts(tmp_path, text)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


LINE = json.dumps(answers_of()[0].as_json())
BAD_FILES = {
    "": "holds no answers",
    "nonsense\n": "line 1, is no answer",
    f"{LINE}\n{LINE}\n": "line 2, has the answer to 'q0'",
    LINE.replace('"own"', '"heard"') + "\n": "control is 'heard'",
    LINE.replace('"own"', '"swapped"') + "\n": "hold none under own",
    LINE.replace('"correct": 0', '"correct": null') + "\n": "None of the 1 answers is to a question with choices",
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), BAD_FILES.items())
def test_bad_answers_are_a_sentence(tmp_path: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ANSWERS).write_text(content)
    assert evaluate.main(["choices", "--answers", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "choices.json").exists()


@pytest.mark.parametrize(("flags", "words"), [
    (["--answers", "missing"], "missing is missing"), (["--bert", "/missing"], "There is no folder /missing"),
    (["--wordnet", "missing"], "There is no folder missing"), (["--bert_layers", "3"], "give its folder to --bert")])  # fmt: skip
def test_bad_flags_are_a_sentence(tmp_path: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_answers(tmp_path, answers_of())
    assert evaluate.main(["text", "--answers", str(tmp_path), *flags]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
