"""Probe of requests as people type them: music comes, nothing is turned round, every wish is there or said to be impossible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llama.dialogue import Reply, Turn
from llama.evaluation.statistics import share
from llama.generation import GenerationOptions
from llama.media.score import Score
from llama.named_length import with_named_length
from recipes.nano.evaluation import attribute_readers
from recipes.nano.evaluation.figures import TYPED, ProbeContext, share_figure
from recipes.nano.evaluation.typed_requests import (
    Answer,
    TypedRequest,
    constant_answer_shares,
    facts_of,
    judge,
    load_requests,
)

SECONDS = 8.0  # of a piece whose request names no length
TOKENS = 120
MUSIC_COMES, NOT_TURNED, ALL_ASKED = "music comes, or none where none is asked", "nothing asked for is turned round", "all asked for is there or is said not to be"
TARGETS = {MUSIC_COMES: 0.98, NOT_TURNED: 0.97, ALL_ASKED: 0.85}
Judged = Callable[[TypedRequest, Answer], bool]
MEASURES: dict[str, Judged] = {
    MUSIC_COMES: lambda request, answer: judge(request, answer).music_right,
    NOT_TURNED: lambda request, answer: not judge(request, answer).turned_round,
    ALL_ASKED: lambda request, answer: not judge(request, answer).missing,
}


def typed_requests(context: ProbeContext) -> None:
    """The figures of all requests, or of some spread over all kinds where `context.count` is smaller."""
    requests = load_requests()
    if context.count < len(requests):
        requests = [requests[round(at)] for at in np.linspace(0, len(requests) - 1, context.count)]
    add_figures(context, requests, [answer_request(context, request, seed) for seed, request in enumerate(requests)])


def answer_request(context: ProbeContext, request: TypedRequest, seed: int) -> Answer:
    """The model's answer, with the length that the request names, as the page and the command line read it."""
    options = GenerationOptions(max_tokens=TOKENS, seconds=SECONDS, seed=seed)
    turn, options = with_named_length(context.model.music_decoder, Turn(request.text), options)
    reply = context.model.respond(turn, options)
    return answer_of(reply)


def answer_of(reply: Reply) -> Answer:
    """What is judged of a reply: its text, and the facts of its notes."""
    if reply.music is None or reply.score is None:
        return Answer(reply.text, None)
    return Answer(reply.text, facts_of(_read, reply.score, reply.music.seconds))


def _read(score: Score, name: str) -> Any:
    return attribute_readers.read_attribute(score, name)


def add_figures(context: ProbeContext, requests: Sequence[TypedRequest], answers: Sequence[Answer]) -> None:
    """Adds one figure a measure: over all requests, and over those whose answer has music for what only music can show."""
    cases = list(zip(requests, answers, strict=True))
    with_music = [(request, answer) for request, answer in cases if answer.fact_of is not None and request.music is not False]
    turned = [(request, answer) for request, answer in with_music if request.never]
    asked = [(request, answer) for request, answer in cases if request.asked]
    measured = (
        (MUSIC_COMES, "all requests", cases, TARGETS[MUSIC_COMES]),
        (NOT_TURNED, "answers with music whose request has an opposite", turned, TARGETS[NOT_TURNED]),
        (ALL_ASKED, "requests with a wish", asked, TARGETS[ALL_ASKED]),
        (ALL_ASKED, "requests with a wish, answers with music", [case for case in asked if case[1].fact_of is not None], None),
    )
    for what, where, judged, target in measured:
        right = MEASURES[what]
        of_requests, of_answers = [request for request, _ in judged], [answer for _, answer in judged]
        hits = [right(request, answer) for request, answer in judged]
        context.report.add(share_figure(TYPED, what, where, hits, target, baseline_shares=constant_answer_shares(of_requests, of_answers, right)))


def shares_by_kind(requests: Sequence[TypedRequest], answers: Sequence[Answer]) -> dict[str, dict[str, float]]:
    """Each measure's share by kind of request: where the model falls short."""
    kinds = dict.fromkeys(request.kind for request in requests)
    cases = list(zip(requests, answers, strict=True))
    return {kind: {what: share([right(request, answer) for request, answer in cases if request.kind == kind]) for what, right in MEASURES.items()} for kind in kinds}


STEPS = {"requests as people type them": typed_requests}
