"""How well a learner does on examples it does not learn from: a loss for each task, and answers to look at and hear."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from llama.data.examples import Example
from llama.dialogue import Reply, Turn
from llama.generation import GenerationOptions, respond
from llama.media.audio import Waveform
from llama.media.image import load_image
from llama.media.video import load_frames
from llama.training.distributed import DistributedContext
from llama.training.module import TrainingBatch, TrainingModule, complete_model

CLIP_FRAMES = 64  # of a clip that is shown to the model as frames; its encoder takes fewer


@dataclass(frozen=True)
class Scores:
    """By task: mean cross entropy of a token, or of the condition (tasks with music), and how many rows were scored."""

    losses: Mapping[str, float]
    rows: Mapping[str, int]


@torch.no_grad()
def evaluate(learner: TrainingModule, team: DistributedContext, lessons: Iterable[TrainingBatch]) -> Scores:
    """Every process scores the lessons of its share, equally many; all get the scores of all."""
    sums: dict[str, list[float]] = {}
    learner.eval()
    for lesson in lessons:
        with team.accelerator.autocast():
            found = learner(lesson)
        for task, *values in _by_task(lesson, found):
            sums[task] = [old + new for old, new in zip(sums.get(task, [0.0] * 3), values, strict=True)]
    learner.train()
    total: dict[str, list[float]] = {}
    for mine in team.together(sums):
        for task, values in mine.items():
            total[task] = [old + new for old, new in zip(total.get(task, [0.0] * 3), values, strict=True)]
    losses = {task: value / weight for task, (value, weight, _) in sorted(total.items())}
    return Scores(losses, {task: round(rows) for task, (_, _, rows) in total.items()})


def _by_task(lesson: TrainingBatch, found: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, float, float, float]]:
    """(task, loss, its weight, rows): the words of every row, then the condition of those with music."""
    for task, value, count in zip(lesson.tasks, found["words"].tolist(), found["words_count"].tolist(), strict=True):
        yield task, value, count, 1.0
    music = [task for task, caption in zip(lesson.tasks, lesson.captions, strict=True) if caption is not None]
    for task, value, count in zip(music, found["condition"].tolist(), found["condition_count"].tolist(), strict=True):
        yield f"{task} condition", value, count, 1.0


def pick_examples(examples: Sequence[Example], count: int) -> list[Example]:
    """The first examples of every task in turn, `count` in all."""
    by_task: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_task[example.task].append(example)
    ranks = range(max((len(one) for one in by_task.values()), default=0))
    return [group[rank] for rank in ranks for group in by_task.values() if rank < len(group)][:count]


def turn_of(example: Example) -> Turn:
    """What a user would have sent."""
    read: dict[str, Any] = {"audio": Waveform.read, "image": load_image, "video": lambda source: load_frames(source, CLIP_FRAMES)}
    media: dict[str, Any] = {}
    for kind, load in read.items():
        medium = getattr(example, kind)
        if medium is not None:
            media[kind] = load(medium.open())
    return Turn(example.instruction, **media)


@torch.no_grad()
def sample_answers(
    learner: TrainingModule, team: DistributedContext, neighbours: Mapping[str, nn.Module | None], examples: Sequence[Example],
    seconds: float, seed: int,
) -> list[tuple[Example, Turn, Reply]]:
    """The model's own answers, music of `seconds` among them. On every process alike where the model is sharded."""
    music = neighbours.get("music_decoder") is not None
    options = GenerationOptions(max_tokens=96, temperature=0.0, seconds=seconds, seed=seed, music=music)
    found = []
    with team.unsharded(learner), complete_model(learner, neighbours) as model, team.accelerator.autocast():
        for example in examples:
            turn = turn_of(example)
            try:
                reply = respond(model, [turn], options)[0]
            except ValueError as error:  # a question longer than the model reads: it was learned shortened
                reply = Reply(f"(no answer: {error})", (), finish="length")
            found.append((example, turn, reply))
    return found
