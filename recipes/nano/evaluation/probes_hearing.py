"""Probes of audio understanding: questions about recordings of four kinds, swapped recordings, and non-music."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DataSet.synthesis import dialogues, questions
from DataSet.synthesis.wording import pick
from llama.dialogue import Turn
from llama.generation import GenerationOptions, generate_text
from llama.media.audio import Waveform
from llama.media.score import Attributes
from llama.metrics import share, tempo_agrees
from llama.mumu_llama import MuMuLLaMA
from recipes.nano.evaluation.figures import EXAMPLES, HEARING, Figure, ProbeContext, accuracy_figure, share_figure
from recipes.nano.evaluation.measure import parse_answer
from recipes.nano.language.cached_data import FIELDS
from recipes.nano.rendering.clip_set import SAMPLE_RATE, ClipSet
from recipes.nano.rendering.examples import PIECES

OWN, UNSEEN, OTHER, TUNES = "own pieces, training soundfonts", "a soundfont never heard", "a soundfont half heard", "real tunes held out"
SETS = {OWN: "test_same", UNSEEN: "test_unseen", OTHER: "test_kin", TUNES: "test_tunes"}
TARGETS: Mapping[str, tuple[float, float, float]] = {  # OWN, UNSEEN, TUNES; for OTHER, which shares samples with a training soundfont, those of UNSEEN
    "lead": (0.90, 0.72, 0.65), "tempo": (0.95, 0.90, 0.75), "mode": (0.92, 0.85, 0.75),
    "metre": (0.92, 0.83, 0.75), "drums": (0.97, 0.92, 0.90), "style": (0.92, 0.85, 0.65),
}
COLUMN = {OWN: 0, UNSEEN: 1, OTHER: 1, TUNES: 2}
TEMPO_TOLERANCE = 0.06  # of the tempo
TOKENS = 20
BATCH = 12


@dataclass(frozen=True)
class Recordings:
    waves: Sequence[Waveform]
    pieces: Sequence[Attributes]
    tunes: Sequence[str] = ()  # the tune of each recording, where several may share one

    @property
    def distinct(self) -> int | None:
        """Number of different tunes; None where every recording is a piece of its own."""
        return len(set(self.tunes)) if self.tunes else None


def answer_matcher(name: str) -> Callable[[Any, Any], bool]:
    """The comparison of answer and truth: equality, or for the tempo within TEMPO_TOLERANCE."""
    return (lambda given, true: tempo_agrees(given, true, TEMPO_TOLERANCE)) if name == "tempo" else (lambda given, true: bool(given == true))


def clips(data: Path, name: str, count: int) -> tuple[list[Waveform], list[dict[str, Any]]]:
    """The first clips of a rendered set, and their labels."""
    source = ClipSet(data / "data", name)
    kept = range(min(count, len(source.labels)))
    return [Waveform(torch.from_numpy(source.samples[i].astype(np.float32) / 32768)[None], SAMPLE_RATE) for i in kept], source.labels[: len(kept)]


def recordings(probing: ProbeContext, where: str) -> Recordings | None:
    """A rendered set; for composed pieces the shipped examples where it is missing; None for another missing set."""
    if (probing.data / "data" / f"{SETS[where]}.jsonl").exists():
        waves, labels = clips(probing.data, SETS[where], probing.count)
        tunes = [label["source"] for label in labels] if where == TUNES else []
        return Recordings(waves, [Attributes(**{name: label[name] for name in FIELDS}) for label in labels], tunes)
    if where != OWN:
        return None
    names = list(PIECES)[: probing.count]
    return Recordings([Waveform.read(EXAMPLES / f"{name}.flac") for name in names], [PIECES[name] for name in names])


def answers(model: MuMuLLaMA, waves: Sequence[Waveform], asked: Mapping[str, Sequence[str]], tokens: int = TOKENS) -> dict[str, list[str]]:
    """Answers to each list of questions (one a recording); every recording is encoded once."""
    found: dict[str, list[str]] = {name: [] for name in asked}
    options = GenerationOptions(max_tokens=tokens, music=False)
    for at in range(0, len(waves), BATCH):
        with torch.no_grad():
            features = model.encode([Turn("", audio=wave) for wave in waves[at : at + BATCH]])
        for name, texts in asked.items():
            *_, (rows, _) = generate_text(model, [Turn(text) for text in texts[at : at + BATCH]], options, features)
            found[name] += [row.text() for row in rows]
    return found


def figures(where: str, heard: Recordings, told: Mapping[str, Sequence[str]], swapped: bool) -> list[Figure]:
    """Accuracy of each attribute; if `swapped`, also the accuracy against the next recording's labels."""
    found = []
    for name, texts in told.items():
        given, truth = [parse_answer(name, text) for text in texts], [getattr(piece, name) for piece in heard.pieces]
        target = TARGETS[name][COLUMN[where]] if name in TARGETS else None
        found.append(accuracy_figure(HEARING, name, where, given, truth, answer_matcher(name), target, heard.distinct))
        if swapped:
            found.append(_swapped_figure(found[-1], given, truth, answer_matcher(name)))
    return found


def _swapped_figure(right: Figure, given: Sequence[Any], truth: Sequence[Any], match: Callable[[Any, Any], bool]) -> Figure:
    """Accuracy of the answers against the next recording's labels; its upper limit is guessing with its 95 % spread."""
    hits = [match(one, true) for one, true in zip(given, [*truth[1:], truth[0]], strict=True)]
    guessed = max(right.chance or 0.0, right.majority or 0.0)
    ceiling = guessed + 1.96 * (guessed * (1 - guessed) / len(hits)) ** 0.5
    return Figure(HEARING, right.what, "another recording's sound", share(hits), len(hits), chance=right.chance, majority=right.majority, target=min(1.0, ceiling), most=True)


def recordings_probe(probing: ProbeContext) -> None:
    rng = np.random.default_rng(1)
    for where, name in SETS.items():
        heard = recordings(probing, where)
        if heard is None:
            probing.report.missing.append(f"{where}: {probing.data}/data has no {name}; make it with python -m recipes.nano.rendering.render_clips")
            continue
        asked = {field: [pick(rng, questions.QUESTIONS[field]) for _ in heard.waves] for field in FIELDS}
        told = answers(probing.model, heard.waves, asked)
        probing.report.add(*figures(where, heard, told, swapped=where == OWN), music_recognition(where, heard, told))


def music_recognition(where: str, heard: Recordings, told: Mapping[str, Sequence[str]]) -> Figure:
    """Share of answers about music that do not call it noise, silence or speech."""
    hits = [classify_answer(text) == "music" for texts in told.values() for text in texts]
    return share_figure(HEARING, "music taken for music", where, hits, distinct=heard.distinct or len(next(iter(told.values()))))


def not_music(probing: ProbeContext) -> None:
    """Noise, silence and speech: answers must name the kind, and must not call music so."""
    if not (probing.data / "data/noise_test.jsonl").exists():
        probing.report.missing.append(f"what is no music: {probing.data}/data has no noise_test; make it with python -m recipes.nano.rendering.render_clips")
        return
    rng = np.random.default_rng(7)
    waves, labels = clips(probing.data, "noise_test", probing.count)
    kinds = [label["kind"] for label in labels]
    asked = [dialogues.nothing(rng, kind).instruction for kind in kinds]
    heard = recordings(probing, OWN)
    about_music = [pick(rng, questions.IS_MUSIC) for _ in heard.waves]
    told = answers(probing.model, waves, {"": asked}, 40)[""] + answers(probing.model, heard.waves, {"": about_music}, 40)[""]
    truth = kinds + ["music"] * len(about_music)
    probing.report.add(accuracy_figure(HEARING, "no music", "noise, silence, speech, own pieces", [classify_answer(text) for text in told], truth, lambda given, true: given == true))
    sources = [label["source"] for label in labels] + ["own pieces, asked whether they are music"] * len(about_music)
    for source in dict.fromkeys(sources):
        hits = [classify_answer(text) == true for text, true, one in zip(told, truth, sources, strict=True) if one == source]
        probing.report.add(share_figure(HEARING, "called what it is", source, hits))


def classify_answer(text: str) -> str:
    """The kind of recording that an answer names; "music" for none."""
    return next((kind for kind in dialogues.NOT_MUSIC if f"only {kind}" in text), "music")


STEPS = {"hears": recordings_probe, "no music": not_music}
