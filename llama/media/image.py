"""Pictures and clips to pixels: every picture mode, frames spread evenly over a whole clip, bounded memory.

Which frames: of T frames, `round(linspace(0, T - 1, count))`. So T == count gives each frame once, a shorter clip
repeats frames, a longer one is seen from its first frame to its last, and the same clip always gives the same frames.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from llama.media.containers import Encoded, MediaFile, describe_file, media_file, readable

MAX_PIXELS = 100_000_000
WHITE = (255, 255, 255, 255)
# Formats decoded by the picture library itself. PostScript stays out: it starts another program on the user's file.
PICTURES = ("PNG", "JPEG", "MPO", "GIF", "BMP", "WEBP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF")


def load_image(image: Image.Image | MediaFile) -> Image.Image:
    """The picture, or that in a file, in RGB, upright: alpha over white, palette, grey, CMYK, 16-bit modes converted.

    Raises `FileNotFoundError` or `ValueError`: nothing there, not a picture, damaged, no pixels, over 100 megapixels.
    """
    name, picture = _opened(image)
    _check_pixels(name, *picture.size)
    try:
        return _rgb(ImageOps.exif_transpose(picture))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{name} is damaged ({error}); give a picture that opens elsewhere.") from error


def _opened(image: Image.Image | MediaFile) -> tuple[str, Image.Image]:
    if isinstance(image, Image.Image):
        return "The picture", image
    file = media_file(image)
    return str(file), _open_picture(file)


def _open_picture(path: Path | Encoded) -> Image.Image:
    try:
        with warnings.catch_warnings():  # the library's own, higher limit; ours is checked right after
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(readable(path), formats=_available(PICTURES))
    except Image.DecompressionBombError as error:
        raise ValueError(_too_large(str(path))) from error
    except (OSError, SyntaxError, ValueError) as error:
        what = describe_file(path)
        found = "damaged, or of a format unknown here" if what.startswith("not") or "picture" in what else what
        raise ValueError(f"{path} is {found}; give a picture such as png, jpg, webp, gif, bmp or tiff.") from error


def _available(formats: tuple[str, ...]) -> list[str]:
    """The library is built with or without some of them, and knows most only after this call."""
    Image.init()
    return [name for name in formats if name in Image.OPEN]


def _too_large(name: str) -> str:
    return f"{name} has more than {MAX_PIXELS // 1_000_000} megapixels, the limit; make it smaller."


def _check_pixels(name: str, width: int, height: int) -> None:
    if width * height == 0:
        raise ValueError(f"{name} has no pixels ({width} x {height}); give a picture of at least 1 x 1.")
    if width * height > MAX_PIXELS:
        raise ValueError(_too_large(name))


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _eight_bit(picture)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, WHITE), picture)
    return picture.convert("RGB")


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits or more, or of fractions, to 8 bits: the library's own conversion clips instead of scaling."""
    grey = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    if picture.mode == "F":
        scale = 255.0 if grey.max() <= 1.0 else 1.0  # fractions of white, or 8-bit values in floats
    else:
        scale = 255 / 65535 if picture.mode != "I" or grey.max() > 255 else 1.0
    return Image.fromarray(np.clip(np.round(grey * scale), 0, 255).astype(np.uint8))
