"""Preparation of requests for the engine: reads and encodes their media, and plans edits, on threads of its own.

A long or broken file then blocks no other request, and neither does an edit for which the model has to hear its piece.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from llama.answers import answer_by_rule, hears_chords
from llama.edit_plans import plan_edit
from llama.editing import (
    check_edits,
    composes_nothing,
    edit_request,
    edits_recording,
    hear_piece,
    hears_score,
    load_recording,
    plan_exact_edit,
    play_score,
    read_turn,
)
from llama.generation import tokenize

if TYPE_CHECKING:
    from llama.dialogue import Turn
    from llama.generation import GenerationOptions
    from llama.mumu_model import ModalityFeatures, MuMuModel
    from llama.serving.encoder_cache import EncoderCache
    from llama.serving.media_client import MediaWorkerClient
    from llama.serving.request import Request


class RequestPreparer:
    """Encodes and plans requests; errors go to the request that caused them.

    threads: that read and encode media. ready: called when a request is encoded or has failed. planned: called with a request whose
    edit is known, or that has failed.
    """

    def __init__(
        self, model: MuMuModel, cache: EncoderCache, media_worker: MediaWorkerClient | None, *, threads: int,
        ready: Callable[[], None], planned: Callable[[Request], None],
    ) -> None:
        self._model, self._encoder_cache, self._media_worker = model, cache, media_worker
        self._ready, self._planned = ready, planned
        self._encoder_pool = ThreadPoolExecutor(threads, "encoder")
        self._plan_pool = ThreadPoolExecutor(1, "planner")  # no encoder thread: a plan must not wait for the files of others

    def encode(self, request: Request) -> None:
        """Encodes the media of a request soon. Raises RuntimeError after `close`."""
        self._encoder_pool.submit(self._encode, request)

    def plan(self, request: Request) -> None:
        """Plans the edit of a request soon. Raises RuntimeError after `close`."""
        self._plan_pool.submit(self._plan, request)

    def close(self) -> None:
        """Ends the threads; what has not begun is dropped."""
        for pool in (self._encoder_pool, self._plan_pool):
            pool.shutdown(cancel_futures=True)

    @torch.no_grad()
    def _encode(self, request: Request) -> None:
        """Reads and encodes the media of one request on an encoder thread, so that a long or broken file does not block the others.

        A score is played for the encoder, unless its features are cached. A plain answer and an exact edit need no features.
        """
        if request.finished:
            return

        def encode(turn: Turn) -> ModalityFeatures:
            return self._model.encode([self._load_media(play_score(self._model, turn, request.options))])

        try:
            turn = self._read_piece(request.turn, request.options)
            if turn is not request.turn:
                set_turn(self._model, request, turn)
            request.answer = answer_by_rule(self._model, turn, request.options)
            request.plan = plan_exact_edit(self._model, turn, request.options)
            self._prepare_exact(request)
            if request.answer is not None or request.plan is not None:
                request.ready = True
                self._ready()
                return
            hears = hears_score(self._model, request.turn, request.options)
            request.features = self._encoder_cache.features(request.turn, encode, hears_score=hears)
            request.ready = True
        except Exception as error:  # fail only this request
            request.fail(error)
        self._ready()

    def _read_piece(self, turn: Turn, options: GenerationOptions) -> Turn:
        """The turn with the notes or the recording of the piece that is edited."""
        if isinstance(turn.score, (str, Path)):
            turn = read_turn(turn) if self._media_worker is None else replace(turn, score=self._media_worker.read_score(str(turn.score)))
            check_edits(self._model, [turn], options)
        chords = hears_chords(turn, options) and self._model.transcriber is not None
        if chords and isinstance(turn.audio, str) and self._media_worker is not None:
            turn = replace(turn, audio=self._media_worker.read_sound(turn.audio))
        if edits_recording(self._model, turn, options):
            if isinstance(turn.audio, str) and self._media_worker is not None:
                turn = replace(turn, audio=self._media_worker.read_sound(turn.audio))
            turn = load_recording(self._model, turn, options)
        return turn

    def _plan(self, request: Request) -> None:
        """Plans the edit of a request on the planner's thread: the model may have to hear its piece, which takes a whole answer."""
        model, row, turn, options = self._model, request.row, request.turn, request.options
        hear = partial(hear_piece, model, turn, request.features)
        try:
            request.plan = None if request.finished else plan_edit(row, turn, options, hear)
            self._prepare_exact(request)
        except Exception as error:  # fail only this request
            request.fail(error)
        self._planned(request)

    def _prepare_exact(self, request: Request) -> None:
        """Checks the planned edit of a request if it composes nothing: of a long score that takes over a second."""
        plan = request.plan
        if plan is not None and plan.makes_music and composes_nothing(self._model, plan):
            request.synthesis = edit_request(self._model, request.row, request.turn, request.options, plan)

    def _load_media(self, turn: Turn) -> Turn:
        vivit = self._model.vivit
        return turn if self._media_worker is None else self._media_worker.load(turn, None if vivit is None else vivit.frames)


def set_turn(model: MuMuModel, request: Request, turn: Turn) -> None:
    """Sets the turn of a request and the prompt that it makes. Raises ValueError if that fills the context."""
    prompt = tokenize(model, [turn])[0]
    request.turn, request.prompt = turn, prompt
    request.row.limit = min(request.options.max_tokens, model.config.llama.max_seq_len - len(prompt))
