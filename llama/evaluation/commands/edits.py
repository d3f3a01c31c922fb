"""`evaluate.py edits`: how exactly edits keep a piece, how much of it files and stems keep, and how well recordings are transcribed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.cli import add_model_flags, load_model, model_name
from llama.evaluation.commands.answers import log_at_intervals
from llama.evaluation.commands.command_flags import add_seed_flag, positive

if TYPE_CHECKING:
    from llama.evaluation.edit_requests import Outcome
    from llama.evaluation.edit_tables import FileFigures
    from llama.evaluation.tables import Table
    from llama.media.score import Score
    from llama.mumu_llama import MuMuLLaMA

LOOP_BARS = 4


def add_edits(commands: Any) -> None:
    edits = commands.add_parser("edits", help="how exactly edits keep a piece, what files and stems keep of it, and recordings")
    add = edits.add_argument
    add("--pieces", type=positive, default=100, metavar="N", help="held-out pieces of the composer (default: %(default)s)")
    add("--recordings", type=Path, metavar="FOLDER", help="recordings NAME.wav with their notes NAME.mid beside, for the last table")
    add("--work", type=Path, metavar="FOLDER", help="the recipe's work folder, whose soundfonts and tunes are heard for the last table")
    add_seed_flag(edits, "the pieces and of what is composed")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where edits.md, edits.json and edits.png go")
    add_model_flags(edits)
    edits.set_defaults(run=run_edits)


def run_edits(values: argparse.Namespace) -> int:
    from llama.decoders.base import ScoreEditor
    from llama.evaluation.run_record import result_meta
    from llama.evaluation.tables import write_tables
    from llama.files import check_writable

    check_writable(values.out / "edits.json", parents=True)
    pairs = recording_pairs(values.recordings) if values.recordings else []
    model = load_model(values)
    if not isinstance(model.music_decoder, ScoreEditor) or not model.music_decoder.edits_scores:
        raise ValueError(f"The decoder of {values.model} writes no notes; give a model whose decoder does, such as ckpts/nano.")
    if (pairs or values.work) and model.transcriber is None:
        raise ValueError(f"{values.model} has no transcriber, so it hears no notes in recordings; leave --recordings and --work out.")
    pieces = held_out_pieces(values.pieces, values.seed)
    tables = [*edit_tables(model, pieces, values.seed), files_table_of(model, pieces)]
    if pairs or values.work:
        tables.append(recordings_table_of(model, pairs, values.work, values.pieces))
    notes = {"model": model_name(values), "pieces": values.pieces, "seed": values.seed, "recordings": len(pairs)}
    print(write_tables(values.out, "edits", tables, result_meta(notes, "mido", "mir_eval")))
    return 0


def recording_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Recordings and their files of notes. Raises FileNotFoundError for a folder without both."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; check --recordings.")
    pairs = [(sound, notes) for sound in sorted(folder.glob("*.wav")) if (notes := sound.with_suffix(".mid")).is_file()]
    if not pairs:
        raise FileNotFoundError(f"{folder} holds no recording with its notes; put NAME.wav and NAME.mid beside each other.")
    return pairs


def held_out_pieces(count: int, seed: int) -> list[Score]:
    """Pieces of 10 to 24 s by the composer, in combinations of attributes that no training set has."""
    import numpy as np

    from DataSet.synthesis.composer import compose, sample_attributes

    rng = np.random.default_rng([77, seed])
    return [compose(rng, sample_attributes(rng, held_out=True), int(rng.integers(60, 145)) / 6) for _ in range(count)]


# -- edits --------------------------------------------------------------------------------------------------------


def edit_tables(model: MuMuLLaMA, pieces: Sequence[Score], seed: int) -> list[Table]:
    """Edits that are given, and the same read from the words."""
    from llama.evaluation.edit_tables import edits_table

    return [
        edits_table(title, measure_edits(model, pieces, words, seed), pieces)
        for title, words in (("Edits of known pieces, the edit given", False), ("Edits of known pieces, read from the words", True))
    ]


def measure_edits(model: MuMuLLaMA, pieces: Sequence[Score], words: bool, seed: int) -> Mapping[str, list[Outcome]]:
    """Request -> what it did to each piece that it fits. words: the model reads the request itself, no edit is given."""
    from llama.dialogue import Turn
    from llama.evaluation.edit_requests import NOT_DONE, REQUESTS, judge
    from llama.generation import GenerationOptions

    log = log_at_intervals()
    outcomes: dict[str, list[Outcome]] = {name: [] for name in REQUESTS}
    for name, request in REQUESTS.items():
        for index, piece in enumerate(map(request.source, pieces)):
            log(f"{name}: {index} of {len(pieces)} pieces")
            if (edit := request.edit(piece)) is None:
                continue
            reply = model.respond(Turn(request.text, score=piece), GenerationOptions(edit=None if words else edit, seed=seed))
            score, music = reply.score, reply.music
            if score is None or music is None or music.samples.shape[-1] != round(score.seconds * music.sample_rate):
                outcomes[name].append(NOT_DONE)
            else:
                outcomes[name].append(judge(name, piece, score))
    return outcomes


# -- files and sound ----------------------------------------------------------------------------------------------


def files_table_of(model: MuMuLLaMA, pieces: Sequence[Score]) -> Table:
    from llama.evaluation.edit_tables import files_table

    return files_table([_file_figures(model, piece) for piece in pieces])


def _file_figures(model: MuMuLLaMA, piece: Score) -> FileFigures:
    """What a piece keeps as MIDI, as MusicXML, as stems and as a loop."""
    from llama.evaluation.edit_requests import bars
    from llama.evaluation.edit_tables import FileFigures, facts, loop_joins, notes_kept, stems_sum
    from llama.media.midi import to_midi
    from llama.media.musicxml import to_musicxml
    from llama.media.score_file import score_from_bytes

    midi, musicxml = score_from_bytes(to_midi(piece), "piece.mid"), score_from_bytes(to_musicxml(piece), "piece.musicxml")
    decoder = model.music_decoder
    stems = [stem.samples.numpy() for stem in decoder.render_stems(piece).values()]
    loop = decoder.render_loop(piece, 1, min(LOOP_BARS, bars(piece))).samples.numpy()
    return FileFigures(
        midi=notes_kept(piece, midi, played=True), musicxml=notes_kept(piece, musicxml, played=False),
        facts=facts(piece) == facts(midi) == facts(musicxml),
        stems_sum=stems_sum(stems, decoder.render(piece).samples.numpy()), loop_joins=loop_joins(loop),
    )  # fmt: skip


# -- recordings ---------------------------------------------------------------------------------------------------


def recordings_table_of(model: MuMuLLaMA, pairs: Sequence[tuple[Path, Path]], work: Path | None, count: int) -> Table:
    """What the transcriber hears in recordings of a folder, and in the recipe's held-out ones."""
    from DataSet.synthesis.rendering import find_soundfonts
    from llama.encoders.transcription import Transcription, transcribe
    from llama.evaluation.edit_tables import recordings_table
    from llama.media.audio import Waveform
    from llama.media.score_file import read_score
    from recipes.nano.evaluation.measure_transcriber import cases, compare
    from recipes.nano.rendering.render_clips import Sources

    heard = [("recordings of the folder", read_score(notes), Waveform.read(sound)) for sound, notes in pairs]
    if work is not None:
        sources = Sources(find_soundfonts(work / "fonts"), work / "tunes.json")
        heard += [(case.kind, case.score, case.sound) for case in cases(model, sources, count)]
    figures: dict[str, list[Mapping[str, float]]] = {}
    for index, (kind, score, sound) in enumerate(heard):
        found = transcribe(model.transcriber, sound)
        figures.setdefault(kind, []).append(compare(score, found))
        figures.setdefault(f"{kind}: another piece", []).append(compare(heard[index - 1][1], found))
        figures.setdefault(f"{kind}: the same notes", []).append(compare(score, Transcription(score, 0.0)))
    return recordings_table(figures)
