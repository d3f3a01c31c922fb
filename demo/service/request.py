"""A request as values: how it is to be answered, what the engine took of it, and how it goes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.service.take_events import cancel_all
from llama.generation import GenerationOptions

if TYPE_CHECKING:
    from demo.service.conversation import Conversation, Piece
    from demo.service.uploads import Upload
    from llama.dialogue import Turn
    from llama.serving.request import Request

MAX_TAKES = 8  # of one request at most
MAX_TEXT = 8000  # characters of a message, with what stands above it; the model reads far fewer
SEED_RANGE = 2**31
STOPPED = "The server stopped before this answer was whole; ask again."
MEDIA_NAMES = {"audio": "The recording", "image": "The picture", "video": "The clip"}


@dataclass(frozen=True)
class Settings:
    """How to answer. A setting that is None has the value of `GenerationOptions`; a seed that is None is drawn.

    takes: answers with the seeds seed, seed + 1, ...; music: False for words only; fit: as long as the clip, where there
    is one, whatever `seconds` says. ValueError in one sentence.
    """

    seconds: float | None = None
    seed: int | None = None
    takes: int = 1
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    guidance: float | None = None
    conditioning: str | None = None
    music: bool = True
    fit: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.takes, bool) or self.takes not in range(1, MAX_TAKES + 1):
            raise ValueError(f"takes {self.takes!r} is out of range; give a whole number from 1 to {MAX_TAKES}.")

    def options(self) -> tuple[GenerationOptions, ...]:
        """One a take."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("takes", "fit")}
        integers = {name: _as_integer(value) for name, value in values.items() if value is not None}
        first = GenerationOptions(**({"seed": secrets.randbelow(SEED_RANGE)} | integers))
        return tuple(replace(first, seed=first.seed + take) for take in range(int(self.takes)))


def _as_integer(value: Any) -> Any:
    """Sliders give floats where whole numbers are meant."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True)
class MusicProgress:
    """A sound under way: the seed of its take, and its address, at which it grows."""

    seed: int
    url: str


@dataclass(frozen=True)
class Update:
    """How a request goes. words: of the first take, so far; answers: of every take.

    progress: (made, total) seconds of music, all takes together; left: seconds of work left, estimated; ahead: requests
    that begin before this one; pieces: of the takes that are ready; stream: sounds under way; seeds: of every take, in
    their order; conversation: with this exchange, on the last update; stopped: by its user, so that pieces are as long as
    they had become, and the conversation is as it was (None) where nothing had sounded.
    """

    text: str
    progress: tuple[float, float] | None = None
    seconds_left: float | None = None
    queue_position: int = 0
    pieces: tuple[Piece, ...] = ()
    reference: str | None = None
    streams: tuple[MusicProgress, ...] = ()
    conversation: Conversation | None = None
    texts: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    stopped: bool = False


@dataclass(frozen=True)
class SubmittedRequest:
    """A request that the engine has taken: one ticket and one options a take."""

    message: str
    uploads: tuple[Upload, ...]
    turn: Turn
    reference: str | None
    options: tuple[GenerationOptions, ...]
    requests: tuple[Request, ...]

    @property
    def names(self) -> Mapping[Path, str]:
        return {upload.path: upload.name or MEDIA_NAMES[upload.kind] for upload in self.uploads}

    def cancel(self) -> None:
        """Stops the work of every take; what has ended stays as it is."""
        cancel_all(self.requests)
