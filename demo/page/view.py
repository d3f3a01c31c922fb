"""What is shown of an exchange at one moment, as values, and what is said of it in words. demo/page/view_html.py makes it HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PEAKS = 96  # bars of a drawn wave
KINDS = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3", "mid": "MIDI"}


@dataclass(frozen=True)
class MediaView:
    """A file that can be heard or seen: its address, its length in seconds, and how loud it is along the way (0 to 1)."""

    kind: str  # "audio", "image" or "video"
    url: str
    seconds: float | None = None
    peaks: tuple[float, ...] = ()


@dataclass(frozen=True)
class PlotView:
    """A drawing of a take, for light and for dark pages; `alt` says in words what it shows."""

    title: str
    light: str
    dark: str
    alt: str


@dataclass(frozen=True)
class TakeView:
    """One piece, number `place` (from 0) of its request. whole: it is made, and its files lie there.

    downloads: (kind, address); pictures come after the sound, for they take a moment.
    """

    sound: MediaView
    seed: int
    place: int = 0
    downloads: tuple[tuple[str, str], ...] = ()
    pictures: tuple[PlotView, ...] = ()
    whole: bool = False


@dataclass(frozen=True)
class ExchangeView:
    """What one exchange shows at one moment. progress: seconds of music made, and of the whole; left: seconds of work.

    before: the recording that was changed; ahead: requests that come first; wanted: takes that were asked for.
    """

    said: str
    media: tuple[MediaView, ...] = ()
    words: str = ""
    referred: str | None = None
    before: MediaView | None = None
    takes: tuple[TakeView, ...] = ()
    progress: tuple[float, float] | None = None
    left: float | None = None
    ahead: int = 0
    wanted: int = 1
    state: Literal["working", "done", "stopped", "failed"] = "working"
    trouble: str = ""


def name(card: ExchangeView, take: TakeView) -> str:
    return f"Take {take.place + 1}" if card.wanted > 1 else "After" if card.before else "New music"


def plays_through(card: ExchangeView, take: TakeView) -> bool:
    """Whether it can begin to play without running dry: what is missing comes sooner, at the pace so far, than it is needed."""
    return take.whole or card.left is not None and card.left <= 0.8 * (take.sound.seconds or 0.0)


def stage(card: ExchangeView) -> str:
    """One line on what is being done."""
    if card.ahead:
        return f"Waiting: {card.ahead} request{'s' if card.ahead > 1 else ''} before yours"
    if card.progress is None:
        return "Writing" if card.words else "Listening" if card.media else "Thinking"
    made, total = card.progress
    if made >= total:
        return "Writing the files"
    left = "" if card.left is None else f", about {max(1, round(card.left))} s left"
    whole = f"{total / card.wanted:.1f} s" if card.wanted == 1 else f"{card.wanted} x {total / card.wanted:.1f} s"
    return f"Making the music: {made / card.wanted:.1f} of {whole}{left}"


def end(card: ExchangeView) -> str:
    """Why it ended before its time, if it did."""
    if card.state != "stopped":
        return card.trouble
    if not card.takes or card.progress is None:
        return "Stopped."
    if card.wanted > 1:
        return "Stopped. Each take is as long as it had become."
    return f"Stopped after {card.takes[0].sound.seconds or 0.0:.1f} s of {card.progress[1]:.1f} s."


def announcement(card: ExchangeView) -> str:
    """An answer that is over, as one text for who does not see it."""
    music = (f"{name(card, take)}, {take.sound.seconds or 0.0:.1f} seconds." for take in card.takes)
    return " ".join(filter(None, ("Answer:", card.words, *music, end(card))))
