"""The sound of requests whose words ended in music: codes are made together on one thread, sound is made of them on others."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from llama.audio import Waveform
from llama.generation import MusicChunk, Progress, condition_for
from llama.tickets import Ticket

if TYPE_CHECKING:
    from llama.ensemble import Part
    from llama.mumu_llama import MuMuLLaMA
    from llama.notes import Score
    from llama.synthesis import Sounding

PROGRESS_SECONDS = 0.1  # between two reports: each wakes a thread, which takes its time from the decoding


class Ordered:
    """Work of one piece on a pool of threads: one thing at a time, in the order in which it was given."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool, self._lock = pool, threading.Lock()
        self._work: deque[Callable[[], None]] = deque()

    def submit(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._work.append(work)
            first = len(self._work) == 1
        if first:
            self._pool.submit(self._next)

    def _next(self) -> None:
        self._work[0]()
        with self._lock:
            self._work.popleft()
            more = bool(self._work)
        if more:
            self._pool.submit(self._next)


class Performance:
    """One piece on its way from codes to sound."""

    def __init__(self, ticket: Ticket, part: Part, decoder: Any, pool: ThreadPoolExecutor) -> None:
        self.ticket, self.part, self.decoder = ticket, part, decoder
        self.listening = decoder.listening(part.request)
        self.chunks: list[Tensor] = []
        self.work = Ordered(pool)
        self.reported = 0.0
        self._report()

    def follow(self) -> None:
        """To be called after every frame: sound that is due is made elsewhere, from a copy of the codes."""
        complete, frames = self.part.complete, self.part.frames
        if self.part.done:
            self._report()
            self.work.submit(partial(self._guarded, self._rest, self._codes(frames)))
            return
        if time.monotonic() - self.reported > PROGRESS_SECONDS:
            self._report()
        if complete < frames and self.listening.due(complete):
            self.work.submit(partial(self._guarded, self._more, self._codes(complete)))

    def _codes(self, frames: int) -> Tensor:
        """[1, K, frames]."""
        return torch.from_numpy(self.part.codes[None, :, :frames].copy())

    def _report(self) -> None:
        self.reported = time.monotonic()
        seconds = self.part.request.seconds
        self.ticket.tell(Progress(seconds * self.part.complete / self.part.frames, seconds))

    def _guarded(self, work: Callable[[Tensor], None], codes: Tensor) -> None:
        """Work on a thread of the pool: an error is the request's own, and who has gone is not worked for."""
        if self.ticket.over:
            return
        try:
            work(codes.to(self.decoder.device))
        except Exception as error:  # handed to the request that it belongs to
            self.ticket.fail(error)

    def _more(self, codes: Tensor) -> None:
        self._heard(self.listening.more(codes))

    def _rest(self, codes: Tensor) -> None:
        sound, scores = self.listening.rest(codes)
        self._heard(sound)
        whole = torch.cat(self.chunks, -1)
        self.ticket.finish(Waveform(whole, self.decoder.sample_rate), scores[0] if scores else None)

    def _heard(self, sound: Tensor) -> None:
        """A chunk [1, channels, n]."""
        if sound.shape[-1]:
            self.chunks.append(sound[0].float().cpu())
            self.ticket.tell(MusicChunk(Waveform(self.chunks[-1], self.decoder.sample_rate)))


class Band:
    """Performances that are played together, for decoders whose pieces may join between frames."""

    def __init__(self, model: MuMuLLaMA, pool: ThreadPoolExecutor) -> None:
        self.model, self.pool, self.decoder = model, pool, model.music_decoder
        self.ensemble = self.decoder.ensemble()  # type: ignore[attr-defined]
        self.playing: dict[Ticket, Performance] = {}

    @property
    def members(self) -> list[Ticket]:
        return list(self.playing)

    def join(self, ticket: Ticket) -> None:
        options, decoder = ticket.options, self.decoder
        condition, mask = condition_for(self.model, [ticket.row], [ticket.turn], options)
        request = decoder.request(condition, options.seconds, mask=mask, guidance=options.guidance, seeds=[options.seed])  # type: ignore[attr-defined]
        frames = decoder.frames(request)  # type: ignore[attr-defined]
        part = self.ensemble.join(request, frames, decoder.grammar(frames))  # type: ignore[attr-defined]
        self.playing[ticket] = Performance(ticket, part, decoder, self.pool)

    def leave(self, ticket: Ticket) -> None:
        if ticket in self.playing:
            self.ensemble.leave(self.playing.pop(ticket).part)

    def step(self) -> dict[Ticket, Exception]:
        """A frame of every piece; whose codes are done leaves, and is heard of when its sound is made."""
        owners = {performance.part: ticket for ticket, performance in self.playing.items()}
        failed = {owners[part]: error for part, error in self.ensemble.step().items()}
        for ticket, performance in list(self.playing.items()):
            if ticket not in failed:
                performance.follow()
                if performance.part.done:
                    self.leave(ticket)
        return failed

    def attempt(self, ticket: Ticket) -> None:
        self.ensemble.attempt(self.playing[ticket].part)


class Studio:
    """For decoders whose pieces are made as a whole: those that wait and are alike in length and guidance are made together."""

    def __init__(self, model: MuMuLLaMA, together: int) -> None:
        self.model, self.together = model, together
        self.members: list[Ticket] = []  # the engine's thread has nothing to do for them
        self._news = threading.Condition()
        self._waiting: list[Ticket] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="studio", daemon=True)
        self._thread.start()

    def join(self, ticket: Ticket) -> None:
        ticket.tell(Progress(0.0, ticket.options.seconds))
        with self._news:
            self._waiting.append(ticket)
            self._news.notify()

    def leave(self, ticket: Ticket) -> None:
        with self._news:
            self._waiting = [one for one in self._waiting if one is not ticket]

    def close(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while (group := self._group()) is not None:
            self._play(group)

    def _group(self) -> list[Ticket] | None:
        """The first that waits and its equals; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            alike = [one for one in self._waiting if _kind(one) == _kind(self._waiting[0])][: self.together]
            self._waiting = [one for one in self._waiting if one not in alike]
        return alike

    def _play(self, group: Sequence[Ticket]) -> None:
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
                for ticket in group:
                    self._play([ticket])

    def _render(self, group: Sequence[Ticket]) -> None:
        options, decoder = group[0].options, self.model.music_decoder
        pairs = [condition_for(self.model, [one.row], [one.turn], one.options) for one in group]
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


class AllGone(Exception):
    """Nobody waits for what is being made."""


def _report(group: Sequence[Ticket], share: float) -> None:
    if all(one.over for one in group):
        raise AllGone
    for one in group:
        one.tell(Progress(share * one.options.seconds, one.options.seconds))


@contextmanager
def _watched(decoder: Any, group: Sequence[Ticket]) -> Iterator[None]:
    """A decoder that tells how far it is tells the group, and ends when all of it have gone."""
    if not hasattr(decoder, "told"):
        yield
        return
    decoder.told = partial(_report, group)
    try:
        yield
    finally:
        decoder.told = None


def _gathered(sound: Sounding) -> tuple[Tensor, list[Score] | None]:
    """All chunks as one, and what comes after the last."""
    chunks: list[Tensor] = []
    while True:
        try:
            chunks.append(next(sound).float().cpu())
        except StopIteration as end:
            return torch.cat(chunks, -1), end.value


def _kind(ticket: Ticket) -> tuple[object, ...]:
    return ticket.options.seconds, ticket.options.guidance, ticket.options.conditioning
