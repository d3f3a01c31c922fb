"""`evaluate.py editing`: edited recordings of one or more systems against what was asked and against their sources."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama.evaluation.commands.command_flags import (
    add_placement_flags,
    add_seed_flag,
    add_system_flag,
    placement_of,
    systems_of,
)

if TYPE_CHECKING:
    import numpy as np

    from llama.evaluation.editing_comparison import EditCase, EditScore
    from llama.evaluation.tables import Table


def add_editing(commands: Any) -> None:
    parser = commands.add_parser("editing", help="edits: asked against measured speed and pitch, likeness to the source, drift, LSD")
    add = parser.add_argument
    add("--folder", type=Path, required=True, metavar="FOLDER", help="the set: its list and, in audios/ or beside it, its recordings")
    add("--list", type=Path, metavar="FILE", help="the list, as published for MUEdit (default: the folder's only one, or its Eval one)")
    add_system_flag(parser, "edits of a system, named as the list's output files")
    add("--embedder", default="nano", metavar="MODEL", help="for FAD to the set's targets, or none (default: %(default)s)")
    add("--classifier", metavar="MODEL", help="for KL: ast, or ast=FOLDER (default: KL is not measured)")
    add_seed_flag(parser, "the swapped recordings and of intervals")
    add_placement_flags(parser)
    add("--out", type=Path, required=True, metavar="FOLDER", help="where editing.md, editing.json and editing.png go")
    parser.set_defaults(run=run_editing)


def run_editing(values: argparse.Namespace) -> int:
    from llama.evaluation.edit_lists import find_list, find_media, read_edit_list
    from llama.evaluation.editing_comparison import SILENCE, SWAPPED, TARGET, UNCHANGED, editing_tables
    from llama.evaluation.media_folders import AUDIO, list_media
    from llama.evaluation.run_record import result_meta
    from llama.evaluation.tables import write_tables
    from llama.files import check_writable

    check_writable(values.out / "editing.json", parents=True)
    file = values.list or find_list(values.folder)
    cases = [_with_words(case, text) for case, text in read_edit_list(file)]
    media = find_media(values.folder)
    folders = systems_of(values.system, (SILENCE, SWAPPED, TARGET, UNCHANGED))
    files = {name: list_media(folder, AUDIO) for name, folder in folders.items()}
    scores, missing, problems = score_systems(cases, list_media(media, AUDIO), files, values.seed)
    tables = editing_tables(scores, missing, cases)
    if values.embedder != "none":
        tables.append(_sound_table(values, cases, media, files))
    notes = {"list": str(file), "systems": folders, "seed": values.seed, "embedder": values.embedder, "problems": problems}
    print(write_tables(values.out, "editing", tables, result_meta(notes)), end="")
    return 0


def _with_words(case: EditCase, text: str) -> EditCase:
    """The case with the values that its instruction states, where the list has none: what is not named is to stay."""
    from dataclasses import replace

    from DataSet.pipeline.edit_reading import read_edit

    if case.operation or not (asked := read_edit(text)):
        return case
    changed = [name for name in ("speed", "cents") if name in asked]
    operation = {"speed": "speed", "cents": "pitch", "speed cents": "both"}.get(" ".join(changed), "level")
    return replace(case, operation=operation, speed=asked.get("speed", 1.0), cents=asked.get("cents", 0.0))


def score_systems(
    cases: Sequence[EditCase], media: Mapping[str, Path], systems: Mapping[str, Mapping[str, Path]], seed: int
) -> tuple[dict[str, list[EditScore]], dict[str, int], dict[str, str]]:
    """Scores by system and control, missing files by system, and why files could not be read, by "SYSTEM/NAME"."""
    import numpy as np

    from llama.evaluation.controls import other_recordings
    from llama.evaluation.editing_comparison import SILENCE, SWAPPED, TARGET, UNCHANGED, score_edit

    sounds = _Sounds()
    scores: dict[str, list[EditScore]] = {label: [] for label in (*systems, TARGET, UNCHANGED, SWAPPED, SILENCE)}
    missing = dict.fromkeys(systems, 0)
    usable = {case.recording: case for case in cases if sounds.source(case.recording, media.get(case.recording)) is not None}
    if not usable:
        raise ValueError(f"None of the {len(cases)} sources of the list is in the set's folder, or none can be read; check --folder.")
    others = other_recordings(usable, seed) if len(usable) > 1 else {}
    for case in cases:
        if (source := sounds.source(case.recording, media.get(case.recording))) is None:
            continue
        target = sounds.read("set", case.name, media.get(case.name))
        edits = {label: sounds.read(label, case.name, files.get(case.name)) for label, files in systems.items()}
        missing = {label: missing[label] + (edit is None) for label, edit in edits.items()}
        swapped = _target_or_source(sounds, usable[others[case.recording]], media) if others else None
        edits |= {TARGET: target, UNCHANGED: source, SWAPPED: swapped, SILENCE: np.zeros_like(source)}
        for label, edit in edits.items():
            if edit is not None:
                scores[label].append(score_edit(case, source, edit, target))
    return {label: found for label, found in scores.items() if found or label in systems}, missing, sounds.problems


def _target_or_source(sounds: _Sounds, case: EditCase, media: Mapping[str, Path]) -> np.ndarray | None:
    """The target of another recording, or that recording where the set has no targets."""
    target = sounds.read("set", case.name, media.get(case.name))
    return sounds.read("set", case.recording, media.get(case.recording)) if target is None else target


class _Sounds:
    """Reads recordings as one channel at the measuring rate. problems: "SYSTEM/NAME" -> why a file could not be read."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    def read(self, label: str, name: str, path: Path | None) -> np.ndarray | None:
        """The samples; None where there is no file, or none that can be read."""
        from llama.errors import USER_ERRORS, sentence
        from llama.evaluation.editing_comparison import MEASURING_RATE
        from llama.media.audio import Waveform

        if path is None:
            return None
        try:
            return Waveform.read(path).mono().resample(MEASURING_RATE).samples[0].numpy()
        except (*USER_ERRORS, OSError) as error:
            self.problems[f"{label}/{name}"] = sentence(error)
            return None

    def source(self, name: str, path: Path | None) -> np.ndarray | None:
        """The samples of a source; None where nothing in it can be measured."""
        from llama.evaluation.editing_comparison import MEASURING_RATE
        from llama.evaluation.editing_metrics import check_recording

        if path is None:
            self.problems[f"set/{name}"] = "The source is missing; put it into the set's folder."
        if (samples := self.read("set", name, path)) is None:
            return None
        try:
            check_recording("source", samples, MEASURING_RATE)
        except ValueError as error:
            self.problems[f"set/{name}"] = str(error)
            return None
        return samples


def _sound_table(values: argparse.Namespace, cases: Sequence[EditCase], media: Path, files: Mapping[str, Mapping[str, Path]]) -> Table:
    """FAD, KL, density and coverage of the systems against the set's targets."""
    from dataclasses import replace

    from llama.evaluation import audio_comparison as comparison
    from llama.evaluation.embedders import DEFAULTS, load_classifier, load_embedder, parse_spec
    from llama.evaluation.media_folders import AUDIO, list_media

    names = {case.name for case in cases}
    targets = {name: path for name, path in list_media(media, AUDIO).items() if name in names}
    if not targets:
        raise ValueError("The set's folder has no targets, which FAD compares with; give --embedder none.")
    placement = placement_of(values)
    embedder = load_embedder(parse_spec(values.embedder, DEFAULTS), placement)
    classifier = load_classifier(parse_spec(values.classifier, DEFAULTS), placement) if values.classifier else None
    silence = comparison.SoundSet(comparison.SILENCE)
    reference = comparison.embed_files("targets", targets, embedder, classifier, silence)
    systems = [comparison.embed_files(label, {name: path for name, path in found.items() if name in names}, embedder, classifier)
               for label, found in files.items() if set(found) & names]  # fmt: skip
    unmeasured = {comparison.CLAP: "an instruction is no caption of the music"}
    if classifier is None:
        unmeasured[comparison.KL] = "no classifier was given; give --classifier ast"
    table = comparison.compare(reference, systems, silence, {}, seed=values.seed, unmeasured=unmeasured)
    return replace(table, title="Edits against the set's targets")
