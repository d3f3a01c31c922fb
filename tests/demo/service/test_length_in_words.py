"""A length in the words of a message comes before that of the settings, unless a program gave one."""

from __future__ import annotations

from dataclasses import replace

from demo.api.protocol import ChatRequest
from demo.api.request_parser import parse_request
from demo.service.conversation import Conversation
from demo.service.request import Settings
from demo.service.service import ChatService
from demo.service.sessions import Session
from tests.scripted_engine import ScriptedEngine

pytest_plugins = ("tests.page_helpers",)
SETTINGS = Settings(seconds=10.0, seed=5, takes=2)


def test_the_words_come_before_the_slider(work: ChatService, session: Session) -> None:
    submitted = work.begin(session, Conversation(), "20 seconds of happy piano", [], SETTINGS)
    assert submitted.message == "20 seconds of happy piano" and submitted.turn.text == "happy piano"
    assert [take.seconds for take in submitted.options] == [20.0, 20.0]
    assert [take.seed for take in submitted.options] == [5, 6]


def test_a_program_s_own_length_comes_first(work: ChatService, session: Session) -> None:
    submitted = work.begin(session, Conversation(), "20 seconds of happy piano", [], replace(SETTINGS, length_in_words=False))
    assert submitted.turn.text == "20 seconds of happy piano" and submitted.options[0].seconds == 10.0


def test_the_api_says_whether_it_was_given() -> None:
    body = '{"messages": [{"role": "user", "content": "20 seconds of happy piano"}], "modalities": ["text", "audio"]%s}'
    assert parse_request((body % "").encode(), "nano", ChatRequest)[0].settings().length_in_words
    assert not parse_request((body % ', "seconds": 5').encode(), "nano", ChatRequest)[0].settings().length_in_words


def test_again_is_as_long_as_before(work: ChatService, engine: ScriptedEngine, session: Session) -> None:
    *_, last = work.answer(session, Conversation(), "3 seconds of play music", [], Settings(seconds=2.0, seed=5))
    assert last.conversation is not None and engine.requests[-1].options.seconds == 3.0
    work.begin(session, last.conversation, "again", [], Settings(seconds=2.0))
    assert engine.requests[-1].options.seconds == 3.0
