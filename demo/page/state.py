"""Messages of a page's session as they were sent, and what the session remembers of each piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from demo.page.view import ExchangeView
from demo.service.conversation import Conversation
from demo.service.request import Settings
from demo.service.uploads import Upload

if TYPE_CHECKING:
    from demo.service.conversation import Piece


@dataclass(frozen=True)
class SubmittedMessage:
    """A message as it was sent, so that it can be sent again.

    about: sound of the piece that it is about, whatever its words; conversation: the exchanges before it, set when its answer
    begins; client_address: IP address that it came from.
    """

    text: str
    uploads: tuple[Upload, ...]
    settings: Settings
    about: Path | None = None
    conversation: Conversation | None = None
    client_address: str = ""


@dataclass(eq=False)
class PageExchange:
    """One exchange of a page's session. version: of the session when its view last changed; finished: time of its end."""

    message: SubmittedMessage
    view: ExchangeView
    version: int = 0
    finished: float | None = None


@dataclass(eq=False)
class PieceRecord:
    """What a session remembers of a piece. exchange: on whose card it is; message: whose settings made it.

    made_at: Unix time; name: that its user gave it (empty: its title).
    """

    piece: Piece
    exchange: PageExchange
    message: SubmittedMessage
    made_at: float = 0.0
    name: str = ""
    starred: bool = field(default=False)
