"""Answers of a model to a benchmark's questions, one JSON line each: what `evaluate.py answers` writes and the metrics read.

Generating and scoring are apart, so that the answers of any system can be scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

# own: the item's recording; swapped: another item's; silence: as long; none: no recording; constant: one fixed answer, not the model's.
Control = Literal["own", "swapped", "silence", "none", "constant"]
CONTROLS: tuple[Control, ...] = get_args(Control)
ANSWERS = "answers.jsonl"


@dataclass(frozen=True)
class Answer:
    """One answer. id: of the question in its benchmark; recording: intervals are taken over these, since several questions share one.

    references: accepted answers or captions. choices: as they were shown, in that order; correct: index of the right one, None for
    open questions. rotation: of the choices. error: why the recording could not be heard; such answers are counted, not scored.
    """

    id: str
    recording: str
    form: str
    control: Control
    question: str
    answer: str
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    correct: int | None = None
    rotation: int = 0
    categories: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, "references": tuple(values["references"]), "choices": tuple(values["choices"])})
