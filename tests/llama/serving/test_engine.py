"""Many at once: every answer is the one given alone, newcomers join, who goes or fails harms nobody, and nothing hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from test_generation import media, randomise_codebooks
from torch import Tensor

import llama
from llama.decoders.musicgen.audio_stream import AudioStreamer
from llama.decoders.musicgen.continuous_batch import BatchState, CodeSequence
from llama.dialogue import Reply, Turn
from llama.generation import Done, Event, GenerationOptions, MusicChunk, Progress, TextDelta
from llama.media.audio import Waveform
from llama.serving.engine import Engine
from llama.serving.music_batch import MusicJob
from llama.serving.request import EngineDeadError, QueueFullError, Request
from llama.serving.text_batch import TextBatch, TextSequence

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "assets/examples"
SHORT = GenerationOptions(max_tokens=40, seconds=1.0)
LONG = GenerationOptions(max_tokens=40, seconds=600.0)  # minutes of work: it must be seen under way


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(ROOT / "ckpts/nano")


def reply(events: list[Event]) -> Reply:
    assert isinstance(events[-1], Done)
    return events[-1].reply


def same(one: Reply, other: Reply, tolerance: float = 0.0) -> bool:
    """Tokens and notes identical; samples too where notes are played. Encodec adds up in another order in company."""
    words = (one.tokens, one.text, one.finish, one.score) == (other.tokens, other.text, other.finish, other.score)
    if not words or one.music is None or other.music is None:
        return words and one.music is other.music
    mine, its = one.music.samples, other.music.samples
    return mine.shape == its.shape and float((mine - its).abs().max()) <= tolerance


def mixture() -> list[tuple[Turn, GenerationOptions]]:
    """Text, audio, image and video; words alone and music; every length, temperature, guidance and seed its own."""
    warm = GenerationOptions(temperature=0.9, top_p=0.95, seed=4, seconds=3.0)
    return [
        (Turn("A slow, sad piano piece"), GenerationOptions(seconds=7.0, seed=1)),
        (Turn("How fast is it?", audio=EXAMPLES / "violin_swing.flac"), GenerationOptions(seed=2)),
        (Turn("Compose music for this picture", image=EXAMPLES / "calm_sea.jpg"), GenerationOptions(seconds=4.3, guidance=3.0)),
        (Turn("A fast dance for trumpet with drums"), warm),
        (Turn("What is the capital of France? And of the other countries?"), GenerationOptions(temperature=1.2, seed=9)),
        (Turn("Make it faster", audio=EXAMPLES / "piano_waltz.flac"), GenerationOptions(seconds=5.0, guidance=1.0, seed=3)),
        (Turn("Compose something that matches the movement.", video=EXAMPLES / "fast_city.mp4"), GenerationOptions(seconds=2.0)),
        (Turn("A waltz for violin"), GenerationOptions(music=False)),
        (Turn("A waltz for violin"), GenerationOptions(seconds=2.5, conditioning="caption")),
    ]


@pytest.fixture(scope="module")
def alone(nano: llama.MuMuLLaMA) -> list[Reply]:
    return [nano.respond(turn, options) for turn, options in mixture()]


@pytest.mark.parametrize("staggered", [False, True])
def test_every_answer_is_the_one_given_alone(nano: llama.MuMuLLaMA, alone: list[Reply], staggered: bool) -> None:
    """At once, or each when the one before has said its first word."""
    with Engine(nano) as engine:
        streams: list[Iterator[Event]] = []
        heard: list[list[Event]] = []
        for turn, options in mixture():
            streams.append(iter(engine.submit(turn, options)))
            heard.append([next(streams[-1])] if staggered else [])
        found = [[*first, *rest] for first, rest in zip(heard, streams, strict=True)]
    assert all(same(reply(events), expected) for events, expected in zip(found, alone, strict=True))
    for events in found:
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply(events).text
        chunks = [event.music.samples for event in events if isinstance(event, MusicChunk)]
        assert bool(chunks) == (reply(events).music is not None)
        assert not chunks or torch.equal(torch.cat(chunks, -1), reply(events).music.samples)


def test_sound_streams_in_company(scripted: llama.MuMuLLaMA, golden: Path) -> None:
    """An Encodec decoder: several chunks each, the same words, and sound that differs by rounding alone."""
    randomise_codebooks(scripted)
    inputs = media(golden)
    wishes = [
        (Turn("Play"), GenerationOptions(max_tokens=40, seconds=4.0, seed=1)),
        (Turn("Play it", audio=inputs["audio"]), GenerationOptions(max_tokens=40, seconds=1.7, guidance=1.0)),
        (Turn("Look", image=inputs["image"]), GenerationOptions(max_tokens=40, seconds=2.9, seed=7, guidance=2.0)),
    ]
    alone = [scripted.respond(turn, options) for turn, options in wishes]
    with Engine(scripted) as engine:
        tickets = [engine.submit(turn, options) for turn, options in wishes]
        found = [list(ticket) for ticket in tickets]
    for events, expected in zip(found, alone, strict=True):
        assert expected.finish == "music" and same(reply(events), expected, tolerance=1e-5)
        chunks = [event.music.samples for event in events if isinstance(event, MusicChunk)]
        assert len(chunks) > 1 and torch.equal(torch.cat(chunks, -1), reply(events).music.samples)


def test_progress_is_told_to_its_end(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano) as engine:
        events = list(engine.submit(Turn("A slow, sad piano piece"), GenerationOptions(seconds=30.0)))
    made = [event.seconds for event in events if isinstance(event, Progress)]
    assert made[0] == 0.0 and made[-1] == 30.0 and made == sorted(made)
    assert {event.total_seconds for event in events if isinstance(event, Progress)} == {30.0}


def test_who_follows_is_told_all_that_who_iterates_is(nano: llama.MuMuLLaMA) -> None:
    """Also what was told before, in order; an error and a cancelled request have an end, too."""
    with Engine(nano) as engine:
        wish = Turn("A slow, sad piano piece"), GenerationOptions(seconds=2.0, seed=1)
        expected = reply(list(engine.submit(*wish)))
        early, late, bad = engine.submit(*wish), engine.submit(*wish), engine.submit(Turn("Hm", audio=ROOT / "none.wav"))
        told: dict[str, list[Event | Exception | None]] = {"early": [], "late": [], "bad": [], "left": []}
        ended = {name: threading.Event() for name in told}

        def put(name: str, event: Event | Exception | None) -> None:
            told[name].append(event)
            if event is None or isinstance(event, (Done, Exception)):
                ended[name].set()

        early.add_listener(partial(put, "early"))
        assert ended["early"].wait(60)
        late.add_listener(partial(put, "late"))
        bad.add_listener(partial(put, "bad"))
        left = engine.submit(Turn("A slow, sad piano piece"), LONG)
        left.add_listener(partial(put, "left"))
        left.cancel()
        assert all(one.wait(60) for one in ended.values())
    for name in ("early", "late"):
        assert same(reply(told[name]), expected)
        assert "".join(event.text for event in told[name] if isinstance(event, TextDelta)) == expected.text
    assert isinstance(told["bad"][-1], FileNotFoundError) and told["left"][-1] is None


def test_who_is_told_may_leave_at_once(nano: llama.MuMuLLaMA) -> None:
    """As when what is told collects an answer that nobody holds any more."""
    with Engine(nano) as engine:
        ticket, over = engine.submit(Turn("A slow, sad piano piece"), LONG), threading.Event()
        ticket.add_listener(lambda event: ticket.cancel() if event is not None else over.set())
        assert over.wait(60)
        assert reply(list(engine.submit(Turn("Hm"), SHORT))).text


def under_way(ticket: Request) -> Iterator[Event]:
    """The ticket's events from the moment when its music is being made."""
    events = iter(ticket)
    assert any(isinstance(event, Progress) for event in events)
    return events


def test_a_newcomer_is_answered_while_a_long_piece_is_made(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano) as engine:
        long = engine.submit(Turn("A slow, sad piano piece"), LONG)
        under_way(long)
        short = list(engine.submit(Turn("A waltz for violin"), SHORT))
        assert not long.finished
        long.cancel()
    assert same(reply(short), nano.respond(Turn("A waltz for violin"), SHORT))


def test_who_cancels_ends_quietly_and_frees_a_row(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano, max_running_requests=2) as engine:
        stays = engine.submit(Turn("A waltz for violin"), GenerationOptions(seconds=20.0))
        goes = engine.submit(Turn("A slow, sad piano piece"), LONG)
        left = under_way(goes)
        waits = engine.submit(Turn("A waltz for violin"), SHORT)
        threading.Thread(target=goes.cancel).start()
        assert all(isinstance(event, Progress) for event in left)
        goes.cancel()
        assert same(reply(list(waits)), nano.respond(Turn("A waltz for violin"), SHORT))
        assert same(reply(list(stays)), nano.respond(Turn("A waltz for violin"), GenerationOptions(seconds=20.0)))
        assert list(goes) == []


def test_who_cancels_while_it_waits_is_never_begun(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano, max_running_requests=1) as engine:
        first = engine.submit(Turn("A slow, sad piano piece"), LONG)
        under_way(first)
        second, third = engine.submit(Turn("Hm"), SHORT), engine.submit(Turn("A waltz for violin"), SHORT)
        assert (first.queue_position, second.queue_position, third.queue_position) == (0, 1, 2)
        second.cancel()
        assert third.queue_position == 1 and list(second) == [] and not second.row.tokens
        first.cancel()
        assert reply(list(third)).music is not None and third.queue_position == 0


def test_a_full_queue_is_told_at_once(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano, max_running_requests=1, max_queued_requests=1) as engine:
        tickets = [engine.submit(Turn("A slow, sad piano piece"), LONG) for _ in range(2)]
        with pytest.raises(QueueFullError, match="try again in a moment"):
            engine.submit(Turn("Hm"))
        tickets[0].cancel()
        tickets[1].cancel()
        assert reply(list(engine.submit(Turn("Hm")))).text


def test_a_slow_client_holds_nobody(nano: llama.MuMuLLaMA) -> None:
    """Nobody reads the first ticket until the second is answered."""
    with Engine(nano) as engine:
        slow = engine.submit(Turn("A slow, sad piano piece"), SHORT)
        assert reply(list(engine.submit(Turn("A waltz for violin"), GenerationOptions(seconds=8.0)))).music is not None
        assert same(reply(list(slow)), nano.respond(Turn("A slow, sad piano piece"), SHORT))


def test_a_slow_upload_holds_nobody(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, gate = nano.encode, threading.Event()
    monkeypatch.setattr(nano, "encode", lambda turns: (gate.wait(60), encode(turns))[1])
    with Engine(nano, encoder_threads=1) as engine:
        slow = engine.submit(Turn("How fast is it?", audio=EXAMPLES / "violin_swing.flac"))
        assert reply(list(engine.submit(Turn("A waltz for violin"), SHORT))).music is not None
        assert not slow.finished
        gate.set()
        assert "132" in reply(list(slow)).text


# -- errors -----------------------------------------------------------------------------------------------------


def test_a_broken_medium_is_its_own_fault(nano: llama.MuMuLLaMA, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF, but no more")
    with Engine(nano) as engine:
        bad = [
            engine.submit(Turn("How fast is it?", audio=tmp_path / "broken.wav")),
            engine.submit(Turn("How fast is it?", audio=tmp_path / "missing.wav")),
        ]
        good = engine.submit(Turn("A waltz for violin"), SHORT)
        for ticket, kind in zip(bad, (ValueError, FileNotFoundError), strict=True):
            with pytest.raises(kind):
                list(ticket)
            assert list(ticket) == []  # told once
        assert reply(list(good)).music is not None


def test_bad_requests_are_refused_at_once(nano: llama.MuMuLLaMA, published: llama.MuMuLLaMA) -> None:
    with Engine(nano) as engine, pytest.raises(ValueError, match="shorten the text"):
        engine.submit(Turn("piano " * 2000))
    with Engine(llama.MuMuLLaMA(published.config).eval()) as engine, pytest.raises(ValueError, match="without a tokenizer"):
        engine.submit(Turn("Hm"))
    for name in ("max_running_requests", "max_queued_requests", "encoder_threads", "encoder_cache_size"):
        with pytest.raises(ValueError, match=name):
            Engine(nano, **{name: -1})


TEXTS = ("A waltz for violin", "A slow, sad piano piece", "A fast dance for trumpet with drums")
WISHES = [(Turn(text), GenerationOptions(max_tokens=40, seconds=2.0, seed=seed)) for seed, text in enumerate(TEXTS)]
VICTIM = 1  # and the seed that it is known by


def spoil(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, error: BaseException, harm: Callable[..., bool]) -> None:
    """A method that fails whenever `harm` finds the victim among what it is given."""
    work = getattr(place, name)

    def broken(self: Any, *arguments: Any) -> Any:
        if harm(self, *arguments):
            raise error
        return work(self, *arguments)

    monkeypatch.setattr(place, name, broken)


def submit_all(engine: Engine) -> list[Request]:
    """All begin in the same round, so that they share their steps."""
    with engine._changed:
        return [engine.submit(turn, options) for turn, options in WISHES]


def reads_victim(words: TextBatch, cache: object, lines: Sequence[TextSequence]) -> bool:
    return any(line.options.seed == VICTIM and len(line.row.tokens) > 4 for line in lines)


def plays_victim(lanes: BatchState) -> bool:
    return any(writes_victim(part) for part in lanes.sequences)


def writes_victim(part: CodeSequence, codes: object = None) -> bool:
    return part.request.seeds[0] == VICTIM and part.column > 3


SPOTS = {"words": (TextBatch, "_forward", reads_victim), "music": (BatchState, "next_logits", plays_victim),
         "rules": (CodeSequence, "append_codes", writes_victim)}
SPOTS["sound that is due"] = MusicJob, "on_step", lambda job: writes_victim(job.sequence)


@pytest.mark.parametrize("spot", SPOTS)
def test_an_error_in_a_step_of_all_is_the_guilty_ones(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch, spot: str) -> None:
    """It alone is told; the others, and who comes after, are what they are alone."""
    expected = [nano.respond(turn, options) for turn, options in WISHES]
    with Engine(nano) as engine:
        spoil(monkeypatch, *SPOTS[spot][:2], RuntimeError("mine"), SPOTS[spot][2])
        tickets = submit_all(engine)
        with pytest.raises(RuntimeError, match="^mine$"):
            list(tickets[VICTIM])
        assert all(same(reply(list(tickets[index])), expected[index]) for index in (0, 2))
        assert same(reply(list(engine.submit(*WISHES[0]))), expected[0])


@pytest.mark.parametrize("spot", ["words", "music"])
def test_memory_that_runs_out_is_told_to_who_came_last(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch, spot: str) -> None:
    """Each alone would fit: the first two go on."""
    full = {"words": lambda words, cache, lines: len(lines) == 3, "music": lambda lanes: len(lanes.sequences) == 3}
    with Engine(nano) as engine:
        spoil(monkeypatch, *SPOTS[spot][:2], torch.OutOfMemoryError("allocator's words"), full[spot])
        tickets = submit_all(engine)
        told = [outcome(ticket) for ticket in tickets]
    failed = [index for index, one in enumerate(told) if isinstance(one, MemoryError)]
    assert len(failed) == 1 and "not enough memory for this request" in str(told[failed[0]])
    assert all(same(told[index], nano.respond(*WISHES[index])) for index in range(3) if index not in failed)


def outcome(ticket: Request) -> Reply | Exception:
    try:
        return reply(list(ticket))
    except MemoryError as error:
        return error


def test_an_error_while_sound_is_made_is_its_own(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, AudioStreamer, "finish", MemoryError(), lambda listening, codes: listening.samples_left == 3 * 32_000)
    with Engine(nano) as engine:
        bad = engine.submit(Turn("A waltz for violin"), GenerationOptions(seconds=3.0))
        good = engine.submit(*WISHES[0])
        with pytest.raises(MemoryError, match="ask for a shorter piece"):
            list(bad)
        assert reply(list(good)).music is not None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_end_of_the_thread_is_told_to_all(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    with Engine(nano, max_running_requests=2, on_failure=over.set) as engine:
        spoil(monkeypatch, TextBatch, "_forward", KeyboardInterrupt(), reads_victim)
        for ticket in submit_all(engine):
            with pytest.raises(EngineDeadError, match="The engine stopped"):
                list(ticket)
        with pytest.raises(EngineDeadError, match="The engine stopped"):
            engine.submit(Turn("Hm"))
        assert over.wait(60)


def test_close_ends_work_under_way(nano: llama.MuMuLLaMA) -> None:
    before = threading.active_count()
    engine = Engine(nano, max_running_requests=1)
    made = engine.submit(Turn("A slow, sad piano piece"), LONG)
    events = under_way(made)
    waits = engine.submit(Turn("Hm"), SHORT)
    engine.close()
    engine.close()
    for left in (events, iter(waits)):
        with pytest.raises(RuntimeError, match="closed before the answer"):
            list(left)
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit(Turn("Hm"))
    assert threading.active_count() == before


# -- media that come again --------------------------------------------------------------------------------------


@pytest.fixture()
def listened(monkeypatch: pytest.MonkeyPatch) -> list[Turn]:
    """The turns whose media were read."""
    turns: list[Turn] = []
    encode = llama.MuMuLLaMA.encode
    monkeypatch.setattr(llama.MuMuLLaMA, "encode", lambda model, given: turns.extend(given) or encode(model, given))
    return turns


def test_a_recording_is_listened_to_once(nano: llama.MuMuLLaMA, listened: list[Turn], tmp_path: Path) -> None:
    """Under another name or as samples in memory, too; kept are features, not answers."""
    first, second = EXAMPLES / "violin_swing.flac", tmp_path / "again.flac"
    second.write_bytes(first.read_bytes())
    sound = Waveform.read(first)
    turns = [Turn(text, audio=audio) for audio in (first, second, sound, Waveform(sound.samples.clone(), sound.sample_rate))
             for text in ("How fast is it?", "Which instrument plays?")]
    alone = [nano.respond(turn, GenerationOptions()) for turn in turns]
    listened.clear()
    with Engine(nano) as engine:
        assert all(same(reply(list(engine.submit(turn))), expected) for turn, expected in zip(turns, alone, strict=True))
    assert [turn.audio for turn in listened] == [str(first), sound]


def test_a_file_that_has_changed_is_listened_to_anew(nano: llama.MuMuLLaMA, listened: list[Turn], tmp_path: Path) -> None:
    file = tmp_path / "take.flac"
    with Engine(nano) as engine:
        for name in ("violin_swing", "piano_waltz"):
            file.write_bytes((EXAMPLES / f"{name}.flac").read_bytes())
            turn = Turn("Which instrument plays?", audio=file)
            expected = nano.respond(turn)
            assert same(reply(list(engine.submit(turn))), expected)
        assert len(listened) == 4
        file.unlink()
        with pytest.raises(FileNotFoundError):
            list(engine.submit(turn))


@pytest.mark.parametrize("most", [0, 1])
def test_no_more_media_are_remembered_than_asked_for(nano: llama.MuMuLLaMA, listened: list[Turn], most: int) -> None:
    names = ("violin_swing", "violin_swing", "piano_waltz", "violin_swing")
    with Engine(nano, encoder_cache_size=most) as engine:
        for name in names:
            list(engine.submit(Turn("How fast is it?", audio=EXAMPLES / f"{name}.flac"), GenerationOptions(max_tokens=2)))
    assert len(listened) == (3 if most else 4)


def test_an_opened_picture_is_looked_at_each_time(nano: llama.MuMuLLaMA, listened: list[Turn]) -> None:
    """What it shows may hang on more than its pixels, such as a palette or a turn."""
    turn = Turn("What is it?", image=Image.open(EXAMPLES / "calm_sea.jpg"))
    with Engine(nano) as engine:
        for _ in range(2):
            list(engine.submit(turn, GenerationOptions(max_tokens=2)))
    assert len(listened) == 2


# -- decoders whose pieces are made as a whole ------------------------------------------------------------------


class Whole(torch.nn.Module):
    """A decoder that cannot be joined; notes how many it was asked for at once, and fails for one seed."""

    def __init__(self, decoder: Any, gate: threading.Event) -> None:
        super().__init__()
        self.decoder, self.gate, self.groups = decoder, gate, list[list[int]]()
        self.sample_rate = decoder.sample_rate

    def embed(self, captions: Sequence[str]) -> Any:
        return self.decoder.embed(captions)

    def synthesize(self, condition: Tensor, seconds: float, *, seeds: Sequence[int], **options: Any) -> Any:
        self.groups.append(list(seeds))
        self.gate.wait(60)
        if 13 in seeds:
            raise RuntimeError("unlucky")
        return self.decoder.synthesize(condition, seconds, seeds=seeds, **options)


def test_equals_are_made_together_where_pieces_cannot_join(scripted: llama.MuMuLLaMA) -> None:
    def wish(seed: int, seconds: float = 1.0) -> GenerationOptions:
        return GenerationOptions(max_tokens=40, seconds=seconds, seed=seed)

    alone = {seed: scripted.respond(Turn("Play"), wish(seed)) for seed in (1, 2, 3)}
    gate = threading.Event()
    scripted.music_decoder = Whole(scripted.music_decoder, gate)
    with Engine(scripted) as engine:
        first = engine.submit(Turn("Play"), wish(1))
        under_way(first)
        tickets = {seed: engine.submit(Turn("Play"), wish(seed)) for seed in (2, 13, 3)}
        other, goes = engine.submit(Turn("Play"), wish(4, 0.5)), engine.submit(Turn("Play"), wish(5))
        for ticket in (*tickets.values(), other):
            under_way(ticket)
        goes.cancel()
        gate.set()
        assert same(reply(list(tickets[2])), alone[2], 1e-5) and same(reply(list(tickets[3])), alone[3], 1e-5)
        with pytest.raises(RuntimeError, match="unlucky"):
            list(tickets[13])
        assert reply(list(other)).music.seconds == 0.5
        assert same(reply(list(first)), alone[1], 1e-5)
    assert [2, 13, 3] in scripted.music_decoder.groups and [13] in scripted.music_decoder.groups
    assert not any(5 in group for group in scripted.music_decoder.groups)
