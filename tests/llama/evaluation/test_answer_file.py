"""The file of answers: written line by line, resumed after a cut, and read with one sentence for what is no answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llama.evaluation.answer_file import ANSWERS, Answer, AnswerWriter, read_answers

ANSWER = Answer("q1", "r1", "muchomusic", "own", "Which?", "(B) é\u2028", ("drums",), ("piano", "drums"), 1, 2, {"genre": "jazz"}, 0.5)


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    answers = [ANSWER, replace(ANSWER, control="swapped"), replace(ANSWER, rotation=1), Answer("-q", "r", "sdd", "own", "?", "\udc80")]
    with AnswerWriter(tmp_path / "new") as writer:
        for answer in answers:
            writer.write(answer)
            assert read_answers(tmp_path / "new")[-1] == answer  # flushed: nothing waits for the end
    assert read_answers(tmp_path / "new" / ANSWERS) == answers


def test_a_cut_at_every_byte_loses_one_answer_at_most(tmp_path: Path) -> None:
    answers = [ANSWER, replace(ANSWER, id="q2", error="silent")]
    with AnswerWriter(tmp_path) as writer:
        for answer in answers:
            writer.write(answer)
    file = tmp_path / ANSWERS
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        left = read_answers(tmp_path)
        assert left == answers[: content[: length + 1].count(b"\n")]
        with AnswerWriter(tmp_path) as writer:
            assert writer.answers == left
            for answer in answers[len(left) :]:
                writer.write(answer)
        assert file.read_bytes() == content


def test_a_question_is_answered_once(tmp_path: Path) -> None:
    with AnswerWriter(tmp_path) as writer:
        writer.write(ANSWER)
        with pytest.raises(ValueError, match="'q1' under own, rotation 2, already"):
            writer.write(replace(ANSWER, answer="another"))
    file = tmp_path / ANSWERS
    file.write_bytes(file.read_bytes() * 2)
    with pytest.raises(ValueError, match=r"line 2, has the answer to 'q1' under own, rotation 2, a second time"):
        read_answers(file)


def test_a_second_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    with AnswerWriter(tmp_path), pytest.raises(ValueError, match="Another run writes to"):
        AnswerWriter(tmp_path)
    AnswerWriter(tmp_path).close()


def test_a_system_may_leave_out_what_has_a_default(tmp_path: Path) -> None:
    line = {"id": "q", "recording": "r", "form": "musicqa", "control": "own", "question": "?", "answer": "A piano."}
    (tmp_path / "a.jsonl").write_text(f"\n{json.dumps(line)}\n\n")
    assert read_answers(tmp_path / "a.jsonl") == [Answer("q", "r", "musicqa", "own", "?", "A piano.")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"control": "other"}, "control is 'other'; give one of own, swapped, silence, none, constant"),
        ({"correct": 2}, "correct is 2 of 2 choices"),
        ({"correct": True}, "correct is True"),
        ({"answer": None}, "answer is None; give a text"),
        ({"references": "drums"}, "references is 'drums'; give a list of texts"),
        ({"categories": {"genre": 1}}, "categories is"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"prediction": "B"}, "it has 'prediction'"),
        ({"id": 7}, "id is 7; give a text"),
    ],
)
def test_a_bad_line_is_named(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / ANSWERS
    file.write_text(json.dumps(ANSWER.as_json()) + "\n" + json.dumps({**ANSWER.as_json(), "id": "q2", **changes}) + "\n")
    with pytest.raises(ValueError, match="line 2, is no answer") as caught:
        read_answers(tmp_path)
    assert words in str(caught.value)


def test_missing_fields_and_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "q", "answer": "x"}\n')
    with pytest.raises(ValueError, match="lacks recording, form, control, question"):
        read_answers(tmp_path / "a.jsonl")
    with pytest.raises(FileNotFoundError, match=r"answers.jsonl is missing; give a file of answers"):
        read_answers(tmp_path)
    (tmp_path / "b.jsonl").write_text("[1]\n")
    with pytest.raises(ValueError, match="it is no object"):
        read_answers(tmp_path / "b.jsonl")
