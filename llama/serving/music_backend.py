"""The interface between the engine and what makes its music: the backend, and the sink for the events of one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from llama.decoders.base import SynthesisRequest
    from llama.generation import Event, GenerationOptions
    from llama.media.audio import Waveform
    from llama.media.score import Score

SynthesisBuilder = Callable[[], "SynthesisRequest"]  # computes the condition of one request, and what else its music is made from


class EventSink(Protocol):
    """Receiver of the events of one piece of music: a `Request`, or its counterpart in the music worker.

    finished: no further event is taken, since the request was answered, failed or was cancelled.
    """

    options: GenerationOptions
    finished: bool

    def emit(self, event: Event) -> None: ...

    def finish(self, music: Waveform | None = None, score: Score | None = None) -> None: ...

    def fail(self, error: Exception) -> None: ...


RequestT = TypeVar("RequestT", bound=EventSink)


class MusicBackend(Protocol[RequestT]):
    """Makes the music of many requests and sends it to them as events.

    A backend either takes its steps on the engine's thread, or works on threads or in a process of its own.
    """

    @property
    def needs_step(self) -> bool:
        """Whether `step` has work to do; always False for a backend that works by itself."""
        ...

    def add(self, request: RequestT, build: SynthesisBuilder) -> None:
        """Starts the music of a request, a new piece or an edit. What it raises concerns this request alone."""
        ...

    def remove(self, request: RequestT) -> None:
        """Stops the music of a request; does nothing for one that is not here."""
        ...

    def step(self) -> dict[RequestT, Exception]:
        """One frame of every request; returns the errors of those that failed. A backend that works by itself returns {}."""
        ...

    def close(self) -> None:
        """Ends the threads or the process of the backend, if it has any."""
        ...
