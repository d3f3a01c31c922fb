"""Test double of the engine whose requests are controlled by words in the text, such as "wait", "play" or the keys of ERRORS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch

from llama.dialogue import Reply, Turn
from llama.generation import Done, Event, GenerationOptions, MusicChunk, Progress, TextDelta
from llama.media.audio import Waveform
from llama.media.edit_report import EditReport
from llama.media.score import Attributes, Note, Score
from llama.serving.observer import NoObserver, RequestObserver, RequestTimer
from llama.serving.request import QueueFullError

RATE = 8000
SCORE = Score(Attributes("flute", "pad", "ballad", 60, "major", 4, False, 0), 2.5, (Note(0.0, 1.0, 72, 92),), (), (), (), ())
REPORT = EditReport(("tempo from 60 bpm to 90 bpm",), ("melody", "chords"))  # of every edit
AUDIO = tuple(range(900, 908))
ERRORS: dict[str, Callable[[Turn], BaseException]] = {
    "stumble": lambda turn: ValueError(f"{turn.audio} is damaged, as /srv/models/nano/config.json says; give another one."),
    "memory": lambda turn: MemoryError(),
    "allocate": lambda turn: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    "disk": lambda turn: OSError(28, "No space left on device", "/srv/secret/file"),
    "bug": lambda turn: KeyError("/srv/secret"),
}


def piece(options: GenerationOptions) -> torch.Tensor:
    """[2, N] noise, different for each seed."""
    noise = torch.rand(2, round(options.seconds * RATE), generator=torch.Generator().manual_seed(options.seed))
    return noise - 0.5


class Flag(threading.Event):
    """Event that is truthy once it is set, like the boolean attributes of `Request`."""

    def __bool__(self) -> bool:
        return self.is_set()


class ScriptedRequest:
    """With "wait" in the text, every event takes one of `ScriptedEngine.leaves` first, unless the request is cancelled."""

    def __init__(self, turn: Turn, options: GenerationOptions, leaves: threading.Semaphore, timer: RequestTimer) -> None:
        self.turn, self.options, self._leaves, self._timer = turn, options, leaves, timer
        self.queue_position = 3
        self.cancelled, self.finished = Flag(), Flag()

    def cancel(self) -> None:
        self.cancelled.set()

    def add_listener(self, callback: Callable[[Event | Exception | None], None]) -> None:
        def pump() -> None:
            last = None
            try:
                for event in self:
                    last = event
                    self._timer.see(event)
                    callback(event)
            except Exception as error:
                self._timer.see(error)
                callback(error)
            else:
                if not isinstance(last, Done):
                    callback(None)

        threading.Thread(target=pump, name="scripted-events", daemon=True).start()

    def __iter__(self) -> Iterator[Event]:
        try:
            for event in self._events(self.turn.text.split()):
                while "wait" in self.turn.text and not self.cancelled.is_set() and not self._leaves.acquire(timeout=0.01):
                    continue
                if self.cancelled.is_set():
                    return
                yield event
        finally:
            self.finished.set()

    def _events(self, words: list[str]) -> Iterator[Event]:
        heard = f" {Waveform.read(self.turn.audio).seconds:.2f}" if self.turn.audio is not None else ""
        yield from (TextDelta(word if place == 0 else f" {word}") for place, word in enumerate(words))
        yield TextDelta(heard)
        for name, error in ERRORS.items():
            if name in words:
                raise error(self.turn)
        plays = "play" in words and self.options.music
        music = Waveform(piece(self.options), RATE) if plays else None
        if music is not None:
            yield Progress(0.0, music.seconds)
            for number, part in enumerate(music.samples.split(round(music.samples.shape[1] / 4), dim=1), 1):
                yield MusicChunk(Waveform(part, RATE))
                yield Progress(number * music.seconds / 4, music.seconds)
        tokens = (*range(len(words)), *(AUDIO if "play" in words else ()))
        finish = "music" if "play" in words else "length" if "long" in words else "stop"
        score, edit = SCORE if music and "notes" in words else None, REPORT if music and self.options.edit else None
        yield Done(Reply(" ".join(words) + heard, tokens, music, finish, score, edit))


class ScriptedEngine:
    """Accepts requests like `llama.serving.engine.Engine`, and keeps them in `requests`."""

    def __init__(self) -> None:
        self.requests: list[ScriptedRequest] = []
        self.closed: str | None = None
        self.observer: RequestObserver = NoObserver()
        self.leaves = threading.Semaphore(0)
        tokenizer = SimpleNamespace(encode=lambda text: [1, *range(len(text.split()))], audio_tokens=AUDIO)
        self.model: Any = SimpleNamespace(tokenizer=tokenizer, config=SimpleNamespace(llama=SimpleNamespace(max_seq_len=10_000)))

    @property
    def load(self) -> tuple[int, int]:
        return sum(not request.finished for request in self.requests), 0

    def submit(self, turn: Turn, options: GenerationOptions | None = None) -> ScriptedRequest:
        if "busy" in turn.text and len(self.requests) >= 1:
            raise QueueFullError("64 requests are waiting already; come back in a minute.")
        self.requests.append(ScriptedRequest(turn, options or GenerationOptions(), self.leaves, RequestTimer(self.observer)))
        return self.requests[-1]
