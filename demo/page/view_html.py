"""HTML of an exchange: the message, the growing answer, and its card. Text of users and of the model is escaped.

The page patches its elements: one with a `data-key` stays the same element while the answer grows. A card is the custom element
`music-card`, whose attribute `data-card` has the JSON of `demo.page.card`.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

from demo.page.card import card_json, upload_json
from demo.page.view import ExchangeView, MediaView, VersionView, announcement, ending_text, progress_text

DOTS = '<span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>'


def exchange_html(exchange: ExchangeView, index: int, *, starts: bool = False, can_stop: bool = False) -> str:
    """HTML of exchange number `index` of a page. starts: whether new music may begin by itself; can_stop: whether a button ends it."""
    key = f"x{index}"
    busy = ' aria-busy="true"' if exchange.is_running else ""
    spoken = "" if busy else f' data-announcement="{escape(announcement(exchange))}"'
    words = _reference(exchange, index), _text(exchange)
    card = _card(exchange, index, starts), _progress(exchange, index, can_stop)
    if exchange.expects_music:  # its card is there before the words, which come below, and last: they push nothing down
        parts = card if exchange.is_running else (*card, *words)
    else:
        parts = (*words, *card)
    answer = "".join((*parts, _ending(exchange)))
    return (
        f'<article class="turn" data-key="{key}"{spoken} aria-label="Exchange {index + 1}">{_message(exchange, index)}'
        f'<div class="answer" data-key="{key}answer"{busy}><span class="sr">Answer: </span>{answer}</div></article>'
    )


def _message(exchange: ExchangeView, index: int) -> str:
    """The user's text and files."""
    key = f"x{index}"
    media = "".join(_media(item, f"{key}m{number}") for number, item in enumerate(exchange.media))
    uploads = "".join(_upload(upload, index, number) for number, upload in enumerate(exchange.uploads))
    content = media + uploads + (f'<p class="text">{escape(exchange.message)}</p>' if exchange.message else "")
    return f'<div class="said" data-key="{key}said"><span class="sr">You: </span>{content}</div>' if content else ""


def _media(item: MediaView, key: str) -> str:
    url = escape(item.url)
    if item.kind == "image":
        return f'<img class="given" data-key="{key}" src="{url}" alt="The picture you added">'
    attributes = 'controls playsinline preload="metadata" aria-label="The clip you added"'
    return f'<video class="given" data-key="{key}" src="{url}" {attributes}></video>'


def _upload(upload: VersionView, index: int, number: int) -> str:
    """A recording or a score that the user added; of a score also how it was read."""
    key = f"x{index}u{number}"
    card = f'<music-card data-key="{key}" data-compact data-card="{_json(upload_json(upload, index))}"></music-card>'
    if not upload.remarks:
        return card
    lines = "".join(f"<p>{escape(line)}</p>" for line in upload.remarks)
    return f'{card}<details class="remarks" data-key="{key}r"><summary>How it was read</summary>{lines}</details>'


def _json(value: Any) -> str:
    return escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _reference(exchange: ExchangeView, index: int) -> str:
    """What the message was about, as a link to that piece, and a button that chooses another one.

    It comes with the words or the card, not before: it would push the progress line down.
    """
    if exchange.reference is None or exchange.is_running and not exchange.text and not exchange.has_card:
        return ""
    phrase = escape(exchange.reference.phrase)
    if exchange.reference.sound is None:
        return f'<p class="referred" data-key="x{index}about">About {phrase}</p>'
    link = f'<a href="#piece-{escape(exchange.reference.sound.stem)}">{phrase}</a>'
    other = "" if exchange.is_running else (
        f' <button type="button" class="link" data-act="redirect" data-exchange="{index}" '
        'title="Answer this message about another piece">Another piece?</button>'
    )
    return f'<p class="referred" data-key="x{index}about">About {link}{other}</p>'


def _text(exchange: ExchangeView) -> str:
    if not exchange.text and exchange.status == "done" and not exchange.has_card:
        return '<p class="text faint">(no words)</p>'
    if not exchange.text:
        return ""
    more = DOTS if exchange.status == "working" and not exchange.has_card else ""
    return f'<p class="text words">{escape(exchange.text)}{more}</p>'


def _card(exchange: ExchangeView, index: int, starts: bool) -> str:
    if not exchange.has_card:
        return ""
    return f'<music-card data-key="x{index}card" data-card="{_json(card_json(exchange, index, starts=starts))}"></music-card>'


def _progress(exchange: ExchangeView, index: int, can_stop: bool) -> str:
    """The progress line: what is waited for, then the seconds generated and the time left; Stop or Cancel while there is one to do.

    The first words take its place, and the one with the seconds is another element, below the card, so that nothing is pushed down.
    """
    if not exchange.is_running or (exchange.text and not exchange.has_card and exchange.status == "working"):
        return ""
    act, title = ("cancel", "Cancel") if exchange.status == "waiting" else ("stop", "Stop")
    button = "" if act == "stop" and not can_stop else (
        f'<button type="button" class="small" data-act="{act}" data-exchange="{index}">{title}</button>'
    )
    text = progress_text(exchange)
    if not text:
        return ""
    generated, total = exchange.progress or (0.0, 0.0)
    bar = f'<progress max="{total:.2f}" value="{generated:.2f}" aria-label="Music made so far"></progress>' if total else DOTS
    return f'<div class="work" data-key="x{index}{"making" if total else "thinking"}">{bar}<span>{text}</span>{button}</div>'


def _ending(exchange: ExchangeView) -> str:
    css_class = "stopped" if exchange.status == "stopped" else "trouble"
    return f'<p class="{css_class}">{escape(ending_text(exchange))}</p>' if ending_text(exchange) and not exchange.is_running else ""
