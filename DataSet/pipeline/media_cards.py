"""Gallery for notebooks: cards with a picture, words and players, whose media lie inside the HTML so that a notebook is one file.

Sound is shortened and compressed (5 s of mp3 at 32 kbit/s are 20 kB), since a committed notebook has at most 400 kB.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import soundfile
import torch

from llama.media.audio import Waveform
from llama.media.image import load_image

PLAYER_RATE, PLAYER_SECONDS = 22_050, 5.0
COMPRESSION = 0.9  # of libsndfile's mp3 encoder: 32 kbit/s at a constant rate


@dataclass(frozen=True)
class Card:
    """One card: its title, pictures (PNG or JPEG), lines of text, and players (HTML of `sound_player` or `clip_player`)."""

    title: str
    pictures: Sequence[bytes] = ()
    lines: Sequence[str] = ()
    players: Sequence[str] = ()

    def html(self, width: int) -> str:
        parts = [f"<div><b>{escape(self.title)}</b></div>", *(_picture(content) for content in self.pictures)]
        parts += [f"<div style='margin:2px 0'>{escape(line)}</div>" for line in self.lines]
        return f"<div style='width:{width}px;overflow-wrap:anywhere'>{''.join([*parts, *self.players])}</div>"


@dataclass(frozen=True)
class Gallery:
    """Cards side by side, as many in a line as fit. width: of a card in pixels."""

    cards: Sequence[Card]
    width: int = 300

    def _repr_html_(self) -> str:
        cards = "\n".join(card.html(self.width) for card in self.cards)
        return f"<div style='display:flex;flex-wrap:wrap;gap:18px;align-items:flex-start'>\n{cards}\n</div>"

    def __repr__(self) -> str:
        return f"Gallery of {len(self.cards)} cards"


@dataclass(frozen=True)
class Figure:
    """A figure for a notebook: the bytes of a PNG or JPEG file."""

    content: bytes

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {_image_type(self.content): base64.b64encode(self.content).decode(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return "Figure"


def sound_player(wave: Waveform, seconds: float = PLAYER_SECONDS) -> str:
    """HTML of a player for the first `seconds` of a recording, mixed down and faded out."""
    samples = wave.mono().resample(PLAYER_RATE).samples[0][: round(seconds * PLAYER_RATE)].clone()
    fade = min(len(samples), PLAYER_RATE // 4)
    samples[len(samples) - fade :] *= torch.linspace(1.0, 0.0, fade)
    content = io.BytesIO()
    soundfile.write(content, samples.numpy(), PLAYER_RATE, format="MP3", compression_level=COMPRESSION, bitrate_mode="CONSTANT")
    return f"<audio controls preload='none' style='width:100%' src='{data_uri('audio/mpeg', content.getvalue())}'></audio>"


def clip_player(path: Path, width: int = 200) -> str:
    """HTML of a player for a short clip, whose file lies in the HTML as it is. width: in pixels."""
    return f"<video controls loop muted style='width:{width}px' src='{data_uri('video/mp4', path.read_bytes())}'></video>"


def thumbnail(path: Path, height: int = 150) -> bytes:
    """A JPEG of a picture, `height` pixels high and at most twice as wide."""
    picture, content = load_image(path), io.BytesIO()
    picture = picture.resize((min(2 * height, round(height * picture.width / picture.height)), height))
    picture.save(content, "JPEG", quality=80)
    return content.getvalue()


def data_uri(media_type: str, content: bytes) -> str:
    """The content as an address of itself."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _picture(content: bytes) -> str:
    return f"<img alt='' style='display:block;max-width:100%' src='{data_uri(_image_type(content), content)}'>"


def _image_type(content: bytes) -> str:
    return "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
