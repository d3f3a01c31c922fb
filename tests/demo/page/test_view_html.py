"""HTML of an exchange: order of takes, before and after, escaping."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from demo.page import view_model
from demo.page.controller import Page
from demo.page.theme import ASSETS
from demo.page.view import ExchangeView, MediaView, TakeView
from demo.page.view_html import exchange_html
from demo.service.request import MusicProgress, Update
from demo.service.sessions import Session
from demo.service.uploads import Upload
from llama.media.audio import Waveform
from tests.page_helpers import SHORT, asked, files_of, record
from tests.scripted_engine import ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


def test_a_take_has_downloads_a_seed_and_drawings(page: Page) -> None:
    state = asked(page, "play notes")
    take, view = state.exchanges[-1].takes[0], state.html[-1]
    assert take.seed == 5 and [kind for kind, _ in take.downloads] == ["wav", "flac", "mp3", "mid"]
    names = {file.name for file in files_of(page, state)}
    assert {url.rpartition("/")[2] for _, url in take.downloads} <= names
    assert len(take.plots) == 3 and all(one.alt and one.light_url != one.dark_url for one in take.plots)
    assert "seed 5" in view and 'download="happy-ballad-flute-60bpm-C-major.mid"' in view and "See the sound" in view


def test_takes_side_by_side(page: Page, engine: ScriptedEngine) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=3))
    assert [take.seed for take in state.exchanges[-1].takes] == [5, 6, 7]
    assert state.html[-1].count("<audio") == 3 and "Take 3" in state.html[-1]


def test_a_take_stands_in_its_place_whichever_sounds_first(page: Page) -> None:
    session = page.sessions.open()
    second, first = MusicProgress(6, f"/media/{session.token}/b.wav"), MusicProgress(5, f"/media/{session.token}/a.wav")
    update = Update("", progress=(1.0, 8.0), texts=("", ""), seeds=(5, 6))
    early = view_model.take_views(session, (), replace(update, streams=(second,)))
    both = view_model.take_views(session, early, replace(update, streams=(second, first)))
    assert [take.seed for take in both] == [5, 6] and both[1] == early[0] and both[0].audio.seconds == 4.0
    view = exchange_html(ExchangeView("", takes=early, take_count=2), 0)
    assert "Take 2" in view and "Take 1" not in view


@pytest.mark.parametrize(("left", "starts"), [(None, False), (9.0, False), (7.0, True)])
def test_music_starts_when_it_will_not_run_dry(left: float | None, starts: bool) -> None:
    exchange = ExchangeView("", takes=(TakeView(MediaView("audio", "media/x/y.wav", 10.0), 5),), seconds_left=left)
    assert ("data-start" in exchange_html(exchange, 0)) == starts
    whole = replace(exchange.takes[0], complete=True)
    assert "data-start" in exchange_html(replace(exchange, takes=(whole,)), 0)


def test_a_change_shows_before_and_after(page: Page, recording: Path) -> None:
    state = asked(page, "play it faster", [recording])
    view = state.html[-1]
    assert ">Before<" in view and ">After<" in view and view.count("<audio") == 2
    state = asked(page, "make it play slower", state=state)
    assert state.exchanges[-1].reference and state.exchanges[-1].original.url == state.exchanges[0].takes[0].audio.url  # type: ignore[union-attr]


def test_a_clip_stands_beside_its_music(page: Page) -> None:
    view = asked(page, "play", [ASSETS / "examples" / "slow_sea.mp4"]).html[-1]
    assert view.count("<video") == 1 and "muted" in view and 'data-act="together"' in view


def test_words_are_shown_not_run(page: Page) -> None:
    bad = "<img src=x onerror=alert(1)> \"'&"
    state = asked(page, bad)
    assert "<img" not in state.html[-1] and state.html[-1].count("&lt;img src=x") == 3
    exchange = replace(state.exchanges[-1], error="<script>", reference="<i>", status="failed")
    assert "<script>" not in exchange_html(exchange, 0) and "<i>" not in exchange_html(exchange, 0)


def test_a_refused_file_without_words_leaves_no_empty_bubble() -> None:
    assert 'class="said"' not in exchange_html(ExchangeView("", status="failed", error="The file is damaged."), 0)


def test_names_of_uploads_are_not_used(page: Page, tmp_path: Path) -> None:
    state = asked(page, "hello", [record(tmp_path / "my 'secret' tune.wav")])
    assert all("secret" not in file.name for file in files_of(page, state)) and "secret" not in state.html[-1]


def test_an_answer_is_told_when_it_is_whole() -> None:
    take = TakeView(MediaView("audio", "media/x/y.wav", 10.0), 5, complete=True)
    growing = ExchangeView("a waltz", text="A slow", progress=(1.0, 10.0))
    assert "data-announcement" not in exchange_html(growing, 0) and "role=" not in exchange_html(growing, 0)
    whole = exchange_html(replace(growing, text='A "slow" waltz.', takes=(take,), status="done"), 0)
    assert 'data-announcement="Answer: A &quot;slow&quot; waltz. New music, 10.0 seconds."' in whole
    failed = exchange_html(replace(growing, text="", status="failed", error="There is nothing to answer."), 0)
    assert 'data-announcement="Answer: There is nothing to answer."' in failed


def test_a_picture_that_browsers_do_not_show_is_shown_by_its_preview(tmp_path: Path) -> None:
    upload = Upload("image", tmp_path / "a.heic", None, "holiday.heic", tmp_path / "b.jpg")
    shown = view_model.media_views(Session("token", tmp_path), [upload, replace(upload, preview=None)], Waveform.read)
    assert [view.url.rpartition("/")[2] for view in shown] == ["b.jpg", "a.heic"]
