"""State of one browser page: its conversation, the submitted messages and the running answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from demo.page.view import ExchangeView
from demo.service.conversation import Conversation
from demo.service.request import Settings
from demo.service.uploads import Upload


@dataclass(frozen=True)
class SubmittedMessage:
    """A message as it was submitted, so that it can be repeated. conversation: the exchanges before it."""

    text: str
    uploads: tuple[Upload, ...]
    settings: Settings
    conversation: Conversation


@dataclass
class RunningAnswer:
    """Handle of an answer that is being generated. `stop` and `close` end it from any thread; `stop` keeps what was generated.

    discarded: the page was cleared or closed, so no further state is shown.
    """

    stop: Callable[[], None]
    close: Callable[[], None]
    finished: bool = False
    discarded: bool = False


@dataclass(frozen=True)
class PageState:
    """Immutable state of one browser page. messages, exchanges and html (of each exchange) have the same length."""

    token: str = ""
    conversation: Conversation = field(default_factory=Conversation)
    messages: tuple[SubmittedMessage, ...] = ()
    exchanges: tuple[ExchangeView, ...] = ()
    html: tuple[str, ...] = ()
    answer: RunningAnswer | None = None

    @property
    def busy(self) -> bool:
        return self.answer is not None and not self.answer.finished
