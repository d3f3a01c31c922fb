"""Comparison of generated recordings with a reference: one table of several systems, with the controls that show what chance gives.

Rows beside the systems: the reference's own halves (what FAD, density and coverage give where nothing differs), each system with its pairs
swapped (what KL and the CLAP score give where recordings and requests do not belong together), and silence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from llama.errors import shorten
from llama.evaluation import audio_metrics as metrics
from llama.evaluation.controls import other_recordings, silence_like
from llama.evaluation.media_folders import name_some, read_recordings
from llama.evaluation.statistics import bootstrap_interval, difference_interval, few_recordings, wilson_interval
from llama.evaluation.tables import Measurement, Row, Table
from llama.evaluation.window_embedder import Classifier, Embedder, TextEmbedder
from llama.media.audio import Waveform

FAD, FAD_INFINITY, KL, CLAP, DENSITY, COVERAGE = "FAD", "FAD-infinity", "KL(reference, system)", "CLAP score", "density", "coverage"
COLUMNS = (FAD, FAD_INFINITY, KL, CLAP, DENSITY, COVERAGE)
HALVES, SILENCE = "reference: one half against the other", "silence"
FILES_AT_A_TIME = 8
ByName = Mapping[str, np.ndarray]


@dataclass
class SoundSet:
    """Recordings of one system by name. embeddings: [w, D] each; probabilities: [C] each, empty without a classifier.

    broken: files that could not be read, with why.
    """

    label: str
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def windows(self) -> int:
        return sum(map(len, self.embeddings.values()))

    @property
    def dimensions(self) -> int:
        return next(iter(self.embeddings.values())).shape[1]

    def add(self, names: Sequence[str], waves: Sequence[Waveform], embedder: Embedder, classifier: Classifier | None) -> None:
        """Embeds recordings and adds them under their names."""
        self.embeddings |= dict(zip(names, embedder.embed(waves), strict=True))
        if classifier is not None:
            self.probabilities |= dict(zip(names, classifier.class_probabilities(waves), strict=True))


def embed_files(
    label: str, files: Mapping[str, Path], embedder: Embedder, classifier: Classifier | None, silence: SoundSet | None = None
) -> SoundSet:
    """The set of these files; into `silence`, the same of silence as long as each. ValueError where no file can be read."""
    result = SoundSet(label)
    known: dict[tuple[int, int], tuple[np.ndarray, np.ndarray | None]] = {}  # silence by rate and length: it has no other content
    for names, waves in read_recordings(files, result.broken, FILES_AT_A_TIME):
        result.add(names, waves, embedder, classifier)
        for name, wave in zip(names, waves, strict=True) if silence is not None else ():
            key = wave.sample_rate, wave.samples.shape[1]
            if key not in known:
                quiet = [silence_like(wave)]
                known[key] = embedder.embed(quiet)[0], classifier.class_probabilities(quiet)[0] if classifier is not None else None
            silence.embeddings[name] = known[key][0]
            if (probabilities := known[key][1]) is not None:
                silence.probabilities[name] = probabilities
    if not result.embeddings:
        raise ValueError(f"None of the {len(files)} files of {label} can be read; the first says: {next(iter(result.broken.values()))}")
    return result


def compare(
    reference: SoundSet, systems: Sequence[SoundSet], silence: SoundSet, captions: ByName, *,
    components: int | None = None, seed: int = 0, unmeasured: Mapping[str, str] | None = None,
) -> Table:  # fmt: skip
    """The table. captions: their text embeddings by name; components: of the reference's principal ones that FAD keeps, None for all.

    unmeasured: column -> why it holds nothing, such as that no classifier was given.
    """
    project = _projection(reference, components)
    first, second = _halves(reference, seed)
    rows = [Row(HALVES, {**_distances(first, second, project, seed), CLAP: _clap(reference.embeddings, captions)})]
    for system in systems:
        own = {**_distances(reference, system, project, seed), **_pairs(reference, system, captions)}
        rows.append(Row(system.label, own))
        rows += _swapped_rows(reference, system, captions, seed)
    rows.append(Row(SILENCE, {**_distances(reference, silence, project, seed), **_pairs(reference, silence, captions)}))
    reasons = unmeasured or {}
    rows = [Row(row.label, {**row.cells, **dict.fromkeys(reasons, "not measured")}) for row in rows]
    notes = [f"{name} is not measured: {why}." for name, why in reasons.items()] + _notes(reference, systems, captions, components)
    return Table("Generated recordings against a reference", COLUMNS, rows, notes)


# -- sets ---------------------------------------------------------------------------------------------------------------

Projection = Callable[[metrics.Recordings], metrics.Recordings]


def _projection(reference: SoundSet, components: int | None) -> Projection:
    return metrics.principal_components(reference.embeddings, components) if components is not None else lambda recordings: recordings


def _halves(reference: SoundSet, seed: int) -> tuple[SoundSet, SoundSet]:
    """The reference's recordings in two halves, dealt by the seed."""
    names = sorted(reference.embeddings)
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    parts = order[: len(order) // 2], order[len(order) // 2 :]
    first, second = (SoundSet(reference.label, {name: reference.embeddings[name] for name in part}) for part in parts)
    return first, second


def _distances(reference: SoundSet, system: SoundSet, project: Projection, seed: int) -> dict[str, Measurement | str]:
    return {**_frechet(project(reference.embeddings), project(system.embeddings), seed), **_neighbours(reference, system)}


def _frechet(reference: metrics.Recordings, generated: metrics.Recordings, seed: int) -> dict[str, Measurement | str]:
    if shortage := metrics.fad_shortage(reference, generated):
        return {FAD: shortage, FAD_INFINITY: shortage}
    count = min(sum(map(len, side.values())) for side in (reference, generated))
    plain = metrics.frechet_interval(reference, generated, seed=seed)
    cells: dict[str, Measurement | str] = {FAD: _estimate(plain, count)}
    few = min(len(reference), len(generated))
    if few < metrics.MIN_RECORDINGS:
        return {**cells, FAD_INFINITY: f"not reported: {few} of at least {metrics.MIN_RECORDINGS} recordings"}
    return {**cells, FAD_INFINITY: _estimate(metrics.fad_infinity(reference, generated, seed), count)}


def _estimate(estimate: metrics.Estimate, count: int) -> Measurement:
    finite = math.isfinite(estimate.high)
    return Measurement(estimate.value, count, estimate.low if finite else None, estimate.high if finite else None, digits=2)


def _neighbours(reference: SoundSet, system: SoundSet) -> dict[str, Measurement | str]:
    """Density and coverage of one vector a recording, the mean of its windows."""
    counts = len(reference.embeddings), len(system.embeddings)
    if counts[0] <= metrics.NEIGHBOURS or counts[1] < 2:
        why = f"not reported: {counts[0]} and {counts[1]} recordings of at least {metrics.NEIGHBOURS + 1} and 2"
        return {DENSITY: why, COVERAGE: why}
    first, second = (np.stack([rows.mean(0) for rows in side.embeddings.values()]) for side in (reference, system))
    found = metrics.find_neighbours(first, second)
    interval = bootstrap_interval({str(index): np.array([count / found.k]) for index, count in enumerate(found.around)})
    return {
        DENSITY: Measurement(found.density, len(second), *interval),
        COVERAGE: Measurement(found.coverage, len(first), *wilson_interval(int(found.covered.sum()), len(first))),
    }


# -- pairs --------------------------------------------------------------------------------------------------------------


def _pairs(reference: SoundSet, system: SoundSet, captions: ByName) -> dict[str, Measurement | str]:
    return {KL: _mean(_kl_values(reference.probabilities, system.probabilities)), CLAP: _clap(system.embeddings, captions)}


def _swapped_rows(reference: SoundSet, system: SoundSet, captions: ByName, seed: int) -> list[Row]:
    """The rows "swapped" and "own minus swapped" of a system: each recording beside the reference and caption of another one."""
    shared = [name for name in system.embeddings if name in captions or name in reference.probabilities]
    if len(shared) < 2:
        return []
    other = other_recordings(shared, seed)
    values = [
        (KL, lambda names: _kl_values(reference.probabilities, system.probabilities, names)),
        (CLAP, lambda names: _clap_values(system.embeddings, captions, names)),
    ]
    swapped, difference = dict[str, Measurement | str](), dict[str, Measurement | str]()
    for column, measure in values:
        own, moved = measure({name: name for name in shared}), measure(other)
        swapped[column] = _mean(moved)
        both = [name for name in own if name in moved]
        own, moved = {name: own[name] for name in both}, {name: moved[name] for name in both}
        if both:
            value = float(np.mean([own[name][0] - moved[name][0] for name in both]))
            difference[column] = Measurement(value, len(both), *difference_interval(own, moved))
    return [Row(f"{system.label}, swapped", swapped), Row(f"{system.label}, own minus swapped", difference)]


def _kl_values(reference: ByName, system: ByName, partner: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """KL of each recording and the reference of its own name, or of its partner's."""
    pairs = [(name, partner[name] if partner else name) for name in system if not partner or name in partner]
    return {name: metrics.kl_divergence(reference[other], system[name])[None] for name, other in pairs if other in reference}


def _clap_values(embeddings: ByName, captions: ByName, partner: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """Cosine of each recording, the mean of its windows, and its own caption, or its partner's."""
    pairs = [(name, partner[name] if partner else name) for name in embeddings if not partner or name in partner]
    return {
        name: metrics.paired_cosine(metrics.unit(embeddings[name]).mean(0)[None], captions[other][None])
        for name, other in pairs if other in captions
    }  # fmt: skip


def _clap(embeddings: ByName, captions: ByName) -> Measurement | str:
    return _mean(_clap_values(embeddings, captions))


def _mean(values: Mapping[str, np.ndarray]) -> Measurement | str:
    if not values:
        return "not measured: no pairs"
    return Measurement(float(np.mean(np.concatenate(list(values.values())))), len(values), *bootstrap_interval(values))


# -- notes --------------------------------------------------------------------------------------------------------------


def _notes(reference: SoundSet, systems: Sequence[SoundSet], captions: ByName, components: int | None) -> list[str]:
    kept = f"{reference.dimensions} dimensions" if components is None else f"the reference's first {components} principal components"
    notes = [
        f"FAD and FAD-infinity: lower is better; of {kept}, with {reference.windows} windows of {len(reference.embeddings)} reference "
        "recordings; n counts the windows of the smaller side. FAD is too high where n is small: compare rows of one n, or FAD-infinity, "
        "whose interval is of its line and not of the choice of recordings.",
        "KL in nats, lower is better, and CLAP score, higher is better: of pairs of one name. Density and coverage: higher is better; "
        "the first row shows what equal distributions give at half the number.",
        *few_recordings(min(len(sound.embeddings) for sound in (reference, *systems))),
    ]
    if components is None and any(metrics.fad_shortage(reference.embeddings, system.embeddings) for system in systems):
        notes.append("FAD needs many windows; --components K takes it of K principal components, of which small sets have enough windows.")
    for system in (reference, *systems):
        if system.broken:
            first = next(iter(system.broken.values()))
            notes.append(f"{system.label}: {len(system.broken)} unreadable ({name_some(list(system.broken))}); the first says: {first}")
    for system in systems:
        for what, missing in _missing(reference, system, captions).items():
            notes.append(f"{system.label}: {len(missing)} {what} ({name_some(missing)}).")
    return notes


def _missing(reference: SoundSet, system: SoundSet, captions: ByName) -> dict[str, list[str]]:
    """What names the reference, the system and the captions do not share; only what there is."""
    lists = {
        "of the reference's names are missing": [name for name in reference.embeddings if name not in system.embeddings],
        "names are not in the reference and make no pair": [name for name in system.embeddings if name not in reference.embeddings],
        "names have no caption": [name for name in system.embeddings if captions and name not in captions],
    }
    return {what: names for what, names in lists.items() if names}


def embed_captions(texts: Mapping[str, str], names: Sequence[str], embedder: TextEmbedder) -> dict[str, np.ndarray]:
    """Text embeddings of the captions of these names. Raises ValueError where none of the names has one."""
    wanted = {name: texts[name] for name in names if name in texts}
    if not wanted:
        first = shorten(next(iter(texts)))
        raise ValueError(f"No caption is of a recording here: the first is of {first}, the first recording is {shorten(names[0])}.")
    return dict(zip(wanted, embedder.embed_texts(list(wanted.values())), strict=True))
