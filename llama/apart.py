"""The music of an engine made in a process of its own, so that words and music do not wait for one Python.

Meant for a small decoder on a CPU: its steps are short, and most of their time is Python's, which one process spends on one
core at a time. The other process has a copy of the decoder; what goes between them are pickles of each other's own making.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from llama.audio import Waveform
from llama.batching import advance
from llama.generation import Event, GenerationOptions, MusicChunk
from llama.musicgen import LIGHT
from llama.performing import RENDERERS, Band, Conditioning, Listener
from llama.synthesis import quiet
from llama.tickets import OUT_OF_MEMORY, Stopped

if TYPE_CHECKING:
    from llama.decoders import MusicGenDecoder
    from llama.mumu_llama import MuMuLLaMA
    from llama.notes import Score

GONE = "The process that makes the music ended before the piece was ready; ask again."


def worth_it(model: MuMuLLaMA) -> bool:
    """Whether a process for its music makes a model quicker: several cores, a decoder of small steps, and no accelerator."""
    decoder: Any = model.music_decoder
    if decoder is None or not hasattr(decoder, "ensemble") or torch.device(decoder.device).type != "cpu" or cores() < 2:
        return False
    weights = list(decoder.model.parameters())
    return sum(weight.numel() for weight in weights) <= LIGHT and all(weight.dtype == torch.float32 for weight in weights)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Copy:
    """A decoder as values that any process can make one of: its configuration, its weights, and what was set by hand."""

    config: Mapping[str, Any]
    state: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, decoder: Any) -> Copy:
        state = {name: value.detach().cpu().numpy() for name, value in decoder.export_state().items()}
        settings = {name: getattr(decoder, name) for name in ("guidance", "temperature", "top_k", "span")}
        return cls(decoder.model.config.to_dict(), state, settings)

    def decoder(self) -> MusicGenDecoder:
        from llama import note_codec
        from llama.decoders import MusicGenDecoder

        note_codec.register()
        with quiet():
            made = MusicGenDecoder.from_state(self.config, {name: torch.from_numpy(value) for name, value in self.state.items()})
        for name, value in self.settings.items():
            setattr(made, name, value)
        return made


class Apart:
    """The pieces that the other process plays, from this side. It is started at once, and again when it is needed and gone."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.members: list[Listener] = []  # the engine's thread has nothing to do for them
        self._guard, self._closed = threading.Lock(), False
        self._number = itertools.count()
        self._start()

    def _start(self) -> None:
        self._playing: dict[int, Piece] = {}
        self._pipe, theirs = multiprocessing.Pipe()
        # spawned: a fork would copy locks that threads of this process hold
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=play, args=(theirs, Copy.of(self.decoder)), name="music", daemon=True)
        self.process.start()
        theirs.close()
        threading.Thread(target=self._hear, args=(self._pipe, self._playing), name="music-heard", daemon=True).start()

    def join(self, listener: Listener, conditioning: Conditioning) -> None:
        condition, mask = (None if one is None else one.cpu().numpy() for one in conditioning())
        with self._guard:
            if not self.process.is_alive() and not self._closed:
                self._start()
            number = next(self._number)
            self._playing[number] = Piece(listener)
            self._send("join", number, condition, mask, listener.options)

    def leave(self, listener: Listener) -> None:
        with self._guard:
            for number in [number for number, piece in self._playing.copy().items() if piece.listener is listener]:
                self._playing.pop(number, None)
                self._send("leave", number)

    def close(self) -> None:
        with self._guard:
            self._closed = True
            self._send("end")
        self.process.join(5)
        self.process.kill()  # does nothing to one that has ended
        self.process.join()

    def _send(self, *message: object) -> None:
        try:
            self._pipe.send(message)
        except OSError:  # it has ended: whoever hears that tells all that play
            self._fail_all(self._playing)

    def _hear(self, pipe: Connection, playing: dict[int, Piece]) -> None:
        """Until the other end is closed, by whatever ended its process."""
        while True:
            try:
                kind, number, *values = pipe.recv()
            except (EOFError, OSError):
                break
            piece = playing.get(number)
            if piece is not None:
                try:
                    piece.hear(kind, *values)
                except Exception as error:  # handed to the request that it belongs to; the others are still to be heard
                    piece.listener.fail(error)
                if piece.listener.over:
                    playing.pop(number, None)
        with self._guard:  # who joins now is either told here or finds the pipe closed
            self._fail_all(playing)

    def _fail_all(self, playing: dict[int, Piece]) -> None:
        for piece in list(playing.values()):
            piece.listener.fail(Stopped(GONE))
        playing.clear()


class Piece:
    """One of the pieces that are made elsewhere, put together for its listener."""

    def __init__(self, listener: Listener) -> None:
        self.listener, self._chunks = listener, list[Waveform]()

    def hear(self, kind: str, *values: Any) -> None:
        if kind == "tell":
            self.listener.tell(values[0])
        elif kind == "sound":
            samples, rate = values
            self._chunks.append(Waveform(torch.from_numpy(samples), rate))
            self.listener.tell(MusicChunk(self._chunks[-1]))
        elif kind == "finish":
            whole = torch.cat([chunk.samples for chunk in self._chunks], -1)
            self.listener.finish(Waveform(whole, self._chunks[-1].sample_rate), values[0])
        else:
            self.listener.fail(values[0])


# -- the other process --------------------------------------------------------------------------------------------


class Distant:
    """Stands for a listener in the process that plays."""

    def __init__(self, number: int, options: GenerationOptions, send: Callable[..., None]) -> None:
        self.number, self.options, self._send = number, options, send
        self.over = False

    def tell(self, event: Event) -> None:
        if isinstance(event, MusicChunk):
            self._say("sound", event.music.samples.numpy(), event.music.sample_rate)
        else:
            self._say("tell", event)

    def finish(self, music: Waveform | None = None, score: Score | None = None) -> None:
        self._say("finish", score)
        self.over = True

    def fail(self, error: Exception) -> None:
        self._say("fail", _sendable(error))
        self.over = True

    def _say(self, kind: str, *values: object) -> None:
        if not self.over:
            self._send(kind, self.number, *values)


def _sendable(error: Exception) -> Exception:
    """The error as users may meet it; any other as one that says the same, for it might not survive the way."""
    if type(error) in (ValueError, MemoryError):
        return error
    return MemoryError(str(error)) if isinstance(error, OUT_OF_MEMORY) else RuntimeError(f"{type(error).__name__}: {error}")


def play(pipe: Connection, copy: Copy) -> None:
    """The main function of the process: plays what it is told to until it is told to end, or who told it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; whoever started this ends it
    torch.set_num_threads(1)
    decoder = copy.decoder()
    with ThreadPoolExecutor(RENDERERS, "renderer") as pool:
        try:
            Stage(pipe, Band(decoder, pool)).play()
        except (EOFError, OSError):  # nobody is there any more
            os._exit(0)  # nor waits for what is still being rendered, as the pool would


class Stage:
    """The pieces that are played in this process, and the pipe on which they are asked for and heard."""

    def __init__(self, pipe: Connection, band: Band[Distant]) -> None:
        self._pipe, self._band, self._guard = pipe, band, threading.Lock()
        self._listeners: dict[int, Distant] = {}

    def play(self) -> None:
        while True:
            while self._pipe.poll(0 if self._band.members else None):
                kind, *values = self._pipe.recv()
                if kind == "end":
                    return
                self._join(*values) if kind == "join" else self._leave(*values)
            for listener, error in advance(self._band).items():
                self._band.leave(listener)
                listener.fail(error)

    def _join(self, number: int, condition: Any, mask: Any, options: GenerationOptions) -> None:
        listener = self._listeners[number] = Distant(number, options, self._send)
        try:
            self._band.join(listener, lambda: (torch.from_numpy(condition), None if mask is None else torch.from_numpy(mask)))
        except Exception as error:  # handed to the request that it belongs to
            listener.fail(error)
        self._listeners = {number: one for number, one in self._listeners.items() if not one.over}

    def _leave(self, number: int) -> None:
        if number in self._listeners:
            listener = self._listeners.pop(number)
            listener.over = True
            self._band.leave(listener)

    def _send(self, *message: object) -> None:
        with self._guard:
            self._pipe.send(message)
