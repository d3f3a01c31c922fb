"""Pieces of decoders that make them as a whole, on a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from llama.generation import MusicChunk, Progress
from llama.media.audio import Waveform
from llama.serving.music_batch import Conditioning, EventSink

if TYPE_CHECKING:
    from llama.decoders.base import AudioGenerator
    from llama.media.score import Score


class StaticBatcher:
    """For decoders whose pieces are made as a whole: those that wait and are alike in length and guidance are made together."""

    def __init__(self, decoder: Any, together: int) -> None:
        self.decoder, self.together = decoder, together
        self.members: list[EventSink] = []  # the engine's thread has nothing to do for them
        self._news = threading.Condition()
        self._waiting: list[EventSink] = []
        self._conditions: dict[EventSink, Conditioning] = {}  # of those that wait or are played
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="studio", daemon=True)
        self._thread.start()

    def join(self, listener: EventSink, conditioning: Conditioning) -> None:
        listener.tell(Progress(0.0, listener.options.seconds))
        with self._news:
            self._conditions[listener] = conditioning
            self._waiting.append(listener)
            self._news.notify()

    def leave(self, listener: EventSink) -> None:
        with self._news:
            if listener in self._waiting:
                self._waiting.remove(listener)
                del self._conditions[listener]

    def close(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while (group := self._group()) is not None:
            self._play(group)
            for listener in group:
                del self._conditions[listener]

    def _group(self) -> list[EventSink] | None:
        """The first that waits and its equals; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            alike = [one for one in self._waiting if _kind(one) == _kind(self._waiting[0])][: self.together]
            self._waiting = [one for one in self._waiting if one not in alike]
        return alike

    def _play(self, group: Sequence[EventSink]) -> None:
        """Fails together, then each is tried alone: the error is that of the one who causes it."""
        group = [one for one in group if not one.over]
        if not group:
            return
        try:
            self._render(group)
        except Exception as error:  # handed to the request that it belongs to
            if len(group) == 1:
                group[0].fail(error)
            else:
                for listener in group:
                    self._play([listener])

    def _render(self, group: Sequence[EventSink]) -> None:
        options, decoder = group[0].options, self.decoder
        pairs = [self._conditions[one]() for one in group]
        condition = torch.cat([condition for condition, _ in pairs])
        mask = None if pairs[0][1] is None else torch.cat([mask for _, mask in pairs])
        seeds = [one.options.seed for one in group]
        sound = decoder.synthesize(condition, options.seconds, mask=mask, guidance=options.guidance, seeds=seeds)
        with _watched(decoder, group):
            whole, scores = _gathered(sound)
        _report(group, 1.0)
        for place, one in enumerate(group):
            music = Waveform(whole[place], decoder.sample_rate)
            one.tell(MusicChunk(music))
            one.finish(music, scores[place] if scores else None)


class AllCancelled(Exception):
    """Nobody waits for what is being made."""


def _report(group: Sequence[EventSink], share: float) -> None:
    if all(one.over for one in group):
        raise AllCancelled
    for one in group:
        one.tell(Progress(share * one.options.seconds, one.options.seconds))


@contextmanager
def _watched(decoder: Any, group: Sequence[EventSink]) -> Iterator[None]:
    """A decoder that tells how far it is tells the group, and ends when all of it have gone."""
    if not hasattr(decoder, "told"):
        yield
        return
    decoder.told = partial(_report, group)
    try:
        yield
    finally:
        decoder.told = None


def _gathered(sound: AudioGenerator) -> tuple[Tensor, list[Score] | None]:
    """All chunks as one, and what comes after the last."""
    chunks: list[Tensor] = []
    while True:
        try:
            chunks.append(next(sound).float().cpu())
        except StopIteration as end:
            return torch.cat(chunks, -1), end.value


def _kind(listener: EventSink) -> tuple[object, ...]:
    return listener.options.seconds, listener.options.guidance, listener.options.conditioning
