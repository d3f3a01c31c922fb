"""What a card shows: takes in their places, before and after, words escaped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demo.page import view_model as shown
from demo.page.controller import Page
from demo.page.theme import ASSETS
from demo.page.view import ExchangeView, MediaView, TakeView
from demo.page.view_html import exchange_html
from demo.service.request import MusicProgress, Update
from tests.page_helpers import SHORT, asked, files_of, record
from tests.scripted_engine import Scripted

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


def test_a_take_has_downloads_a_seed_and_drawings(page: Page) -> None:
    state = asked(page, "play notes")
    take, view = state.cards[-1].takes[0], state.views[-1]
    assert take.seed == 5 and [kind for kind, _ in take.downloads] == ["wav", "flac", "mp3", "mid"]
    names = {file.name for file in files_of(page, state)}
    assert {url.rpartition("/")[2] for _, url in take.downloads} <= names
    assert len(take.pictures) == 3 and all(one.alt and one.light != one.dark for one in take.pictures)
    assert "seed 5" in view and 'download="mumu-llama-seed-5.mid"' in view and "See the sound" in view


def test_takes_side_by_side(page: Page, engine: Scripted) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=3))
    assert [take.seed for take in state.cards[-1].takes] == [5, 6, 7]
    assert state.views[-1].count("<audio") == 3 and "Take 3" in state.views[-1]


def test_a_take_stands_in_its_place_whichever_sounds_first(page: Page) -> None:
    session = page.sessions.open()
    second, first = MusicProgress(6, f"/media/{session.token}/b.wav"), MusicProgress(5, f"/media/{session.token}/a.wav")
    update = Update("", progress=(1.0, 8.0), texts=("", ""), seeds=(5, 6))
    early = shown.takes(session, (), replace(update, streams=(second,)))
    both = shown.takes(session, early, replace(update, streams=(second, first)))
    assert [take.seed for take in both] == [5, 6] and both[1] == early[0] and both[0].sound.seconds == 4.0
    view = exchange_html(ExchangeView("", takes=early, wanted=2), 0)
    assert "Take 2" in view and "Take 1" not in view


@pytest.mark.parametrize(("left", "starts"), [(None, False), (9.0, False), (7.0, True)])
def test_music_starts_when_it_will_not_run_dry(left: float | None, starts: bool) -> None:
    card = ExchangeView("", takes=(TakeView(MediaView("audio", "media/x/y.wav", 10.0), 5),), left=left)
    assert ("data-start" in exchange_html(card, 0)) == starts
    whole = replace(card.takes[0], whole=True)
    assert "data-start" in exchange_html(replace(card, takes=(whole,)), 0)


def test_a_change_shows_before_and_after(page: Page, recording: Path) -> None:
    state = asked(page, "play it faster", [recording])
    view = state.views[-1]
    assert ">Before<" in view and ">After<" in view and view.count("<audio") == 2
    state = asked(page, "make it play slower", state=state)
    assert state.cards[-1].referred and state.cards[-1].before.url == state.cards[0].takes[0].sound.url  # type: ignore[union-attr]


def test_a_clip_stands_beside_its_music(page: Page) -> None:
    view = asked(page, "play", [ASSETS / "examples" / "slow_sea.mp4"]).views[-1]
    assert view.count("<video") == 1 and "muted" in view and 'data-act="together"' in view


def test_words_are_shown_not_run(page: Page) -> None:
    bad = "<img src=x onerror=alert(1)> \"'&"
    state = asked(page, bad)
    assert "<img" not in state.views[-1] and state.views[-1].count("&lt;img src=x") == 3
    card = replace(state.cards[-1], trouble="<script>", referred="<i>", state="failed")
    assert "<script>" not in exchange_html(card, 0) and "<i>" not in exchange_html(card, 0)


def test_a_refused_file_without_words_leaves_no_empty_bubble() -> None:
    assert 'class="said"' not in exchange_html(ExchangeView("", state="failed", trouble="The file is damaged."), 0)


def test_names_of_uploads_are_not_used(page: Page, tmp_path: Path) -> None:
    state = asked(page, "hello", [record(tmp_path / "my 'secret' tune.wav")])
    assert all("secret" not in file.name for file in files_of(page, state)) and "secret" not in state.views[-1]


def test_an_answer_is_told_when_it_is_whole() -> None:
    take = TakeView(MediaView("audio", "media/x/y.wav", 10.0), 5, whole=True)
    growing = ExchangeView("a waltz", words="A slow", progress=(1.0, 10.0))
    assert "data-told" not in exchange_html(growing, 0) and "role=" not in exchange_html(growing, 0)
    whole = exchange_html(replace(growing, words='A "slow" waltz.', takes=(take,), state="done"), 0)
    assert 'data-told="Answer: A &quot;slow&quot; waltz. New music, 10.0 seconds."' in whole
    failed = exchange_html(replace(growing, words="", state="failed", trouble="There is nothing to answer."), 0)
    assert 'data-told="Answer: There is nothing to answer."' in failed
