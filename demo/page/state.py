"""State of the page: what a user submits, the answers that run, and the conversation they belong to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from demo.page.view import ExchangeView
from demo.service.conversation import Conversation
from demo.service.request import Settings
from demo.service.uploads import Upload


@dataclass(frozen=True)
class SubmittedMessage:
    """One request as it was made, so that it can be made again. before: the conversation it belonged into."""

    text: str
    uploads: tuple[Upload, ...]
    settings: Settings
    before: Conversation


@dataclass
class RunningAnswer:
    """An answer under way. stop, close: end its work, from any thread; stop keeps what was made.

    gone: its conversation is no more, it has nothing to show.
    """

    stop: Callable[[], None]
    close: Callable[[], None]
    over: bool = False
    gone: bool = False


@dataclass(frozen=True)
class PageState:
    """What one browser page knows. asks, cards and views (the cards as HTML) go together."""

    token: str = ""
    conversation: Conversation = field(default_factory=Conversation)
    asks: tuple[SubmittedMessage, ...] = ()
    cards: tuple[ExchangeView, ...] = ()
    views: tuple[str, ...] = ()
    run: RunningAnswer | None = None

    @property
    def busy(self) -> bool:
        return self.run is not None and not self.run.over
