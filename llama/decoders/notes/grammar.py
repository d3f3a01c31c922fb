"""Grammar of note codes: the codes that are computed instead of sampled, from the constraint plan of a piece."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    """Code of a melody's last note: the tonic nearest to the note before it, whose code is `last` (None if there is none)."""
    degree, raised = divmod(min((last - ONSET) // 2, 43), 2) if last is not None else (7, 0)
    height = scale_pitch(0, mode, degree, bool(raised))
    octave = min((0, 1, 2), key=lambda number: abs(12 * number - height))
    return ONSET + octave * 7 * 4 + 1


class CodeGrammar:
    """Rules for a piece of `frames` frames: headers repeat, clock and form are computed, returning sections are copied."""

    def __init__(self, frames: int) -> None:
        if frames < 1:
            raise ValueError(f"A piece of {frames} frames cannot be written; ask for at least 1.")
        self.frames = frames
        self._plans: dict[tuple[int, ...], list[list[int]]] = {}
        self._sampled_frames: dict[tuple[int, ...], int] = {}

    def _plan(self, codes: Codes) -> list[list[int]]:
        """Constraint plan [K][frames] for the headers of codes [K, F], cached. Lists, because single numbers are read from it."""
        headers = tuple(codes[: STYLE + 1, 0].tolist())
        if headers not in self._plans:
            self._plans[headers] = self._make_plan(read_headers(headers)).tolist()
        return self._plans[headers]

    def _make_plan(self, attributes: Attributes) -> Codes:
        """The constraint plan; a piece shorter than a bar begins with its chord in any case."""
        plan, line = constraint_plan(attributes, self.frames), frame_line(attributes, self.frames)
        if not line.bar_count and line.eighths:
            plan[ACCOMPANIMENT, 0] = FULL_CHORD
        return plan

    def forced_codes(self, codes: Tensor, codebook: int, frame: int) -> Tensor | None:
        """Codes [B] that must stand at (codebook, frame); negative for a row that is free, None if all rows are.

        Args:
            codes: [B, K, frames] int64, final at all earlier frames and at the lower codebooks of this frame.
        """
        if codebook <= STYLE:
            return None if frame == 0 else codes[:, codebook, 0]
        forced = [self.forced_code(row, codebook, frame) for row in codes.cpu().numpy()]
        return torch.tensor(forced, device=codes.device) if any(code >= 0 for code in forced) else None

    def forced_code(self, codes: Codes, codebook: int, frame: int) -> int:
        """The code that must stand at (codebook, frame) of one row [K, frames]; negative where it is free."""
        if codebook <= STYLE:
            return SAMPLE if frame == 0 else int(codes[codebook, 0])
        if codebook == LEAD and codes[CLOCK, frame] == FINAL_CLOCK:
            return self._home(codes, frame)
        planned = self._plan(codes)[codebook][frame]
        if planned == REPEAT and frame > 0:
            return int(codes[codebook, frame - 1])
        return int(codes[codebook, COPY - planned]) if planned <= COPY else planned

    def _home(self, codes: Codes, frame: int) -> int:
        """The last note of a melody that ends at this frame."""
        onsets = codes[LEAD, :frame][codes[LEAD, :frame] >= ONSET]
        return home_code(read_headers(codes[: STYLE + 1, 0].tolist()).mode, int(onsets[-1]) if len(onsets) else None)

    def sampled_frames(self, codes: Codes) -> int:
        """Frames of one row [K, F] whose first frame is final, behind which every code is computed: a slow piece ends in the
        middle of its frames, since each is an eighth note."""
        headers = tuple(codes[: STYLE + 1, 0].tolist())
        if headers not in self._sampled_frames:
            free = self._is_sampled(codes)[STYLE + 1 :].any(0)
            self._sampled_frames[headers] = int(np.flatnonzero(free)[-1]) + 1 if free.any() else 1
        return self._sampled_frames[headers]

    def _is_sampled(self, codes: Codes) -> NDArray[np.bool_]:
        """Cells [K, F] that are sampled in a piece with the headers of codes [K, F]."""
        return np.array(self._plan(codes)) == SAMPLE

    def temperature(self, codebook: int) -> float | None:
        """Sampling temperature of a codebook: low for the requested tempo and for steady grooves, high for chords and melody."""
        return TEMPERATURES[codebook]
