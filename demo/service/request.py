"""Values of a chat request: its settings, the submitted request, and the updates while it runs."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.service.take_events import cancel_all
from llama.errors import quoted
from llama.generation import GenerationOptions

if TYPE_CHECKING:
    from demo.service.conversation import Conversation, Piece
    from demo.service.turn_resolution import Reference
    from demo.service.uploads import Upload
    from llama.dialogue import Turn
    from llama.media.edit import Edit
    from llama.serving.request import Request

MAX_TAKES = 8  # per request
MAX_PAGE_TAKES = 4  # offered by the page's slider
MAX_TEXT = 8000  # characters of a message and its system prompt; the model's context is far shorter
SEED_RANGE = 2**31
STOPPED = "The server stopped before this answer was whole; ask again."
MEDIA_NAMES = {"audio": "The recording", "image": "The picture", "video": "The clip", "score": "The score"}


@dataclass(frozen=True)
class Settings:
    """Settings of an answer. None means the default of `GenerationOptions`; a seed of None is drawn at random.

    So is a seed of -1, as clients of other servers expect. Other negative seeds are taken modulo `SEED_RANGE`.
    takes: number of answers, with the seeds seed, seed + 1, ...; music: False for text only; fit: music as long as the clip
    in the request, if there is one, whatever `seconds` is. edit: of the piece that the message brings or refers to, of the
    newest one where it names none. bar_count: length of a new piece in bars, in place of seconds. length_in_words: a length that the
    message names ("20 seconds of happy piano") comes before seconds, bar_count and fit. Raises ValueError for values out of
    range.
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
    stop: tuple[str, ...] = ()
    edit: Edit | None = None
    bar_count: int | None = None
    length_in_words: bool = True

    def __post_init__(self) -> None:
        if self.seed is not None and self.seed < 0:
            object.__setattr__(self, "seed", None if self.seed == -1 else self.seed % SEED_RANGE)
        if isinstance(self.takes, bool) or self.takes not in range(1, MAX_TAKES + 1):
            raise ValueError(f"takes {quoted(self.takes)} is out of range; give a whole number from 1 to {MAX_TAKES}.")

    def options(self) -> tuple[GenerationOptions, ...]:
        """Options of each take. Raises ValueError for values out of range."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("takes", "fit", "length_in_words")}
        integers = {name: _as_integer(value) for name, value in values.items() if value is not None}
        first = GenerationOptions(**({"seed": secrets.randbelow(SEED_RANGE)} | integers))
        return tuple(replace(first, seed=first.seed + take) for take in range(int(self.takes)))


def whole_number(name: str, value: float) -> int:
    """The value of a field for whole numbers. Raises ValueError for infinity and for what is no number, which JSON may hold."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} {value} is out of range; give a whole number.")
    return int(value)


def _as_integer(value: Any) -> Any:
    """A whole float as int, since sliders return floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True)
class MusicProgress:
    """Music that is being generated: the seed of its take, the URL of its growing wav file, and the seconds in it."""

    seed: int
    url: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Update:
    """State of a running request. text: of the first take so far; texts: of every take.

    progress: (made, total) seconds of music over all takes; seconds_left: estimated time to the end; queue_position:
    requests that start before this one; pieces: of the finished takes; reference: what "it" was resolved to; streams: music
    being generated; seeds: of every take, in order; conversation: includes this exchange, set on the last update only;
    stopped: the user stopped the request, so pieces are as long as they had become, and conversation is None if there was
    no music yet.
    """

    text: str
    progress: tuple[float, float] | None = None
    seconds_left: float | None = None
    queue_position: int = 0
    pieces: tuple[Piece, ...] = ()
    reference: Reference | None = None
    streams: tuple[MusicProgress, ...] = ()
    conversation: Conversation | None = None
    texts: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    stopped: bool = False


@dataclass(frozen=True)
class SubmittedRequest:
    """Request submitted to the engine, with one engine request and one set of options per take.

    message: the user's text; turn: the model's input; reference: what "it" was resolved to.
    """

    message: str
    uploads: tuple[Upload, ...]
    turn: Turn
    reference: Reference | None
    options: tuple[GenerationOptions, ...]
    requests: tuple[Request, ...]

    @property
    def names(self) -> Mapping[Path, str]:
        """Names of the uploads in error messages, instead of their paths."""
        return {upload.path: upload.name or MEDIA_NAMES[upload.kind] for upload in self.uploads}

    def cancel(self) -> None:
        """Cancels every unfinished take."""
        cancel_all(self.requests)
