"""Edits of the score of a piece that was composed here: the same notes at another tempo, in another key, on another instrument.

What a stretched recording cannot be, such an edit is: exact, and as clean as its source. Both are rendered anew from their scores, so
that no coding tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from DataSet.pipeline.audio_edits import match_levels
from DataSet.synthesis.composer import compose
from DataSet.synthesis.wishes import apply_edit, even_tempo
from llama.decoders.notes.sampler import SAMPLE_RATE, Sampler
from llama.errors import quoted
from llama.media.audio import Waveform
from llama.media.score import ENDING_REST, KEYS, LEADS, TRACKS, Attributes, Note, Score, timeline

CHANGES = ("slower", "faster", "key", "lead", "drums")
TEMPO_FACTORS = {"slower": 0.8, "faster": 1.25}  # near it: tempi are whole and even
FIELDS = ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums", "key")


@dataclass(frozen=True)
class ComposedPiece:
    """What a piece of the made set is: its attributes, its length, and the seed of its composer."""

    attributes: Attributes
    seconds: float
    seed: tuple[int, ...]

    @classmethod
    def from_truth(cls, truth: Mapping[str, Any]) -> ComposedPiece:
        """The piece of an item's truth. Raises ValueError where it does not say how the piece was made."""
        if missing := [name for name in (*FIELDS, "seconds", "seed") if name not in truth]:
            raise ValueError(f"The notes of this recording are not known ({missing[0]} is missing); edit it by another operation.")
        return cls(Attributes(**{name: truth[name] for name in FIELDS}), float(truth["seconds"]), tuple(truth["seed"]))

    def score(self) -> Score:
        return compose(np.random.default_rng(self.seed), self.attributes, self.seconds)


def asked_change(piece: Attributes, change: str, seed: int) -> dict[str, Any]:
    """The new value of an attribute, such as {"tempo": 126}: in the fields of an edit's `asked`. Raises ValueError for an unknown change."""
    rng = np.random.default_rng(seed)
    match change:
        case "slower" | "faster":
            tempo = even_tempo(piece.tempo * TEMPO_FACTORS[change])
            if tempo == piece.tempo:
                raise ValueError(f"A piece at {tempo} bpm does not get {change}; ask for another change.")
            return {"tempo": tempo}
        case "key":
            return {"key": int(rng.choice([key for key in range(len(KEYS)) if key != piece.key])), "mode": piece.mode}
        case "lead":
            return {"lead": str(rng.choice([lead for lead in LEADS if lead not in (piece.lead, piece.accompaniment)]))}
        case "drums":
            return {"drums": not piece.drums}
    raise ValueError(f"The change {quoted(change)} of a score is unknown; choose one of {', '.join(CHANGES)}.")


def edited_score(piece: ComposedPiece, asked: Mapping[str, Any]) -> Score:
    """The score of the piece with other attributes, its notes kept: composed from the same seed, or played faster or slower."""
    attributes = apply_edit(piece.attributes, asked)
    unhurried = replace(attributes, tempo=piece.attributes.tempo)  # a composer writes other melodies for another tempo
    score = ComposedPiece(unhurried, piece.seconds, piece.seed).score()
    return score if attributes == unhurried else _at_tempo(score, attributes)


def _at_tempo(score: Score, attributes: Attributes) -> Score:
    """The same notes and chords at the tempo of `attributes`."""
    ratio = score.attributes.tempo / attributes.tempo
    tracks = {name: tuple(replace(note, start=note.start * ratio, duration=note.duration * ratio) for note in score.track(name)) for name in TRACKS}
    chords = tuple(replace(chord, start=chord.start * ratio, duration=chord.duration * ratio) for chord in score.chords)
    end = timeline(score.attributes, score.seconds).end * ratio
    return Score(attributes, end + ENDING_REST, chords=chords, **tracks)


def render_pair(source: Score, edit: Score, sampler: Sampler, channels: int = 1) -> tuple[Waveform, Waveform]:
    """Both scores played, at equal level, with one or two channels at the sampler's rate."""
    return match_levels(_rendered(source, sampler, channels), _rendered(edit, sampler, channels))


def _rendered(score: Score, sampler: Sampler, channels: int) -> Waveform:
    wave = Waveform(torch.from_numpy(sampler.render(score)), SAMPLE_RATE)
    return wave.mono() if channels == 1 else wave


def kept_notes(source: Score, edit: Score, asked: Mapping[str, Any]) -> float:
    """Share of the source's notes that the edit has at the same beat, moved by the asked interval.

    Lead and bass count by pitch class, since they fold into their registers; chords by their beat alone, since a transposed one may be
    another inversion; drums where both have them.
    """
    ratio, steps = edit.attributes.tempo / source.attributes.tempo, expected_interval(source.attributes, asked)
    kept = count = 0
    for track in TRACKS:
        if track == "drums" and "drums" in asked:
            continue
        wanted = [(note.start / ratio, _pitch(note, steps, track)) for note in source.track(track)]
        there = [(note.start, _pitch(note, 0, track)) for note in edit.track(track)]
        kept += sum(any(abs(start - other) < 0.005 and pitch == name for other, name in there) for start, pitch in wanted)
        count += len(wanted)
    return kept / count if count else 1.0


def _pitch(note: Note, steps: int, track: str) -> int:
    return {"drums": note.pitch, "accompaniment": 0}.get(track, (note.pitch + steps) % 12)


def expected_interval(source: Attributes, asked: Mapping[str, Any]) -> int:
    """Semitones, 0 to 11, by which the pitch classes of the edit lie above the source's."""
    return (asked.get("key", source.key) - source.key) % 12

