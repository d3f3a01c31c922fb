"""How a music decoder carries out an edit of a score: the codes that it samples for it, and the score that results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from llama.media.edit import apply_edit, check_edit, prepare

if TYPE_CHECKING:
    from torch import Tensor

    from llama.decoders.base import CodeRecomposition, EditableCodec
    from llama.media.edit import Edit
    from llama.media.score import Score


@dataclass(frozen=True)
class EditPlan:
    """An edit of a piece in two steps: what is composed anew is sampled, then the rest changes by rule.

    One request at a time and the engine's batch both follow it, so that their notes are equal.
    """

    source: Score
    edit: Edit
    recomposition: CodeRecomposition | None  # None: nothing is composed

    @classmethod
    def of(cls, codec: EditableCodec, source: Score, edit: Edit) -> Self:
        """The plan of an edit. Raises ValueError for bars that the piece does not have, and where nothing is left to hear."""
        check_edit(source, edit)
        return cls(source, edit, codec.recomposition(source, edit))

    @property
    def seconds(self) -> float:
        """Length of the edited piece."""
        return apply_edit(prepare(self.source, self.edit), self.edit).seconds

    def score(self, codes: Tensor | None) -> Score:
        """The edited piece. codes [K, F]: those sampled for the recomposition, None without one."""
        assert (codes is None) == (self.recomposition is None), "codes are sampled for what is composed"
        source = self.source if self.recomposition is None or codes is None else self.recomposition.merge(codes)
        return apply_edit(source, self.edit)
