"""Streaming decoder of note codes; equal to decoding all codes at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from llama.decoders.notes.mixer import SAMPLE_RATE, Samples
from llama.decoders.notes.sampler import Sampler
from llama.decoders.notes.tokens import (
    ACCOMPANIMENT,
    BASS,
    DRUM,
    LEAD,
    ONSET,
    SILENT,
    SUSTAIN,
    Codes,
    decode,
    frame_line,
    frame_seconds,
    read_headers,
)
from llama.media.score import TRACKS, Attributes, Note, Score

CODEBOOK_OF = {"lead": LEAD, "accompaniment": ACCOMPANIMENT, "bass": BASS, "drums": DRUM}


class NoteStream:
    """Decodes codes that grow, as `EncodecStream` does: each call gets all codes so far and returns the sound that became final."""

    def __init__(self, sampler: Sampler, frames: int) -> None:
        """frames: number of frames of the whole piece, on which its form depends."""
        self._sampler, self._frames = sampler, frames
        self._rows: list[PieceStream] = []
        self._waiting: list[Samples] = []  # of each row, [2, n]: sound that other rows have not reached

    def feed(self, codes: Tensor, last: bool) -> Tensor:
        """New sound [B, 2, n] of codes [B, K, m], m growing from call to call; `last`: these are all, return all sound."""
        rows = codes.cpu().numpy()
        if not self._rows:
            self._rows = [PieceStream(self._sampler, read_headers(row[:, 0].tolist()), self._frames) for row in rows]
            self._waiting = [np.zeros((2, 0), np.float32) for _ in rows]
        sounds = [piece.feed(row, last) for piece, row in zip(self._rows, rows, strict=True)]
        sounds = [np.concatenate(pair, 1) for pair in zip(self._waiting, sounds, strict=True)]
        ready = min(sound.shape[1] for sound in sounds)
        self._waiting = [sound[:, ready:] for sound in sounds]
        return torch.from_numpy(np.stack([sound[:, :ready] for sound in sounds])).to(codes.device)


class PieceStream:
    """Decodes the growing codes of one piece. Every note is read once, and again for as long as it may become longer."""

    def __init__(self, sampler: Sampler, attributes: Attributes, frames: int) -> None:
        self._frames, self._line = frames, frame_line(attributes, frames)
        self._renderer = sampler.renderer(attributes, frame_seconds(frames))
        self._settled: dict[str, tuple[Note, ...]] = dict.fromkeys(TRACKS, ())  # notes that later codes cannot change
        self._first = dict.fromkeys(TRACKS, 0)  # the step at which the others may begin

    def feed(self, codes: Codes, last: bool) -> Samples:
        """New sound [2, n] of codes [K, m], m growing from call to call."""
        if self._renderer.complete:
            return np.zeros((2, 0), np.float32)
        score, decided = self._extend(codes)
        everything = last or codes.shape[1] > self._line.eighths
        return self._renderer.render(score, self._renderer.samples if everything else decided)

    def _extend(self, codes: Codes) -> tuple[Score, int]:
        """The score of codes [K, m], and how many samples of the piece no later code changes.

        Notes that sound on at the end of the codes end there: they may still become longer, but not shorter.
        """
        frames = codes.shape[1]
        fresh = decode(self._unsettled(codes))
        tracks, decided = dict[str, tuple[Note, ...]](), round(self._line.time(frames) * SAMPLE_RATE)
        for track, codebook in CODEBOOK_OF.items():
            notes = fresh.track(track)
            tracks[track] = self._settled[track] + notes
            self._first[track] = frames if track == "drums" else last_open_step(codes[codebook])
            settled = sum(note.start < self._line.time(self._first[track]) for note in notes)
            self._settled[track] += notes[:settled]
            decided = min([decided, *map(_end, notes[settled:])])
        return Score(fresh.attributes, fresh.seconds, chords=fresh.chords, **tracks), decided

    def _unsettled(self, codes: Codes) -> Codes:
        """Codes [K, frames] of the whole piece in which settled notes and those to come are silent."""
        codes = np.pad(codes, ((0, 0), (0, self._frames - codes.shape[1])), constant_values=SILENT)
        for track, codebook in CODEBOOK_OF.items():
            codes[codebook, : self._first[track]] = SILENT
        return codes


def last_open_step(events: Codes) -> int:
    """The step at which the note began that sounds at the end of events [m] of a track; m if none does."""
    ended = np.flatnonzero(events != SUSTAIN)
    return int(ended[-1]) if len(ended) and events[ended[-1]] >= ONSET else len(events)


def _end(note: Note) -> int:
    """Sample of the piece at which a note is released."""
    return round(note.start * SAMPLE_RATE) + round(note.duration * SAMPLE_RATE)
