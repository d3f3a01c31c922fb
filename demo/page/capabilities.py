"""What the decoder can play, as chips of the empty page: its own vocabulary, and the words that each chip puts into the message.

The chips are HTML; capabilities.js makes one request of those that are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from llama.media.captions import ACCOMPANIMENT_NOUNS, STYLE_NOUNS
from llama.media.score import LEADS, METRES, MODES, STYLES, TEMPI, TEMPO_RANGE
from llama.media.spelling import key_name

OFFERED_TEMPI = (60, 90, 120, 150)  # beats a minute
OFFERED_KEYS = ((0, 7, 2, 5, 9, 3), (9, 4, 11, 2, 7, 0))  # pitch classes of the usual major and minor keys
STYLE_LABELS = {name: noun for noun, name in STYLE_NOUNS.items()}
ACCOMPANIMENT_LABELS = {name: noun for noun, name in ACCOMPANIMENT_NOUNS.items()}
CANNOT = (
    "It does not sing: no voices and no lyrics. It plays these instruments and no others, in 3/4 and 4/4, and composes pieces from "
    f"{TEMPI[0]} to {TEMPI[-1]} bpm; edits reach {TEMPO_RANGE[0]} to {TEMPO_RANGE[1]} bpm."
)
SOUND = (
    "It makes sound without notes: describe the music in your own words. What it made can be continued or varied, but single notes, "
    "keys and tempi cannot be changed exactly. It does not sing lyrics."
)


@dataclass(frozen=True)
class WishGroup:
    """Chips of which one can be chosen. slot: its place in the sentence; words: label of each chip -> its words there."""

    slot: str
    title: str
    words: dict[str, str]


def wish_groups() -> tuple[WishGroup, ...]:
    """What a new piece can be, from the vocabulary of the decoder of notes."""
    keys = [key_name(key, mode) for mode, tonics in zip(MODES, OFFERED_KEYS, strict=True) for key in tonics]
    return (
        WishGroup("style", "Style", {name: STYLE_LABELS[name] for name in STYLES}),
        WishGroup("lead", "Melody on", {name: f"on the {name}" for name in LEADS}),
        WishGroup("accompaniment", "Over", {name: f"over {name}" for name in ACCOMPANIMENT_LABELS.values()}),
        WishGroup("key", "Key", {name: f"in {name}" for name in keys}),
        WishGroup("tempo", "Tempo", {f"{tempo} bpm": f"at {tempo} bpm" for tempo in OFFERED_TEMPI}),
        WishGroup("metre", "Metre", {f"{metre}/4": f"in {metre}/4" for metre in METRES}),
        WishGroup("drums", "Drums", {"with drums": "with drums", "without drums": "without drums"}),
    )


def capabilities_html(notes: bool) -> str:
    """The chips. notes: whether the decoder plays notes; of one of sound only what it does is said."""
    if not notes:
        return f'<p class="cannot">{escape(SOUND)}</p>'
    rows = "".join(_row(group) for group in wish_groups())
    return (
        '<details open><summary>What it can play: choose, then send</summary>'
        f'<div class="wishes">{rows}</div><p class="cannot">{escape(CANNOT)}</p></details>'
    )


def _row(group: WishGroup) -> str:
    title = escape(group.title)
    return f'<div role="group" aria-label="{title}"><span aria-hidden="true">{title}</span>{"".join(_chips(group))}</div>'


def _chips(group: WishGroup) -> Iterator[str]:
    for label, words in group.words.items():
        yield (
            f'<button type="button" aria-pressed="false" data-slot="{group.slot}" data-words="{escape(words, quote=True)}">'
            f"{escape(label)}</button>"
        )
