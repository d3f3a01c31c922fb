"""Comparison of systems whose music belongs to pictures or clips: one table, with shuffled pairs and silence beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from llama.errors import USER_ERRORS, sentence
from llama.evaluation import matching_metrics as metrics
from llama.evaluation.matchers import Matcher
from llama.evaluation.media_folders import VIDEO, name_some, read_recordings
from llama.evaluation.statistics import bootstrap_interval, difference_interval, few_recordings
from llama.evaluation.tables import Measurement, Row, Table
from llama.media.audio import Waveform

OWN, SHUFFLED, DIFFERENCE = "cosine, own", "cosine, shuffled", "own minus shuffled"
AMONG_SYSTEMS, FIRST, RANK = "MRR among systems", "own first of N", "MRR of own among N"
COLUMNS = (OWN, SHUFFLED, DIFFERENCE, AMONG_SYSTEMS, FIRST, RANK)
MEDIA = "pictures and clips"  # label of the media beside the systems
SILENCE, CHANCE = "silence", "chance"  # labels of rows
SILENT_SECONDS, SILENT_RATE = 5, 24_000
FILES_AT_A_TIME = 8
Vectors = dict[str, np.ndarray]


def embed_sights(files: Mapping[str, Path], matcher: Matcher, broken: dict[str, str]) -> Vectors:
    """Vectors of pictures and clips by name; a file that cannot be read goes into `broken` with its sentence."""
    vectors: Vectors = {}
    embedded: dict[Path, np.ndarray] = {}  # one file may stand under several names
    for name, path in files.items():
        try:
            if path not in embedded:
                embedded[path] = matcher.embed_media([("video" if path.suffix.lower() in VIDEO else "image", path)])[0]
            vectors[name] = embedded[path]
        except (*USER_ERRORS, OSError) as error:
            broken[name] = sentence(error)
    return vectors


def embed_sounds(files: Mapping[str, Path], matcher: Matcher, broken: dict[str, str]) -> Vectors:
    """Vectors of recordings by name; a file that cannot be read goes into `broken` with its sentence."""
    vectors: Vectors = {}
    for names, waves in read_recordings(files, broken, FILES_AT_A_TIME):
        vectors |= dict(zip(names, matcher.embed_music(waves), strict=True))
    return vectors


def shared_names(media: Mapping[str, object], systems: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Names that the media and every system have: all systems are measured on the same pairs. ValueError where there are none."""
    names = sorted(set(media).intersection(*systems.values()))
    if not names:
        raise ValueError("No picture or clip has music of its name in every system; name NAME.wav after the media's NAME.jpg or NAME.mp4.")
    return names


def compare_matches(
    media: Vectors, systems: Mapping[str, Vectors], matcher: Matcher, broken: Mapping[str, Mapping[str, str]],
    left_out: Mapping[str, Sequence[str]],
) -> Table:  # fmt: skip
    """The table of these systems, over the names that all have.

    broken, left_out: by MEDIA and system, files that could not be read, and names that another side lacks.
    """
    names = shared_names(media, systems)
    sights = np.stack([media[name] for name in names])
    tables = {label: metrics.cosine_table(sights, np.stack([vectors[name] for name in names])) for label, vectors in systems.items()}
    rows = [Row(label, {**_own(table, names), **_retrieval(table, names)}) for label, table in tables.items()]
    if len(tables) > 1:
        ranks = metrics.reciprocal_ranks(np.stack([np.diagonal(table) for table in tables.values()], -1))
        rows = [Row(row.label, {**row.cells, AMONG_SYSTEMS: _mean(ranks[:, i], names)}) for i, row in enumerate(rows)]
    silent = matcher.embed_music([Waveform(torch.zeros(1, SILENT_SECONDS * SILENT_RATE), SILENT_RATE)])
    rows.append(Row(SILENCE, {OWN: _mean(metrics.cosine_table(sights, silent)[:, 0], names)}))
    rows.append(Row(CHANCE, {FIRST: f"{1 / len(names):.3f}", RANK: f"{metrics.chance_reciprocal_rank(len(names)):.3f}"}))
    return Table("Music with pictures and clips", COLUMNS, rows, _notes(matcher, len(names), broken, left_out))


def _own(table: np.ndarray, names: Sequence[str]) -> dict[str, Measurement | str]:
    if len(names) < 2:
        return {OWN: _mean(np.diagonal(table), names), SHUFFLED: "not measured: one pair", DIFFERENCE: "not measured: one pair"}
    own, shuffled = metrics.own_minus_shuffled(table)
    interval = difference_interval(_by_name(own, names), _by_name(shuffled, names))
    difference = Measurement(float((own - shuffled).mean()), len(names), *interval)
    return {OWN: _mean(own, names), SHUFFLED: _mean(shuffled, names), DIFFERENCE: difference}


def _retrieval(table: np.ndarray, names: Sequence[str]) -> dict[str, Measurement | str]:
    return {FIRST: _mean(metrics.own_first(table), names), RANK: _mean(1 / metrics.own_ranks(table), names)}


def _mean(values: np.ndarray, names: Sequence[str]) -> Measurement:
    return Measurement(float(values.mean()), len(names), *bootstrap_interval(_by_name(values, names)))


def _by_name(values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: value[None] for name, value in zip(names, values, strict=True)}


def _notes(
    matcher: Matcher, count: int, broken: Mapping[str, Mapping[str, str]], left_out: Mapping[str, Sequence[str]]
) -> list[str]:
    what = "the cosine is the agreement of feelings that one model gives to each, asked apart" if matcher.spec.name == "nano" else (
        "the cosine is that of its embeddings")  # fmt: skip
    notes = [
        f"Matcher {matcher.spec}: {what}. Higher is better. N = {count}, the names that the media and all systems have; equal scores "
        "share their ranks. The rank among systems depends on which systems stand in the table.",
        *few_recordings(count),
    ]
    for label, files in broken.items():
        if files:
            first = next(iter(files.values()))
            notes.append(f"{label}: {len(files)} unreadable ({name_some(list(files))}); the first says: {first}")
    for label, names in left_out.items():
        if names:
            notes.append(f"{label}: {len(names)} left out, which the others lack ({name_some(names)}).")
    return notes
