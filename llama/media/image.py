"""Images: reading a picture of any mode as upright RGB, within a limit of pixels."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from llama.errors import importing, is_installation_error
from llama.media.containers import Encoded, MediaFile, describe_file, media_file, readable

MAX_PIXELS = 100_000_000
MAX_EDGE = 32_768  # pixels; libraries keep a pointer and padding for each row, so pixels alone do not bound the memory
WHITE = (255, 255, 255, 255)
# Formats that Pillow decodes itself, and HEIF, by pi_heif. PostScript is excluded: Pillow would run another program on the file.
PICTURES = ("PNG", "JPEG", "MPO", "GIF", "BMP", "WEBP", "TIFF", "PPM", "ICO", "JPEG2000", "AVIF", "HEIF")


def load_image(image: Image.Image | MediaFile) -> Image.Image:
    """A picture, or the picture in a file, as upright RGB. Alpha goes over white; palette, grey, CMYK and 16 bits are converted.

    Raises `FileNotFoundError` if the file does not exist, `ValueError` if it is no picture, damaged, empty or over 100 megapixels.
    """
    name, picture = _opened(image)
    check_pixels(name, *picture.size)
    with picture_errors(name):
        return upright_rgb(picture)


def _opened(image: Image.Image | MediaFile) -> tuple[str, Image.Image]:
    if isinstance(image, Image.Image):
        return "The picture", image
    file = media_file(image)
    return str(file), open_picture(file)


@contextmanager
def picture_errors(name: str) -> Iterator[None]:
    """Turns every error of Pillow inside into one sentence about the picture: reading it can fail for its content alone.

    Its plugins raise whatever Python does on damaged bytes: OSError, SyntaxError, RuntimeError, struct.error and more.
    """
    try:
        with warnings.catch_warnings():  # of damage, and Pillow's own, higher limit of pixels; ours is checked before it decodes
            warnings.filterwarnings("ignore", module="PIL")
            yield
    except Image.DecompressionBombError as error:
        raise ValueError(_too_large(name)) from error
    except MemoryError as error:
        raise ValueError(f"{name} is damaged, or needs more memory than there is; give a smaller one.") from error
    except Exception as error:
        if is_installation_error(error) or (isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)):
            raise  # of the disk; Pillow's own have no number, and EINVAL is a damaged header's position before the start
        raise ValueError(f"{name} is damaged; give a picture that opens elsewhere.") from error


def open_picture(path: Path | Encoded, formats: tuple[str, ...] = PICTURES) -> Image.Image:
    """The picture in a file, not decoded yet, within the limits of size. Raises ValueError if it is none of these formats."""
    with picture_errors(str(path)):
        try:
            picture = Image.open(readable(path), formats=available_formats(formats))
        except UnidentifiedImageError:
            picture = None
    if picture is None:
        content = describe_file(path)
        what = "damaged, or of a format unknown here" if content.startswith("not") or "picture" in content else content
        raise ValueError(f"{path} is {what}; give a picture such as png, jpg, heic, webp, gif, bmp or tiff.")
    check_pixels(str(path), *picture.size)
    return picture


def available_formats(formats: tuple[str, ...] = PICTURES) -> list[str]:
    """The formats that this build of Pillow has; `init` registers most of them, and pi_heif that of phones' photos (HEIC)."""
    Image.init()
    with importing("pi_heif"):
        import pi_heif
    pi_heif.register_heif_opener()
    return [name for name in formats if name in Image.OPEN]


def _too_large(name: str) -> str:
    return f"{name} has more than {MAX_PIXELS // 1_000_000} megapixels, the limit; make it smaller."


def check_pixels(name: str, width: int, height: int) -> None:
    """Raises ValueError for a picture or frame without pixels, with too many, or with a side that is too long."""
    if width * height == 0:
        raise ValueError(f"{name} has no pixels ({width} x {height}); give a picture of at least 1 x 1.")
    if max(width, height) > MAX_EDGE:
        raise ValueError(f"{name} has {width} x {height} pixels; a side may have {MAX_EDGE}: cut it or make it smaller.")
    if width * height > MAX_PIXELS:
        raise ValueError(_too_large(name))


def upright_rgb(picture: Image.Image) -> Image.Image:
    """The picture in RGB, turned as its EXIF says. Raises whatever Pillow does (see `picture_errors`)."""
    picture = ImageOps.exif_transpose(picture)
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
