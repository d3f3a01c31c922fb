"""The engine: batched answers equal single ones, requests join and leave while others run, and errors and cancellation stay isolated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from test_generation import media, randomise_codebooks

import llama
from llama.decoders.base import SynthesisRequest
from llama.decoders.musicgen.audio_stream import AudioStreamer
from llama.decoders.musicgen.continuous_batch import BatchState, CodeSequence
from llama.dialogue import Reply, Turn
from llama.generation import Done, Event, GenerationOptions, MusicChunk, Progress, TextDelta
from llama.media.audio import Waveform
from llama.serving.engine import Engine
from llama.serving.music_job import MusicJob
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


def same(first: Reply, second: Reply, tolerance: float = 0.0) -> bool:
    """Equal tokens and notes; samples equal up to `tolerance`, since a batch changes the order of Encodec's sums."""
    text_equal = (first.tokens, first.text, first.finish, first.score) == (second.tokens, second.text, second.finish, second.score)
    if not text_equal or first.music is None or second.music is None:
        return text_equal and first.music is second.music
    samples, others = first.music.samples, second.music.samples
    return samples.shape == others.shape and float((samples - others).abs().max()) <= tolerance


def mixture() -> list[tuple[Turn, GenerationOptions]]:
    """Requests with text, audio, image and video, with and without music, all with different options."""
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
        (Turn("What is a waltz?"), GenerationOptions(stop=("beats in a bar", "nowhere"))),
    ]


@pytest.fixture(scope="module")
def alone(nano: llama.MuMuLLaMA) -> list[Reply]:
    return [nano.respond(turn, options) for turn, options in mixture()]


@pytest.mark.parametrize("staggered", [False, True])
def test_batched_answers_equal_single_ones(nano: llama.MuMuLLaMA, alone: list[Reply], staggered: bool) -> None:
    """All submitted at once, or each after the first event of the one before."""
    with Engine(nano) as engine:
        streams: list[Iterator[Event]] = []
        heard: list[list[Event]] = []
        for turn, options in mixture():
            streams.append(iter(engine.submit(turn, options)))
            heard.append([next(streams[-1])] if staggered else [])
        found = [[*first, *rest] for first, rest in zip(heard, streams, strict=True)]
    assert all(same(reply(events), expected) for events, expected in zip(found, alone, strict=True))
    assert alone[-1].text == "A dance with three" and alone[-1].finish == "stop"
    for events in found:
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply(events).text
        chunks = [event.music.samples for event in events if isinstance(event, MusicChunk)]
        assert bool(chunks) == (reply(events).music is not None)
        assert not chunks or torch.equal(torch.cat(chunks, -1), reply(events).music.samples)


def test_batched_encodec_music_streams(scripted: llama.MuMuLLaMA, golden: Path) -> None:
    """Several chunks each; equal text, and sound that differs by rounding alone."""
    randomise_codebooks(scripted)
    inputs = media(golden)
    cases = [
        (Turn("Play"), GenerationOptions(max_tokens=40, seconds=4.0, seed=1)),
        (Turn("Play it", audio=inputs["audio"]), GenerationOptions(max_tokens=40, seconds=1.7, guidance=1.0)),
        (Turn("Look", image=inputs["image"]), GenerationOptions(max_tokens=40, seconds=2.9, seed=7, guidance=2.0)),
    ]
    alone = [scripted.respond(turn, options) for turn, options in cases]
    with Engine(scripted) as engine:
        requests = [engine.submit(turn, options) for turn, options in cases]
        found = [list(request) for request in requests]
    for events, expected in zip(found, alone, strict=True):
        assert expected.finish == "music" and same(reply(events), expected, tolerance=1e-5)
        chunks = [event.music.samples for event in events if isinstance(event, MusicChunk)]
        assert len(chunks) > 1 and torch.equal(torch.cat(chunks, -1), reply(events).music.samples)


def test_progress_reaches_its_end(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano) as engine:
        events = list(engine.submit(Turn("A slow, sad piano piece"), GenerationOptions(seconds=30.0)))
    seconds = [event.seconds for event in events if isinstance(event, Progress)]
    assert seconds[0] == 0.0 and seconds[-1] == 30.0 and seconds == sorted(seconds)
    assert {event.total_seconds for event in events if isinstance(event, Progress)} == {30.0}


def test_a_listener_gets_the_events_of_the_iterator(nano: llama.MuMuLLaMA) -> None:
    """Also those queued before, in order; an error or a cancellation has a last event, too."""
    with Engine(nano) as engine:
        wish = Turn("A slow, sad piano piece"), GenerationOptions(seconds=2.0, seed=1)
        expected = reply(list(engine.submit(*wish)))
        early, late, bad = engine.submit(*wish), engine.submit(*wish), engine.submit(Turn("Hm", audio=ROOT / "none.wav"))
        delivered: dict[str, list[Event | Exception | None]] = {"early": [], "late": [], "bad": [], "left": []}
        ended = {name: threading.Event() for name in delivered}

        def put(name: str, event: Event | Exception | None) -> None:
            delivered[name].append(event)
            if event is None or isinstance(event, (Done, Exception)):
                ended[name].set()

        early.add_listener(partial(put, "early"))
        assert ended["early"].wait(60)
        late.add_listener(partial(put, "late"))
        bad.add_listener(partial(put, "bad"))
        left = engine.submit(Turn("A slow, sad piano piece"), LONG)
        left.add_listener(partial(put, "left"))
        left.cancel()
        assert all(event.wait(60) for event in ended.values())
    for name in ("early", "late"):
        assert same(reply(delivered[name]), expected)
        assert "".join(event.text for event in delivered[name] if isinstance(event, TextDelta)) == expected.text
    assert isinstance(delivered["bad"][-1], FileNotFoundError) and delivered["left"][-1] is None


def test_a_listener_may_cancel(nano: llama.MuMuLLaMA) -> None:
    """As when the garbage collector runs in the callback and finds a dropped answer."""
    with Engine(nano) as engine:
        request, over = engine.submit(Turn("A slow, sad piano piece"), LONG), threading.Event()
        request.add_listener(lambda event: request.cancel() if event is not None else over.set())
        assert over.wait(60)
        assert reply(list(engine.submit(Turn("Hm"), SHORT))).text


def under_way(request: Request) -> Iterator[Event]:
    """The events of a request, from the first of its music on."""
    events = iter(request)
    assert any(isinstance(event, Progress) for event in events)
    return events


def test_a_new_request_is_answered_while_a_long_piece_is_made(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano) as engine:
        long = engine.submit(Turn("A slow, sad piano piece"), LONG)
        under_way(long)
        short = list(engine.submit(Turn("A waltz for violin"), SHORT))
        assert not long.finished
        long.cancel()
    assert same(reply(short), nano.respond(Turn("A waltz for violin"), SHORT))


def test_cancelling_ends_the_iterator_and_frees_a_row(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano, max_running_requests=2) as engine:
        stays = engine.submit(Turn("A waltz for violin"), GenerationOptions(seconds=20.0))
        goes = engine.submit(Turn("A slow, sad piano piece"), LONG)
        left = under_way(goes)
        waits = engine.submit(Turn("A waltz for violin"), SHORT)
        threading.Thread(target=goes.cancel).start()
        assert all(isinstance(event, (Progress, MusicChunk)) for event in left)
        goes.cancel()
        assert same(reply(list(waits)), nano.respond(Turn("A waltz for violin"), SHORT))
        assert same(reply(list(stays)), nano.respond(Turn("A waltz for violin"), GenerationOptions(seconds=20.0)))
        assert list(goes) == []


def test_a_request_cancelled_in_the_queue_never_starts(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano, max_running_requests=1) as engine:
        first = engine.submit(Turn("A slow, sad piano piece"), LONG)
        under_way(first)
        second, third = engine.submit(Turn("Hm"), SHORT), engine.submit(Turn("A waltz for violin"), SHORT)
        assert (first.queue_position, second.queue_position, third.queue_position) == (0, 1, 2)
        second.cancel()
        assert third.queue_position == 1 and list(second) == [] and not second.row.tokens
        first.cancel()
        assert reply(list(third)).music is not None and third.queue_position == 0


def test_a_full_queue_is_reported_at_once(nano: llama.MuMuLLaMA) -> None:
    with Engine(nano, max_running_requests=1, max_queued_requests=1) as engine:
        requests = [engine.submit(Turn("A slow, sad piano piece"), LONG) for _ in range(2)]
        with pytest.raises(QueueFullError, match="try again in a moment"):
            engine.submit(Turn("Hm"))
        requests[0].cancel()
        requests[1].cancel()
        assert reply(list(engine.submit(Turn("Hm")))).text


def test_a_slow_client_does_not_block_others(nano: llama.MuMuLLaMA) -> None:
    """The events of the first request are not read until the second is answered."""
    with Engine(nano) as engine:
        slow = engine.submit(Turn("A slow, sad piano piece"), SHORT)
        assert reply(list(engine.submit(Turn("A waltz for violin"), GenerationOptions(seconds=8.0)))).music is not None
        assert same(reply(list(slow)), nano.respond(Turn("A slow, sad piano piece"), SHORT))


def test_slow_encoding_does_not_block_others(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, gate = nano.encode, threading.Event()
    monkeypatch.setattr(nano, "encode", lambda turns: (gate.wait(60), encode(turns))[1])
    with Engine(nano, encoder_threads=1) as engine:
        slow = engine.submit(Turn("How fast is it?", audio=EXAMPLES / "violin_swing.flac"))
        assert reply(list(engine.submit(Turn("A waltz for violin"), SHORT))).music is not None
        assert not slow.finished
        gate.set()
        assert "132" in reply(list(slow)).text


# -- errors -----------------------------------------------------------------------------------------------------


def test_a_broken_medium_fails_its_request_alone(nano: llama.MuMuLLaMA, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF, but no more")
    with Engine(nano) as engine:
        bad = [
            engine.submit(Turn("How fast is it?", audio=tmp_path / "broken.wav")),
            engine.submit(Turn("How fast is it?", audio=tmp_path / "missing.wav")),
        ]
        good = engine.submit(Turn("A waltz for violin"), SHORT)
        for request, kind in zip(bad, (ValueError, FileNotFoundError), strict=True):
            with pytest.raises(kind):
                list(request)
            assert list(request) == []  # the error is raised once
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
CASES = [(Turn(text), GenerationOptions(max_tokens=40, seconds=2.0, seed=seed)) for seed, text in enumerate(TEXTS)]
VICTIM = 1  # and the seed that it is known by


def spoil(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, error: BaseException, harm: Callable[..., bool]) -> None:
    """Patches a method to raise `error` whenever `harm`, called with its arguments, is true."""
    work = getattr(place, name)

    def broken(self: Any, *arguments: Any) -> Any:
        if harm(self, *arguments):
            raise error
        return work(self, *arguments)

    monkeypatch.setattr(place, name, broken)


def submit_all(engine: Engine) -> list[Request]:
    """Submits all requests before the next engine step, so that they share their steps."""
    with engine._changed:
        return [engine.submit(turn, options) for turn, options in CASES]


def reads_victim(batch: TextBatch, cache: object, sequences: Sequence[TextSequence]) -> bool:
    return any(sequence.options.seed == VICTIM and len(sequence.row.tokens) > 4 for sequence in sequences)


def plays_victim(state: BatchState) -> bool:
    return any(writes_victim(sequence) for sequence in state.sequences)


def writes_victim(sequence: CodeSequence, codes: object = None) -> bool:
    return sequence.request.seeds[0] == VICTIM and sequence.column > 3


SPOTS = {"words": (TextBatch, "_forward", reads_victim), "music": (BatchState, "next_logits", plays_victim),
         "rules": (CodeSequence, "append_codes", writes_victim)}
SPOTS["sound that is due"] = MusicJob, "on_step", lambda job: writes_victim(job.sequence)


@pytest.mark.parametrize("spot", SPOTS)
def test_an_error_in_a_batch_step_fails_its_cause_alone(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch, spot: str) -> None:
    """The other requests, and later ones, are answered as if alone."""
    expected = [nano.respond(turn, options) for turn, options in CASES]
    with Engine(nano) as engine:
        spoil(monkeypatch, *SPOTS[spot][:2], RuntimeError("mine"), SPOTS[spot][2])
        requests = submit_all(engine)
        with pytest.raises(RuntimeError, match="^mine$"):
            list(requests[VICTIM])
        assert all(same(reply(list(requests[index])), expected[index]) for index in (0, 2))
        assert same(reply(list(engine.submit(*CASES[0]))), expected[0])


@pytest.mark.parametrize("spot", ["words", "music"])
def test_out_of_memory_fails_the_newest_request(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch, spot: str) -> None:
    """Each alone would fit: the first two go on."""
    full = {"words": lambda batch, cache, sequences: len(sequences) == 3, "music": lambda state: len(state.sequences) == 3}
    with Engine(nano) as engine:
        spoil(monkeypatch, *SPOTS[spot][:2], torch.OutOfMemoryError("allocator's words"), full[spot])
        requests = submit_all(engine)
        outcomes = [outcome(request) for request in requests]
    failed = [index for index, result in enumerate(outcomes) if isinstance(result, MemoryError)]
    assert len(failed) == 1 and "not enough memory for this request" in str(outcomes[failed[0]])
    assert all(same(outcomes[index], nano.respond(*CASES[index])) for index in range(3) if index not in failed)


def outcome(request: Request) -> Reply | Exception:
    try:
        return reply(list(request))
    except MemoryError as error:
        return error


def test_an_error_in_rendering_fails_its_request_alone(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, AudioStreamer, "finish", MemoryError(), lambda streamer, codes: streamer.samples_left == 3 * 32_000)
    with Engine(nano) as engine:
        bad = engine.submit(Turn("A waltz for violin"), GenerationOptions(seconds=3.0))
        good = engine.submit(*CASES[0])
        with pytest.raises(MemoryError, match="ask for a shorter piece"):
            list(bad)
        assert reply(list(good)).music is not None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_end_of_the_engine_thread_fails_all_requests(nano: llama.MuMuLLaMA, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    with Engine(nano, max_running_requests=2, on_failure=over.set) as engine:
        spoil(monkeypatch, TextBatch, "_forward", KeyboardInterrupt(), reads_victim)
        for request in submit_all(engine):
            with pytest.raises(EngineDeadError, match="The engine stopped"):
                list(request)
        with pytest.raises(EngineDeadError, match="The engine stopped"):
            engine.submit(Turn("Hm"))
        assert over.wait(60)


def test_close_ends_work_under_way(nano: llama.MuMuLLaMA) -> None:
    before = threading.active_count()
    engine = Engine(nano, max_running_requests=1)
    running = engine.submit(Turn("A slow, sad piano piece"), LONG)
    events = under_way(running)
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


def test_a_recording_is_encoded_once(nano: llama.MuMuLLaMA, listened: list[Turn], tmp_path: Path) -> None:
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


def test_a_changed_file_is_encoded_again(nano: llama.MuMuLLaMA, listened: list[Turn], tmp_path: Path) -> None:
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
def test_the_encoder_cache_is_bounded(nano: llama.MuMuLLaMA, listened: list[Turn], most: int) -> None:
    names = ("violin_swing", "violin_swing", "piano_waltz", "violin_swing")
    with Engine(nano, encoder_cache_size=most) as engine:
        for name in names:
            list(engine.submit(Turn("How fast is it?", audio=EXAMPLES / f"{name}.flac"), GenerationOptions(max_tokens=2)))
    assert len(listened) == (3 if most else 4)


def test_an_open_image_is_encoded_each_time(nano: llama.MuMuLLaMA, listened: list[Turn]) -> None:
    """Its content may depend on more than its pixels, such as a palette or an orientation."""
    turn = Turn("What is it?", image=Image.open(EXAMPLES / "calm_sea.jpg"))
    with Engine(nano) as engine:
        for _ in range(2):
            list(engine.submit(turn, GenerationOptions(max_tokens=2)))
    assert len(listened) == 2


# -- static batching of decoders without continuous batching --------------------------------------------------------


class UnbatchableDecoder(torch.nn.Module):
    """A decoder without continuous batching; records the seeds of each call, reports progress, and fails for one seed."""

    def __init__(self, decoder: Any, gate: threading.Event) -> None:
        super().__init__()
        self.decoder, self.gate, self.groups, self.completed = decoder, gate, list[list[int]](), list[list[int]]()
        self.sample_rate = decoder.sample_rate

    def embed(self, captions: Sequence[str]) -> Any:
        return self.decoder.embed(captions)

    def request(self, *args: Any, **options: Any) -> SynthesisRequest:
        return self.decoder.request(*args, **options)

    def synthesize(self, request: SynthesisRequest, progress: Callable[[float], None] | None = None) -> Any:
        self.groups.append(list(request.seeds))
        self.gate.wait(60)
        if 13 in request.seeds:
            raise RuntimeError("unlucky")
        if progress is not None:
            progress(0.5)
        self.completed.append(list(request.seeds))
        return self.decoder.synthesize(request, progress)


def test_equal_requests_form_static_batches(scripted: llama.MuMuLLaMA) -> None:
    def wish(seed: int, seconds: float = 1.0) -> GenerationOptions:
        return GenerationOptions(max_tokens=40, seconds=seconds, seed=seed)

    alone = {seed: scripted.respond(Turn("Play"), wish(seed)) for seed in (1, 2, 3)}
    gate = threading.Event()
    scripted.music_decoder = UnbatchableDecoder(scripted.music_decoder, gate)
    with Engine(scripted) as engine:
        first = engine.submit(Turn("Play"), wish(1))
        under_way(first)
        requests = {seed: engine.submit(Turn("Play"), wish(seed)) for seed in (2, 13, 3)}
        other, goes = engine.submit(Turn("Play"), wish(4, 0.5)), engine.submit(Turn("Play"), wish(5))
        for request in (*requests.values(), other):
            under_way(request)
        goes.cancel()
        gate.set()
        assert same(reply(list(requests[2])), alone[2], 1e-5) and same(reply(list(requests[3])), alone[3], 1e-5)
        with pytest.raises(RuntimeError, match="unlucky"):
            list(requests[13])
        assert reply(list(other)).music.seconds == 0.5
        assert same(reply(list(first)), alone[1], 1e-5)
    assert [2, 13, 3] in scripted.music_decoder.groups and [13] in scripted.music_decoder.groups
    assert not any(5 in group for group in scripted.music_decoder.groups)


def test_a_static_batch_reports_progress_and_stops_when_it_is_cancelled(scripted: llama.MuMuLLaMA) -> None:
    options = GenerationOptions(max_tokens=40, seconds=1.0, seed=1)
    gate = threading.Event()
    decoder = scripted.music_decoder = UnbatchableDecoder(scripted.music_decoder, gate)
    with Engine(scripted) as engine:
        cancelled = engine.submit(Turn("Play"), options)
        under_way(cancelled)
        while not decoder.groups:
            time.sleep(0.01)
        cancelled.cancel()
        gate.set()
        events = list(engine.submit(Turn("Play"), options))
    assert [event.seconds for event in events if isinstance(event, Progress)] == [0.0, 0.5, 1.0]
    assert len(decoder.groups) == 2 and len(decoder.completed) == 1
