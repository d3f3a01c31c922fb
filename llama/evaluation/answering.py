"""Asks a model the questions of a benchmark under every control, and keeps the answers as they come: what is stopped goes on."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from llama.errors import sentence
from llama.evaluation.answer_file import Answer, AnswerWriter, Control
from llama.evaluation.benchmarks.base import BenchmarkItem, Recording
from llama.evaluation.choices import parse_choice
from llama.evaluation.controls import (
    Question,
    constant_answers,
    make_questions,
    other_recordings,
    silence_like,
)
from llama.evaluation.question_model import Features, QuestionModel
from llama.evaluation.run_record import digest
from llama.media.audio import Waveform

UNREADABLE = (ValueError, OSError)  # what decoding a recording, and hearing it, may raise
KEPT_FEATURES = 64  # recordings; a recording is asked about beside its neighbours in the circle
WITH_AUDIO = ("own", "swapped", "silence")


@dataclass(frozen=True)
class AnswerOptions:
    """controls: whose rows a table gets. rotations: orders of the choices. batch_size: questions that are answered at once."""

    controls: Sequence[Control] = ("own", "swapped", "silence", "none", "constant")
    rotations: int = 1
    seed: int = 0
    batch_size: int = 8


@dataclass
class AnswerSummary:
    """How many answers the folder has, by control; how many of these recordings could not be heard; and seconds an answer."""

    answered: Counter[str] = field(default_factory=Counter)
    unheard: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    first_error: str = ""

    def add(self, answer: Answer) -> None:
        (self.unheard if answer.error else self.answered)[answer.control] += 1
        self.seconds += answer.seconds
        self.first_error = self.first_error or answer.error

    def lines(self) -> Iterator[str]:
        for control in dict.fromkeys((*self.answered, *self.unheard)):
            asked, unheard = self.answered[control] + self.unheard[control], self.unheard[control]
            yield f"{control}: {asked} asked, {asked - unheard} answered" + (f", {unheard} could not be heard" if unheard else "")
        if self.first_error:
            yield f"The first that could not be heard: {self.first_error}"
        if total := sum(self.answered.values()) - self.answered["constant"]:  # that one is not the model's
            yield f"{self.seconds / total:.3f} s an answer"


def questions_digest(items: Sequence[BenchmarkItem]) -> str:
    """16 hex digits of all that is asked; whether a recording is there does not count, so that it can be got later."""
    rows = [
        [item.id, item.recording.excerpt, item.question, item.choices, item.correct, item.references, item.are_listed] for item in items
    ]
    return digest(rows)


def answer_questions(
    model: QuestionModel, form: str, items: Sequence[BenchmarkItem], asked: Sequence[BenchmarkItem], options: AnswerOptions,
    writer: AnswerWriter, log: Callable[[str], None] = lambda line: None,
) -> AnswerSummary:
    """Answers what `writer` lacks, and counts what it has.

    items: the whole set, from which the other recordings and the constant answers come; asked: those that are asked. A question
    whose own recording cannot be heard is asked under no control, so that all rows of a table have the same questions.
    """
    run = _Run(model, form, items, options, writer, log)
    run.answer(make_questions(run.in_circle(asked), options.controls, options.rotations, options.seed))
    summary, ids = AnswerSummary(), {item.id for item in asked}
    for answer in writer.answers:
        if answer.id in ids and answer.control in options.controls:
            summary.add(answer)
    return summary


class _Run:
    """One call of `answer_questions`: recordings in the order of the circle, so that each is encoded once."""

    def __init__(self, model: QuestionModel, form: str, items: Sequence[BenchmarkItem], options: AnswerOptions, writer: AnswerWriter,
                 log: Callable[[str], None]) -> None:  # fmt: skip
        self.model, self.form, self.options, self.writer, self.log = model, form, options, writer, log
        self.hears = any(control in WITH_AUDIO for control in options.controls)
        model.check(with_audio=self.hears)
        self.recordings: dict[str, Recording] = {}
        for item in items:
            self.recordings.setdefault(item.recording.id, item.recording)
        self.others = other_recordings(self.recordings, options.seed) if "swapped" in options.controls else {}
        self.constants = constant_answers(items) if "constant" in options.controls else {}
        self.cache = _FeatureCache(model)
        self.pending: list[tuple[Question, Features]] = []

    def in_circle(self, items: Sequence[BenchmarkItem]) -> list[BenchmarkItem]:
        """The items in the order of the circle, those of one recording together."""
        position: dict[str, int] = {}
        name = next(iter(self.others), None)
        while name is not None and name not in position:
            position[name] = len(position)
            name = self.others[name]
        for item in items:
            position.setdefault(item.recording.id, len(position))
        return sorted(items, key=lambda item: (position[item.recording.id], str(item.recording.excerpt)))

    def answer(self, questions: Sequence[Question]) -> None:
        open_questions = [question for question in questions if _key(question) not in self.writer.keys]
        done = 0
        for recording, group in _by_recording(open_questions):
            try:
                silence = self._hear(recording, group)
            except UNREADABLE as error:
                for question in group:
                    self._write(question, "", error=sentence(error))
            else:
                self._ask(recording, group, silence)
            done += len(group)
            self.log(f"{done} of {len(open_questions)} questions")
        self._flush(1)

    def _hear(self, recording: Recording, group: Sequence[Question]) -> Features:
        """Encodes a recording; the features of silence of its length, where one is asked about it. Raises one of UNREADABLE.

        Where no control needs it, it is read alone: the model may have no audio encoder.
        """
        if not self.hears:
            recording.read()
            return None
        return self.cache.hear(recording, with_silence=any(question.control == "silence" for question in group))

    def _ask(self, recording: Recording, group: Sequence[Question], silence: Features) -> None:
        for question in group:
            if question.control == "constant":
                self._write(question, self.constants[question.item.id])
                continue
            self.pending.append((question, self._features(question.control, recording, silence)))
            self._flush(self.options.batch_size)

    def _features(self, control: Control, recording: Recording, silence: Features) -> Features:
        if control == "none":
            return None
        if control == "silence":
            return silence
        return self.cache.encode(recording.excerpt, recording.read) if control == "own" else self._other_features(recording)

    def _other_features(self, recording: Recording) -> Features:
        """Of the next recording of the circle that can be heard."""
        name = self.others[recording.id]
        while name != recording.id:
            other = self.recordings[name]
            try:
                return self.cache.encode(other.excerpt, other.read)
            except UNREADABLE:
                name = self.others[name]  # its own questions tell of it
        raise ValueError("The control swapped needs two recordings that can be heard; leave it out, or get the recordings.")

    def _flush(self, least: int) -> None:
        """Answers the questions that wait, if there are `least` of them."""
        if not self.pending or len(self.pending) < least:
            return
        questions, features = zip(*self.pending, strict=True)
        self.pending = []
        start = time.monotonic()
        answers = self.model.answer([question.text for question in questions], features)
        seconds = (time.monotonic() - start) / len(questions)
        for question, answer in zip(questions, answers, strict=True):
            if isinstance(answer, Exception):
                self._write(question, "", error=sentence(answer))
            else:
                self._write(question, answer, seconds)

    def _write(self, question: Question, answer: str, seconds: float = 0.0, error: str = "") -> None:
        item = question.item
        self.writer.write(Answer(
            item.id, item.recording.id, self.form, question.control, item.question, answer, item.references, question.choices,
            question.correct, question.rotation, item.categories, seconds, error,
        ))  # fmt: skip


class _FeatureCache:
    """What the model heard of the last recordings, by excerpt, and why it could not hear others."""

    def __init__(self, model: QuestionModel) -> None:
        self.model = model
        self.features: OrderedDict[Hashable, Features | Exception] = OrderedDict()

    def hear(self, recording: Recording, with_silence: bool) -> Features:
        """Encodes a recording; the features of silence of its length, if asked for. Raises one of UNREADABLE."""
        if not with_silence:
            self.encode(recording.excerpt, recording.read)
            return None
        wave = recording.read()
        self.encode(recording.excerpt, lambda: wave)
        return self.model.encode(silence_like(wave))

    def encode(self, key: Hashable, read: Callable[[], Waveform]) -> Features:
        if key not in self.features:
            try:
                self.features[key] = self.model.encode(read())
            except UNREADABLE as error:
                self.features[key] = error
            while len(self.features) > KEPT_FEATURES:
                self.features.popitem(last=False)
        self.features.move_to_end(key)
        if isinstance(features := self.features[key], Exception):
            raise features
        return features


def _key(question: Question) -> tuple[str, str, int]:
    return question.item.id, question.control, question.rotation


def _by_recording(questions: Sequence[Question]) -> Iterator[tuple[Recording, list[Question]]]:
    groups: dict[Hashable, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.item.recording.excerpt, []).append(question)
    yield from ((group[0].item.recording, group) for group in groups.values())


def predictions(answers: Sequence[Answer]) -> dict[str, str]:
    """Item -> the text of the choice that the model gave for its own recording, or its answer where that names none."""
    result = {}
    for answer in answers:
        if answer.control == "own" and answer.rotation == 0 and not answer.error:
            choice = parse_choice(answer.answer, answer.choices)
            result[answer.id] = answer.answer if choice is None else answer.choices[choice]
    return result
