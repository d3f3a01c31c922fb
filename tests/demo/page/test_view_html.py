"""HTML and cards of exchanges: order of takes, before and after, skeletons, escaping."""

from __future__ import annotations

import html as html_library
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demo.page.card import card_json
from demo.page.controller import Page
from demo.page.theme import ASSETS
from demo.page.versions import VersionBuilder, levels, title_of
from demo.page.view import ExchangeView, VersionView, progress_text
from demo.page.view_html import exchange_html
from demo.service.sessions import Session
from demo.service.turn_resolution import Reference
from demo.service.uploads import Upload
from llama.media.audio import Waveform
from tests.page_helpers import SHORT, asked, begun, card, ended, files_of, html, record, seen, views
from tests.scripted_engine import SCORE, ScriptedEngine

pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)

TAKE = VersionView("y", "take", "media/x/y.wav", (1, 0), seconds=10.0, seed=5)


def test_a_card_has_facts_a_seed_and_downloads(page: Page) -> None:
    state = asked(page, "play notes")
    [version] = card(state)["versions"]
    assert version["seed"] == 5 and version["facts"] == {
        "tempo": 60, "key": "C major", "metre": "4/4", "lead": "flute", "style": "ballad", "bars": 0, "drums": False,
    }  # fmt: skip
    assert version["title"] == "Happy ballad, flute" and version["name"] == "happy-ballad-flute-60bpm-C-major"
    assert {"wav", "midi", "mp3", "flac", "stems"} <= {download["form"] for download in version["downloads"]}
    names = {file.name for file in files_of(page, state)}
    assert version["url"].rpartition("/")[2] in names and version["score"] == f'{version["url"]}/score'
    assert version["stems"] == {"melody": f'{version["url"]}/stem?part=melody'} and version["sheet"] == f'{version["url"]}/sheet'


def test_only_the_sound_and_the_notes_are_written_at_the_end(page: Page) -> None:
    assert [file.suffix for file in files_of(page, asked(page, "play notes"))] == [".mid", ".wav"]
    assert [file.suffix for file in files_of(page, asked(page, "play"))] == [".wav"]


def test_a_card_is_json_in_an_attribute(page: Page) -> None:
    state = asked(page, 'play "notes" & <b>')
    [attribute] = re.findall(r'data-card="([^"]*)"', html(state))
    assert json.loads(html_library.unescape(attribute)) == card(state)


def test_takes_side_by_side(page: Page) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=3))
    assert [(version["label"], version["seed"]) for version in card(state)["versions"]] == [("Take 1", 5), ("Take 2", 6), ("Take 3", 7)]
    assert card(state)["selected"] in {version["id"] for version in card(state)["versions"]} and html(state).count("<music-card") == 1


def test_a_take_stands_in_its_place_whichever_sounds_first() -> None:
    second = replace(TAKE, id="z", order=(1, 1))
    early = ExchangeView("", versions=(second,), take_count=2)
    assert [version["label"] for version in card_json(early, 0)["versions"]] == ["Take 2"]
    both = replace(early, versions=(TAKE, second))
    assert [version["label"] for version in card_json(both, 0)["versions"]] == ["Take 1", "Take 2"]


@pytest.mark.parametrize(("left", "starts"), [(None, False), (9.0, False), (7.0, True)])
def test_music_starts_when_it_will_not_run_dry(left: float | None, starts: bool) -> None:
    exchange = ExchangeView("", versions=(TAKE,), selected="y", seconds_left=left)
    assert card_json(exchange, 0, starts=True)["autoplay"] == starts
    whole = replace(exchange, versions=(replace(TAKE, complete=True),))
    assert card_json(whole, 0, starts=True)["autoplay"] and not card_json(whole, 0)["autoplay"]
    assert not card_json(replace(whole, status="stopped"), 0, starts=True)["autoplay"]


def test_music_does_not_start_in_a_page_that_is_opened_later(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    state = asked(page, "play")
    assert '&quot;autoplay&quot;:true' in state.snapshot()["changed"]["0"]
    monkeypatch.setattr(state, "clock", lambda: 1e9)
    assert '&quot;autoplay&quot;:false' in state.snapshot()["changed"]["0"]


def test_a_change_shows_before_and_after(page: Page, recording: Path) -> None:
    state = asked(page, "we play it faster", [recording])
    before, after = card(state)["versions"]
    assert [before["label"], after["label"]] == ["Before", "After"] and after["parent"] == before["id"]
    assert before["levels"] and before["seconds"] == 3.0 and not before["pcm"]
    state = asked(page, "we play it slower", state=state)
    again, _ = card(state)["versions"]
    assert views(state)[-1].reference is not None and (again["id"], again["kind"]) == (after["id"], "before")


def test_a_question_about_a_piece_has_no_card(page: Page) -> None:
    state = asked(page, "is it fast", state=asked(page, "play notes"))
    assert "<music-card" not in html(state) and 'class="referred"' in html(state)


def test_a_clip_stands_on_the_card_of_its_music(page: Page, engine: ScriptedEngine) -> None:
    state = begun(page, "hello")
    clip = ASSETS / "examples" / "slow_sea.mp4"
    token = page.submit(state.session.token, "what is this", [clip], SHORT)
    assert html(ended(page, token)).count("<video") == 1
    state = asked(page, "play", [clip])
    clip = card(state)["clip"]
    assert html(state).count("<video") == 1, "the message keeps its clip, so that nothing moves when the card comes"
    assert clip["url"].endswith(".mp4") and clip["seconds"] == pytest.approx(4.0)


def test_a_skeleton_is_there_as_soon_as_music_comes(page: Page, engine: ScriptedEngine) -> None:
    assert "<music-card" not in exchange_html(ExchangeView("a waltz", text="A slow"), 0), "it may be words alone"
    waiting = ExchangeView("90 bpm", status="waiting", expects_music=True)
    assert "<music-card" in exchange_html(waiting, 0) and card_json(waiting, 0)["status"] == "waiting"
    state = begun(page, "play wait")
    engine.leaves.release(4)  # the words, and that music begins
    seen(state, lambda view: view.progress is not None)
    assert card(state)["versions"] == [] and "<music-card" in html(state) and card(state)["expected"] == 2.0
    engine.leaves.release(50)
    ended(page, state.session.token)


def test_nothing_is_waited_for_once_the_music_is_whole() -> None:
    making = ExchangeView("", progress=(4.0, 8.0), seconds_left=4.0, versions=(TAKE,))
    assert progress_text(making) == "Making the music: 4.0 of 8.0 s, about 4 s left"
    assert 'data-act="stop"' in exchange_html(making, 0, can_stop=True)
    whole = exchange_html(replace(making, progress=(8.0, 8.0)), 0, can_stop=False)
    assert 'class="work"' not in whole and "Writing" not in whole and "Stop" not in whole


def test_words_are_shown_not_run(page: Page) -> None:
    bad = "<img src=x onerror=alert(1)> \"'&"
    state = asked(page, bad)
    assert "<img" not in html(state) and html(state).count("&lt;img src=x") == 3
    exchange = replace(views(state)[-1], error="<script>", reference=Reference("<i>", Path("a/<b>.wav")), status="failed")
    shown = exchange_html(exchange, 0)
    assert "<script>" not in shown and "<i>" not in shown and "<b>" not in shown
    evil = replace(TAKE, title="</music-card><script>", report='"><script>', complete=True)
    assert "<script>" not in exchange_html(replace(exchange, versions=(evil,)), 0)


def test_a_message_without_words_leaves_no_empty_bubble() -> None:
    assert 'class="said"' not in exchange_html(ExchangeView("", status="failed", error="The file is damaged."), 0)


def test_names_of_uploads_are_shown_and_not_used(page: Page, tmp_path: Path) -> None:
    state = asked(page, "hello", [record(tmp_path / "my 'secret' <tune>.wav")])
    assert all("secret" not in file.name for file in files_of(page, state))
    assert views(state)[0].uploads[0].title == "my 'secret' <tune>.wav" and "<tune>" not in html(state)


def test_an_answer_is_told_when_it_is_whole() -> None:
    take = replace(TAKE, complete=True)
    growing = ExchangeView("a waltz", text="A slow", progress=(1.0, 10.0))
    assert "data-announcement" not in exchange_html(growing, 0) and "role=" not in exchange_html(growing, 0)
    whole = exchange_html(replace(growing, text='A "slow" waltz.', versions=(take,), status="done"), 0)
    assert 'data-announcement="Answer: A &quot;slow&quot; waltz. New music, 10.0 seconds."' in whole
    failed = exchange_html(replace(growing, text="", status="failed", error="There is nothing to answer."), 0)
    assert 'data-announcement="Answer: There is nothing to answer."' in failed


def test_a_picture_that_browsers_do_not_show_is_shown_by_its_preview(tmp_path: Path) -> None:
    upload = Upload("image", tmp_path / "a.heic", None, "holiday.heic", tmp_path / "b.jpg")
    shown = VersionBuilder(Session("token", tmp_path), Waveform.read).media([upload, replace(upload, preview=None)])
    assert [view.url.rpartition("/")[2] for view in shown] == ["b.jpg", "a.heic"]


def test_levels_are_absolute_peaks() -> None:
    samples = torch.zeros(2, 2400)
    samples[1, 0:10], samples[0, 1200], samples[0, 2399] = -0.5, 1.0, 2.0
    drawn = bytes.fromhex(levels(Waveform(samples, 8000)))
    assert len(drawn) == 240 and (drawn[0], drawn[120], drawn[239], sum(drawn)) == (128, 255, 255, 638)
    assert bytes.fromhex(levels(Waveform(samples[:, :100], 8000)))[0] == 128, "shorter than its bars"


def test_a_piece_without_notes_is_called_by_its_message() -> None:
    assert title_of(SCORE, "anything") == "Happy ballad, flute"
    assert title_of(None, " a slow\nwaltz ") == "a slow waltz" and title_of(None, "") == "Music"
    assert len(title_of(None, "long " * 50)) == 60
