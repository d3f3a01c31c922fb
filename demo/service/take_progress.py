"""The takes of one request while they are made: events of the engine in, updates out, files where a piece is whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from demo.service.conversation import Conversation, Exchange, Piece
from demo.service.errors import UserFacingError
from demo.service.growing_wav import GrowingWav
from demo.service.request import STOPPED, MusicProgress, SubmittedRequest, Update
from demo.service.take_events import TakeEvent
from llama.generation import Done, Event, MusicChunk, Progress, TextDelta

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions
    from llama.dialogue import Reply


@dataclass
class Take:
    """One answer as far as it has come."""

    seed: int
    total: float  # seconds of music asked for
    words: str = ""
    made: float = 0.0  # seconds
    begun: bool = False  # the music
    growing: GrowingWav | None = None
    reply: Reply | None = None
    piece: Piece | None = None


class TakeProgress:
    """All takes of one request, in the session it came from. clock: seconds that only grow."""

    def __init__(self, asked: SubmittedRequest, session: Session, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._asked, self._session, self._sessions, self._clock = asked, session, sessions, clock
        self._takes = [Take(one.seed, one.seconds) for one in asked.options]
        self._open = len(self._takes)
        self._since: tuple[float, float] | None = None  # the clock, and what was made, when the first music began

    @property
    def under_way(self) -> bool:
        return self._open > 0

    @property
    def whole(self) -> bool:
        return all(take.reply is not None for take in self._takes)

    def take_in(self, heard: Sequence[TakeEvent]) -> None:
        for one in heard:
            if isinstance(one.event, Exception):
                raise one.event
            if one.event is None:
                self._open -= 1
            else:
                self._take_in(self._takes[one.take], one.event)
        made = sum(take.made for take in self._takes)
        if self._since is None and any(take.begun for take in self._takes):
            self._since = self._clock(), made

    def _take_in(self, take: Take, event: Event) -> None:
        if isinstance(event, TextDelta):
            take.words += event.text
        elif isinstance(event, Progress):
            take.begun, take.made, take.total = True, max(take.made, event.made), event.total
        elif isinstance(event, MusicChunk):
            take.growing = take.growing or GrowingWav(self._sessions, self._session, take.total, self._asked.said, take.seed)
            take.growing.add(event.music)
            take.begun, take.made = True, max(take.made, take.growing.seconds)
        elif isinstance(event, Done):
            self._finish(take, event.reply)

    def _finish(self, take: Take, reply: Reply) -> None:
        take.reply, take.words = reply, reply.text
        if reply.music is None:
            return
        take.begun, take.made, take.total = True, reply.music.seconds, reply.music.seconds
        take.growing = take.growing or GrowingWav(self._sessions, self._session, take.total, self._asked.said, take.seed)
        sound = take.growing.finish(reply.music, reply.score)
        take.piece = Piece(reply.text, take.seed, reply.music.seconds, sound, reply.score)

    def update(self) -> Update:
        takes = self._takes
        begun = [take for take in takes if take.begun]
        made, total = sum(take.made for take in takes), sum(take.total for take in takes)
        return Update(
            takes[0].words,
            (min(made, total), total) if begun else None,
            self._left(made, total),
            0 if any(take.words or take.begun for take in takes) else min(ticket.ahead for ticket in self._asked.tickets),
            tuple(take.piece for take in takes if take.piece is not None),
            self._asked.referred,
            tuple(MusicProgress(take.seed, take.growing.address) for take in takes if take.growing is not None and take.reply is None),
            answers=tuple(take.words for take in takes),
            seeds=tuple(take.seed for take in takes),
        )

    def _left(self, made: float, total: float) -> float | None:
        """At the pace so far; nobody knows before something was made."""
        if self._since is None or made <= self._since[1]:
            return None
        started, had = self._since
        return max(0.0, (self._clock() - started) * (total - made) / (made - had))

    def last(self, conversation: Conversation) -> Update:
        if not self.whole:
            raise UserFacingError(STOPPED, "server")
        update = self.update()
        exchange = Exchange(self._asked.said, self._asked.uploads, update.words, update.pieces, self._asked.turn)
        return replace(update, left=None, conversation=conversation.with_(exchange))

    def stopped(self, conversation: Conversation) -> Update:
        """The last update of a request that its user stopped: what sounded until then stays."""
        for take in self._takes:
            if take.growing is not None and take.piece is None:
                sound, music = take.growing.cut()
                take.piece = Piece(take.words, take.seed, music.seconds, sound, stopped_of=take.total)
        update = replace(self.update(), left=None, stream=(), stopped=True)
        exchange = Exchange(self._asked.said, self._asked.uploads, update.words, update.pieces, self._asked.turn)
        return replace(update, conversation=conversation.with_(exchange)) if update.pieces else update

    def close(self) -> None:
        """What was not finished leaves no file."""
        for take in self._takes:
            if take.growing is not None and take.piece is None:
                take.growing.drop()
