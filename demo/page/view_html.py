"""HTML of an exchange: the message, the growing answer, and its takes side by side. Text of users and of the model is escaped.

Elements that must survive an update (a playing audio element, an open disclosure) have a `data-key`: page.js keeps the
element with the same key and changes only what differs.
"""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from demo.page.view import (
    DOWNLOAD_FORMATS,
    ExchangeView,
    MediaView,
    TakeView,
    announcement,
    can_play_through,
    ending_text,
    progress_text,
    take_title,
)
from demo.service.exports import EXPORT_FORMATS

DOWNLOAD_ROWS = (("wav", "flac", "mp3", "stems", "loop"), ("mid", "musicxml", "chords"))
EXPORT_TITLES = {
    "musicxml": "Download as MusicXML, for notation programs", "chords": "Download the chords bar by bar, as text",
    "stems": "Download each part as a WAV of its own, in a ZIP", "loop": "Download the first bars as a loop without a seam, as WAV",
}  # fmt: skip


def exchange_html(exchange: ExchangeView, index: int, token: str = "") -> str:
    """HTML of exchange number `index` of a page. token: of its session, for page.js."""
    key = f"x{index}"
    busy = ' aria-busy="true"' if exchange.status == "working" else ""
    spoken = "" if busy else f' data-announcement="{escape(announcement(exchange))}"'
    answer = "".join((_reference(exchange), _text(exchange), _takes(exchange, index), _progress(exchange), _ending(exchange)))
    return (
        f'<article class="turn" data-key="{key}" data-session="{escape(token)}"{spoken} aria-label="Exchange {index + 1}">'
        f"{_message(exchange, key)}"
        f'<div class="answer" data-key="{key}answer"{busy}><span class="sr">Answer: </span>{answer}</div></article>'
    )


def _message(exchange: ExchangeView, key: str) -> str:
    """The user's text and files; empty if the only file was refused."""
    content = _media(exchange, key) + _paragraph(exchange.message)
    return f'<div class="said" data-key="{key}said"><span class="sr">You: </span>{content}</div>' if content else ""


def _paragraph(text: str) -> str:
    return f'<p class="text">{escape(text)}</p>' if text else ""


def _media(exchange: ExchangeView, key: str) -> str:
    """The uploaded files, without those that are shown beside the takes: a clip with new music, what an edit starts from."""
    beside_takes = {"video"} if exchange.takes else set()
    before = exchange.original.url if exchange.original else None
    items = (item for item in exchange.media if item.kind not in beside_takes and item.url != before)
    return "".join(_media_item(item, f"{key}m{index}") for index, item in enumerate(items))


def _media_item(item: MediaView, key: str) -> str:
    url = _url(item.url)
    if item.kind == "image":
        return f'<img class="given" data-key="{key}" src="{url}" alt="The picture you added">'
    if item.kind == "video":
        attributes = 'controls playsinline preload="metadata" aria-label="The clip you added"'
        return f'<video class="given" data-key="{key}" src="{url}" {attributes}></video>'
    if item.kind == "score":
        return f'<div class="given">{_file_name(item)}{player(item, key, "The score you added")}{_remarks(item, key)}</div>'
    return f'<div class="given">{player(item, key, "The recording you added")}</div>'


def _file_name(item: MediaView) -> str:
    return f'<p class="faint file">&#9835; {escape(item.name)}</p>' if item.name else ""


def _remarks(item: MediaView, key: str) -> str:
    """How a score was read: nothing for one that this project wrote."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in item.remarks)
    return f'<details class="remarks" data-key="{key}r"><summary>How it was read</summary>{lines}</details>' if lines else ""


def player(audio: MediaView, key: str, label: str, *, autoplay: bool = False) -> str:
    """A waveform to seek in by mouse, above the browser's audio player. autoplay: start as soon as the element is on the page."""
    start = ' data-start="1"' if autoplay else ""
    return (
        f'<div class="player" data-key="{key}">{_waveform(audio.peaks)}'
        f'<audio data-key="{key}a" controls preload="metadata" src="{_url(audio.url)}"{start} '
        f'aria-label="{escape(label)}"></audio></div>'
    )


def _waveform(peaks: tuple[float, ...]) -> str:
    """Bars as an SVG mask over two colours, for the played part and the rest. Hidden from keyboards: the player below serves them."""
    if not peaks:
        return '<div class="wave making" aria-hidden="true"></div>'
    width = 100 / len(peaks)
    bars = "".join(
        f"<rect x='{index * width:.2f}' y='{50 - 48 * peak:.1f}' width='{0.62 * width:.2f}' height='{96 * peak:.1f}'/>"
        for index, peak in enumerate(max(peak, 0.03) for peak in peaks)
    )
    svg = quote(f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 100 100' preserveAspectRatio='none'>{bars}</svg>")
    mask = f"url(&quot;data:image/svg+xml,{svg}&quot;)"
    return f'<div class="wave" aria-hidden="true" style="--bars:{mask}"></div>'


def _reference(exchange: ExchangeView) -> str:
    return f'<p class="referred">About {escape(exchange.reference)}</p>' if exchange.reference else ""


def _text(exchange: ExchangeView) -> str:
    if not exchange.text and exchange.status == "done" and not exchange.takes:
        return '<p class="text faint">(no words)</p>'
    return f'<p class="text words">{escape(exchange.text)}</p>' if exchange.text else ""


def _takes(exchange: ExchangeView, index: int) -> str:
    """The original recording or the clip, then every take, side by side where the page is wide enough."""
    if not exchange.takes:
        return ""
    cells = [_original(exchange.original, index)] if exchange.original else []
    clip = next((item for item in exchange.media if item.kind == "video"), None)
    cells += [_clip(clip, index)] if clip else []
    cells += [_take(exchange, index, take_index) for take_index in range(len(exchange.takes))]
    return f'<div class="takes" data-key="x{index}takes">{"".join(cells)}</div>'


def _original(audio: MediaView, index: int) -> str:
    return (
        f'<section class="take before" data-key="x{index}before" aria-label="Before">'
        f"<header><b>Before</b>{_length(audio.seconds)}</header>{_file_name(audio)}"
        f"{player(audio, f'x{index}b', 'The music before the change')}{_remarks(audio, f'x{index}b')}</section>"
    )


def _clip(clip: MediaView, index: int) -> str:
    """The clip, muted, and a button that plays it together with its new music."""
    return (
        f'<section class="take clip" data-key="x{index}clip" aria-label="Your clip">'
        f"<header><b>Your clip</b>{_length(clip.seconds)}</header>"
        f'<video data-key="x{index}v" src="{_url(clip.url)}" controls muted playsinline preload="auto" '
        f'aria-label="Your clip, without its own sound"></video>'
        f'<div class="row"><button type="button" data-act="together" class="small first">&#9654; Play with the new music</button></div>'
        f"</section>"
    )


def _take(exchange: ExchangeView, index: int, take_index: int) -> str:
    take = exchange.takes[take_index]
    key = f"x{index}t{stem(take.audio.url)}"
    label = f"{take_title(exchange, take)}, seed {take.seed}"
    autoplay = take.index == 0 and exchange.status != "stopped" and can_play_through(exchange, take)
    return (
        f'<section class="take" data-key="{key}s" aria-label="{escape(label)}">'
        f'<header><b>{take_title(exchange, take)}</b>{_length(take.audio.seconds)}'
        f'<span class="seed" title="The same seed and settings give the same piece">seed {take.seed}</span></header>'
        f"{player(take.audio, key, label, autoplay=autoplay)}{_report(take)}{_downloads(take)}"
        f"{_buttons(exchange, index, take_index)}{_plots(take, key)}</section>"
    )


def stem(url: str) -> str:
    """The file name of a URL without its suffix: the key of a take, which stays the same when other takes are inserted before it."""
    return url.rpartition("/")[2].partition(".")[0]


def _length(seconds: float | None) -> str:
    return f'<span class="faint">{seconds:.1f} s</span>' if seconds else ""


def _report(take: TakeView) -> str:
    return f'<p class="faint report">{escape(take.report)}</p>' if take.report else ""


def _downloads(take: TakeView) -> str:
    """Links to the take's files: its sound in one row, and its notes, where there are some, in another."""
    links = {
        suffix: _link(url, f"{take.file_stem}.{suffix}", DOWNLOAD_FORMATS[suffix], f"Download as {DOWNLOAD_FORMATS[suffix]}")
        for suffix, url in take.downloads
    }
    links |= {form: _link(url, "", EXPORT_FORMATS[form].label, EXPORT_TITLES[form]) for form, url in take.exports}
    rows = ([links[name] for name in names if name in links] for names in DOWNLOAD_ROWS)
    arrow = '<span class="faint" aria-hidden="true">&#8595;</span>'
    return "".join(f'<div class="row downloads">{arrow}{"".join(row)}</div>' for row in rows if row)


def _link(url: str, name: str, label: str, title: str) -> str:
    """Link that saves a file. name: under which (empty: the server says)."""
    return f'<a href="{_url(url)}" download="{escape(name, quote=True)}" title="{title}" aria-label="{title}">{label}</a>'


def _buttons(exchange: ExchangeView, index: int, take_index: int) -> str:
    if not exchange.takes[take_index].complete or exchange.status == "working":
        return ""
    data = f'data-exchange="{index}" data-take="{take_index}"'
    return (
        f'<div class="row"><button type="button" class="small" data-act="again" {data} title="The same seed once more">Again</button>'
        f'<button type="button" class="small" data-act="another" {data} title="The same request, a new seed">Another take</button></div>'
    )


def _plots(take: TakeView, key: str) -> str:
    if not take.plots:
        return ""
    figures = "".join(
        f"<figure><figcaption>{escape(plot.title)}</figcaption>"
        f'<img class="on-light" loading="lazy" src="{_url(plot.light_url)}" alt="{escape(plot.alt)}">'
        f'<img class="on-dark" loading="lazy" src="{_url(plot.dark_url)}" alt="{escape(plot.alt)}"></figure>'
        for plot in take.plots
    )
    return f'<details data-key="{key}d"><summary>See the sound</summary>{figures}</details>'


def _progress(exchange: ExchangeView) -> str:
    """The progress line: the queue position, then the seconds generated and the time left."""
    if exchange.status != "working":
        return ""
    generated, total = exchange.progress or (0.0, 0.0)
    dots = '<span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>'
    bar = f'<progress max="{total:.2f}" value="{generated:.2f}" aria-label="Music made so far"></progress>' if total else dots
    return f'<div class="work">{bar}<span>{progress_text(exchange)}</span></div>'


def _ending(exchange: ExchangeView) -> str:
    css_class = "stopped" if exchange.status == "stopped" else "trouble"
    return f'<p class="{css_class}">{escape(ending_text(exchange))}</p>' if ending_text(exchange) else ""


def _url(url: str) -> str:
    return escape(url, quote=True)
