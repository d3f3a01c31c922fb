"""Guards: every bad answer is refused by its rule, good answers pass, and the declared faults of the faulty writer are found."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from DataSet.pipeline.edit_words import OPPOSITES, directions, edit_facts
from DataSet.pipeline.faulty_writer import FAULTS, FaultyWriter
from DataSet.pipeline.guards import RULES, Expectation, check, tidy
from DataSet.pipeline.instructions import FORMS, PARTS, InstructionStep
from DataSet.pipeline.item import Item
from DataSet.pipeline.prompt_files import read_prompt
from DataSet.pipeline.quantities import CENTS, COUNT, SPEED, TEMPO, TIME, Quantity, quantities
from DataSet.pipeline.step import Rejection, StepInput
from DataSet.pipeline.writers import WriterConfig, WritingTask
from DataSet.synthesis import phrases
from DataSet.synthesis.wording import spin

PROMPT = read_prompt("muedit_human")
ANSWER = Expectation(openings=("Here is",), facts=("A ballad at 72 bpm in 4/4 without drums.",))
FASTER = Expectation(edit=edit_facts({"speed": 1.5}), wording=PROMPT.wording, facts=())
LOWER = Expectation(edit=edit_facts({"cents": -200}), facts=())
BOTH = Expectation(edit=edit_facts({"speed": 0.7, "cents": 300}), facts=())
NO_DRUMS = Expectation(edit=edit_facts({"drums": False}), facts=())
ORGAN = Expectation(edit=edit_facts({"lead": "organ"}), facts=())

BAD: tuple[tuple[str, Any, Expectation], ...] = (
    ("empty", "", FASTER), ("empty", "  \n ", FASTER), ("empty", "null", FASTER), ("empty", "None.", FASTER), ("empty", "N/A", FASTER),
    ("empty", None, FASTER),
    ("one_line", "Speed it up to 1.5 times its speed.\nMake it faster, at 1.5 times its speed.", FASTER),
    ("one_line", "Here is a ballad.\n\nNote: I kept the tempo.", ANSWER), ("one_line", "Here is a ballad.\u2028And more.", ANSWER),
    ("refusal", "I'm sorry, I can only help with text.", FASTER), ("refusal", "As an AI language model I have no ears.", ANSWER),
    ("refusal", "I’m sorry, but the recording is missing.", FASTER), ("refusal", "I cannot listen to the music.", ANSWER),
    ("refusal", "Unfortunately, I am unable to assist with this request.", ANSWER),
    ("refusal", "I don't have access to the audio.", ANSWER),
    ("chat_marks", "[INST] Speed it up to 1.5 times its speed. [/INST]", FASTER),
    ("chat_marks", "### Response: Speed it up to 1.5 times its speed.", FASTER),
    ("chat_marks", "<s> Speed it up.", FASTER), ("chat_marks", "<|im_start|>Speed it up.", FASTER),
    ("chat_marks", "Assistant: Speed it up.", FASTER),
    ("chat_marks", "Here is <image> a ballad.", ANSWER), ("chat_marks", "<<SYS>> Be brief. <</SYS>> Speed it up.", FASTER),
    ("chat_marks", "Response: Speed it up.", FASTER),
    ("length", "Faster.", FASTER), ("length", "Speed it up to 1.5 times its speed. " * 400, FASTER),
    ("length", "very " * 4000 + "fast.", FASTER),
    ("copy", "Keep the direction, and keep every number with its unit: speed it up to 1.5 times its speed.", FASTER),
    ("quotes", "\"Speed it up to 1.5 times its speed.", FASTER), ("quotes", "Speed it up to 1.5 times its speed.\"", FASTER),
    ("quotes", "'Speed it up' is the wish.", FASTER),
    ("sentence", "Speed it up to 1.5 times its", FASTER), ("sentence", "Speed it up to 1.5 times the.", FASTER),
    ("sentence", "Here is a ballad at 72", ANSWER),
    ("sentence", "Here is a ballad with drums and...", ANSWER), ("sentence", "Here is a ballad that begins,", ANSWER),
    ("language", "Mach das Stück bitte schneller, auf das 1.5-fache Tempo.", FASTER),
    ("language", "Accélère la musique pour que le tempo soit plus rapide.", FASTER),
    ("language", "Сделай музыку быстрее, пожалуйста.", FASTER), ("language", "请把这首曲子加快 一点 吧.", FASTER),
    ("language", "Haz que la pista suene más rápido por favor.", FASTER),
    ("opening", "This is a ballad with strings.", ANSWER), ("opening", "Sure! Here is a ballad.", ANSWER),
    ("direction", "Play it at 1.5 times its speed.", FASTER), ("direction", "Slow it down to 1.5 times its speed.", FASTER),
    ("direction", "Make it slower and faster, 1.5 times its speed.", FASTER),
    ("direction", "Do not make it faster, keep it at 1.5 times its speed.", FASTER),
    ("direction", "Raise the pitch by 200 cents.", LOWER), ("direction", "Shift the pitch by 200 cents.", LOWER),
    ("direction", "Speed it up to 0.7 times its speed and raise the pitch by 300 cents.", BOTH),
    ("direction", "Slow it down to 0.7 times its speed and lower the pitch by 300 cents.", BOTH),
    ("direction", "Play the music with drums.", NO_DRUMS), ("direction", "Add drums to it.", NO_DRUMS),
    ("direction", "Play the music on drums.", NO_DRUMS),
    ("direction", "Make it 200 cents lower and louder.", LOWER), ("direction", "Here is a ballad with drums at 72 bpm.", ANSWER),
    ("term", "Play the melody on a piano.", ORGAN), ("term", "Play the organic melody.", ORGAN),
    ("number", "Make it faster.", FASTER), ("number", "Speed it up to 0.67 times its speed.", FASTER),
    ("number", "Speed it up to 15 times its speed.", FASTER),
    ("number", "Speed it up, to 1.5 times the length.", FASTER), ("number", "Speed it up by 1.5 cents.", FASTER),
    ("number", "Make it half as fast, so speed it up.", FASTER),
    ("number", "Lower the pitch by 200 semitones.", LOWER), ("number", "Lower the pitch by 2 cents.", LOWER),
    ("number", "Lower the pitch by three semitones.", LOWER),
    ("number", "Lower the pitch by an octave.", LOWER),
    ("number", "Slow it down to 0.7 times its speed and raise the pitch by 300 semitones.", BOTH),
    ("number", "Speed it up to -1.5 times the speed.", FASTER),
    ("other_number", "Speed it up to 1.5 times its speed for 30 seconds.", FASTER),
    ("other_number", "Make it 1.5 times as fast, so speed it up by 3 dB.", FASTER),
    ("other_number", "Here is a ballad at 90 bpm.", ANSWER), ("other_number", "Here is a ballad in 3/4.", ANSWER),
    ("other_number", "Here is a ballad with two guitars.", ANSWER),
)  # fmt: skip
GOOD: tuple[tuple[str, Expectation], ...] = (
    ("Speed it up to 1.5 times its speed.", FASTER), ("Could you make this one and a half times as fast, so faster than before?", FASTER),
    ("Please play the track 50% faster.", FASTER), ("I'd like it at 150 percent of the original speed, that is, faster.", FASTER),
    ("Raise the tempo to 1.5x.", FASTER),
    ("Lower the pitch by 200 cents.", LOWER), ("Can you bring it down by two semitones in pitch?", LOWER),
    ("Take the whole thing down a whole tone in pitch.", LOWER),
    ("Transpose this recording down by -200 cents.", LOWER), ("Drop the key of this track by 2 semitones.", LOWER),
    ("Slow it down to 0.7 times its speed and raise the pitch by three semitones.", BOTH),
    ("Shift the pitch up by 300 cents, and slow the music down to 70% of its speed.", BOTH),
    ("Take out the drums.", NO_DRUMS), ("I want to hear it without any drums.", NO_DRUMS), ("Let an organ play the melody.", ORGAN),
    ("Here is a ballad at 72 bpm in 4/4, without drums.", ANSWER), ("Here is a \"lullaby\" of sorts, slow and calm.", ANSWER),
    ("Here is a calm one for the evening (with strings).", ANSWER), ("Melancholic violin solo, reverberant strings.", Expectation()),
)  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "expectation"), BAD)
def test_a_bad_text_is_refused_by_its_rule(rule: str, text: Any, expectation: Expectation) -> None:
    refusal = check(text, expectation)
    assert refusal is not None and refusal.rule == rule and refusal.why.endswith(".")


def test_every_rule_has_a_bad_text() -> None:
    assert {rule for rule, _, _ in BAD} == set(RULES)


@pytest.mark.parametrize(("text", "expectation"), GOOD)
def test_a_good_text_passes(text: str, expectation: Expectation) -> None:
    assert check(text, expectation) is None


def test_quotation_marks_around_the_whole_are_taken_off() -> None:
    assert tidy(' "Speed it up." ') == tidy("“Speed it up.”") == "Speed it up." and tidy(None) == ""
    assert tidy('"Faster" or "slower"') == '"Faster" or "slower"'


WRITTEN: tuple[tuple[str, list[Quantity]], ...] = (
    ("1.5x", [Quantity(1.5, SPEED)]), ("one and a half times as fast", [Quantity(1.5, SPEED)]), ("twice as fast", [Quantity(2, SPEED)]),
    ("half the speed", [Quantity(0.5, SPEED)]), ("30 % slower", [Quantity(0.7, SPEED)]),
    ("70% of its original speed", [Quantity(0.7, SPEED)]),
    ("speed the track up by 25 percent", [Quantity(1.25, SPEED)]), ("reduce the tempo by 20%", [Quantity(0.8, SPEED)]),
    ("0.67 of the time", [Quantity(0.67, TIME)]), ("1.5 times as long", [Quantity(1.5, TIME)]),
    ("two hundred and fifty cents", [Quantity(250, CENTS)]),
    ("2 semitones", [Quantity(200, CENTS)]), ("a semitone", [Quantity(100, CENTS)]), ("an octave", [Quantity(1200, CENTS)]),
    ("minus one hundred cents", [Quantity(100, CENTS)]), ("ninety-six bpm", [Quantity(96, TEMPO)]), ("three times", [Quantity(3, COUNT)]),
    ("one point two five times its speed", [Quantity(1.25, SPEED)]), ("this one, not that one", []), ("a dozen", []),
)  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRITTEN)
def test_quantities_are_read_with_their_units(text: str, expected: list[Quantity]) -> None:
    found = quantities(text)
    assert len(found) == len(expected) and all(one.equals(other) for one, other in zip(found, expected, strict=True))


def test_texts_that_repeat_themselves_are_read_in_bounded_steps() -> None:
    """Without a bound on the length of a number the first takes minutes."""
    assert quantities("one " * 2000) and quantities("1" * 5000) and not quantities("word " * 5000)
    assert not directions("with a " * 2000) and quantities("1/0 and 0/0") == ()


def test_what_goes_up_is_the_nearest_noun() -> None:
    assert directions("Speed it up to 1.5 times its speed and lower the pitch by 200 cents.") == {"faster", "lower"}
    assert directions("Raise the tempo, and drop the key by a semitone.") == {"faster", "lower"}
    assert directions("Turn it up, and transpose it down.") == {"louder", "lower"}
    assert directions("Here is the slow ballad.") == set()


@pytest.mark.parametrize(("name", "wanted", "least"), [("faster", "faster", 0.8), ("slower", "slower", 0.8), ("add", "with drums", 0.7),
                                                      ("remove", "without drums", 0.7)])  # fmt: skip
def test_no_request_of_another_author_is_read_as_its_opposite(name: str, wanted: str, least: float) -> None:
    """The frames of the project's dialogues were written before these guards, and speak freely ("It drags", "Send the drummer home")."""
    texts = [spin(np.random.default_rng(seed), frame).replace("{much}", "") for frame in phrases.EDITS[name] for seed in range(20)]
    named = [directions(text) for text in texts]
    assert not [text for text, found in zip(texts, named, strict=True) if OPPOSITES[wanted] in found]
    assert np.mean([wanted in found for found in named]) > least


# -- the faulty writer --------------------------------------------------------------------------------------------

FOUND_BY = {
    "null": {"empty"}, "nothing": {"empty"}, "several lines": {"one_line"}, "refusal": {"refusal"},
    "the prompt again": {"length", "copy"}, "another language": {"language"}, "chat marks": {"chat_marks"},
    "response mark": {"chat_marks"}, "half a quotation": {"quotes"}, "much too long": {"length"}, "cut": {"sentence"},
    "opening": {"opening"}, "direction": {"direction"}, "number": {"number", "other_number"},
    "unit": {"number", "other_number"}, "another number": {"other_number"},
}  # fmt: skip
MUSIC = "A swing tune in D major: a violin over piano chords, without drums, about 132 beats per minute in 4/4."
ASKED: tuple[dict[str, Any], ...] = (
    {"speed": 1.5}, {"cents": -200}, {"drums": True}, {"level_db": 6}, {"speed": 0.8, "cents": 100}, {"reverse": True},
)  # fmt: skip


def inputs(count: int) -> list[StepInput]:
    results: dict[str, Any] = {"music_caption": {"text": MUSIC}, "vision_caption": {"text": "It feels calm: the sea at sunset."}}
    return [StepInput(Item("set", f"song {seed}", {}), {**results, "edit": {"asked": ASKED[seed % len(ASKED)]}}) for seed in range(count)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_declared_fault_is_found(fault: str, form: str) -> None:
    step, changed = InstructionStep(WriterConfig("faulty"), form), 0
    for given in inputs(12):
        for text in step._texts(0, given):
            task = text.task()
            good = task.from_template()
            spoilt = FAULTS[fault](good, task)
            if spoilt != good:
                refusal = check(tidy(spoilt), text.expectation)
                assert refusal is not None and refusal.rule in FOUND_BY[fault], (spoilt, refusal)
                changed += 1
    assert changed or (form != "muedit" and fault == "unit")


@pytest.mark.parametrize("form", FORMS)
def test_what_a_faulty_writer_says_reaches_no_instruction(form: str) -> None:
    step = InstructionStep(WriterConfig("faulty", tries=2), form)
    outcomes = step(inputs(60))
    assert not any(isinstance(outcome, Rejection) for outcome in outcomes)
    assert {outcome["writer"] for outcome in outcomes} == {"faulty", "template"}
    rules = Counter(entry["rule"] for outcome in outcomes for entry in outcome["refused"])
    assert sum(rules.values()) > 40 and (form != "muedit" or rules["direction"] and rules["number"])
    for given, outcome in zip(inputs(60), outcomes, strict=True):
        assert all(check(outcome[text.part], text.expectation) is None for text in step._texts(0, given))
        failures = Counter(entry["part"] for entry in outcome["refused"])
        assert outcome["tries"] <= 4 and (outcome["writer"] == "template") == (max(failures.values(), default=0) == 2)
    assert outcomes == step(inputs(60))


def test_half_of_its_texts_are_spoilt() -> None:
    tasks = [WritingTask("", lambda rng: "Speed it up to 1.5 times its speed.", seed) for seed in range(200)]
    spoilt = np.mean([text != "Speed it up to 1.5 times its speed." for text in FaultyWriter().write(tasks)])
    assert 0.4 < spoilt < 0.6 and len(PARTS) == 2
