"""Data source: where examples come from, in which form, and how often they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from llama.config import MODALITIES
from llama.errors import comma_list, require_fields

Form = Literal["captions", "captions_to_music", "musicqa", "alpaca", "instructions", "songs", "tar", "hub"]


@dataclass(frozen=True)
class Source:
    """One source of a stage's data; its fields are the keys of a source in the YAML file.

    file: the JSON file, the shards of a tar set, or a data set's folder or name on the hub. media: the folder of its
    recordings, pictures and clips (default: the JSON file's folder), or the folder of songs. times: how often an
    epoch shows each example; 0.5 is a random half.
    """

    form: Form
    file: str = ""
    media: str = ""
    kind: Literal["audio", "image", "video"] | None = None  # what captions describe; None: by each file's suffix
    times: float = 1.0
    columns: Mapping[str, str] = field(default_factory=dict)  # tar and hub: our name of a field -> its name in the data set
    split: str | None = None  # hub
    name: str | None = None  # hub: the data set's configuration, if it has several

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"the form {self.form!r} is unknown; choose {comma_list(get_args(Form))}.")
        if self.kind not in (None, *MODALITIES):
            raise ValueError(f"the kind {self.kind!r} is unknown; choose {comma_list(MODALITIES)}, or leave it out.")
        if self.form == "songs" and bool(self.file) == bool(self.media):
            raise ValueError("songs are one folder: name it with media alone.")
        if self.form != "songs" and not self.file:
            raise ValueError(f"{self.form} without a file: name it with file.")
        require_fields(self, ("times",), lambda value: value > 0, "more than 0")

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.file or self.name or self.media or f"A source of form {self.form}"


Sources = Mapping[int, tuple[Source, ...]]
