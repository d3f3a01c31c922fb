"""Probes of audio understanding: questions about recordings of four kinds, swapped recordings, and non-music."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DataSet.synthesis import dialogues, questions
from DataSet.synthesis.stated_attributes import parse_answer
from DataSet.synthesis.wording import pick
from llama.dialogue import Turn
from llama.evaluation.statistics import share
from llama.evaluation.symbolic_metrics import tempo_agrees
from llama.generation import GenerationOptions, generate_text
from llama.media.audio import Waveform
from llama.media.score import Attributes
from llama.mumu_llama import MuMuLLaMA
from recipes.nano.evaluation.figures import EXAMPLES, HEARING, Figure, ProbeContext, accuracy_figure, share_figure
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
    return (lambda answer, truth: tempo_agrees(answer, truth, TEMPO_TOLERANCE)) if name == "tempo" else (lambda answer, truth: bool(answer == truth))


def clips(data: Path, name: str, count: int) -> tuple[list[Waveform], list[dict[str, Any]]]:
    """The first clips of a rendered set, and their labels."""
    source = ClipSet(data / "data", name)
    indices = range(min(count, len(source.labels)))
    return [Waveform(torch.from_numpy(source.samples[i].astype(np.float32) / 32768)[None], SAMPLE_RATE) for i in indices], source.labels[: len(indices)]


def recordings(context: ProbeContext, where: str) -> Recordings | None:
    """A rendered set; for composed pieces the shipped examples where it is missing; None for another missing set."""
    if (context.data / "data" / f"{SETS[where]}.jsonl").exists():
        waves, labels = clips(context.data, SETS[where], context.count)
        tunes = [label["source"] for label in labels] if where == TUNES else []
        return Recordings(waves, [Attributes(**{name: label[name] for name in FIELDS}) for label in labels], tunes)
    if where != OWN:
        return None
    names = list(PIECES)[: context.count]
    return Recordings([Waveform.read(EXAMPLES / f"{name}.flac") for name in names], [PIECES[name] for name in names])


def answers(model: MuMuLLaMA, waves: Sequence[Waveform], questions_by_name: Mapping[str, Sequence[str]], tokens: int = TOKENS) -> dict[str, list[str]]:
    """Answers to each list of questions (one a recording); every recording is encoded once."""
    answers_by_name: dict[str, list[str]] = {name: [] for name in questions_by_name}
    options = GenerationOptions(max_tokens=tokens, music=False)
    for at in range(0, len(waves), BATCH):
        with torch.no_grad():
            features = model.encode([Turn("", audio=wave) for wave in waves[at : at + BATCH]])
        for name, texts in questions_by_name.items():
            *_, (rows, _) = generate_text(model, [Turn(text) for text in texts[at : at + BATCH]], options, features)
            answers_by_name[name] += [row.text() for row in rows]
    return answers_by_name


def figures(where: str, recorded: Recordings, answers_by_name: Mapping[str, Sequence[str]], swapped: bool) -> list[Figure]:
    """Accuracy of each attribute; if `swapped`, also the accuracy against the next recording's labels."""
    results = []
    for name, texts in answers_by_name.items():
        stated, truth = [parse_answer(name, text) for text in texts], [getattr(piece, name) for piece in recorded.pieces]
        target = TARGETS[name][COLUMN[where]] if name in TARGETS else None
        results.append(accuracy_figure(HEARING, name, where, stated, truth, answer_matcher(name), target, recorded.distinct))
        if swapped:
            results.append(_swapped_figure(results[-1], stated, truth, answer_matcher(name)))
    return results


def _swapped_figure(right: Figure, stated: Sequence[Any], truth: Sequence[Any], match: Callable[[Any, Any], bool]) -> Figure:
    """Accuracy of the answers against the next recording's labels; its upper limit is guessing with its 95 % spread."""
    hits = [match(answer, true) for answer, true in zip(stated, [*truth[1:], truth[0]], strict=True)]
    guessed = max(right.chance or 0.0, right.majority or 0.0)
    ceiling = guessed + 1.96 * (guessed * (1 - guessed) / len(hits)) ** 0.5
    return Figure(HEARING, right.what, "another recording's sound", share(hits), len(hits), chance=right.chance, majority=right.majority, target=min(1.0, ceiling), most=True)


def recordings_probe(context: ProbeContext) -> None:
    rng = np.random.default_rng(1)
    for where, name in SETS.items():
        recorded = recordings(context, where)
        if recorded is None:
            context.report.missing.append(f"{where}: {context.data}/data has no {name}; make it with python -m recipes.nano.rendering.render_clips")
            continue
        questions_by_name = {field: [pick(rng, questions.QUESTIONS[field]) for _ in recorded.waves] for field in FIELDS}
        answers_by_name = answers(context.model, recorded.waves, questions_by_name)
        context.report.add(*figures(where, recorded, answers_by_name, swapped=where == OWN), music_recognition(where, recorded, answers_by_name))


def music_recognition(where: str, recorded: Recordings, answers_by_name: Mapping[str, Sequence[str]]) -> Figure:
    """Share of answers about music that do not call it noise, silence or speech."""
    hits = [classify_answer(text) == "music" for texts in answers_by_name.values() for text in texts]
    return share_figure(HEARING, "music taken for music", where, hits, distinct=recorded.distinct or len(next(iter(answers_by_name.values()))))


def not_music(context: ProbeContext) -> None:
    """Noise, silence and speech: answers must name the kind, and must not call music so."""
    if not (context.data / "data/noise_test.jsonl").exists():
        context.report.missing.append(f"what is no music: {context.data}/data has no noise_test; make it with python -m recipes.nano.rendering.render_clips")
        return
    rng = np.random.default_rng(7)
    waves, labels = clips(context.data, "noise_test", context.count)
    kinds = [label["kind"] for label in labels]
    asked = [dialogues.nothing(rng, kind).instruction for kind in kinds]
    heard = recordings(context, OWN)
    about_music = [pick(rng, questions.IS_MUSIC) for _ in heard.waves]
    told = answers(context.model, waves, {"": asked}, 40)[""] + answers(context.model, heard.waves, {"": about_music}, 40)[""]
    truth = kinds + ["music"] * len(about_music)
    context.report.add(accuracy_figure(HEARING, "no music", "noise, silence, speech, own pieces", [classify_answer(text) for text in told], truth, lambda given, true: given == true))
    sources = [label["source"] for label in labels] + ["own pieces, asked whether they are music"] * len(about_music)
    for source in dict.fromkeys(sources):
        hits = [classify_answer(text) == true for text, true, one in zip(told, truth, sources, strict=True) if one == source]
        context.report.add(share_figure(HEARING, "called what it is", source, hits))


def classify_answer(text: str) -> str:
    """The kind of recording that an answer names; "music" for none."""
    return next((kind for kind in dialogues.NOT_MUSIC if f"only {kind}" in text), "music")


STEPS = {"hears": recordings_probe, "no music": not_music}
