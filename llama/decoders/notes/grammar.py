"""Grammar of note codes: which codes may follow, given the constraint plan of a bar."""

from __future__ import annotations

import torch
from torch import LongTensor

from llama.decoders.notes.tokens import (
    ACCOMPANIMENT,
    CLOCK,
    COPY,
    FINAL_CLOCK,
    FULL_CHORD,
    LEAD,
    ONSET,
    REPEAT,
    SAMPLE,
    STYLE,
    TEMPERATURES,
    Codes,
    constraint_plan,
    frame_line,
    read_headers,
)
from llama.media.score import (
    Attributes,
    scale_pitch,
)


def home_code(mode: str, last: int | None) -> int:
    """The last note of a melody: the tonic nearest to the note before it, given as its code (None: there was none)."""
    degree, raised = divmod(min((last - ONSET) // 2, 43), 2) if last is not None else (7, 0)
    height = scale_pitch(0, mode, degree, bool(raised))
    octave = min((0, 1, 2), key=lambda number: abs(12 * number - height))
    return ONSET + octave * 7 * 4 + 1


class CodeGrammar:
    """What a decoder of `frames` frames may take as given: headers held, clock and form computed, notes on eighths only."""

    def __init__(self, frames: int) -> None:
        if frames < 1:
            raise ValueError(f"A piece of {frames} frames cannot be written; ask for at least 1.")
        self.frames = frames
        self._plans: dict[tuple[int, ...], list[list[int]]] = {}

    def _plan(self, codes: Codes) -> list[list[int]]:
        """[K][frames] of a piece with these headers; each is planned once. Lists, for single numbers are asked of them."""
        headers = tuple(codes[: STYLE + 1, 0].tolist())
        if headers not in self._plans:
            self._plans[headers] = self._planned(read_headers(headers)).tolist()
        return self._plans[headers]

    def _planned(self, attributes: Attributes) -> Codes:
        """The plan; a piece too short for a bar begins with its chord in any case."""
        out, line = constraint_plan(attributes, self.frames), frame_line(attributes, self.frames)
        if not line.bar_count and line.eighths:
            out[ACCOMPANIMENT, 0] = FULL_CHORD
        return out

    def forced(self, codes: LongTensor, book: int, frame: int) -> LongTensor | None:
        """Codes that must stand at (book, frame): [B], negative where a row is free; None where all are.

        Args:
            codes: [B, K, frames], known at all earlier frames and at the lower books of this one.
        """
        if book <= STYLE:
            return None if frame == 0 else codes[:, book, 0]  # type: ignore[return-value]
        known = [self.code(row, book, frame) for row in codes.cpu().numpy()]
        return torch.tensor(known, device=codes.device) if any(code >= 0 for code in known) else None  # type: ignore[return-value]

    def code(self, codes: Codes, book: int, frame: int) -> int:
        """What must stand at (book, frame) of one piece [K, frames], known as for `forced`; negative where it is free."""
        if book <= STYLE:
            return SAMPLE if frame == 0 else int(codes[book, 0])
        if book == LEAD and codes[CLOCK, frame] == FINAL_CLOCK:
            return self._home(codes, frame)
        known = self._plan(codes)[book][frame]
        if known == REPEAT and frame > 0:
            return int(codes[book, frame - 1])
        return int(codes[book, COPY - known]) if known <= COPY else known

    def _home(self, codes: Codes, frame: int) -> int:
        """The note that a melody would end on at this frame."""
        struck = codes[LEAD, :frame][codes[LEAD, :frame] >= ONSET]
        return home_code(read_headers(codes[: STYLE + 1, 0].tolist()).mode, int(struck[-1]) if len(struck) else None)

    def temperature(self, book: int) -> float | None:
        """Sampling temperature of a book: a tempo asked for is kept, plans may vary, grooves are steady."""
        return TEMPERATURES[book]
