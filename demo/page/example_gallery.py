"""The examples of the page as HTML: a row of buttons for each kind of request, each with a small picture of its file."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

from demo.page.theme import ASSETS, EXAMPLES, Example

THUMB = (320, 180)


def gallery() -> str:
    """A row of buttons for each kind of request."""
    parts, number = ['<details open><summary>Examples: each works with one click</summary><div class="kinds">'], 0
    for title, examples in EXAMPLES.items():
        parts.append(f"<section><h2>{escape(title)}</h2>")
        for example in examples:
            words = f"<span>{escape(example.text)}{_source(example)}</span>"
            parts.append(f'<button type="button" data-number="{number}">{_thumb(example)}{words}</button>')
            number += 1
        parts.append("</section>")
    return "".join((*parts, "</div></details>"))


def _source(example: Example) -> str:
    """What is heard, in words; a picture speaks for itself."""
    file = Path(example.file or "")
    return f"<small>{escape(file.stem.replace('_', ' '))}</small>" if file.suffix == ".flac" else ""


def _thumb(example: Example) -> str:
    """A small picture of the example's file, inside the page itself."""
    if example.file is None:
        return '<span class="sign" aria-hidden="true">&#9834;</span>'
    file = ASSETS / "examples" / example.file
    if file.suffix == ".flac":
        return '<span class="sign" aria-hidden="true">&#9836;</span>'
    name = escape(file.stem.replace("_", " "))
    sign = '<i class="play" aria-hidden="true">&#9654;</i>' if file.suffix == ".mp4" else ""
    return f'<span class="thumb"><img src="{_small(file)}" alt="{name}">{sign}</span>'


def _small(file: Path) -> str:
    """The picture, or the middle of the clip, as a data address."""
    from PIL import Image

    from llama.media.image import load_image
    from llama.media.video import load_frames

    picture = load_image(file) if file.suffix != ".mp4" else Image.fromarray(load_frames(file, 3)[1])
    picture.thumbnail(THUMB)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
