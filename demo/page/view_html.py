"""An exchange as HTML: what was said, the growing answer, its takes side by side. Every word of a user or of the model is escaped.

The elements that must outlive an update (a player that sounds, a disclosure that is open) carry a `data-key`;
page.js keeps the element of a key and changes only what differs.
"""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from demo.page.view import KINDS, ExchangeView, MediaView, TakeView, announcement, end, name, plays_through, stage


def exchange_html(card: ExchangeView, index: int, token: str = "") -> str:
    """The exchange number `index` of its page, whose session has that token."""
    key = f"x{index}"
    busy = ' aria-busy="true"' if card.state == "working" else ""
    read_out = "" if busy else f' data-told="{escape(announcement(card))}"'
    answer = "".join((_referred(card), _words(card), _sounds(card, index), _work(card), _trouble(card)))
    return (
        f'<article class="turn" data-key="{key}" data-session="{escape(token)}"{read_out} aria-label="Exchange {index + 1}">'
        f"{_said(card, key)}"
        f'<div class="answer" data-key="{key}answer"{busy}><span class="sr">Answer: </span>{answer}</div></article>'
    )


def _said(card: ExchangeView, key: str) -> str:
    """What the user said and added; nothing where a file that was not taken was all."""
    said = _media(card, key) + _paragraph(card.said)
    return f'<div class="said" data-key="{key}said"><span class="sr">You: </span>{said}</div>' if said else ""


def _paragraph(words: str) -> str:
    return f'<p class="text">{escape(words)}</p>' if words else ""


def _media(card: ExchangeView, key: str) -> str:
    """What the user added; a clip that got music, and a recording that was changed, stand beside it instead."""
    moved = {"video" if card.takes else "", "audio" if card.before else ""}
    shown = (one for one in card.media if one.kind not in moved)
    return "".join(_medium(one, f"{key}m{place}") for place, one in enumerate(shown))


def _medium(one: MediaView, key: str) -> str:
    url = _url(one.url)
    if one.kind == "image":
        return f'<img class="given" data-key="{key}" src="{url}" alt="The picture you added">'
    if one.kind == "video":
        shown = 'controls playsinline preload="metadata" aria-label="The clip you added"'
        return f'<video class="given" data-key="{key}" src="{url}" {shown}></video>'
    return f'<div class="given">{player(one, key, "The recording you added")}</div>'


def player(sound: MediaView, key: str, label: str, *, start: bool = False) -> str:
    """A wave to click into and the browser's own player below it. start: plays as soon as it is there."""
    begin = ' data-start="1"' if start else ""
    return (
        f'<div class="player" data-key="{key}">{_wave(sound.peaks)}'
        f'<audio data-key="{key}a" controls preload="metadata" src="{_url(sound.url)}"{begin} '
        f'aria-label="{escape(label)}"></audio></div>'
    )


def _wave(peaks: tuple[float, ...]) -> str:
    """Bars as a mask over two colours: what has been played, and the rest. The player below it is what is operated by key."""
    if not peaks:
        return '<div class="wave making" aria-hidden="true"></div>'
    width = 100 / len(peaks)
    bars = "".join(
        f"<rect x='{place * width:.2f}' y='{50 - 48 * peak:.1f}' width='{0.62 * width:.2f}' height='{96 * peak:.1f}'/>"
        for place, peak in enumerate(max(peak, 0.03) for peak in peaks)
    )
    drawing = quote(f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 100 100' preserveAspectRatio='none'>{bars}</svg>")
    mask = f"url(&quot;data:image/svg+xml,{drawing}&quot;)"
    return f'<div class="wave" aria-hidden="true" style="--bars:{mask}"></div>'


def _referred(card: ExchangeView) -> str:
    return f'<p class="referred">About {escape(card.referred)}</p>' if card.referred else ""


def _words(card: ExchangeView) -> str:
    if not card.words and card.state == "done" and not card.takes:
        return '<p class="text faint">(no words)</p>'
    return f'<p class="text words">{escape(card.words)}</p>' if card.words else ""


def _sounds(card: ExchangeView, index: int) -> str:
    """The recording before, or the clip, then every take, in one row where there is room."""
    if not card.takes:
        return ""
    cells = [_before(card.before, index)] if card.before else []
    clip = next((one for one in card.media if one.kind == "video"), None)
    cells += [_clip(clip, index)] if clip else []
    cells += [_take(card, index, place) for place in range(len(card.takes))]
    return f'<div class="takes" data-key="x{index}takes">{"".join(cells)}</div>'


def _before(sound: MediaView, index: int) -> str:
    return (
        f'<section class="take before" data-key="x{index}before" aria-label="Before">'
        f"<header><b>Before</b>{_length(sound.seconds)}</header>"
        f"{player(sound, f'x{index}b', 'The recording before the change')}</section>"
    )


def _clip(clip: MediaView, index: int) -> str:
    """The clip without its own sound, and a button that starts it together with its new music."""
    return (
        f'<section class="take clip" data-key="x{index}clip" aria-label="Your clip">'
        f"<header><b>Your clip</b>{_length(clip.seconds)}</header>"
        f'<video data-key="x{index}v" src="{_url(clip.url)}" controls muted playsinline preload="auto" '
        f'aria-label="Your clip, without its own sound"></video>'
        f'<div class="row"><button type="button" data-act="together" class="small first">&#9654; Play with the new music</button></div>'
        f"</section>"
    )


def _take(card: ExchangeView, index: int, place: int) -> str:
    take = card.takes[place]
    key = f"x{index}t{stem(take.sound.url)}"
    label = f"{name(card, take)}, seed {take.seed}"
    sound = player(take.sound, key, label, start=take.place == 0 and card.state != "stopped" and plays_through(card, take))
    return (
        f'<section class="take" data-key="{key}s" aria-label="{escape(label)}">'
        f'<header><b>{name(card, take)}</b>{_length(take.sound.seconds)}'
        f'<span class="seed" title="The same seed and settings give the same piece">seed {take.seed}</span></header>{sound}'
        f"{_downloads(take)}{_buttons(card, index, place)}{_pictures(take, key)}</section>"
    )


def stem(url: str) -> str:
    """The name of a file without folder and ending: who stands for a take whatever its place."""
    return url.rpartition("/")[2].partition(".")[0]


def _length(seconds: float | None) -> str:
    return f'<span class="faint">{seconds:.1f} s</span>' if seconds else ""


def _downloads(take: TakeView) -> str:
    name = f"mumu-llama-seed-{take.seed}"
    links = "".join(
        f'<a href="{_url(url)}" download="{name}.{kind}" aria-label="Download as {KINDS[kind]}">{KINDS[kind]}</a>'
        for kind, url in take.downloads
    )
    return f'<div class="row downloads"><span class="faint" aria-hidden="true">&#8595;</span>{links}</div>' if links else ""


def _buttons(card: ExchangeView, index: int, place: int) -> str:
    if not card.takes[place].whole or card.state == "working":
        return ""
    data = f'data-exchange="{index}" data-take="{place}"'
    return (
        f'<div class="row"><button type="button" class="small" data-act="again" {data} title="The same seed once more">Again</button>'
        f'<button type="button" class="small" data-act="another" {data} title="The same request, a new seed">Another take</button></div>'
    )


def _pictures(take: TakeView, key: str) -> str:
    if not take.pictures:
        return ""
    figures = "".join(
        f"<figure><figcaption>{escape(one.title)}</figcaption>"
        f'<img class="on-light" loading="lazy" src="{_url(one.light)}" alt="{escape(one.alt)}">'
        f'<img class="on-dark" loading="lazy" src="{_url(one.dark)}" alt="{escape(one.alt)}"></figure>'
        for one in take.pictures
    )
    return f'<details data-key="{key}d"><summary>See the sound</summary>{figures}</details>'


def _work(card: ExchangeView) -> str:
    """How far the work is: the place in the queue, then the time left."""
    if card.state != "working":
        return ""
    made, total = card.progress or (0.0, 0.0)
    dots = '<span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>'
    bar = f'<progress max="{total:.2f}" value="{made:.2f}" aria-label="Music made so far"></progress>' if total else dots
    return f'<div class="work">{bar}<span>{stage(card)}</span></div>'


def _trouble(card: ExchangeView) -> str:
    kind = "stopped" if card.state == "stopped" else "trouble"
    return f'<p class="{kind}">{escape(end(card))}</p>' if end(card) else ""


def _url(url: str) -> str:
    return escape(url, quote=True)
