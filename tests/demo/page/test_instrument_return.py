"""Nothing gets lost: reload, Back, a lost network, a second tab, and a Clear that was a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser_helpers import Site
from tests.instrument import Visitor, second_tab, visiting

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers", "tests.instrument")
pytestmark = pytest.mark.slow

MESSAGES = ("hello", "play notes", "a word", "play notes please", "play", "a question", "play one", "thank you")


@pytest.fixture
def visitor(window: Any, site: Site) -> Iterator[Visitor]:
    with visiting(window, site.address) as visitor:
        yield visitor


def conversation(visitor: Visitor) -> list[str]:
    """What stands on the page: messages and answers, the music by its address."""
    sounds = [version["url"] for card in visitor.cards() for version in card["versions"]]
    return [*visitor.texts("#log .said"), *visitor.texts("#log .words"), *sounds]


def library(visitor: Visitor) -> list[str]:
    return [piece["id"] for piece in visitor.now("connection.state.library ?? []")]


def talk(visitor: Visitor) -> list[str]:
    """Eight turns, and what then stands on the page."""
    for message in MESSAGES:
        visitor.say(message)
    assert len(visitor.texts("#log .said")) == len(visitor.texts("#log .words")) == 8 and len(visitor.cards()) == 4
    return conversation(visitor)


def test_a_reload_and_the_back_button_bring_everything_again(visitor: Visitor) -> None:
    before = talk(visitor)
    pieces = library(visitor)
    visitor.write("what I was about to say")
    visitor.page.reload()
    visitor.arrive()
    visitor.answered(8)
    assert conversation(visitor) == before and library(visitor) == pieces and len(pieces) == 4
    assert visitor.page.input_value("#box textarea") == "what I was about to say"
    visitor.page.goto("about:blank")
    visitor.page.go_back()
    visitor.arrive()
    visitor.answered(8)
    assert conversation(visitor) == before
    visitor.page.go_forward(wait_until="commit")  # Firefox keeps the pages, which are not loaded again
    visitor.page.go_back(wait_until="commit")
    visitor.arrive()
    visitor.answered(8)
    assert conversation(visitor) == before and visitor.page.input_value("#box textarea") == "what I was about to say"
    visitor.say("a last word")
    assert visitor.texts("#log .words")[-1] == "a last word"


def test_what_was_sent_offline_stays_and_is_sent_later(visitor: Visitor) -> None:
    visitor.say("play notes")
    before = conversation(visitor)
    visitor.page.context.set_offline(True)
    visitor.write("a message without a network")
    visitor.send()
    visitor.page.wait_for_function("document.querySelector('#note').textContent.includes('cannot reach its server')")
    assert visitor.page.input_value("#box textarea") == "a message without a network" and conversation(visitor) == before
    visitor.page.context.set_offline(False)
    visitor.page.wait_for_function("document.querySelector('#note').textContent === ''")
    visitor.send()
    visitor.answered(2)
    visitor.page.wait_for_function("document.querySelector('#box textarea').value === ''")
    assert visitor.texts("#log .words")[-1] == "a message without a network"


def test_an_answer_goes_on_while_the_page_is_away(visitor: Visitor, site: Site) -> None:
    visitor.write("play notes wait")
    visitor.send()
    visitor.page.wait_for_selector("#log [aria-busy=true]")
    visitor.page.goto("about:blank")
    site.engine.leaves.release(100)
    assert site.engine.requests[-1].finished.wait(30)
    visitor.page.go_back()
    visitor.arrive()
    visitor.answered(1)
    assert visitor.version()["complete"]
    while site.engine.leaves.acquire(blocking=False):
        pass


def test_clear_asks_and_can_be_taken_back(visitor: Visitor, site: Site) -> None:
    visitor.say("play notes")
    visitor.say("and now")
    before, token = conversation(visitor), visitor.now("connection.session")
    visitor.page.get_by_role("button", name="Clear", exact=True).click()
    question = visitor.page.get_by_role("dialog")
    assert "Delete this conversation" in question.inner_text()
    visitor.page.keyboard.press("Escape")
    assert conversation(visitor) == before
    visitor.page.get_by_role("button", name="Clear", exact=True).click()
    question.get_by_role("button", name="Delete").click()
    visitor.page.wait_for_function("document.querySelectorAll('#log .turn').length === 0")
    visitor.page.get_by_role("button", name="Undo").click()
    visitor.answered(2)
    assert conversation(visitor) == before
    session = site.sessions.get(token)
    assert session is not None and list(session.folder.glob("*.wav"))


def test_two_tabs_of_one_conversation_agree(visitor: Visitor) -> None:
    visitor.say("play notes")
    other = second_tab(visitor)
    other.answered(1)
    assert conversation(other) == conversation(visitor) and library(other) == library(visitor)
    other.say("hello from here")
    visitor.answered(2)
    visitor.say("play, and from here")
    other.answered(3)
    assert conversation(other) == conversation(visitor)
    other.page.close()
    visitor.say("still here")
    assert visitor.texts("#log .words")[-1] == "still here"


def test_eight_tabs_leave_connections_for_what_is_asked_of_them(visitor: Visitor) -> None:
    """A browser opens six connections to a server; a stream in each tab would take them all."""
    visitor.say("play notes")
    tabs = [second_tab(visitor) for _ in range(7)]
    assert all(conversation(tab) == conversation(visitor) for tab in tabs)
    tabs[-1].say("hello from here")
    for tab in (visitor, *tabs):
        tab.page.wait_for_function("connection.state.count === 2")
    visitor.page.bring_to_front()
    visitor.say("play once more")
    for tab in tabs:
        tab.answered(3)
        assert conversation(tab) == conversation(visitor)


def test_a_delete_reaches_every_tab_and_can_be_taken_back_after_a_reload(visitor: Visitor) -> None:
    visitor.say("play notes")
    other = second_tab(visitor)
    other.answered(1)
    before = conversation(visitor)
    visitor.page.get_by_role("button", name="Library").click()
    visitor.page.get_by_role("button", name="More about").click()
    visitor.page.get_by_role("menuitem", name="Delete").click()
    for tab in (visitor, other):
        tab.page.wait_for_function("!document.querySelector('#log music-card') && connection.state.library.length === 0")
    other.page.close()
    visitor.page.reload()
    visitor.arrive()
    visitor.page.get_by_role("button", name="Undo").click()
    visitor.page.wait_for_function("document.querySelector('#log music-card') && connection.state.library.length === 1")
    assert conversation(visitor) == before
    visitor.page.wait_for_selector("#toasts .toast", state="detached")


def test_a_token_opens_its_own_conversation_alone(visitor: Visitor, window: Any, site: Site) -> None:
    visitor.say("play notes quagga")
    with visiting(window, site.address) as stranger:
        stranger.say("hello")
        assert len(conversation(stranger)) == 2 and "quagga" not in stranger.page.inner_text("body")
        own, foreign = stranger.now("connection.session"), visitor.version()["id"]
        answer = stranger.page.request.post(f"{site.address}page/{own}/actions", data={"act": "delete", "piece": foreign})
        assert answer.status in (400, 404) and answer.json()["error"]
    assert visitor.page.request.get(visitor.address + visitor.version()["url"]).ok
