"""Writers of instructions and answers: frames, a language model of transformers, a server, and one that is faulty on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from DataSet.pipeline.prompt_files import Decoding
from llama.ranges import check_choice, check_keys

KINDS = ("template", "transformers", "address", "faulty")


@dataclass(frozen=True)
class WriterConfig:
    """A writer. tries: how often a refused text is written anew before the template stands in. prompts: other prompt files, as
    {"human": FILE, "gpt": FILE}. The other fields are those of a captioner: `DataSet.pipeline.captioners.CaptionerConfig`.
    """

    kind: str = "template"
    model: str = ""
    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    decoding: Mapping[str, Any] = field(default_factory=dict)
    tries: int = 3
    url: str = ""
    key_variable: str = ""
    timeout: float = 120.0
    concurrency: int = 8

    def __post_init__(self) -> None:
        check_choice("The writer's kind", self.kind, KINDS)
        if self.has_model and not self.model:
            raise ValueError(f"The writer {self.kind} has no model; give a folder, a hub name, or the server's name for it.")
        if self.kind == "address" and not self.url:
            raise ValueError("The writer address has no url; give the server's, such as http://localhost:8000/v1.")
        if not 1 <= self.tries <= 20:
            raise ValueError(f"A writer tries {self.tries} times; give 1 to 20.")

    @property
    def has_model(self) -> bool:
        return self.kind in ("transformers", "address")

    @property
    def uses_prompts(self) -> bool:
        return self.kind != "template"

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> WriterConfig:
        """The writer of a configuration's mapping. Raises ValueError for an unknown key."""
        check_keys("The writer", cls, values)
        return cls(**values)


@dataclass(frozen=True)
class WritingTask:
    """One text to write. prompt: filled; "" for writers that have none. template: draws the text of our own frames. seed: of this try."""

    prompt: str
    template: Callable[[np.random.Generator], str]
    seed: int
    decoding: Decoding = Decoding()

    def from_template(self) -> str:
        return self.template(np.random.default_rng(self.seed))


class Writer(Protocol):
    """Writes texts. It may raise ValueError for a batch with a task that it cannot take."""

    def write(self, tasks: Sequence[WritingTask]) -> list[str]:
        """One text for each task, in their order."""
        ...


class TemplateWriter:
    """Our own frames, drawn by the seed of the item."""

    def write(self, tasks: Sequence[WritingTask]) -> list[str]:
        return [task.from_template() for task in tasks]
