"""Tables of answers: controls, baselines, pairs of own and swapped, and what is left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llama.evaluation.answer_file import Answer, Control
from llama.evaluation.choice_table import choice_tables
from llama.evaluation.published_metrics import SUFFIX
from llama.evaluation.tables import Measurement, Row, Table
from llama.evaluation.text_baselines import constant_answers, shifted_answers
from llama.evaluation.text_table import BERTSCORE, BLEU, NOT_MEASURED, TextMetrics, text_tables

INSTRUMENTS = ("piano", "drums", "guitar", "violin")
HEARING: tuple[Control, ...] = ("own", "swapped", "silence", "none")


def cell(table: Table, row: str, column: str) -> Measurement:
    found = next(line for line in table.rows if line.label == row).cells[column]
    assert isinstance(found, Measurement)
    return found


def choice_answers(answer: Callable[[int, Control], str], form: str = "muchomusic", recordings: int = 24) -> list[Answer]:
    """Two rotations of one question for each recording, whose instruments come in turn."""
    result = []
    for number in range(recordings):
        for rotation in range(2):
            shown = INSTRUMENTS[rotation:] + INSTRUMENTS[:rotation]
            for control in HEARING:
                right, categories = INSTRUMENTS[number % 4], {"genre": "rock; pop" if number % 2 else "jazz", "none": ""}
                result.append(
                    Answer(f"q{number}", f"r{number}", form, control, "Which instrument?", answer(number, control), (right,), shown,
                           shown.index(right), rotation, categories)
                )  # fmt: skip
    return result


def listener(number: int, control: Control) -> str:
    """Hears its own recording but for every sixth, to which it says nothing."""
    if number % 6 == 0:
        return "I cannot tell."
    return INSTRUMENTS[number % 4 if control == "own" else 0].capitalize()


def test_a_listener_is_told_from_a_guesser() -> None:
    table, categories = choice_tables(choice_answers(listener))
    assert [row.label for row in table.rows] == ["own", "swapped", "silence", "none", "constant", "own minus swapped"]
    own = cell(table, "own", "accuracy")
    assert own.value == pytest.approx(20 / 24) and own.n == 48
    assert (own.low, own.high) == pytest.approx((0.6415, 0.9332), abs=1e-3)  # Wilson's of 20 in 24 recordings, not of 40 in 48 answers
    assert cell(table, "own", "unanswered").value == pytest.approx(4 / 24)
    assert cell(table, "own", "chance").value == 0.25 and cell(table, "own", "majority").value == 0.25
    difference = cell(table, "own minus swapped", "accuracy")
    assert difference.value == pytest.approx(16 / 24) and difference.low is not None and difference.low > 0.3
    assert "better with the right recording" in table.notes[0] and "2 rotations" in " ".join(table.notes)
    assert [row.label for row in categories.rows] == ["genre: jazz", "genre: pop", "genre: rock"]
    assert cell(categories, "genre: pop", "accuracy").n == 24

    deaf = choice_tables(choice_answers(lambda number, control: "Piano"))[0]
    assert cell(deaf, "own", "accuracy").value == 0.25 and cell(deaf, "own minus swapped", "accuracy").value == 0
    assert "no better with the right recording than with another one" in deaf.notes[0]


def test_the_official_rule_stands_beside_ours() -> None:
    """Drums answers D by the rule of MuChoMusic, where they are A or B."""
    answers = [one for one in choice_answers(lambda number, control: "Drums") if one.choices[one.correct or 0] == "drums"]
    table = choice_tables(answers)[0]
    assert cell(table, "own", "accuracy").value == 1 and cell(table, "own", "accuracy (official rule)").value == 0
    mmau = choice_tables([Answer("1", "r1", "mmau", "own", "?", text, (), ("a", "b"), 0, turn) for turn, text in enumerate(("a", ""))])[0]
    official = cell(mmau, "own", "accuracy (official rule)")
    assert cell(mmau, "own", "accuracy").n == 2 == official.n and official.value == 0.5  # an empty prediction is wrong there, too
    assert "Means over 2 rotations of the choices." in mmau.notes
    three = [Answer("2", "r1", "mmau", "own", "?", "a", (), ("a", "b", "c"), 0, turn) for turn in range(3)]
    both = [Answer("1", "r1", "mmau", "own", "?", "a", (), ("a", "b"), 0, turn) for turn in range(2)]
    assert "Means over 3 rotations of the choices." in choice_tables(three + both)[0].notes  # two choices have two orders
    assert "Means over 3 rotations of the choices; 1 question lacks some." in choice_tables(three + both[:1])[0].notes
    unknown = choice_tables(choice_answers(listener, form="hummusqa"))[0]
    assert unknown.columns == ["accuracy", "unanswered", "chance", "majority"] and "No official rule" in unknown.notes[-1]


def test_the_constant_answer_is_the_commonest_letter_or_text() -> None:
    shown = [choice_answers(listener)[place] for place in range(0, 16, 8)]  # the first rotation of pieces 0 and 1: (A) and (B) are right
    assert any('constant: "(A)" to every question' in note for note in choice_tables(shown)[0].notes)
    turned = [one for one in choice_answers(listener) if one.control == "own" and one.references == ("guitar",)]
    table = choice_tables(turned)[0]
    assert cell(table, "constant", "accuracy").value == 1 == cell(table, "constant", "majority").value
    assert any('constant: "guitar" to every question' in note for note in table.notes)


def test_what_could_not_be_heard_is_left_out_and_counted() -> None:
    answers = choice_answers(listener)
    broken = [Answer(**{**vars(one), "error": "missing", "answer": ""}) if one.recording in ("r1", "r2") else one for one in answers]
    table = choice_tables(broken)[0]
    assert cell(table, "own", "accuracy").value == pytest.approx(18 / 22)
    assert "2 recordings could not be heard: 16 answers left out, not counted as wrong." in table.notes
    unpublished = [Answer("x", "r", "muchomusic", "own", "?", "a", choices=("a", "b")), *answers]
    assert "1 answer without a known right choice left out." in choice_tables(unpublished)[0].notes


def test_missing_controls_are_a_sentence() -> None:
    own = [one for one in choice_answers(listener) if one.control == "own"]
    table = choice_tables(own)[0]
    assert next(row for row in table.rows if row.label == "swapped").cells == {"accuracy": "no answers"}
    assert any(note.startswith("No answers under swapped, silence, none") for note in table.notes)
    assert not any("too few" in note for note in table.notes) and "2 recordings: too few" in " ".join(choice_tables(own[:4])[0].notes)
    assert any(note.startswith("Some of these questions have choices") for note in text_tables(own, TextMetrics())[0].notes)
    with pytest.raises(ValueError, match="hold none under own"):
        choice_tables([one for one in choice_answers(listener) if one.control == "swapped"])
    with pytest.raises(ValueError, match="holds no answers"):
        choice_tables([])
    with pytest.raises(ValueError, match="None of the 1 answers is to an open question"):
        text_tables([Answer("1", "r", "musicqa", "own", "?", "x")], TextMetrics())


# -- texts ------------------------------------------------------------------------------------------------------


def text_answers(answer: Callable[[str, Control], str], controls: tuple[Control, ...] = HEARING) -> list[Answer]:
    result = []
    for number in range(12):
        truth = f"The {('piano', 'guitar', 'violin')[number % 3]} plays a {('slow', 'fast')[number % 2]} melody."
        for control in controls:
            question = "What plays?" if number < 11 else "Who sings?"
            result.append(Answer(f"q{number}", f"r{number}", "musicqa", control, question, answer(truth, control), (truth,)))
    return result


def test_texts_are_measured_under_every_control() -> None:
    answers = text_answers(lambda truth, control: truth if control == "own" else "Loud drums play in the melancholy")
    table = text_tables(answers, TextMetrics(published=True))[0]
    assert [row.label for row in table.rows] == ["own", "swapped", "silence", "none", "constant", "own minus swapped"]
    assert cell(table, "own", "B-U").value == pytest.approx(1) == cell(table, "own", BLEU).value
    assert cell(table, "swapped", "B-U").value < 0.06 and cell(table, "own minus swapped", "ROUGE-L F1").value > 0.5
    assert table.rows[0].cells[BERTSCORE] == NOT_MEASURED == table.rows[-1].cells[f"BERTScore{SUFFIX}"]
    assert cell(table, "swapped", f"B-U{SUFFIX}").value > cell(table, "swapped", "B-U").value
    assert cell(table, "constant", "B-U").n == 11  # a question that one recording has gets no constant answer
    assert any("nrefs:1|case:mixed" in note for note in table.notes)


def test_the_best_constant_stands_beside_that_of_the_file() -> None:
    answers = text_answers(lambda truth, control: truth if control != "constant" else "flute", (*HEARING, "constant"))
    table = text_tables(answers, TextMetrics())[0]
    assert [row.label for row in table.rows][-3:] == ["constant", "best constant", "own minus swapped"]
    assert cell(table, "best constant", "B-U").value > 0.3 > cell(table, "constant", "B-U").value
    assert any(note.startswith("best constant: one fixed answer a question") for note in table.notes)


def test_empty_answers_count_and_score_nothing() -> None:
    table = text_tables(text_answers(lambda truth, control: "" if "piano" in truth else truth), TextMetrics())[0]
    assert cell(table, "own", "empty").value == pytest.approx(4 / 12) and cell(table, "own", "B-U").value == pytest.approx(8 / 12)


def test_the_constant_answer_is_never_the_recordings_own() -> None:
    own = text_answers(lambda truth, control: truth, ("own",))
    constant = constant_answers(own)
    assert {answer.id for answer in constant} == {f"q{number}" for number in range(11)}
    assert len({answer.answer for answer in constant}) <= 2
    single = [Answer(f"q{number}", f"r{number}", "musicqa", "own", "What plays?", "", (f"answer {number}",)) for number in range(3)]
    assert all(answer.answer not in answer.references for answer in constant_answers(single))


def test_answers_of_other_recordings_stand_in_for_swapped_ones() -> None:
    own = text_answers(lambda truth, control: truth, ("own",))
    shifted = shifted_answers(own)
    texts = {answer.recording: answer.answer for answer in own}
    assert len(shifted) == 11 and all(answer.control == "swapped" for answer in shifted)
    assert sorted(answer.answer for answer in shifted) == sorted(texts[f"r{number}"] for number in range(11))
    table = text_tables(own, TextMetrics())[0]
    assert cell(table, "own minus swapped", "B-U").n == 11 and any(note.startswith("swapped: the file holds none") for note in table.notes)


def test_several_forms_give_several_tables() -> None:
    answers = text_answers(lambda truth, control: truth)
    tables = text_tables([*answers, *(Answer(**{**vars(one), "form": "sdd"}) for one in answers)], TextMetrics())
    assert [table.title for table in tables] == ["musicqa: answers against references", "sdd: answers against references"]
    assert isinstance(tables[0].rows[0], Row)
