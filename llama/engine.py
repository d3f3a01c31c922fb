"""Many requests, one model: a thread that decodes for all, threads that read media, threads that make sound of codes.

What a ticket's client does or fails to do reaches nobody else: events wait in the ticket, errors go to the ticket that
they belong to, and every answer equals `model.respond(turn, options)` alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

from llama.batching import Line, Words, culprits
from llama.dialogue import MEDIA, Turn
from llama.generation import GenerationOptions, Row, TextDelta, tokenize
from llama.heard import MOST, Heard
from llama.performing import Band, Studio
from llama.tickets import Busy, Ticket

if TYPE_CHECKING:
    from llama.mumu_llama import MuMuLLaMA

__all__ = ["Busy", "Engine", "Ticket"]

RENDERERS = 2  # threads that make sound of codes: a long piece does not hold the next

One = TypeVar("One")


class Group(Protocol[One]):
    """Members that take steps together, as in `Words` and `Band`."""

    @property
    def members(self) -> list[One]: ...

    def step(self) -> dict[One, Exception]: ...

    def attempt(self, member: One) -> None: ...

    def leave(self, member: One) -> None: ...


class Engine:
    """Owns the model, which nobody else may use meanwhile; `close()` it, or use it as a context manager.

    rows: requests answered together; waiting: requests that may wait beside them; readers: threads that read media;
    remembered: media whose features are kept for who asks about them again.
    """

    def __init__(
        self, model: MuMuLLaMA, *, rows: int = 16, waiting: int = 64, readers: int = 2, remembered: int = MOST
    ) -> None:
        least_of = (("rows", rows, 1), ("waiting", waiting, 0), ("readers", readers, 1), ("remembered", remembered, 0))
        for name, value, least in least_of:
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} {value!r} is out of range; give a whole number from {least}.")
        self.model, self.rows, self.waiting = model, rows, waiting
        self._news = threading.Condition()
        self._waiting: list[Ticket] = []
        self._working: list[Ticket] = []  # until their last event is told
        self._lines: dict[Ticket, Line] = {}
        self._owners: dict[Line, Ticket] = {}
        self._words = Words(model)
        self._heard = Heard(remembered)
        self._readers = ThreadPoolExecutor(readers, "reader")
        self._renderers = ThreadPoolExecutor(RENDERERS, "renderer")
        joins = hasattr(model.music_decoder, "ensemble")
        self._music: Band | Studio = Band(model, self._renderers) if joins else Studio(model, rows)
        self._closed: str | None = None  # why nothing is answered any more
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, turn: Turn, options: GenerationOptions | None = None) -> Ticket:
        """Queues a request. Raises Busy where too many wait, ValueError where it cannot be answered, RuntimeError after the end."""
        options = options or GenerationOptions()
        prompt = tokenize(self.model, [turn])[0]
        limit = min(options.max_tokens, self.model.config.llama.max_seq_len - len(prompt))
        ticket = Ticket(turn, options, Row(self.model, limit), self._ahead, self._wake)
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
        if self._closed is not None:
            raise RuntimeError(self._closed)
        queued = sum(not one.over for one in [*self._waiting, *self._working])
        if queued >= self.rows + self.waiting:
            raise Busy(f"{queued} requests are being answered or wait already, which is the most; try again in a moment.")

    def close(self) -> None:
        """Ends all work; tickets under way are told. Again does no harm."""
        self._end("The engine was closed before the answer was ready; start it again and ask once more.")
        self._thread.join()
        for pool in (self._readers, self._renderers):
            pool.shutdown(cancel_futures=True)
        if isinstance(self._music, Studio):
            self._music.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- from any thread ----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._news:
            self._news.notify()

    def _ahead(self, ticket: Ticket) -> int:
        with self._news:
            waiting = [one for one in self._waiting if not one.over]
            if ticket not in waiting:
                return 0
            return waiting.index(ticket) + int(sum(not one.over for one in self._working) >= self.rows)

    def _end(self, why: str, cause: BaseException | None = None) -> None:
        with self._news:
            self._closed = self._closed or why
            left = [*self._waiting, *self._working]
            self._news.notify()
        for ticket in left:
            error = RuntimeError(why)
            error.__cause__ = cause
            ticket.fail(error)

    @torch.no_grad()
    def _read(self, ticket: Ticket) -> None:
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
        try:
            while self._round():
                pass
        except BaseException as error:
            self._end(f"The engine stopped ({type(error).__name__}: {error}); start it again.", error)
            raise

    def _round(self) -> bool:
        """Waits for something to do; lets go who has gone, begins who is ready, then one token and one frame for all."""
        with self._news:
            self._news.wait_for(self._called)
            if self._closed is not None:
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
        self._advance(self._words, self._owners.__getitem__)
        for line in list(self._words.members):
            self._guarded(self._owners[line], self._wrote)
        self._advance(self._music, lambda ticket: ticket)  # type: ignore[arg-type]
        return True

    def _called(self) -> bool:
        if self._closed is not None or self._words.members or self._music.members:
            return True
        over = any(ticket.over for ticket in (*self._working, *self._waiting))
        return over or bool(self._ready()) and len(self._working) < self.rows

    def _ready(self) -> list[Ticket]:
        return [ticket for ticket in self._waiting if ticket.ready]

    def _let_go(self, ticket: Ticket) -> None:
        if ticket in self._lines:
            self._drop_line(ticket)
        self._music.leave(ticket)

    def _drop_line(self, ticket: Ticket) -> None:
        line = self._lines.pop(ticket)
        del self._owners[line]
        if line in self._words.members:
            self._words.leave(line)

    def _guarded(self, ticket: Ticket, work: Callable[[Ticket], None]) -> None:
        """An error in what concerns one request alone is its own."""
        try:
            work(ticket)
        except Exception as error:  # handed to the request that it belongs to
            self._let_go(ticket)
            ticket.fail(error)

    def _begin(self, ticket: Ticket) -> None:
        line = Line(ticket.row, ticket.options)
        self._lines[ticket], self._owners[line] = line, ticket
        self._words.join(line, ticket.prompt, ticket.features)
        self._wrote(ticket)

    def _wrote(self, ticket: Ticket) -> None:
        """Tells the words of a token; the last goes on to the music, if it ends in music."""
        if delta := ticket.row.delta():
            ticket.tell(TextDelta(delta))
        if ticket.row.finish is None:
            return
        self._drop_line(ticket)
        if ticket.row.finish == "music" and ticket.options.music:
            self._music.join(ticket)
        else:
            ticket.finish()

    def _advance(self, group: Group[One], owner: Callable[[One], Ticket]) -> None:
        """One step of a group; who fails leaves it, and the rest go on."""
        if not group.members:
            return
        try:
            failed = group.step()
        except Exception as error:
            failed = culprits(group.members, group.attempt, error)
        for member, own in failed.items():
            ticket = owner(member)
            self._let_go(ticket)
            ticket.fail(own)
