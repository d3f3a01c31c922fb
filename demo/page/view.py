"""View model of an exchange: frozen values that `view_html` turns into HTML, and the status texts of the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from demo.service.audio_files import FORMATS
from llama.media.containers import MEDIA_FORMATS

PEAKS = 96  # bars of a drawn waveform
Status = Literal["working", "done", "stopped", "failed"]
FORMAT_LABELS = {item.suffix[1:]: item.label for item in MEDIA_FORMATS}
DOWNLOAD_FORMATS = {name: FORMAT_LABELS[name] for name in FORMATS}  # those that a take is written in


@dataclass(frozen=True)
class MediaView:
    """A media file on the page: its URL, its length in seconds, and the peak level of each bar of its waveform (0 to 1).

    name: of a score's file, whose sound it is; remarks: how that was read.
    """

    kind: str  # "audio", "image", "video" or "score"
    url: str
    seconds: float | None = None
    peaks: tuple[float, ...] = ()
    name: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlotView:
    """A plot of a take, with one image for light and one for dark pages; `alt` describes it in words."""

    title: str
    light_url: str
    dark_url: str
    alt: str


@dataclass(frozen=True)
class TakeView:
    """One take of an answer, number `index` (from 0). complete: its files are written.

    downloads: (format, URL) of written files; exports: (form, URL) of what is made when it is asked for (`demo.service.exports`);
    file_stem: the name under which they are saved. plots: empty until they are drawn, which takes a moment after the audio is
    complete. report: what an edit changed and kept, in a sentence or two.
    """

    audio: MediaView
    seed: int
    index: int = 0
    downloads: tuple[tuple[str, str], ...] = ()
    exports: tuple[tuple[str, str], ...] = ()
    file_stem: str = ""
    plots: tuple[PlotView, ...] = ()
    complete: bool = False
    report: str = ""


@dataclass(frozen=True)
class ExchangeView:
    """One exchange of the conversation at one moment.

    reference: the earlier media that the message refers to, in words. original: the music that the takes change.
    progress: (generated, total) seconds of music, all takes together. seconds_left: estimated seconds until the end.
    queue_position: requests that run before this one. take_count: takes that were requested.
    """

    message: str
    media: tuple[MediaView, ...] = ()
    text: str = ""
    reference: str | None = None
    original: MediaView | None = None
    takes: tuple[TakeView, ...] = ()
    progress: tuple[float, float] | None = None
    seconds_left: float | None = None
    queue_position: int = 0
    take_count: int = 1
    status: Status = "working"
    error: str = ""


def take_title(exchange: ExchangeView, take: TakeView) -> str:
    return f"Take {take.index + 1}" if exchange.take_count > 1 else "After" if exchange.original else "New music"


def can_play_through(exchange: ExchangeView, take: TakeView) -> bool:
    """Whether playback can start now and not overtake generation, judged by the estimated time left."""
    return take.complete or exchange.seconds_left is not None and exchange.seconds_left <= 0.8 * (take.audio.seconds or 0.0)


def progress_text(exchange: ExchangeView) -> str:
    """The status line of an exchange that is being answered."""
    if exchange.queue_position:
        return f"Waiting: {exchange.queue_position} request{'s' if exchange.queue_position > 1 else ''} before yours"
    if exchange.progress is None:
        return "Writing" if exchange.text else "Listening" if exchange.media else "Thinking"
    generated, total = exchange.progress
    if generated >= total:
        return "Writing the files"
    seconds_left = "" if exchange.seconds_left is None else f", about {max(1, round(exchange.seconds_left))} s left"
    count, seconds = exchange.take_count, f"{total / exchange.take_count:.1f} s"
    target = seconds if count == 1 else f"{count} x {seconds}"
    return f"Making the music: {generated / count:.1f} of {target}{seconds_left}"


def ending_text(exchange: ExchangeView) -> str:
    """Why the answer ended early: the error, or where it was stopped. Empty for an answer that is done or running."""
    if exchange.status != "stopped":
        return exchange.error
    if not exchange.takes or exchange.progress is None:
        return "Stopped."
    if exchange.take_count > 1:
        return "Stopped. Each take is as long as it had become."
    return f"Stopped after {exchange.takes[0].audio.seconds or 0.0:.1f} s of {exchange.progress[1]:.1f} s."


def announcement(exchange: ExchangeView) -> str:
    """The finished answer as one text for screen readers."""
    music = (
        f"{take_title(exchange, take)}, {take.audio.seconds or 0.0:.1f} seconds. {take.report}".rstrip() for take in exchange.takes
    )
    return " ".join(filter(None, ("Answer:", exchange.text, *music, ending_text(exchange))))
