"""Measures the transcriber: notes, beats, bars, chords and attributes of recordings whose score is known.

    python -m recipes.nano.evaluation.measure_transcriber ckpts/nano --work build/nano --pieces 40

Five kinds of held-out recordings: composed pieces played by the model's own decoder, their melody alone, such pieces by
soundfonts of training and by FreePats, which no training clip uses, and real tunes that training does not contain. Notes count as right with the pitch and an
onset within 50 ms (mir_eval; lengths are ignored). For scale: the notes of another piece of the kind, and the notes themselves.

`--sounds FOLDER` writes the recordings, so that another program may transcribe them; `--notes FOLDER` reads what it heard, as in

    basic-pitch --save-note-events build/notes build/sounds/*.wav     # basic-pitch 0.4.0; writes NAME_basic_pitch.csv

Such a program does not know parts: its lead is the highest note at any time, and `kept` is the share of the lead among all its notes.
"""

from __future__ import annotations

import argparse
import csv
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import llama
from DataSet.synthesis.composer import compose, sample_attributes
from DataSet.synthesis.rendering import find_soundfonts
from llama.console import CommandParser, run_command
from llama.encoders.transcriber import Transcriber
from llama.encoders.transcription import Transcription, transcribe
from llama.media.audio import Waveform
from llama.media.score import TRACKS, Note, Score, timeline
from llama.media.score_edits import set_part
from recipes.nano.rendering import audio_mix
from recipes.nano.rendering.audio_mix import SAMPLE_RATE
from recipes.nano.rendering.render_clips import Sources, fonts_for, make_score

KINDS: Mapping[str, str] = {  # kind -> set of render_clips whose pieces and soundfonts it has
    "own decoder": "test_same", "melody alone": "test_same", "soundfonts": "test_same", "unheard soundfont": "test_unseen", "real tunes": "test_tunes",
}  # fmt: skip
SECONDS = (12.0, 24.0)
ONSET_SECONDS = 0.05
SEED = 5151
Notes = tuple[NDArray[np.float64], NDArray[np.float64]]  # intervals [n, 2], frequencies [n]


@dataclass(frozen=True)
class Case:
    """One recording and its score."""

    name: str
    kind: str
    score: Score
    sound: Waveform


def cases(model: llama.MuMuLLaMA, sources: Sources, count: int) -> Iterator[Case]:
    """`count` recordings of every kind. Raises ValueError where the model's decoder plays no notes."""
    for kind, name in KINDS.items():
        for index in range(count):
            rng = np.random.default_rng([SEED, zlib.crc32(kind.encode()), index])
            seconds = float(rng.uniform(*SECONDS))
            if kind in ("own decoder", "melody alone"):
                score = compose(rng, sample_attributes(rng, held_out=True), round(seconds * 6) / 6)
                for part in TRACKS[1:] if kind == "melody alone" else ():
                    score = set_part(score, part, ())
                sound = model.music_decoder.render(score)  # type: ignore[union-attr]
            else:
                score, _ = make_score(rng, name, seconds, sources.tunes)
                fonts = fonts_for(name, sources.fonts)
                voices = audio_mix.plain_voices(score, str(rng.choice(list(fonts), p=list(fonts.values()))), sources.fonts)
                mixed = audio_mix.mix(audio_mix.render_voices(rng, score, voices, sources.fonts))
                sound = Waveform(torch.from_numpy(mixed * np.float32(0.8 / np.abs(mixed).max()))[None], SAMPLE_RATE)
            yield Case(f"{kind.replace(' ', '_')}_{index}", kind, score, sound)


def as_notes(notes: Sequence[Note], offset: float = 0.0) -> Notes:
    times = [(note.start + offset, note.start + offset + max(note.duration, 0.05)) for note in notes]
    return np.array(times).reshape(-1, 2), np.array([440 * 2 ** ((note.pitch - 69) / 12) for note in notes])


def note_f1(reference: Notes, found: Notes) -> float:
    """F1 of notes with the right pitch and onset; nothing found where nothing is counts as right."""
    from mir_eval.transcription import precision_recall_f1_overlap

    if not len(reference[1]) or not len(found[1]):
        return float(len(reference[1]) == len(found[1]))
    score = precision_recall_f1_overlap(*_from_zero(reference, found), onset_tolerance=ONSET_SECONDS, offset_ratio=None)
    return float(score[2])


def note_recall(reference: Notes, found: Notes) -> float:
    from mir_eval.transcription import precision_recall_f1_overlap

    if not len(found[1]):
        return 0.0
    return float(precision_recall_f1_overlap(*_from_zero(reference, found), onset_tolerance=ONSET_SECONDS, offset_ratio=None)[1])


def _from_zero(reference: Notes, found: Notes) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Both, later by a second: mir_eval takes no negative times."""
    return reference[0] + 1, reference[1], found[0] + 1, found[1]


def compare(score: Score, heard: Transcription | None) -> dict[str, float]:
    """What of a score the transcription of its recording has; shares, and 1 or 0 for what is right or not. None: it was refused."""
    if heard is None:
        return dict.fromkeys(compare(score, Transcription(score, 0.0)), 0.0)
    mine, theirs = score.attributes, heard.score.attributes
    row = {part: note_f1(as_notes(score.track(part)), as_notes(heard.score.track(part), heard.first_bar)) for part in TRACKS
           if score.track(part) or heard.score.track(part)}  # fmt: skip
    pitched = [[note for part in TRACKS if part != "drums" for note in piece.track(part)] for piece in (score, heard.score)]
    row["all pitched"] = note_f1(as_notes(pitched[0]), as_notes(pitched[1], heard.first_bar))
    row["kept"] = note_recall(as_notes(score.lead), as_notes(heard.score.lead, heard.first_bar))
    lines = [timeline(piece.attributes, piece.seconds) for piece in (score, heard.score)]
    row["tempo"] = float(abs(theirs.tempo / mine.tempo - 1) < 0.01)
    shift = (heard.first_bar / lines[0].beat + 0.5) % 1 - 0.5
    row["beats"] = float(row["tempo"] == 1.0 and abs(shift) * lines[0].beat < ONSET_SECONDS)
    for name in ("metre", "mode", "key", "style", "lead", "accompaniment", "drums"):
        row[f"{name} named"] = float(getattr(mine, name) == getattr(theirs, name))
    row["bars"] = float((lines[0].bar_count, lines[0].tag, mine.metre) == (lines[1].bar_count, lines[1].tag, theirs.metre) and row["beats"] == 1.0)
    row["chords"] = _chord_share(score, heard)
    return row


def _chord_share(score: Score, heard: Transcription) -> float:
    """Share of the time in which the chord's root and quality are right."""
    times = np.arange(0.05, score.chords[-1].start + score.chords[-1].duration, 0.1)

    def at(piece: Score, time: float) -> tuple[int, str] | None:
        return next(((chord.root, chord.quality) for chord in piece.chords if chord.start <= time < chord.start + chord.duration), None)

    return float(np.mean([at(score, time) == at(heard.score, time - heard.first_bar) for time in times]))


def other_program(score: Score, file: Path) -> dict[str, float]:
    """The same figures of the notes in a file of basic-pitch."""
    with file.open(newline="") as lines:
        rows = [(float(row["start_time_s"]), float(row["end_time_s"]), int(row["pitch_midi"])) for row in csv.DictReader(lines)]
    notes = [Note(start, end - start, pitch, 90) for start, end, pitch in rows]
    top = [note for note in notes if not any(other.pitch > note.pitch and other.start - 0.03 <= note.start < other.start + other.duration for other in notes)]
    pitched = [note for part in TRACKS if part != "drums" for note in score.track(part)]
    return {"lead": note_f1(as_notes(score.lead), as_notes(top)), "all pitched": note_f1(as_notes(pitched), as_notes(notes)),
            "kept": note_recall(as_notes(score.lead), as_notes(notes))}  # fmt: skip


def measure(transcriber: Transcriber, taken: Sequence[Case], notes: Path | None = None) -> dict[str, dict[str, float]]:
    """Row name -> figure -> its mean over the cases of the row."""
    rows: dict[str, list[dict[str, float]]] = {}
    for index, case in enumerate(taken):
        try:
            heard = transcribe(transcriber, case.sound)
        except ValueError as error:
            print(f"{case.name}: {error}")
            heard = None
        rows.setdefault(case.kind, []).append(compare(case.score, heard))
        stranger = taken[index - 1] if index and taken[index - 1].kind == case.kind else taken[index + 1]
        rows.setdefault(f"{case.kind}: another piece", []).append(compare(stranger.score, heard))
        rows.setdefault(f"{case.kind}: the same score", []).append(compare(case.score, Transcription(case.score, 0.0)))
        if notes is not None:
            rows.setdefault(f"{case.kind}: basic-pitch", []).append(other_program(case.score, notes / f"{case.name}_basic_pitch.csv"))
    return {name: _means(found) for name, found in rows.items()}


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table."""
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    lines = [f"| recordings | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {kind} | " + " | ".join(f"{row[name]:.2f}" if name in row else "" for name in names) + " |" for kind, row in figures.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    values = _parser().parse_args(arguments)
    return run_command(lambda: _run(values))


def _run(values: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    model = llama.load(values.model)
    transcriber = Transcriber.from_folder(values.transcriber) if values.transcriber else model.transcriber
    if transcriber is None:
        raise ValueError(f"{values.model} has no transcriber; give one with --transcriber.")
    taken = list(cases(model, Sources(find_soundfonts(values.work / "fonts"), values.work / "tunes.json"), values.pieces))
    if values.sounds:
        values.sounds.mkdir(parents=True, exist_ok=True)
        for case in taken:
            case.sound.write(values.sounds / f"{case.name}.wav")
    print(table(measure(transcriber, taken, values.notes)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m recipes.nano.evaluation.measure_transcriber", description=__doc__)
    parser.add_argument("model", help="folder of a model whose decoder plays notes")
    parser.add_argument("--transcriber", type=Path, help="folder of a transcriber (default: the model's own)")
    parser.add_argument("--work", type=Path, required=True, help="folder with tunes.json and fonts/")
    parser.add_argument("--pieces", type=int, default=40, help="recordings of each kind")
    parser.add_argument("--sounds", type=Path, help="folder to which the recordings are written")
    parser.add_argument("--notes", type=Path, help="folder with what basic-pitch heard in them")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
