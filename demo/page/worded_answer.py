"""Answer to a message that takes a change back or chooses a piece, in its turn.

It needs no model, but is about what the messages and changes before it have made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demo.page.page_session import PageSession
    from demo.page.state import PageExchange
    from demo.page.view import Status


@dataclass(eq=False)
class WordedAnswer:
    """Answer of `exchange` in its turn. act: does it and says what is current now, or raises ValueError; called within `changing`."""

    page: PageSession
    exchange: PageExchange
    act: Callable[[], str]
    _is_over: bool = False

    def run(self) -> None:
        """Acts. A refusal becomes a sentence of the exchange."""
        with self.page.lock:
            if self._is_over:
                return
            with self.page.changing():
                try:
                    self._end("done", text=self.act())
                except ValueError as error:
                    self._end("failed", error=str(error))

    @property
    def is_making(self) -> bool:
        """There is nothing to stop: it takes no time."""
        return False

    def stop(self) -> None:
        """There is nothing to stop."""

    def discard(self) -> None:
        """Ends it before its turn."""
        with self.page.lock:
            if not self._is_over:
                self._end("stopped")

    def _end(self, status: Status, *, text: str = "", error: str = "") -> None:
        self._is_over = True
        self.exchange.finished = self.page.clock()
        self.page.set_view(self.exchange, replace(self.exchange.view, status=status, text=text, error=error))
