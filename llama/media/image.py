"""Images: reading a picture of any mode as upright RGB, within a limit of pixels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from llama.media.containers import Encoded, MediaFile, describe_file, media_file, readable

MAX_PIXELS = 100_000_000
WHITE = (255, 255, 255, 255)
# Formats that Pillow decodes itself. PostScript is excluded: Pillow would run another program on the user's file.
PICTURES = ("PNG", "JPEG", "MPO", "GIF", "BMP", "WEBP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF")


def load_image(image: Image.Image | MediaFile) -> Image.Image:
    """A picture, or the picture in a file, as upright RGB. Alpha goes over white; palette, grey, CMYK and 16 bits are converted.

    Raises `FileNotFoundError` if the file does not exist, `ValueError` if it is no picture, damaged, empty or over 100 megapixels.
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
        with warnings.catch_warnings():  # Pillow's own, higher limit; ours is checked right after
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(readable(path), formats=_available(PICTURES))
    except Image.DecompressionBombError as error:
        raise ValueError(_too_large(str(path))) from error
    except (OSError, SyntaxError, ValueError) as error:
        content = describe_file(path)
        what = "damaged, or of a format unknown here" if content.startswith("not") or "picture" in content else content
        raise ValueError(f"{path} is {what}; give a picture such as png, jpg, webp, gif, bmp or tiff.") from error


def _available(formats: tuple[str, ...]) -> list[str]:
    """The formats that this build of Pillow has; `init` registers most of them."""
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
    """Scales grey of 16 bits or more, or of floats, to 8 bits; Pillow's own conversion clips instead."""
    grey = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    if picture.mode == "F":
        scale = 255.0 if grey.max() <= 1.0 else 1.0  # fractions of white, or 8-bit values in floats
    else:
        scale = 255 / 65535 if picture.mode != "I" or grey.max() > 255 else 1.0
    return Image.fromarray(np.clip(np.round(grey * scale), 0, 255).astype(np.uint8))
