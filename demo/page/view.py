"""View model of an exchange: frozen values that `view_html` and `card` write out, and the status texts of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from demo.service.turn_resolution import Reference

Status = Literal["waiting", "working", "done", "stopped", "failed"]
Kind = Literal["upload", "before", "take", "edit"]
Order = tuple[int, int]


@dataclass(frozen=True)
class MediaView:
    """A picture or a clip that the user added. seconds: of the clip."""

    kind: Literal["image", "video"]
    url: str
    seconds: float | None = None


@dataclass(frozen=True)
class VersionView:
    """One version of a piece on a card. id: the stem of its wav file; parent: that of the version that it changes.

    order: (number of the answer, number of the take), its place on the card. made: seconds so far; complete: its file is whole.
    levels: absolute peak of each bar of its wave, two hexadecimal digits each. remarks: how an uploaded score was read. pcm: whether
    the file is a 16-bit WAV. tempo: beats a minute of a change that still grows, whose facts are not there yet.
    is_stopped: shorter than requested. The rest is as in the JSON of a card (`demo.page.card`).
    """

    id: str
    kind: Kind
    url: str
    order: Order = (0, 0)
    label: str = ""
    name: str = ""
    title: str = ""
    seconds: float | None = None
    made: float = 0.0
    complete: bool = False
    pcm: bool = True
    levels: str = ""
    seed: int | None = None
    report: str = ""
    starred: bool = False
    kept: bool = False
    undone: bool = False
    parent: str | None = None
    tempo: float | None = None
    facts: Mapping[str, Any] | None = None
    score: str | None = None
    stems: Mapping[str, str] | None = None
    sheet: str | None = None
    chips: tuple[Mapping[str, Any], ...] = ()
    downloads: tuple[Mapping[str, str], ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExchangeView:
    """One exchange of the conversation at one moment.

    uploads: recordings and scores that the user added. reference: the earlier media that the message refers to. versions: of the
    card, in their order; selected: id of the one that it shows. progress: (generated, total) seconds of music, all takes together.
    seconds_left: estimated seconds until the end. queue_position: requests of others that run before this one. take_count: takes
    that were requested. expects_music: whether music will come before any of it is made. changing: how many changes of its versions
    are under way, and change_progress of the running one; trouble: why the last one failed.
    """

    message: str
    media: tuple[MediaView, ...] = ()
    uploads: tuple[VersionView, ...] = ()
    text: str = ""
    reference: Reference | None = None
    versions: tuple[VersionView, ...] = ()
    selected: str = ""
    progress: tuple[float, float] | None = None
    expected: float | None = None
    seconds_left: float | None = None
    queue_position: int = 0
    take_count: int = 1
    status: Status = "working"
    error: str = ""
    expects_music: bool = False
    changing: int = 0
    change_progress: tuple[float, float] | None = None
    trouble: str = ""

    @property
    def takes(self) -> tuple[VersionView, ...]:
        """What the answer made itself, without later changes of it."""
        return tuple(version for version in self.versions if version.kind == "take")

    @property
    def before(self) -> VersionView | None:
        """The music that the answer changes."""
        return next((version for version in self.versions if version.kind == "before"), None)

    @property
    def has_card(self) -> bool:
        """Whether the answer has music, or will have some."""
        return bool(self.takes) or any(version.kind == "edit" for version in self.versions) or self.is_running and (
            self.expects_music or self.progress is not None
        )

    @property
    def is_running(self) -> bool:
        return self.status in ("waiting", "working")

    @property
    def is_whole(self) -> bool:
        """Whether all music is made and only small files are still to be written."""
        return self.progress is not None and self.progress[0] >= self.progress[1]


def version_label(exchange: ExchangeView, version: VersionView) -> str:
    """The name of a version on its card, such as "Take 2"."""
    if version.label:
        return version.label
    takes = exchange.takes
    if version.kind == "take":
        if max(exchange.take_count, len(takes)) > 1:
            return f"Take {1 + takes.index(version)}" if len(takes) >= exchange.take_count else f"Take {version.order[1] + 1}"
        return "After" if exchange.before else "New music"
    return "Before" if version.kind == "before" else version.title


def can_play_through(exchange: ExchangeView, version: VersionView) -> bool:
    """Whether playback can start now and not overtake generation, judged by the estimated time left."""
    return version.complete or exchange.seconds_left is not None and exchange.seconds_left <= 0.8 * (version.seconds or 0.0)


def progress_text(exchange: ExchangeView) -> str:
    """The status line of an exchange that is being answered; empty once its music is whole."""
    if exchange.status == "waiting":
        return "Waits for the answer before"
    if exchange.queue_position:
        return f"Waiting: {exchange.queue_position} request{'s' if exchange.queue_position > 1 else ''} before yours"
    if exchange.progress is None:
        return "Writing" if exchange.text else "Listening" if exchange.media or exchange.uploads else "Thinking"
    if exchange.is_whole:
        return ""
    generated, total = exchange.progress
    seconds_left = "" if exchange.seconds_left is None else f", about {max(1, round(exchange.seconds_left))} s left"
    count, seconds = exchange.take_count, f"{total / exchange.take_count:.1f} s"
    target = seconds if count == 1 else f"{count} x {seconds}"
    return f"Making the music: {generated / count:.1f} of {target}{seconds_left}"


def ending_text(exchange: ExchangeView) -> str:
    """Why the answer, or the last change of it, ended early. Empty for one that is done or running."""
    if exchange.status != "stopped":
        return exchange.error or exchange.trouble
    if exchange.error:
        return exchange.error
    if not exchange.takes or exchange.progress is None:
        return "Stopped."
    if exchange.take_count > 1:
        return "Stopped. Each take is as long as it had become."
    return f"Stopped after {exchange.takes[0].seconds or 0.0:.1f} s of {exchange.progress[1]:.1f} s."


def announcement(exchange: ExchangeView) -> str:
    """The finished answer as one text for screen readers."""
    music = (
        f"{version_label(exchange, version)}, {version.seconds or 0.0:.1f} seconds. {version.report}".rstrip()
        for version in exchange.versions
        if version.kind in ("take", "edit")
    )
    return " ".join(filter(None, ("Answer:", exchange.text, *music, ending_text(exchange))))
