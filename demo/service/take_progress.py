"""Progress of the takes of one request: consumes engine events, returns updates, writes the files of finished pieces."""

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
from llama.media.edit_labels import name_labels

if TYPE_CHECKING:
    from demo.service.sessions import Session, Sessions
    from llama.dialogue import Reply


@dataclass
class Take:
    """State of one take. text: so far; started: whether music generation has begun; wav: the growing file."""

    seed: int
    total_seconds: float  # requested length of the music
    text: str = ""
    seconds_made: float = 0.0
    started: bool = False
    wav: GrowingWav | None = None
    reply: Reply | None = None
    piece: Piece | None = None


class TakeProgress:
    """Progress of all takes of one request in its session. clock: monotonic time in seconds."""

    def __init__(self, submitted: SubmittedRequest, session: Session, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._submitted, self._session, self._sessions, self._clock = submitted, session, sessions, clock
        self._takes = [Take(options.seed, options.seconds) for options in submitted.options]
        self._running_takes = len(self._takes)
        self._music_start: tuple[float, float] | None = None  # (clock, seconds made) when the first music began

    @property
    def running(self) -> bool:
        """Whether a take has not ended yet."""
        return self._running_takes > 0

    @property
    def complete(self) -> bool:
        """Whether every take has its reply."""
        return all(take.reply is not None for take in self._takes)

    def handle(self, events: Sequence[TakeEvent]) -> None:
        """Applies events. Raises the error of a failed take."""
        for take_event in events:
            if isinstance(take_event.event, Exception):
                raise take_event.event
            if take_event.event is None:
                self._running_takes -= 1
            else:
                self._handle(self._takes[take_event.take], take_event.event)
        seconds_made = sum(take.seconds_made for take in self._takes)
        if self._music_start is None and any(take.started for take in self._takes):
            self._music_start = self._clock(), seconds_made

    def _handle(self, take: Take, event: Event) -> None:
        if isinstance(event, TextDelta):
            take.text += event.text
        elif isinstance(event, Progress):
            take.started, take.seconds_made, take.total_seconds = True, max(take.seconds_made, event.seconds), event.total_seconds
        elif isinstance(event, MusicChunk):
            take.wav = take.wav or self._new_wav(take)
            take.wav.add(event.music)
            take.started, take.seconds_made = True, max(take.seconds_made, take.wav.seconds)
        elif isinstance(event, Done):
            self._finish(take, event.reply)

    def _finish(self, take: Take, reply: Reply) -> None:
        take.reply, take.text = reply, reply.text
        if reply.music is None:
            return
        take.started, take.seconds_made, take.total_seconds = True, reply.music.seconds, reply.music.seconds
        take.wav = take.wav or self._new_wav(take)
        sound = take.wav.finish(reply.music, reply.score)
        if reply.score is not None:
            self._sessions.scores.add(sound, reply.score, "" if reply.edit is None else " ".join(name_labels(reply.edit)))
        take.piece = Piece(reply.text, take.seed, reply.music.seconds, sound, reply.score, edit=reply.edit)

    def _new_wav(self, take: Take) -> GrowingWav:
        return GrowingWav(self._sessions, self._session, take.total_seconds, self._submitted.message, take.seed)

    def snapshot(self) -> Update:
        """Current state as an update."""
        takes = self._takes
        started = [take for take in takes if take.started]
        seconds_made, total_seconds = sum(take.seconds_made for take in takes), sum(take.total_seconds for take in takes)
        return Update(
            takes[0].text,
            (min(seconds_made, total_seconds), total_seconds) if started else None,
            self._seconds_left(seconds_made, total_seconds),
            0 if any(take.text or take.started for take in takes) else min(request.queue_position for request in self._submitted.requests),
            tuple(take.piece for take in takes if take.piece is not None),
            self._submitted.reference,
            tuple(
                MusicProgress(take.seed, take.wav.url, take.wav.seconds) for take in takes if take.wav is not None and take.reply is None
            ),
            texts=tuple(take.text for take in takes),
            seeds=tuple(take.seed for take in takes),
        )

    def _seconds_left(self, seconds_made: float, total_seconds: float) -> float | None:
        """Estimate from the pace so far; None before any music was made."""
        if self._music_start is None or seconds_made <= self._music_start[1]:
            return None
        start_time, seconds_then = self._music_start
        return max(0.0, (self._clock() - start_time) * (total_seconds - seconds_made) / (seconds_made - seconds_then))

    def final_update(self, conversation: Conversation) -> Update:
        """Last update of a finished request. Raises `UserFacingError` if a take has no reply because the server stopped."""
        if not self.complete:
            raise UserFacingError(STOPPED, "server")
        update = self.snapshot()
        return replace(update, seconds_left=None, conversation=conversation.add_exchange(self._exchange(update)))

    def stopped_update(self, conversation: Conversation) -> Update:
        """Last update of a request stopped by the user; music made so far becomes shorter pieces."""
        for take in self._takes:
            if take.wav is not None and take.piece is None:
                sound, music = take.wav.truncate()
                take.piece = Piece(take.text, take.seed, music.seconds, sound, requested_seconds=take.total_seconds)
        update = replace(self.snapshot(), seconds_left=None, streams=(), stopped=True)
        return replace(update, conversation=conversation.add_exchange(self._exchange(update))) if update.pieces else update

    def _exchange(self, update: Update) -> Exchange:
        submitted, options = self._submitted, self._submitted.options[0]
        uploads, turn = submitted.uploads, submitted.turn
        return Exchange(submitted.message, uploads, update.text, update.pieces, turn, options.edit, options.bar_count)

    def close(self) -> None:
        """Deletes the files of unfinished takes."""
        for take in self._takes:
            if take.wav is not None and take.piece is None:
                take.wav.discard()
