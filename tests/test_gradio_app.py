"""The page: growing answers, sound, nothing shared between users, errors as sentences, nothing fetched from outside."""

from __future__ import annotations

import base64
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

import gradio_app
from demo import shown
from demo.cards import Card, Medium, Take, card_html
from demo.chunks import under_way
from demo.login import Login
from demo.mount import HERE, refusal
from demo.page import Page, State, settings_of
from demo.presence import Presence
from demo.sessions import Sessions
from demo.style import ASSETS, EXAMPLES
from demo.uploads import Limits
from demo.work import Settings, Sounding, Update, Work
from llama import GenerationOptions, Waveform
from tests.page_server import serving
from tests.scripted_engine import RATE, Scripted

gradio = pytest.importorskip("gradio")

SHORT = Settings(seconds=2.0, seed=5)


@pytest.fixture
def engine() -> Scripted:
    return Scripted()


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    made = Sessions(tmp_path / "sessions")
    yield made
    made.close_all()


@pytest.fixture
def page(engine: Scripted, sessions: Sessions) -> Page:
    return Page(Work(engine, sessions, Limits()))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return record(tmp_path / "mine.wav")


def record(file: Path) -> Path:
    Waveform(torch.rand(1, 3 * RATE) - 0.5, RATE).write(file)
    return file


def asked(page: Page, text: str, files: Any = (), settings: Settings = SHORT, state: State | None = None) -> State:
    return list(page.ask(state or State(), text, files, settings))[-1]


def files_of(page: Page, state: State) -> list[Path]:
    session = page.sessions.get(state.token)
    return sorted(session.folder.iterdir()) if session is not None else []


# -- one conversation -----------------------------------------------------------------------------------------------


def test_the_answer_grows(page: Page, engine: Scripted) -> None:
    steps = page.ask(State(), "wait two three", [], SHORT)
    words = []
    for state in steps:
        words.append(state.cards[-1].words)
        engine.leaves.release()
    assert words[0] == "" and words[-1] == "wait two three" and len(set(words)) > 2
    assert all(later.startswith(earlier) for earlier, later in zip(words, words[1:], strict=False))


def test_states_are_values(page: Page) -> None:
    first = asked(page, "first")
    second = asked(page, "second", state=first)
    assert [card.words for card in first.cards] == ["first"] and [card.words for card in second.cards] == ["first", "second"]
    assert len(second.conversation.exchanges) == 2 and len(second.views) == 2


def test_sound_has_a_player_while_it_is_made(page: Page, engine: Scripted) -> None:
    early = []
    for state in page.ask(State(), "play wait", [], SHORT):
        if state.cards[-1].takes and state.cards[-1].state == "working":
            early.append(state.cards[-1])
        engine.leaves.release()
    assert early and early[0].takes[0].sound.url == state.cards[-1].takes[0].sound.url, "the player keeps its address"
    assert early[0].progress is not None and early[0].progress[1] == 2.0


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
    second, first = Sounding(6, f"/media/{session.token}/b.wav"), Sounding(5, f"/media/{session.token}/a.wav")
    update = Update("", progress=(1.0, 8.0), answers=("", ""), seeds=(5, 6))
    early = shown.takes(session, (), replace(update, stream=(second,)))
    both = shown.takes(session, early, replace(update, stream=(second, first)))
    assert [take.seed for take in both] == [5, 6] and both[1] == early[0] and both[0].sound.seconds == 4.0
    view = card_html(Card("", takes=early, wanted=2), 0)
    assert "Take 2" in view and "Take 1" not in view


@pytest.mark.parametrize(("left", "starts"), [(None, False), (9.0, False), (7.0, True)])
def test_music_starts_when_it_will_not_run_dry(left: float | None, starts: bool) -> None:
    card = Card("", takes=(Take(Medium("audio", "media/x/y.wav", 10.0), 5),), left=left)
    assert ("data-start" in card_html(card, 0)) == starts
    whole = replace(card.takes[0], whole=True)
    assert "data-start" in card_html(replace(card, takes=(whole,)), 0)


def test_music_for_a_clip_is_as_long_as_the_clip(page: Page, engine: Scripted) -> None:
    fit = replace(SHORT, fit=True)
    state = asked(page, "play", [ASSETS / "examples" / "slow_sea.mp4"], fit)
    state = asked(page, "another piece for the clip", state=state, settings=fit)
    asked(page, "play", state=state, settings=fit)
    assert [round(ticket.options.seconds, 1) for ticket in engine.tickets] == [4.0, 4.0, 2.0]
    assert engine.tickets[1].turn.video == engine.tickets[0].turn.video


def test_settings_reach_the_model(page: Page, engine: Scripted) -> None:
    asked(page, "hello", settings=settings_of(3, False, 1, 5, False, 2.0, 0.5, 0.9, "caption", 40))
    assert engine.tickets[0].options == GenerationOptions(
        max_tokens=40, temperature=0.5, top_p=0.9, seconds=3.0, guidance=2.0, seed=5, conditioning="caption"
    )


def test_a_fresh_seed_each_time(page: Page, engine: Scripted) -> None:
    for _ in range(3):
        asked(page, "hello", settings=settings_of(1, False, 1, 5, True, 0, 0, 0.8, "hidden", 40))
    assert len({ticket.options.seed for ticket in engine.tickets}) == 3


def test_cleared_settings_are_the_usual_ones() -> None:
    options = settings_of(*[None] * 10).options()[0]
    assert replace(options, seed=0) == GenerationOptions()


def test_again_has_the_same_seed_and_another_take_a_new_one(page: Page, engine: Scripted) -> None:
    state = asked(page, "play", settings=replace(SHORT, takes=2))
    seed = state.cards[0].takes[1].seed
    state = list(page.again(state, 0, 1, fresh=False))[-1]
    state = list(page.again(state, 0, 1, fresh=True))[-1]
    _, again, fresh = state.cards
    assert [take.seed for take in again.takes] == [seed] and again.said == "play"
    assert len(fresh.takes) == 1 and fresh.takes[0].seed != seed
    assert [ticket.options.seconds for ticket in engine.tickets] == [2.0] * 4
    assert len(state.conversation.exchanges) == 3


def test_again_means_what_was_meant_then(page: Page, engine: Scripted, recording: Path) -> None:
    state = asked(page, "play it", [recording])
    state = asked(page, "play it faster", state=state)  # about the piece
    heard = engine.tickets[-1].turn.audio
    state = asked(page, "play something new", state=state)
    list(page.again(state, 1, 0, fresh=True))
    assert heard is not None and engine.tickets[-1].turn.audio == heard


def test_a_piece_that_is_named_is_played_again_whatever_the_settings_are_now(page: Page, engine: Scripted) -> None:
    state = asked(page, "play", settings=replace(SHORT, seed=None))
    state = asked(page, "play something new", state=state, settings=replace(SHORT, seed=None, takes=2))
    state = asked(page, "play the last one again", state=state, settings=replace(SHORT, seed=None, seconds=4.0, takes=3))
    first, second, again = state.cards
    assert [take.seed for take in again.takes] == [second.takes[1].seed] and again.wanted == 1 and again.referred == "take 2"
    assert engine.tickets[-1].options == engine.tickets[2].options and engine.tickets[-1].turn == engine.tickets[2].turn
    assert "After" not in state.views[-1] and "New music" in state.views[-1]


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
    assert "<img" not in state.views[-1] and state.views[-1].count("&lt;img src=x") == 2
    card = replace(state.cards[-1], trouble="<script>", referred="<i>", state="failed")
    assert "<script>" not in card_html(card, 0) and "<i>" not in card_html(card, 0)


def test_names_of_uploads_are_not_used(page: Page, tmp_path: Path) -> None:
    state = asked(page, "hello", [record(tmp_path / "my 'secret' tune.wav")])
    assert all("secret" not in file.name for file in files_of(page, state)) and "secret" not in state.views[-1]


@pytest.mark.parametrize(
    ("text", "named", "word"),
    [(" ", {}, "nothing to answer"), ("stumble", {}, "damaged"), ("hi", {"seconds": -1}, "seconds"),
     ("hi", {"temperature": 99}, "temperature"), ("hi", {"conditioning": "magic"}, "conditioning"),
     ("x" * 9000, {}, "9000"), ("memory", {}, "memory"), ("disk", {}, "No space left"), ("bug", {}, "mistake")],
)  # fmt: skip
def test_mistakes_are_told_in_one_sentence(page: Page, text: str, named: dict[str, Any], word: str) -> None:
    card = asked(page, text, settings=Settings(**named)).cards[-1]
    assert card.state == "failed" and word in card.trouble and "\n" not in card.trouble and "/srv" not in card.trouble


@pytest.mark.parametrize("content", [b"no sound, no picture\n", b"", None, b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_bad_upload_is_one_sentence_without_its_place(page: Page, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "secret" / "my file.bin"
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content)
    state = asked(page, "hi", [file])
    trouble = state.cards[-1].trouble
    assert "my file.bin" in trouble and "secret" not in trouble and str(tmp_path) not in trouble and "\n" not in trouble
    assert asked(page, "still alive", state=state).cards[-1].words == "still alive"


def test_stop_ends_the_work(page: Page, engine: Scripted) -> None:
    steps = page.ask(State(), "wait for ever", [], SHORT)
    state = next(steps)
    assert state.busy
    threading.Timer(0.1, state.run.stop).start()  # type: ignore[union-attr]
    state = list(steps)[-1]
    assert state.cards[-1].state == "stopped" and not state.busy and engine.tickets[0].over.wait(5)
    assert asked(page, "next", state=state).cards[-1].words == "next"


def test_a_stop_that_is_read_late_is_a_stop(page: Page, engine: Scripted) -> None:
    steps = page.ask(State(), "wait for ever", [], SHORT)
    state = [next(steps), next(steps)][-1]
    state.run.stop()  # type: ignore[union-attr]
    for thread in threading.enumerate():
        if thread.name.startswith("take-"):
            thread.join(10)  # which have told of the end of the work
    assert list(steps)[-1].cards[-1].state == "stopped"


def waves(page: Page, state: State) -> list[Path]:
    return [file for file in files_of(page, state) if file.suffix == ".wav"]


def stopped_early(page: Page, engine: Scripted, settings: Settings) -> State:
    """After the first stretch of sound, or of each of the sounds."""
    steps = page.ask(State(), "play wait", [], settings)
    for state in steps:
        if state.busy and len(state.cards[-1].takes) == settings.takes:
            state.run.stop()  # type: ignore[union-attr]
            return list(steps)[-1]
        engine.leaves.release()
    raise AssertionError("no sound came")


def test_what_was_made_before_a_stop_stays(page: Page, engine: Scripted) -> None:
    state = stopped_early(page, engine, SHORT)
    (take,), view = state.cards[-1].takes, state.views[-1]
    assert state.cards[-1].state == "stopped" and not state.busy and engine.tickets[0].over.wait(5)
    seconds = take.sound.seconds or 0.0
    assert 0.5 <= seconds < 2.0 and f"Stopped after {seconds:.1f} s of 2.0 s." in view and "data-start" not in view
    assert [kind for kind, _ in take.downloads] == ["wav", "flac", "mp3"] and len(take.pictures) == 2
    (wav,) = waves(page, state)
    assert wav.name == take.sound.url.rpartition("/")[2] and not under_way(wav)
    engine.leaves.release(50)
    first, all_of_it = Waveform.read(wav), Waveform.read(waves(page, asked(page, "play wait"))[0])
    assert first.seconds == seconds and torch.equal(first.samples, all_of_it.samples[:, : first.samples.shape[1]])


def test_a_piece_that_was_stopped_can_be_spoken_of_and_made_whole(page: Page, engine: Scripted) -> None:
    state = stopped_early(page, engine, SHORT)
    sound = state.cards[-1].takes[0].sound.url.rpartition("/")[2]
    state = asked(page, "make it faster", state=state)
    assert Path(str(engine.tickets[-1].turn.audio)).name == sound and state.cards[-1].referred == "the last piece"
    engine.leaves.release(50)
    asked(page, "again", state=state, settings=replace(SHORT, seed=None, seconds=9.0))
    assert engine.tickets[-1].options == engine.tickets[0].options


def test_stopped_takes_stay_side_by_side(page: Page, engine: Scripted) -> None:
    state = stopped_early(page, engine, replace(SHORT, takes=2))
    assert [take.seed for take in state.cards[-1].takes] == [5, 6] and "Each take is as long as" in state.views[-1]


def test_a_sound_of_a_page_that_was_left_has_no_file(page: Page, engine: Scripted) -> None:
    steps = page.ask(State(), "play wait", [], SHORT)
    for state in steps:
        if state.cards[-1].takes:
            break
        engine.leaves.release()
    folder = page.sessions.get(state.token).folder  # type: ignore[union-attr]
    page.leave(state)
    assert list(steps) == [] and not folder.exists()


def test_a_closed_iterator_ends_the_work(page: Page, engine: Scripted) -> None:
    steps = page.ask(State(), "wait for ever", [], SHORT)
    next(steps), next(steps)
    steps.close()
    assert engine.tickets[0].over.wait(5)


def test_clear_deletes_the_files_and_ends_the_work(page: Page, engine: Scripted, recording: Path) -> None:
    state = asked(page, "play", [recording])
    folder = page.sessions.get(state.token).folder  # type: ignore[union-attr]
    steps = page.ask(state, "wait for ever", [], SHORT)
    busy = next(steps)
    assert len(list(folder.iterdir())) > 2
    fresh = page.clear(busy)
    assert fresh == State() and not folder.exists() and list(steps) == [] and engine.tickets[-1].over.wait(5)
    assert recording.exists(), "what lies elsewhere is not the page's"


def test_a_lost_connection_has_time_to_come_back(page: Page) -> None:
    page.presence = Presence(grace=0.2)
    state = asked(page, "play")
    page.lost(state)
    page.presence.here(state.token)
    time.sleep(0.6)
    assert page.sessions.get(state.token) is not None
    page.lost(state)
    later = asked(page, "again", state=state)
    assert later.token == state.token
    page.lost(later)
    time.sleep(0.6)
    assert page.sessions.get(state.token) is None


def test_a_conversation_whose_hour_is_over_begins_anew(page: Page) -> None:
    state = asked(page, "play")
    page.sessions.close(state.token)
    later = asked(page, "make it faster", state=state)
    assert len(later.cards) == 1 and later.token != state.token


def test_every_example_is_there_and_is_answered(page: Page, engine: Scripted) -> None:
    numbers = range(sum(len(row) for row in EXAMPLES.values()))
    for number in numbers:
        assert list(page.example(State(), number, SHORT))[-1].cards[-1].state == "done"
    kinds = [tuple(name for name in ("audio", "image", "video") if getattr(ticket.turn, name)) for ticket in engine.tickets]
    assert {*kinds} == {(), ("audio",), ("image",), ("video",)}


@pytest.mark.parametrize(
    ("decoder", "choices"),
    [
        (SimpleNamespace(tokenizer=None), ["hidden"]),
        (None, ["hidden"]),
        (SimpleNamespace(tokenizer=object()), ["hidden", "caption"]),
        (SimpleNamespace(), ["hidden", "caption"]),  # AudioLDM2, whose tokenizers are inside
    ],
)
def test_the_words_are_offered_only_to_a_decoder_that_reads(page: Page, decoder: Any, choices: list[str]) -> None:
    model: Any = SimpleNamespace(music_decoder=decoder)
    blocks = gradio_app.build_app(model, page.work).blocks.values()
    radio = next(block for block in blocks if isinstance(block, gradio.Radio))
    assert [value for _, value in radio.choices] == choices and radio.visible == (len(choices) > 1)


# -- the server -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Work]]:
    sessions = Sessions(tmp_path_factory.mktemp("sessions") / "all")
    work = Work(Scripted(), sessions, Limits())  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
        with serving(work) as address:
            yield address, work
    sessions.close_all()


@pytest.fixture
def address(served: tuple[str, Work]) -> str:
    return served[0]


def client(address: str, **named: Any) -> Any:
    from gradio_client import Client

    return Client(address, verbose=False, analytics_enabled=False, **named)


def ask(user: Any, text: str, audio: Any = None, image: Any = None, seconds: float | None = 1.0) -> tuple[str, str | None, str | None]:
    return user.predict(text, audio, image, None, seconds, 1, api_name="/respond")


def test_over_http(served: tuple[str, Work], recording: Path, tmp_path: Path) -> None:
    from gradio_client import handle_file

    user = client(served[0])
    (tmp_path / "text.mp3").write_text("no sound\n")
    assert ask(user, "what is this", handle_file(recording))[0] == "what is this 3.00"
    words, wav, midi = ask(user, "play notes", seconds=2.0)
    assert words == "play notes" and Waveform.read(wav).seconds == 2.0 and Path(midi or "").read_bytes()[:4] == b"MThd"
    assert ask(user, "play")[2] is None and Waveform.read(ask(user, "play", seconds=None)[1]).seconds == 10.0
    text_file = {"audio": handle_file(tmp_path / "text.mp3")}
    for text, named, word in (("hi", text_file, "text file"), ("stumble", {}, "damaged"), (" ", {}, "nothing")):
        with pytest.raises(Exception, match=word):
            ask(user, text, **named)
    assert ask(user, "still alive")[0] == "still alive", "the server outlives a mistake"
    root = served[1].sessions.root
    assert not [file for file in root.rglob("*.wav") if "arrived" not in file.parts], "no session stays open"


def test_users_do_not_hear_each_other(address: str) -> None:
    names = [f"user{index}" for index in range(4)]
    users = [client(address) for _ in names]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = [answer[0] for answer in pool.map(ask, users, names)]
    assert answers == names


def test_one_file_of_two_users_lies_in_two_places(address: str, recording: Path) -> None:
    import httpx

    places = [httpx.post(f"{address}gradio_api/upload", files={"files": recording.read_bytes()}).json()[0] for _ in range(2)]
    assert places[0] != places[1] and all(Path(place).is_file() for place in places)


def test_a_page_says_goodbye(served: tuple[str, Work]) -> None:
    address, work = served
    token = work.sessions.open().token
    for word, there in (("here", True), ("gone", False)):
        told = urllib.request.Request(f"{address}page/{token}/{word}", method="POST")
        assert urllib.request.urlopen(told, timeout=30).status == 204
        assert (work.sessions.get(token) is not None) == there


def test_a_launched_page_shows_its_media(page: Page, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # which building changes
    blocks = gradio_app.build_app(SimpleNamespace(), page.work)  # type: ignore[arg-type]
    _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True)
    try:
        piece = asked(page, "play", [recording]).cards[-1].takes[0].sound.url
        assert urllib.request.urlopen(address + piece, timeout=30).read(4) == b"RIFF"
        assert ".takes" in urllib.request.urlopen(address, timeout=30).read().decode()
    finally:
        blocks.close()


def test_only_one_function_is_public(address: str) -> None:
    assert list(client(address).view_api(return_format="dict")["named_endpoints"]) == ["/respond"]


def test_files_outside_the_page_stay_outside(served: tuple[str, Work]) -> None:
    address, work = served
    session = work.sessions.open()
    secret = session.folder / "piece.wav"
    secret.write_bytes(b"RIFF")
    for path in (f"gradio_api/file={secret}", "gradio_api/file=/etc/passwd", f"gradio_api/file={gradio_app.__file__}",
                 "media/nobody/piece.wav", f"media/{session.token}/..%2F..%2Fpiece.wav"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(address + path, timeout=30)
    work.sessions.close(session.token)


@pytest.mark.parametrize("path", ["/etc/passwd", gradio_app.__file__, "http://127.0.0.1:9/a.wav", "picture"])
def test_a_file_that_was_not_uploaded_is_no_file_of_the_caller(served: tuple[str, Work], tmp_path: Path, path: str) -> None:
    address, work = served
    if path == "picture":
        path = str(tmp_path / "secret.png")
        Image.new("RGB", (8, 8)).save(path)
    given = {"path": path, "meta": {"_type": "gradio.FileData"}}
    called = httpx.post(f"{address}gradio_api/call/respond", json={"data": ["hi", None, given, None, 1, 0]}).json()["event_id"]
    told = httpx.get(f"{address}gradio_api/call/respond/{called}", timeout=30).text
    assert "event: error" in told and "event: complete" not in told and "whatever its name says" not in told  # nobody has looked into it


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "192.0.2.1", "Origin": "http://evil.example"},
])  # fmt: skip
@pytest.mark.parametrize("method, path", [
    ("POST", "gradio_api/upload"), ("OPTIONS", "gradio_api/queue/join"), ("OPTIONS", "v1/models"), ("GET", ""),
])  # fmt: skip
def test_pages_of_other_sites_may_not_speak(address: str, headers: dict[str, str], method: str, path: str) -> None:
    answer = httpx.request(method, address + path, headers=headers)
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host, allowed", [
    ("localhost:7860", True), ("127.0.0.1", True), ("[::1]:7860", True), ("evil.example:7860", False), ("", False),
])  # fmt: skip
def test_a_server_of_this_machine_goes_by_its_own_names(host: str, allowed: bool) -> None:
    scope = {"path": "/", "headers": [(b"host", host.encode()), (b"origin", f"http://{host}".encode())]}
    assert (refusal(scope, HERE) is None) == allowed and (refusal(scope) is None or not host)


def test_the_page_asks_nothing_from_elsewhere(address: str) -> None:
    answer = urllib.request.urlopen(address, timeout=60)
    page, policy = answer.read().decode(), answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy
    style = urllib.request.urlopen(f"{address}theme.css", timeout=60).read().decode()
    loaded = re.findall(r"<(?:script|img|iframe|source)[^>]+src=\"(https?:)?//([^\"/]+)", page)
    loaded += re.findall(r"rel=\"(stylesheet|preload|modulepreload)\"[^>]+href=\"https?://([^\"/]+)", page)
    loaded += re.findall(r"(@import|url)\(?['\"]?https?://([^'\")/]+)", style)
    assert [host for _, host in loaded if not host.startswith("127.0.0.1")] == []


def test_a_login_guards_everything(page: Page, recording: Path) -> None:
    def status(url: str, key: str | None = None) -> int:
        headers = {"Authorization": key} if key else {}
        try:
            return int(urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30).status)
        except urllib.error.HTTPError as error:
            return error.code

    good = "Basic " + base64.b64encode(b"me:secret:x").decode()
    state = asked(page, "play", [recording])
    piece = state.cards[-1].takes[0].sound.url
    with serving(page.work, Login.parse("me:secret:x")) as address:
        for path in ("", "config", "gradio_api/info", "theme.css", piece, "v1/models"):
            wrong = "Basic " + base64.b64encode(b"me:secret").decode()
            assert [status(address + path), status(address + path, wrong), status(address + path, "Basic é")] == [401] * 3, path
            assert status(address + path, good) == 200, path
        assert ask(client(address, headers={"Authorization": good}), "hello")[0] == "hello"


# -- the command ----------------------------------------------------------------------------------------------------


def test_published_flags() -> None:
    values = gradio_app.parser().parse_args(
        "--model a --llama_type 7B --llama_dir b --mert_path c --vit_path d --vivit_path e --knn_dir f "
        "--music_decoder audioldm2 --music_decoder_path cvssp/audioldm2".split()
    )
    assert values.music_decoder_path == "cvssp/audioldm2"
    assert (values.host, values.port, values.share, values.auth) == ("127.0.0.1", 7860, False, None)


@pytest.mark.parametrize(
    ("flags", "word"), [(["--model", "none.pth"], "none.pth"), (["--auth", "me"], "user:password"), (["--auth", ":x"], "user:password")]
)
def test_a_mistake_on_the_command_line_is_one_sentence(flags: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gradio_app.main(flags) == 2
    told = capsys.readouterr().err.strip()
    assert word in told and "\n" not in told


SERVER = """
import sys, types, pathlib
import gradio_app
from demo.mount import serve
from demo.sessions import Sessions
from demo.work import Work
from tests.scripted_engine import Scripted
sessions = Sessions(pathlib.Path(sys.argv[1]))
try:
    serve(gradio_app.application(types.SimpleNamespace(), Work(Scripted(), sessions)), "127.0.0.1", int(sys.argv[2]))
except KeyboardInterrupt:
    print("interrupted")
finally:
    sessions.close_all()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_its_end_leaves_nothing(tmp_path: Path, name: str) -> None:
    root = Path(gradio_app.__file__).parent
    started = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path / "s"), "0"], cwd=root, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    address = started.stdout.readline().split()[-1]
    listening = urllib.request.urlopen(f"{address}gradio_api/heartbeat/somebody", timeout=60)  # a page that is open
    started.send_signal(getattr(signal, name))
    told, _ = started.communicate(timeout=30)
    listening.close()
    assert started.returncode == 0 and told.strip() == "interrupted"
    assert [file.name for file in (tmp_path / "s").iterdir()] == ["start.lock"]


def test_a_taken_port_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, page: Page) -> None:
    @contextmanager
    def working(model: Any, waiting: int) -> Iterator[Work]:
        yield page.work

    monkeypatch.setattr(gradio_app, "working", working)
    monkeypatch.setattr(gradio_app, "load_model", lambda values: SimpleNamespace())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert gradio_app.main(["--port", str(taken.getsockname()[1])]) == 2
    told = capsys.readouterr().err.strip()
    assert "ddress already in use" in told and "\n" not in told
