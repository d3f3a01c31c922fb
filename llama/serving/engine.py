"""Many requests, one model: a thread that decodes for all, threads that read media, others, or a process, that make music.

What a ticket's client does or fails to do reaches nobody else: events wait in the ticket, errors go to the ticket that
they belong to, and every answer equals `model.respond(turn, options)` alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

import torch

from llama.decoders.musicgen.lm import SMALL_MODEL_PARAMS
from llama.dialogue import MEDIA, Turn
from llama.generation import GenerationOptions, RowState, TextDelta, condition_for, tokenize
from llama.serving.batch import step_and_isolate
from llama.serving.encoder_cache import MAX_ENTRIES, EncoderCache
from llama.serving.music_batch import RENDER_THREADS, MusicBatch
from llama.serving.request import EngineDeadError, QueueFullError, Request
from llama.serving.static_music_batch import StaticBatcher
from llama.serving.text_batch import TextBatch, TextSequence
from llama.serving.worker_client import MusicWorkerClient

if TYPE_CHECKING:
    from llama.mumu_llama import MuMuLLaMA

TEXT_EVENT_INTERVAL = 0.05  # between two tellings of words, the first at once: each costs a wake and a packet, and nobody reads faster

__all__ = ["QueueFullError", "Engine", "EngineDeadError", "Request"]


class Engine:
    """Owns the model, which nobody else may use meanwhile; `close()` it, or use it as a context manager.

    rows: requests answered together; waiting: requests that may wait beside them; readers: threads that read media;
    remembered: media whose features are kept for who asks about them again; apart: music is made in a process of its own,
    where `apart.worth_it` (the main module is imported there again, so it must not start an engine by being imported);
    failed: called, from the engine's thread, when that ends by a mistake of the engine's, after which nothing is answered.
    """

    def __init__(
        self, model: MuMuLLaMA, *, rows: int = 16, waiting: int = 64, readers: int = 2, remembered: int = MAX_ENTRIES,
        apart: bool = False, failed: Callable[[], None] = lambda: None,
    ) -> None:
        least_of = (("rows", rows, 1), ("waiting", waiting, 0), ("readers", readers, 1), ("remembered", remembered, 0))
        for name, value, least in least_of:
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} {value!r} is out of range; give a whole number from {least}.")
        self.model, self.rows, self.waiting = model, rows, waiting
        self._news = threading.Condition()
        self._waiting: list[Request] = []
        self._working: list[Request] = []  # until their last event is told
        self._lines: dict[Request, TextSequence] = {}
        self._owners: dict[TextSequence, Request] = {}
        self._words = TextBatch(model)
        self._heard = EncoderCache(remembered)
        self._readers = ThreadPoolExecutor(readers, "reader")
        self._renderers = ThreadPoolExecutor(RENDER_THREADS, "renderer")
        self._music = self._players(apart)
        self.closed: str | None = None  # why nothing is answered any more
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def _players(self, apart: bool) -> MusicWorkerClient | MusicBatch[Request] | StaticBatcher:
        decoder = self.model.music_decoder
        if not hasattr(decoder, "code_batch"):
            return StaticBatcher(decoder, self.rows)
        return MusicWorkerClient(decoder) if apart else MusicBatch(decoder, self._renderers)

    def submit(self, turn: Turn, options: GenerationOptions | None = None) -> Request:
        """Queues a request. Raises Busy where too many wait, ValueError where it cannot be answered, Stopped after the end."""
        options = options or GenerationOptions()
        prompt = tokenize(self.model, [turn])[0]
        limit = min(options.max_tokens, self.model.config.llama.max_seq_len - len(prompt))
        ticket = Request(turn, options, RowState(self.model, limit), self._ahead, self._wake)
        ticket.prompt = prompt
        media = any(getattr(turn, name) is not None for name in MEDIA)
        ticket.ready = not media
        with self._news:
            self._check_room()
            if media:  # first: a ticket whose medium nobody reads would wait for ever
                self._readers.submit(self._read, ticket)
            self._waiting.append(ticket)
            self._news.notify()
        return ticket

    def _check_room(self) -> None:
        if self.closed is not None:
            raise EngineDeadError(self.closed)
        queued = sum(not one.over for one in [*self._waiting, *self._working])
        if queued >= self.rows + self.waiting:
            raise QueueFullError(f"{queued} requests are being answered or wait already, which is the most; try again in a moment.")

    def close(self) -> None:
        """Ends all work; tickets under way are told. Again does no harm."""
        self._end("The engine was closed before the answer was ready; start it again and ask once more.")
        self._thread.join()
        for pool in (self._readers, self._renderers):
            pool.shutdown(cancel_futures=True)
        self._music.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- from any thread ----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._news:
            self._news.notify()

    def _ahead(self, ticket: Request) -> int:
        with self._news:
            waiting = [one for one in self._waiting if not one.over]
            if ticket not in waiting:
                return 0
            return waiting.index(ticket) + int(sum(not one.over for one in self._working) >= self.rows)

    def _end(self, why: str, cause: BaseException | None = None) -> None:
        with self._news:
            self.closed = self.closed or why
            left = [*self._waiting, *self._working]
            self._news.notify()
        for ticket in left:
            error = EngineDeadError(why)
            error.__cause__ = cause
            ticket.fail(error)

    @torch.no_grad()
    def _read(self, ticket: Request) -> None:
        """The media of one request, on a reader's thread: neither a long nor a broken one holds the others."""
        if ticket.over:
            return
        try:
            ticket.features = self._heard.features(ticket.turn, lambda turn: self.model.encode([turn]))
            ticket.ready = True
        except Exception as error:  # handed to the request that it belongs to
            ticket.fail(error)
        self._wake()

    # -- the decoding thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        use_single_thread(self.model)
        try:
            while self._round():
                pass
        except BaseException as error:
            self._end("The engine stopped by a mistake of its own, which is noted in its log; start it again.", error)
            self._failed()
            raise

    def _round(self) -> bool:
        """Waits for something to do; lets go who has gone, begins who is ready, then one token and one frame for all."""
        with self._news:
            self._news.wait_for(self._called)
            if self.closed is not None:
                return False
            gone = [ticket for ticket in self._working if ticket.over]
            self._working = [ticket for ticket in self._working if not ticket.over]
            self._waiting = [ticket for ticket in self._waiting if not ticket.over]
            newcomers = self._ready()[: self.rows - len(self._working)]
            self._waiting = [ticket for ticket in self._waiting if ticket not in newcomers]
            self._working += newcomers
        for ticket in gone:
            self._let_go(ticket)
        for ticket in newcomers:
            self._guarded(ticket, self._begin)
        failed = {self._owners[line]: error for line, error in step_and_isolate(self._words).items()}
        for line in [line for line in self._words.members if self._owners[line] not in failed]:
            self._guarded(self._owners[line], self._wrote)
        if isinstance(self._music, MusicBatch):
            failed |= step_and_isolate(self._music)
        for ticket, error in failed.items():
            self._let_go(ticket)
            ticket.fail(error)
        return True

    def _called(self) -> bool:
        if self.closed is not None or self._words.members or self._music.members:
            return True
        over = any(ticket.over for ticket in (*self._working, *self._waiting))
        return over or bool(self._ready()) and len(self._working) < self.rows

    def _ready(self) -> list[Request]:
        return [ticket for ticket in self._waiting if ticket.ready]

    def _let_go(self, ticket: Request) -> None:
        if ticket in self._lines:
            self._drop_line(ticket)
        self._music.leave(ticket)

    def _drop_line(self, ticket: Request) -> None:
        line = self._lines.pop(ticket)
        del self._owners[line]
        if line in self._words.members:
            self._words.leave(line)

    def _guarded(self, ticket: Request, work: Callable[[Request], None]) -> None:
        """An error in what concerns one request alone is its own."""
        try:
            work(ticket)
        except Exception as error:  # handed to the request that it belongs to
            self._let_go(ticket)
            ticket.fail(error)

    def _begin(self, ticket: Request) -> None:
        line = TextSequence(ticket.row, ticket.options)
        self._lines[ticket], self._owners[line] = line, ticket
        self._words.join(line, ticket.prompt, ticket.features)
        self._wrote(ticket)

    def _wrote(self, ticket: Request) -> None:
        """Tells the words that are due; the last goes on to the music, if it ends in music."""
        line, now = self._lines[ticket], time.monotonic()
        due = ticket.row.finish is not None or now - line.told >= TEXT_EVENT_INTERVAL
        if due and (delta := ticket.row.delta()):
            ticket.tell(TextDelta(delta))
            line.told = now
        if ticket.row.finish is None:
            return
        self._drop_line(ticket)
        if ticket.row.finish == "music" and ticket.options.music:
            self._music.join(ticket, lambda: condition_for(self.model, [ticket.row], [ticket.turn], ticket.options))
        else:
            ticket.finish()


def use_single_thread(model: MuMuLLaMA) -> None:
    """Has the work of a small model on a CPU done by the thread that asks for it, this one or one that begins later.

    Its steps are so short that splitting them over threads takes 1.5 to 3 times as long, as measured on a thread that is not
    the main one, and other requests have work for the other cores.
    """
    if model.device.type == "cpu" and sum(weight.numel() for weight in model.llama.parameters()) <= SMALL_MODEL_PARAMS:
        torch.set_num_threads(1)
