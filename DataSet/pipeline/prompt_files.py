"""Prompt files: the text that a captioner or writer is asked, with its decoding options, in YAML and under a version.

The digest of the file enters the spec of a step, so that captions of two wordings never mix.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llama.errors import comma_list, quoted
from llama.json_yaml import read_yaml
from llama.ranges import Range

FOLDER = Path(__file__).with_name("prompts")
FIELD = re.compile(r"\{(\w+)\}")
LIMITS = {"max_tokens": Range(int, 1, 100_000), "temperature": Range(float, 0, 2), "top_p": Range(float, 0.01, 1), "beams": Range(int, 1, 64)}
KEYS = {"name", "version", "text", "decoding"}


@dataclass(frozen=True)
class Decoding:
    """How text is decoded. temperature 0 is greedy, or a beam search with more than one of `beams`."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    beams: int = 1

    def __post_init__(self) -> None:
        for name, limits in LIMITS.items():
            limits.check(name, getattr(self, name))
        if self.temperature > 0 and self.beams > 1:
            raise ValueError(f"The decoding has temperature {self.temperature} and {self.beams} beams; give one or the other.")

    def changed(self, values: Mapping[str, Any]) -> Decoding:
        """The same with other values. Raises ValueError for a name that is no option."""
        if unknown := sorted(set(values) - set(LIMITS)):
            raise ValueError(f"decoding names {quoted(unknown[0])}; it takes {comma_list(LIMITS)}.")
        return replace(self, **values)


@dataclass(frozen=True)
class PromptFile:
    """A prompt. text: with {fields} that `filled` replaces. digest: 12 hex digits of the file's SHA-256."""

    name: str
    version: int
    text: str
    decoding: Decoding
    digest: str

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(FIELD.findall(self.text))

    @property
    def wording(self) -> str:
        """The prompt without its fields: what an answer must not repeat."""
        return FIELD.sub(" ", self.text)

    def filled(self, facts: Mapping[str, str]) -> str:
        """The text with its fields replaced. Raises ValueError for a field that the facts lack."""
        if missing := [field for field in self.fields if not facts.get(field)]:
            raise ValueError(f"The prompt {self.name} needs {missing[0]}, which this item lacks; caption it first, or take another prompt.")
        return FIELD.sub(lambda match: facts[match[1]], self.text)

    def settings(self) -> dict[str, Any]:
        """What a step's spec says of it."""
        return {"name": self.name, "version": self.version, "digest": self.digest, "decoding": asdict(self.decoding)}


def read_prompt(name: str | Path, decoding: Mapping[str, Any] | None = None) -> PromptFile:
    """The prompt of a YAML file, or of that name in DataSet/pipeline/prompts. decoding: options that override the file's.

    Raises FileNotFoundError without the file, ValueError for one that is no prompt, in one sentence.
    """
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = comma_list(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise FileNotFoundError(f"There is no prompt file {path}; give a YAML file, or one of: {known}.")
    values = read_yaml(path)
    if not isinstance(values, dict) or not set(values) <= KEYS or not KEYS - {"decoding"} <= set(values):
        raise ValueError(f"{path} is no prompt; it needs name, version and text, and may have decoding.")
    if not isinstance(values["text"], str) or not values["text"].strip() or not isinstance(values["version"], int):
        raise ValueError(f"{path} has no text, or a version that is no whole number; give both.")
    options = _decoding(path, values.get("decoding")).changed(decoding or {})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return PromptFile(str(values["name"]), values["version"], values["text"].strip(), options, digest)


def _decoding(path: Path, values: object) -> Decoding:
    if not isinstance(values, dict | None):
        raise ValueError(f"{path}: decoding is {quoted(values)}; give lines of the form key: value, of {comma_list(LIMITS)}.")
    try:
        return Decoding().changed(values or {})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
