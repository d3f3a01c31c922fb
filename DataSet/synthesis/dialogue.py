"""A dialogue of one instruction and one answer, and the form of answers that announce music."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from DataSet.synthesis import lore
from DataSet.synthesis.wishes import full_caption
from DataSet.synthesis.wording import chance, choose
from llama.media.score import ACCOMPANIMENTS, LEADS, METRES, MODES, STYLES, TEMPI, Attributes

AUDIO_TOKENS = "".join(f"[AUD{index}]" for index in range(8))
ATTRIBUTE_VALUES: Mapping[str, tuple[Any, ...]] = {"lead": tuple(LEADS), "mode": MODES, "style": STYLES, "metre": METRES, "key": tuple(range(12)), "accompaniment": tuple(ACCOMPANIMENTS)}


@dataclass(frozen=True)
class Dialogue:
    """One instruction and its answer.

    kind: the generator's case. caption: the music decoder's caption; None for an answer in words alone.
    """

    instruction: str
    answer: str
    kind: str
    caption: str | None = None
    piece: Attributes | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "instruction", _JOIN_ARTEFACTS.sub(lambda seam: seam.group(1) or seam.group(2), self.instruction).strip(" "))

    @property
    def announced_piece(self) -> Attributes:
        """The piece that the answer announces. Raises ValueError for an answer in words alone."""
        if self.piece is None:
            raise ValueError(f"This dialogue ({self.kind}) announces no music: {self.answer!r}.")
        return self.piece


_JOIN_ARTEFACTS = re.compile(r" +('d|'m|[.,?!;: ])|([.?])[.]+$")  # artefacts of joining: a blank before a mark, two full stops


def music(rng: np.random.Generator, instruction: str, piece: Attributes, kind: str, *, key: bool = False, note: str = "") -> Dialogue:
    """A dialogue whose answer states the decoder's caption and ends with the eight audio tokens; `key` adds the key."""
    caption = full_caption(piece, key)
    lower = caption[0].lower() + caption[1:]
    announcement = choose(rng, lore.ANNOUNCEMENTS).replace("{caption}", caption).replace("{lower}", lower)
    note = note.replace("{lead}", piece.lead)
    return Dialogue(instruction, f"{note} {announcement} {AUDIO_TOKENS}".strip(), kind, caption, piece)


def random_piece(rng: np.random.Generator) -> Attributes:
    return Attributes(choose(rng, ATTRIBUTE_VALUES["lead"]), choose(rng, ATTRIBUTE_VALUES["accompaniment"]), choose(rng, STYLES), choose(rng, TEMPI), choose(rng, MODES),
                      choose(rng, METRES), chance(rng, 0.5), int(rng.random() * 12))
