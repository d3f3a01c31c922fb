"""The work behind page and API: words grow, pieces become files, what is stopped stops, errors are one sentence each."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import llama
from demo.service.audio_files import pcm
from demo.service.conversation import Conversation
from demo.service.errors import DISK_FULL, OUT_OF_MEMORY, UserFacingError
from demo.service.request import Settings, Update
from demo.service.service import ChatService
from demo.service.sessions import Session, Sessions
from llama.dialogue import Turn
from llama.generation import GenerationOptions, MusicChunk
from llama.media.audio import Waveform
from llama.serving.engine import Engine
from tests.scripted_engine import ScriptedEngine, piece

pytest_plugins = ("tests.page_helpers",)  # its engine, sessions and recording
NANO = Path(__file__).resolve().parents[3] / "ckpts/nano"
PLAIN = Settings(seconds=2.0, seed=5)


def answered(work: ChatService, session: Session, text: str, files=(), settings: Settings = PLAIN) -> list[Update]:
    return list(work.answer(session, Conversation(), text, files, settings))


def files_of(session: Session) -> list[str]:
    return sorted(file.suffix for file in session.folder.iterdir())


# -- settings -----------------------------------------------------------------------------------------------------------


def test_each_take_has_the_next_seed() -> None:
    assert [one.seed for one in Settings(seed=7, takes=3).options()] == [7, 8, 9]


def test_cleared_settings_are_the_usual_ones() -> None:
    assert Settings(seed=3).options() == (GenerationOptions(seed=3),)


def test_a_seed_is_drawn_where_none_is_given() -> None:
    assert len({Settings().options()[0].seed for _ in range(4)}) > 1


def test_numbers_of_sliders_are_taken_as_meant() -> None:
    assert Settings(seed=4.0, max_tokens=9.0, takes=2.0).options()[1] == GenerationOptions(seed=5, max_tokens=9)


@pytest.mark.parametrize("takes", [0, 9, 1.5, True, None])
def test_takes_out_of_range_are_refused(takes: object) -> None:
    with pytest.raises(ValueError, match="takes"):
        Settings(takes=takes)


# -- answers ------------------------------------------------------------------------------------------------------------


def test_words_grow_and_the_last_update_has_the_conversation(work: ChatService, session: Session) -> None:
    updates = answered(work, session, "one two three")
    words = [update.text for update in updates]
    assert words[-1] == "one two three" and all("one two three".startswith(one) for one in words)
    assert [update.conversation for update in updates[:-1]] == [None] * (len(updates) - 1)
    exchange = updates[-1].conversation.exchanges[-1]
    assert (exchange.message, exchange.answer, exchange.pieces, exchange.uploads) == ("one two three", "one two three", (), ())


def test_every_take_becomes_files(work: ChatService, session: Session) -> None:
    last = answered(work, session, "play notes", settings=replace(PLAIN, takes=2))[-1]
    assert [one.seed for one in last.pieces] == [5, 6] and last.conversation.exchanges[-1].pieces == last.pieces
    for made in last.pieces:
        expected = piece(GenerationOptions(seconds=2.0, seed=made.seed))
        assert made.seconds == 2.0 and torch.allclose(Waveform.read(made.sound).samples, expected, atol=1 / 32768)
        assert {made.sound.with_suffix(f".{kind}").is_file() for kind in ("wav", "mid")} == {True}
    assert files_of(session) == sorted([".wav", ".mid"] * 2)


def test_sound_grows_at_the_address_of_the_piece(work: ChatService, engine: ScriptedEngine, session: Session) -> None:
    grown: list[tuple[str, bytes]] = []
    for update in work.answer(session, Conversation(), "wait play", [], PLAIN):
        grown += [(one.url, (session.folder / Path(one.url).name).read_bytes()) for one in update.streams]
        engine.leaves.release()
    made = update.pieces[0]
    whole = made.sound.read_bytes()
    assert {url for url, _ in grown} == {f"/media/{session.token}/{made.sound.name}"}
    assert len({len(part) for _, part in grown}) > 1 and all(part[:4] == b"RIFF" and whole.startswith(part) for _, part in grown)


def test_progress_ends_at_the_whole(work: ChatService, session: Session) -> None:
    updates = answered(work, session, "play", settings=replace(PLAIN, takes=3))
    made = [update.progress[0] for update in updates if update.progress]
    assert updates[0].progress is None and made == sorted(made) and updates[-1].progress == (6.0, 6.0)


def test_time_left_is_the_pace_so_far(engine: ScriptedEngine, sessions: Sessions, session: Session) -> None:
    from demo.service.take_events import TakeEvent
    from demo.service.take_progress import TakeProgress
    from llama.generation import Progress

    now = 0.0
    asked = ChatService(engine, sessions).begin(session, Conversation(), "play", [], replace(PLAIN, seconds=8.0))
    run = TakeProgress(asked, session, sessions, lambda: now)
    run.handle([TakeEvent(0, Progress(0.0, 8.0))])
    assert run.snapshot().seconds_left is None
    now = 3.0
    run.handle([TakeEvent(0, Progress(2.0, 8.0))])
    assert run.snapshot().seconds_left == pytest.approx(9.0)


def test_the_queue_is_told_until_it_is_ones_turn(work: ChatService, session: Session) -> None:
    updates = answered(work, session, "hello")
    assert updates[0].queue_position == 3 and updates[-1].queue_position == 0


def test_files_are_heard(work: ChatService, session: Session, recording: Path) -> None:
    last = answered(work, session, "listen", [recording])[-1]
    assert last.text == "listen 3.00" and last.conversation.exchanges[0].uploads[0].path.parent == session.folder
    assert answered(work, session, "listen", [recording.read_bytes()])[-1].text == "listen 3.00"


def test_again_has_the_same_seed_and_another_take_has_not(work: ChatService, session: Session) -> None:
    drawn = Settings(seconds=1.0)
    first = answered(work, session, "play", settings=drawn)[-1]
    said = {text: list(work.answer(session, first.conversation, text, [], drawn))[-1] for text in ("again", "another take")}
    assert said["again"].pieces[0].seed == first.pieces[0].seed != said["another take"].pieces[0].seed
    assert said["again"].pieces[0].text == "play" and said["again"].reference


# -- stopping -----------------------------------------------------------------------------------------------------------


def test_closing_cancels_every_take(work: ChatService, engine: ScriptedEngine, session: Session) -> None:
    updates = work.answer(session, Conversation(), "wait play", [], replace(PLAIN, takes=2))
    next(updates)
    updates.close()
    assert [ticket.cancelled.is_set() for ticket in engine.requests] == [True, True]
    assert all(ticket.finished.wait(10) for ticket in engine.requests) and list(updates) == []


def test_closing_wakes_who_waits(work: ChatService, engine: ScriptedEngine, session: Session) -> None:
    updates = work.answer(session, Conversation(), "wait", [], PLAIN)
    next(updates)
    reader = threading.Thread(target=lambda: list(updates))
    reader.start()
    updates.close()
    reader.join(10)
    assert not reader.is_alive() and engine.requests[0].cancelled.is_set()


def test_letting_go_is_closing(work: ChatService, engine: ScriptedEngine, session: Session) -> None:
    updates = work.answer(session, Conversation(), "wait", [], PLAIN)
    next(updates)
    del updates
    assert engine.requests[0].cancelled.is_set()


def test_a_piece_given_up_leaves_no_file(work: ChatService, engine: ScriptedEngine, session: Session) -> None:
    updates = work.answer(session, Conversation(), "wait play", [], PLAIN)
    for update in updates:
        engine.leaves.release()
        if update.streams:
            break
    assert files_of(session) == [".wav"]
    updates.close()
    assert files_of(session) == []


def test_a_stopped_piece_of_the_embedded_model_keeps_what_has_sounded(tmp_path: Path) -> None:
    model, text, seconds = llama.load(NANO), "A slow, sad piano piece", 300.0
    sessions = Sessions(tmp_path)
    with Engine(model) as engine:
        updates = ChatService(engine, sessions).answer(sessions.open(), Conversation(), text, [], Settings(seconds=seconds, seed=5))
        for update in updates:
            if update.streams:
                updates.stop()
        (stopped,) = update.pieces
        kept = Waveform.read(stopped.sound)
    chunks = (event.music.samples for event in model.stream(Turn(text), GenerationOptions(seconds=seconds, seed=5))
                      if isinstance(event, MusicChunk))  # fmt: skip
    whole = next(chunks)
    while whole.shape[-1] < kept.samples.shape[-1]:
        whole = torch.cat([whole, next(chunks)], -1)
    assert update.stopped and stopped.requested_seconds == seconds and 2 < kept.seconds < seconds
    assert pcm(kept) == pcm(Waveform(whole[:, : kept.samples.shape[-1]].contiguous(), kept.sample_rate))


# -- refusals -----------------------------------------------------------------------------------------------------------


def refusal(work: ChatService, session: Session, text: str, files=(), settings: Settings = PLAIN) -> UserFacingError:
    with pytest.raises(UserFacingError) as caught:
        answered(work, session, text, files, settings)
    return caught.value


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_to_answer(work: ChatService, session: Session, text: str) -> None:
    assert "nothing to answer" in str(refusal(work, session, text))


@pytest.mark.parametrize(
    "settings", [{"seconds": 9999.0}, {"temperature": -1}, {"conditioning": "mood"}, {"seed": 1.5}, {"max_tokens": 1.5}]
)
def test_settings_out_of_range(work: ChatService, engine: ScriptedEngine, session: Session, settings: dict) -> None:
    told = refusal(work, session, "hello", settings=Settings(**settings))
    assert next(iter(settings)) in str(told) and told.category == "user" and not engine.requests


def test_a_bad_file(work: ChatService, engine: ScriptedEngine, session: Session) -> None:
    told = refusal(work, session, "hello", [b"this is a text"])
    assert told.category == "user" and not engine.requests and files_of(session) == []


def test_all_takes_or_none(work: ChatService, engine: ScriptedEngine, session: Session) -> None:
    told = refusal(work, session, "busy", settings=replace(PLAIN, takes=2))
    assert told.category == "busy" and [ticket.cancelled.is_set() for ticket in engine.requests] == [True]


def test_a_sentence_names_no_folder_of_the_server(work: ChatService, session: Session, recording: Path) -> None:
    told = refusal(work, session, "stumble", [recording])
    assert str(told) == "mine.wav is damaged, as config.json says; give another one." and told.category == "user"


@pytest.mark.parametrize("text, words, category", [
    ("memory", OUT_OF_MEMORY, "server"), ("allocate", OUT_OF_MEMORY, "server"), ("disk", DISK_FULL, "full"),
    ("bug", "made a mistake", "server"),
])  # fmt: skip
def test_what_is_not_the_users_fault(
    work: ChatService, session: Session, text: str, words: str, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = refusal(work, session, text)
    assert words in str(told) and told.category == category and "/srv" not in str(told)
    assert any(record.exc_info for record in caplog.records)


def test_one_failure_harms_nobody_else(work: ChatService, sessions: Sessions, session: Session) -> None:
    other = work.answer(sessions.open(), Conversation(), "hello there", [], PLAIN)
    next(other)
    refusal(work, session, "stumble")
    assert list(other)[-1].text == "hello there"


def test_half_a_character_stops_nobody(work: ChatService, session: Session) -> None:
    assert answered(work, session, "hi \ud800")[-1].text == "hi ?"
