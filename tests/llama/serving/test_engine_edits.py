"""Edits by the engine: answers equal those of the model alone, exact edits stream in blocks, and errors and cancellation stay isolated."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_engine import reply, same
from test_generation import randomise_codebooks

import llama
from DataSet.synthesis.composer import compose
from llama import Done, GenerationOptions, MusicChunk, Turn
from llama.decoders.base import SynthesisRequest
from llama.decoders.musicgen.decoder import MusicGenDecoder
from llama.dialogue import Reply
from llama.generation import Event, Progress
from llama.media.audio import Waveform
from llama.media.edit import Edit
from llama.media.score import Attributes, Score
from llama.serving import request_preparer
from llama.serving.engine import Engine

ROOT = Path(__file__).resolve().parents[3]
BALLAD = Attributes("piano", "strings", "ballad", 72, "minor", 4, drums=False, key=6)
QUESTION = "Describe what you hear."


@pytest.fixture(scope="module")
def nano() -> llama.MuMuLLaMA:
    return llama.load(ROOT / "ckpts/nano")


@pytest.fixture(scope="module")
def score() -> Score:
    return compose(np.random.default_rng(8), BALLAD, 12.0)


def options(**edit: Any) -> GenerationOptions:
    return GenerationOptions(edit=Edit(**edit), seed=4)


def cases(score: Score) -> list[tuple[Turn, GenerationOptions]]:
    """Exact and composed edits, by values and by words, a question about a score, and a new piece beside them."""
    return [
        (Turn("Make it faster", score=score), options(change={"tempo": 102}, transpose=3)),
        (Turn("Add drums", score=score), options(change={"drums": True})),
        (Turn("Another bass", score=score), options(parts=("bass",), bars=(1, 2))),
        (Turn("Make it calmer", score=score), GenerationOptions()),  # the model's caption says what that is
        (Turn(QUESTION, score=score), GenerationOptions(music=False)),
        (Turn("A waltz for violin"), GenerationOptions(seconds=3.0, seed=1)),
        (Turn("A fast dance for trumpet"), GenerationOptions(bar_count=3, seed=2)),
    ]


@pytest.fixture(scope="module")
def alone(nano: llama.MuMuLLaMA, score: Score) -> list[Reply]:
    return [nano.respond(turn, wanted) for turn, wanted in cases(score)]


def check(events: list[Event], expected: Reply) -> None:
    """The reply is the expected one, and its chunks and its progress are complete."""
    assert same(reply(events), expected) and reply(events).edit == expected.edit
    chunks = [event.music.samples for event in events if isinstance(event, MusicChunk)]
    progress = [event for event in events if isinstance(event, Progress)]
    assert bool(chunks) == bool(progress) == (expected.music is not None)
    if expected.music is not None:
        assert torch.equal(torch.cat(chunks, -1), expected.music.samples)
        last = progress[-1]
        assert progress[0].seconds == 0 and last.seconds == last.total_seconds == pytest.approx(expected.music.seconds, abs=1e-3)


def test_edits_equal_those_of_the_model_alone(nano: llama.MuMuLLaMA, score: Score, alone: list[Reply]) -> None:
    """All at once; test_worker_client.py asks the same of a music worker."""
    with Engine(nano) as engine:
        requests = [engine.submit(*case) for case in cases(score)]
        answers = [list(request) for request in requests]
    for events, expected in zip(answers, alone, strict=True):
        check(events, expected)
    assert [expected.edit is not None for expected in alone] == [True, True, True, True, False, False, False]


def test_an_exact_edit_streams_as_the_model_does(nano: llama.MuMuLLaMA, score: Score) -> None:
    wanted = Turn("Make it faster", score=score), options(change={"tempo": 102})
    with Engine(nano) as engine:
        served = list(engine.submit(*wanted))
    local = list(nano.stream(*wanted))
    chunks = [[event.music.samples.shape[-1] for event in events if isinstance(event, MusicChunk)] for events in (served, local)]
    assert chunks[0] == chunks[1] and len(chunks[0]) > 4
    assert isinstance(local[-1], Done) and same(reply(served), local[-1].reply)


def test_an_exact_edit_asks_the_model_nothing(nano: llama.MuMuLLaMA, score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take seconds to hear a long piece, and say nothing that the notes do not."""

    def forward(*_: Any, **__: Any) -> None:
        raise RuntimeError("the model was asked")

    for module in ("mert", "llama"):
        monkeypatch.setattr(getattr(nano, module), "forward", forward)
    wanted = Turn("Make it faster", score=score), options(change={"tempo": 102})
    alone = nano.respond(*wanted)
    assert alone.score is not None and alone.score.attributes.tempo == 102 and "72 bpm to 102 bpm" in alone.text
    with Engine(nano) as engine:
        check(list(engine.submit(*wanted)), alone)
        with pytest.raises(RuntimeError, match="the model was asked"):
            list(engine.submit(*cases(score)[4]))


class Blocks:
    """Stands in for `MusicGenDecoder.render_stream`: lets a test hold, count and break the blocks of one piece."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        """seconds: length of the piece; others are played as usual."""
        self.played, self.begun, self.go, self.error = 0, threading.Event(), threading.Event(), None
        render_stream = MusicGenDecoder.render_stream

        def watched(decoder: MusicGenDecoder, score: Score) -> Iterator[Waveform]:
            for block in render_stream(decoder, score):
                if score.seconds == seconds:
                    self.watch()
                yield block

        monkeypatch.setattr(MusicGenDecoder, "render_stream", watched)

    def watch(self) -> None:
        self.played += 1
        if self.played == 2:
            self.begun.set()
            assert self.go.wait(60)
            if self.error:
                raise self.error


def test_a_cancelled_edit_stops_within_a_block(nano: llama.MuMuLLaMA, score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = Blocks(monkeypatch, score.seconds)
    with Engine(nano) as engine:
        request = engine.submit(Turn("Play it higher", score=score), options(transpose=2))
        assert blocks.begun.wait(60)
        request.cancel()
        blocks.go.set()
        check(list(engine.submit(*cases(score)[5])), nano.respond(*cases(score)[5]))
        assert not engine._music.needs_step
    assert blocks.played == 2


def test_an_edit_does_not_block_others(nano: llama.MuMuLLaMA, score: Score, alone: list[Reply], monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = Blocks(monkeypatch, score.seconds)
    with Engine(nano) as engine:
        slow = engine.submit(Turn("Play it higher", score=score), options(transpose=2))
        assert blocks.begun.wait(60)
        for index in (0, 5):
            check(list(engine.submit(*cases(score)[index])), alone[index])
        assert not slow.finished
        blocks.go.set()
        assert reply(list(slow)).music is not None


def test_hearing_a_piece_does_not_block_others(
    nano: llama.MuMuLLaMA, score: Score, alone: list[Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a whole answer of the model; an error in it fails its own request."""
    begun, go, hear = threading.Event(), threading.Event(), request_preparer.hear_piece

    def slow_hear(*arguments: Any) -> Attributes | None:
        begun.set()
        assert go.wait(60)
        return hear(*arguments)

    monkeypatch.setattr(request_preparer, "hear_piece", slow_hear)
    with Engine(nano) as engine:
        slow = engine.submit(*cases(score)[3])
        assert begun.wait(60)
        check(list(engine.submit(*cases(score)[5])), alone[5])
        assert not slow.finished
        go.set()
        check(list(slow), alone[3])
        monkeypatch.setattr(request_preparer, "hear_piece", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(engine.submit(*cases(score)[3]))


def test_planning_an_exact_edit_does_not_block_others(
    nano: llama.MuMuLLaMA, score: Score, alone: list[Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long score takes seconds; an error in it fails its own request."""
    begun, go, plan = threading.Event(), threading.Event(), MusicGenDecoder.edit_plan

    def slow_plan(decoder: MusicGenDecoder, source: Score, edit: Edit) -> Any:
        begun.set()
        assert go.wait(60)
        return plan(decoder, source, edit)

    monkeypatch.setattr(MusicGenDecoder, "edit_plan", slow_plan)
    with Engine(nano) as engine:
        slow = engine.submit(*cases(score)[0])
        assert begun.wait(60)
        check(list(engine.submit(*cases(score)[5])), alone[5])
        assert not slow.finished
        go.set()
        check(list(slow), alone[0])
        monkeypatch.setattr(MusicGenDecoder, "edit_plan", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(engine.submit(*cases(score)[0]))


def test_an_error_in_an_edit_fails_its_request_alone(
    nano: llama.MuMuLLaMA, score: Score, alone: list[Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = Blocks(monkeypatch, score.seconds)
    blocks.error = MemoryError()
    blocks.go.set()
    with Engine(nano) as engine:
        bad = engine.submit(Turn("Play it higher", score=score), options(transpose=2))
        good = engine.submit(*cases(score)[0])
        with pytest.raises(MemoryError, match="not enough memory for this request"):
            list(bad)
        check(list(good), alone[0])


def test_a_bad_edit_is_refused_at_once(nano: llama.MuMuLLaMA, published: llama.MuMuLLaMA, score: Score) -> None:
    with Engine(nano) as engine:
        with pytest.raises(ValueError, match="are not in the piece"):
            engine.submit(Turn("The end", score=score), options(excerpt=(1, 90)))
        with pytest.raises(ValueError, match="this turn has none"):
            engine.submit(Turn("Make it faster"), options(change={"tempo": 102}))
    with Engine(published) as engine:
        with pytest.raises(ValueError, match="makes sound without notes"):
            engine.submit(Turn("Make it faster", score=score), options(change={"tempo": 102}))
        with pytest.raises(ValueError, match="cannot play a score"):
            list(engine.submit(Turn("Is it happy?", score=score)))
        with pytest.raises(ValueError, match="does not count bars"):
            engine.submit(Turn("A waltz for violin"), GenerationOptions(bar_count=8))


def test_a_score_is_played_to_the_encoder_once(nano: llama.MuMuLLaMA, score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question about it and an edit that composes share its features; another score has its own."""
    played, render = list[Score](), MusicGenDecoder.render
    monkeypatch.setattr(MusicGenDecoder, "render", lambda decoder, score: played.append(score) or render(decoder, score))
    with Engine(nano) as engine:
        for turn, wanted in (cases(score)[4], cases(score)[1]):
            list(engine.submit(turn, wanted))
        assert played == [score]
        other = compose(np.random.default_rng(9), BALLAD, 12.0)
        list(engine.submit(Turn(QUESTION, score=other), GenerationOptions(max_tokens=2)))
    assert played == [score, other]


def test_what_an_edit_did_not_hear_answers_no_question(nano: llama.MuMuLLaMA, score: Score, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model without ears edits notes; a question about them is refused all the same."""
    monkeypatch.setattr(nano, "mert", None)
    with Engine(nano) as engine:
        turn, wanted = cases(score)[0]
        check(list(engine.submit(turn, wanted)), nano.respond(turn, wanted))
        with pytest.raises(ValueError, match="without its mert encoder"):
            list(engine.submit(*cases(score)[4]))


# -- recordings -------------------------------------------------------------------------------------------------------


def recording(seconds: float = 1.5) -> Waveform:
    return Waveform(torch.sin(torch.arange(round(seconds * 32_000)) / 20)[None] / 2, 32_000)


def continuations() -> list[tuple[Turn, GenerationOptions]]:
    """Of a recording, beside a new piece."""
    edit = GenerationOptions(max_tokens=40, edit=Edit(continuation=1.2), seed=5)
    return [(Turn("Go on", audio=recording()), edit), (Turn("Play"), GenerationOptions(max_tokens=40, seconds=1.0, seed=1))]


def test_a_recording_is_continued_in_the_batch(scripted: llama.MuMuLLaMA) -> None:
    randomise_codebooks(scripted)
    alone = [scripted.respond(*case) for case in continuations()]
    with Engine(scripted) as engine:
        requests = [engine.submit(*case) for case in continuations()]
        answers = [list(request) for request in requests]
    for events, expected in zip(answers, alone, strict=True):
        assert same(reply(events), expected, tolerance=1e-5) and reply(events).edit == expected.edit
    progress = [event for event in answers[0] if isinstance(event, Progress)]
    assert alone[0].edit is not None and alone[0].music.seconds == pytest.approx(2.7) == progress[-1].total_seconds


class SlowDecoder(torch.nn.Module):
    """A decoder without continuous batching, as AudioLDM2; records what it edits."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder, self.edits = decoder, list[list[Edit | None]]()
        self.sample_rate, self.edits_scores = decoder.sample_rate, False
        self.embed, self.request, self.check_edit = decoder.embed, decoder.request, decoder.check_edit

    def synthesize(self, request: SynthesisRequest, progress: Any = None) -> Any:
        self.edits.append([request.edit] * len(request.seeds))
        return self.decoder.synthesize(request, progress)


def test_a_static_batch_edits_each_recording_alone(scripted: llama.MuMuLLaMA) -> None:
    randomise_codebooks(scripted)
    case = continuations()[0]
    alone = scripted.respond(*case)
    decoder = scripted.music_decoder = SlowDecoder(scripted.music_decoder)
    with Engine(scripted) as engine:
        with engine._changed:
            requests = [engine.submit(*case) for _ in range(2)]
        for request in requests:
            events = list(request)
            assert same(reply(events), alone, tolerance=1e-5) and reply(events).edit == alone.edit
            progress = [(event.seconds, event.total_seconds) for event in events if isinstance(event, Progress)]
            assert progress[0][0] == 0 and progress[-1][0] == progress[-1][1] == pytest.approx(2.7)
            assert sum(isinstance(event, MusicChunk) for event in events) > 1
    assert decoder.edits == [[Edit(continuation=1.2)]] * 2
