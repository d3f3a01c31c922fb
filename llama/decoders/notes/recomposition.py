"""Composing parts of a piece anew: the codes of everything else are forced, and the composed notes join the source's own.

The source's codes are context only. Notes that are kept are taken from the source's score, so they are exact even where the
codes cannot hold them, as after a transposition out of an instrument's register.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from llama.decoders.notes.grammar import CodeGrammar
from llama.decoders.notes.tokens import (
    ACCOMPANIMENT,
    BASS,
    CHORD,
    COPY,
    DRUM,
    FRAME_RATE,
    LEAD,
    LOWEST_STEP,
    REPEAT,
    SAMPLE,
    STEPS,
    STYLE,
    SUSTAIN,
    Codes,
    decode,
    encode,
    frame_count,
    frame_line,
    header_codes,
    read_headers,
)
from llama.media.harmony import reharmonise
from llama.media.score import DRUMS, Attributes, Chord, Note, Score, bass_root, chord_voicing, lead_tonic, nearest_tempo
from llama.media.score_edits import CLOSE, fitting_seconds, score_line, set_part, set_tempo

TRACK_CODEBOOKS = {"lead": LEAD, "accompaniment": ACCOMPANIMENT, "bass": BASS, "drums": DRUM}
LEAD_RANGE = 36  # semitones above the lowest tonic that every lead code reaches
# The style in which accompaniment, bass and drums of a piece are composed anew. In the piece's own the model writes the same
# groove again: of 8 pieces 2 got another bass and 4 another accompaniment, at a temperature of 1.4 not more than 5 and 4.
OTHER_GROOVES: Mapping[str, str] = {"ballad": "rock", "rock": "dance", "dance": "ballad", "waltz": "dance", "ambient": "rock"}
SWING_TEMPERATURE = 2.0  # of these parts in swing, whose eighths no other style has


class RecompositionGrammar(CodeGrammar):
    """Rules of a piece whose codes [K, F] are known, except for the cells of `mask` [K, F], which are sampled."""

    def __init__(self, source: Codes, mask: np.ndarray, groove_temperature: float | None = None) -> None:
        """groove_temperature: of drums, bass and accompaniment; None is that of new pieces."""
        super().__init__(source.shape[1])
        self.source, self.mask, self.groove_temperature = source, mask, groove_temperature

    def temperature(self, codebook: int) -> float | None:
        if self.groove_temperature is not None and codebook in (DRUM, BASS, ACCOMPANIMENT):
            return self.groove_temperature
        return super().temperature(codebook)

    def _make_plan(self, attributes: Attributes) -> Codes:
        """The constraint plan; a copy of a step that is kept would bring the source's notes back, so it is sampled."""
        plan, width = super()._make_plan(attributes), frame_line(attributes, self.frames).width
        for codebook, step in np.argwhere(self.mask & (plan <= COPY)).tolist():
            if not self.mask[codebook, COPY - plan[codebook, step]]:
                plan[codebook, step] = REPEAT if codebook == CHORD and step % width else SAMPLE
        return plan

    def forced_codes(self, codes: Tensor, codebook: int, frame: int) -> Tensor | None:
        forced = [self.forced_code(row, codebook, frame) for row in codes.cpu().numpy()]
        return torch.tensor(forced, device=codes.device) if any(code >= 0 for code in forced) else None

    def _is_sampled(self, codes: Codes) -> np.ndarray:
        return super()._is_sampled(codes) & self.mask

    def forced_code(self, codes: Codes, codebook: int, frame: int) -> int:
        if not self.mask[codebook, frame]:
            return int(self.source[codebook, frame])
        return super().forced_code(codes, codebook, frame)


class Recomposition:
    """The parts `parts` of a piece, composed anew in bars `bars` (first and last, from 1) or everywhere.

    chords: the chords of these bars are new as well: composed with the melody, or chosen by rule for one that is kept.
    other_groove: the parts, which are not the lead, play another groove than the piece's style has.
    `grammar` and `frames` say how to sample the codes, `merge` joins their notes with the source's.
    """

    def __init__(self, score: Score, parts: Sequence[str], bars: tuple[int, int] | None, chords: bool = False,
                 other_groove: bool = False) -> None:
        self.parts, self.line = tuple(parts), score_line(score)
        self.score = replace(score, chords=_fitting_chords(score, bars)) if chords and "lead" not in parts else score
        self.chords = chords and "lead" in parts
        first, last = bars or (1, self.line.bar_count)
        self.first, self.stop = (first - 1) * self.line.width, last * self.line.width  # eighths
        self.ending = bars is None
        source = context_codes(self.score, drums="drums" in parts or score.attributes.drums)
        style = score.attributes.style
        if other_groove and style in OTHER_GROOVES:
            source[: STYLE + 1] = _headers(replace(read_headers(source[:, 0].tolist()), style=OTHER_GROOVES[style]))
        self.frames = source.shape[1]
        hot = other_groove and style not in OTHER_GROOVES
        self.grammar = RecompositionGrammar(source, self._mask(source), SWING_TEMPERATURE if hot else None)

    def _mask(self, source: Codes) -> np.ndarray:
        """Cells [K, F] to be sampled. A kept note that sounds on into the range keeps its codes; so does the final chord."""
        mask = np.zeros(source.shape, bool)
        for part in self.parts:
            codebook, stop = TRACK_CODEBOOKS[part], self.line.eighths if self.ending else self.stop
            first = self.first
            while first < stop and self.first and part != "drums" and source[codebook, first] == SUSTAIN:
                first += 1
            mask[codebook, first : stop + int(self.ending and part == "drums")] = True
        if self.chords:
            mask[CHORD, self.first : self.stop] = True
        return mask

    def merge(self, codes: Tensor) -> Score:
        """The score of codes [K, F]: notes that begin outside the range are the source's own."""
        composed = set_tempo(decode(codes.cpu().numpy()), self.score.attributes.tempo)
        score = replace(self.score, chords=self._joined_chords(composed)) if self.chords else self.score
        for part in self.parts:
            score = set_part(score, part, self._joined(self.score.track(part), composed.track(part), part))
        return score

    def _joined(self, source: Sequence[Note], composed: Sequence[Note], part: str) -> tuple[Note, ...]:
        codebook = TRACK_CODEBOOKS[part]
        steps = np.flatnonzero(self.grammar.mask[codebook])
        if not len(steps):
            return tuple(source)
        start = self.line.time(int(steps[0])) - CLOSE
        stop = self.line.time(int(steps[-1]) + 1) - CLOSE
        kept = [note for note in source if not start <= note.start < stop]
        return (*kept, *(note for note in composed if start <= note.start < stop))


    def _joined_chords(self, composed: Score) -> tuple[Chord, ...]:
        """The composed chords inside the range, at the source's times, and the source's outside."""
        first, stop = self.first // self.line.width, self.stop // self.line.width
        new = [replace(old, root=chord.root, quality=chord.quality) for old, chord in zip(self.score.chords, composed.chords, strict=True)]
        return (*self.score.chords[:first], *new[first:stop], *self.score.chords[stop:])


def _fitting_chords(score: Score, bars: tuple[int, int] | None) -> tuple[Chord, ...]:
    """The chords of a piece, with others for its melody in these bars."""
    first, last = bars or (1, score_line(score).bar_count)
    return (*score.chords[: first - 1], *reharmonise(score)[first - 1 : last], *score.chords[last:])


def context_codes(score: Score, drums: bool) -> Codes:
    """Codes [K, F] of any score, with its notes on the nearest eighths, at the nearest tempo that codes can hold.

    Notes outside a codebook's range move into it by octaves; of several notes of a melody at once the highest is written.
    """
    score = set_tempo(score, nearest_tempo(score.attributes.tempo))
    line, voicings = score_line(score), [chord_voicing(chord.root, chord.quality) for chord in score.chords]

    def chord_at(note: Note) -> int:
        return min(int((note.start + CLOSE) / (line.beat * line.metre)), line.bar_count)

    tonic = lead_tonic(score.attributes)
    melody = sorted(score.lead, key=lambda note: -note.pitch)
    lead = [replace(note, pitch=_fold(note.pitch, tonic, tonic + LEAD_RANGE)) for note in melody]
    voices = {(note.start, pitch): replace(note, pitch=pitch) for note in score.accompaniment
              for pitch in [min(voicings[chord_at(note)], key=lambda voice: abs((voice - note.pitch + 6) % 12 - 6))]}  # fmt: skip
    roots = [bass_root(chord.root) + LOWEST_STEP for chord in score.chords]
    bass = [replace(note, pitch=_fold(note.pitch, roots[chord_at(note)], roots[chord_at(note)] + STEPS - 1)) for note in score.bass]
    seconds = frame_count(score.seconds) / FRAME_RATE
    if abs(seconds - score.seconds) > CLOSE:  # between two steps
        seconds = fitting_seconds(line, score.attributes, line.bar_count, line.end - line.time(line.eighths))
    fitted = replace(
        score, seconds=seconds, lead=tuple(lead), accompaniment=tuple(voices.values()), bass=tuple(bass),
        drums=tuple(note for note in score.drums if note.pitch in DRUMS),
    )  # fmt: skip
    codes = encode(fitted)
    codes[: STYLE + 1] = _headers(replace(score.attributes, drums=drums))
    return codes


def _headers(attributes: Attributes) -> Codes:
    """Header codes [3, 1]."""
    return np.array(header_codes(attributes))[:, None]


def _fold(pitch: int, low: int, high: int) -> int:
    """The pitch moved by octaves into low..high, which is at least an octave."""
    return pitch + 12 * (-(min(pitch - low, 0) // 12)) if pitch < low else pitch - 12 * -(-max(pitch - high, 0) // 12)
