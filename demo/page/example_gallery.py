"""HTML of the examples: a row of buttons for each kind of request, each with a thumbnail of its file."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

from demo.page.theme import ASSETS, EXAMPLES, Example

THUMBNAIL_SIZE = (320, 180)  # pixels


def gallery() -> str:
    """A row of buttons for each kind of request."""
    parts, number = ['<details open><summary>Examples: each works with one click</summary><div class="kinds">'], 0
    for title, examples in EXAMPLES.items():
        parts.append(f"<section><h2>{escape(title)}</h2>")
        for example in examples:
            label = f"<span>{escape(example.text)}{_recording_name(example)}</span>"
            parts.append(f'<button type="button" data-number="{number}">{_thumbnail(example)}{label}</button>')
            number += 1
        parts.append("</section>")
    return "".join((*parts, "</div></details>"))


def _recording_name(example: Example) -> str:
    """The name of a recording; empty for pictures and clips, whose thumbnail shows them."""
    file = Path(example.file or "")
    return f"<small>{escape(file.stem.replace('_', ' '))}</small>" if file.suffix == ".flac" else ""


def _thumbnail(example: Example) -> str:
    """A thumbnail of the example's file as an inline image, or a symbol where there is no picture."""
    if example.file is None:
        return '<span class="sign" aria-hidden="true">&#9834;</span>'
    file = ASSETS / "examples" / example.file
    if file.suffix == ".flac":
        return '<span class="sign" aria-hidden="true">&#9836;</span>'
    name = escape(file.stem.replace("_", " "))
    play_sign = '<i class="play" aria-hidden="true">&#9654;</i>' if file.suffix == ".mp4" else ""
    return f'<span class="thumb"><img src="{_data_url(file)}" alt="{name}">{play_sign}</span>'


def _data_url(file: Path) -> str:
    """The picture, or the middle frame of the clip, as a small JPEG in a data URL."""
    from PIL import Image

    from llama.media.image import load_image
    from llama.media.video import load_frames

    image = load_image(file) if file.suffix != ".mp4" else Image.fromarray(load_frames(file, 3)[1])
    image.thumbnail(THUMBNAIL_SIZE)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
