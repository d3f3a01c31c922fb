"""The page: one conversation for each browser page, one input for words, sound, pictures and clips, cards with the answers.

Nothing is kept for all users but the model: what a user said and got lies in the state of their own page and in the
folder of their own session, which goes when the page does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.page import view_model as shown
from demo.page.state import PageState, RunningAnswer, SubmittedMessage
from demo.page.theme import ASSETS, EXAMPLES
from demo.page.view import ExchangeView, MediaView
from demo.page.view_html import exchange_html
from demo.service.caller import page_client_address
from demo.service.presence import Presence
from demo.service.request import Settings, Update
from demo.service.service import EMPTY_REQUEST, ChatService

if TYPE_CHECKING:
    from demo.service.sessions import Session

LONGEST_TEXT = 8000  # characters
EVERY_EXAMPLE = tuple(example for row in EXAMPLES.values() for example in row)


class Page:
    """What the page does, without its looks: every method takes the state of one browser page and gives the next."""

    def __init__(self, work: ChatService) -> None:
        self.work, self.sessions, self.presence = work, work.sessions, Presence()
        self.arrivals = work.sessions.root / "arrived"  # where gradio puts an upload until its session takes it

    def ask(self, state: PageState, text: str, files: Sequence[str | Path], settings: Settings) -> Iterator[PageState]:
        """The state as the answer grows. What a user did wrong is told in its card."""
        state, session = self._session(state)
        said = (text or "").strip()
        try:
            if not said and not files:
                raise ValueError(EMPTY_REQUEST)
            if len(said) > LONGEST_TEXT:
                raise ValueError(f"The message has {len(said)} characters, the page takes {LONGEST_TEXT}; shorten it.")
            uploads = tuple(self.work.receive(session, Path(file)) for file in files)
        except ValueError as error:
            card = ExchangeView(said[:LONGEST_TEXT], state="failed", trouble=str(error))
            yield _added(state, SubmittedMessage(said, (), settings, state.conversation), card)
            return
        finally:
            self.forget(files)
        yield from self._answer(state, session, SubmittedMessage(said, uploads, settings, state.conversation))

    def again(self, state: PageState, exchange: int, take: int, *, fresh: bool) -> Iterator[PageState]:
        """The same request once more: with the seed of that take, or (`fresh`) with a new one."""
        state, session = self._session(state)
        if not 0 <= exchange < len(state.asks):
            yield state
            return
        ask, takes = state.asks[exchange], state.cards[exchange].takes
        seed = None if fresh or not 0 <= take < len(takes) else takes[take].seed
        yield from self._answer(state, session, replace(ask, settings=replace(ask.settings, seed=seed, takes=1)))

    def example(self, state: PageState, number: int, settings: Settings) -> Iterator[PageState]:
        """One of the examples, by its place."""
        example = EVERY_EXAMPLE[number % len(EVERY_EXAMPLE)]
        files = [ASSETS / "examples" / example.file] if example.file else []
        yield from self.ask(state, example.text, files, settings)

    def clear(self, state: PageState) -> PageState:
        """A new conversation; the work is stopped and the files are deleted."""
        self.leave(state)
        return PageState()

    def leave(self, state: PageState | None) -> None:
        """The browser page was closed: its work ends and its files go."""
        if state is None:
            return
        if state.run is not None:
            state.run.gone = True
            state.run.close()
        if state.token:
            self.sessions.close(state.token)

    def lost(self, state: PageState) -> None:
        """The connection of the browser page has ended: it was closed, or the network fails for a while."""
        if state.token:
            self.presence.connection_lost(state.token, lambda: self.leave(state))

    def uploaded(self, files: Sequence[str | Path]) -> list[Path]:
        """The files that browsers and programs sent here, as paths; ValueError where one is named that nobody sent.

        A second lock behind gradio's own: a request may name any path of the server's, and what the page takes it also serves.
        """
        found = [Path(file) for file in files]
        if not all(file.resolve().is_relative_to(self.arrivals.resolve()) for file in found):
            raise ValueError("A file was named that was not uploaded; upload it, and name what the upload gave.")
        return found

    def forget(self, files: Sequence[str | Path]) -> None:
        """Deletes what gradio keeps of an upload, now that its session has a copy; files from elsewhere are left alone."""
        for file in map(Path, files):
            if file.resolve().is_relative_to(self.arrivals.resolve()):
                file.unlink(missing_ok=True)

    def _session(self, state: PageState) -> tuple[PageState, Session]:
        """The session of the page, opened with its first request; a conversation whose files are gone begins anew."""
        self.presence.connected(state.token)
        session = self.sessions.get(state.token) if state.token else None
        if session is None:
            session = self.sessions.open()
            state = PageState(token=session.token)
        return state, session

    def _answer(self, state: PageState, session: Session, ask: SubmittedMessage) -> Iterator[PageState]:
        updates = self.work.answer(session, ask.before, ask.text, ask.uploads, ask.settings, client_address=page_client_address())
        run, before = RunningAnswer(updates.stop, updates.close), shown.before(session, ask)
        card = ExchangeView(ask.text, shown.media(session, ask.uploads), wanted=int(ask.settings.takes))
        state = replace(_added(state, ask, card), run=run)
        yield state
        try:
            for update in updates:
                card = _grown(card, update, session, before)
                if update.conversation is not None:
                    state = replace(state, conversation=state.conversation.add_exchange(update.conversation.exchanges[-1]))
                if update.stopped or update.conversation is not None:
                    card = replace(card, state="stopped" if update.stopped else "done", takes=shown.finished(card.takes))
                yield _with(state, card)
        except ValueError as error:
            card = replace(card, state="failed", trouble=str(error))
        finally:
            updates.close()  # whoever ended it: the rows of this request leave the batch
            run.over = True
        if run.gone:
            return
        card = replace(card, takes=shown.finished(card.takes))  # a sound that was given up has no file any more
        yield _with(state, card)
        if card.state != "failed" and card.takes:
            yield _with(state, shown.pictured(session, card, update.pieces))


def settings_of(
    seconds: float | None, fit: bool, takes: float | None, seed: float | None, fresh: bool, guidance: float | None,
    temperature: float | None, top_p: float | None, conditioning: str | None, max_tokens: float | None,
) -> Settings:
    """From the fields of the page; a cleared one is None and has its usual value. ValueError for values out of range."""
    given: dict[str, Any] = {
        "seconds": seconds, "fit": bool(fit), "takes": takes, "guidance": guidance or None, "temperature": temperature, "top_p": top_p,
        "conditioning": conditioning, "max_tokens": max_tokens, "seed": None if fresh else seed,
    }  # fmt: skip
    whole = {name: int(given[name]) for name in ("takes", "seed", "max_tokens") if given[name] is not None}
    return Settings(**{name: value for name, value in {**given, **whole}.items() if value is not None})


def _added(state: PageState, ask: SubmittedMessage, card: ExchangeView) -> PageState:
    """The state with one more exchange."""
    index = len(state.cards)
    views = (*state.views, exchange_html(card, index, state.token))
    return replace(state, asks=(*state.asks, ask), cards=(*state.cards, card), views=views)


def _with(state: PageState, card: ExchangeView) -> PageState:
    """The state with its last card changed."""
    view = exchange_html(card, len(state.cards) - 1, state.token)
    return replace(state, cards=(*state.cards[:-1], card), views=(*state.views[:-1], view))


def _grown(card: ExchangeView, update: Update, session: Session, before: MediaView | None) -> ExchangeView:
    """The card after an update. The sound under way gets its player as soon as it has an address."""
    takes = shown.takes(session, card.takes, update)
    return replace(card, words=update.text, referred=update.reference, progress=update.progress, left=update.seconds_left,
                   ahead=update.queue_position, takes=takes, before=before if takes else None, wanted=len(update.seeds) or card.wanted)
