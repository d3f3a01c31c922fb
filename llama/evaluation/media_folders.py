"""Folders of recordings, pictures and clips to be measured: their files by name, so that those of two folders make pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llama.data.file_names import composed
from llama.errors import PATH_LENGTH, USER_ERRORS, comma_list, sentence, shorten
from llama.json_yaml import read_json
from llama.media.audio import Waveform
from llama.media.audio_reader import check_duration
from llama.media.containers import MEDIA_FORMATS

AUDIO, IMAGE, VIDEO = (frozenset(item.suffix for item in MEDIA_FORMATS if item.kind == kind) for kind in ("audio", "image", "video"))
SHOWN = 5  # names that a message lists


def list_media(folder: str | Path, suffixes: frozenset[str]) -> dict[str, Path]:
    """The files of a folder and of those in it by name, sorted: the path from the folder, without its suffix.

    Hidden files are left out. Raises FileNotFoundError without the folder; ValueError for a file, for a folder without such files, and
    for two files of one name, such as a.wav and a.mp3, since a pair could be made with either.
    """
    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise ValueError(f"{shorten(root, PATH_LENGTH)} is a file; give the folder that it lies in.")
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {shorten(root, PATH_LENGTH)}; check its name.")
    files: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.suffix.lower() not in suffixes or any(part.startswith(".") for part in relative.parts) or path.is_dir():
            continue
        name = media_name(relative.as_posix(), suffixes)
        if name in files:
            raise ValueError(f"{root} holds {files[name].name} and {path.name}, two files of one name; keep one of them.")
        files[name] = path
    if not files:
        common = [suffix for suffix in (".wav", ".flac", ".mp3", ".ogg", ".jpg", ".png", ".mp4", ".webm") if suffix in suffixes]
        raise ValueError(f"{shorten(root, PATH_LENGTH)} holds no files to measure; put {comma_list(common)} ... files into it.")
    return files


def media_name(text: str, suffixes: frozenset[str]) -> str:
    """A file's name as pairs are made by it: without a suffix of the kind, with composed letters and slashes."""
    stem, dot, suffix = composed(text.replace("\\", "/")).rpartition(".")
    return stem if dot and stem and f".{suffix.lower()}" in suffixes else composed(text.replace("\\", "/"))


def read_recordings(files: Mapping[str, Path], broken: dict[str, str], batch: int) -> Iterator[tuple[list[str], list[Waveform]]]:
    """Names and recordings, `batch` at a time; a file that cannot be read, or is too short, goes into `broken` with its sentence."""
    names, waves = list[str](), list[Waveform]()
    for name, path in files.items():
        try:
            wave = Waveform.read(path)
            check_duration(path.name, wave.seconds)
        except (*USER_ERRORS, OSError) as error:
            broken[name] = sentence(error)
            continue
        names.append(name)
        waves.append(wave)
        if len(names) == batch:
            yield names, waves
            names, waves = [], []
    if names:
        yield names, waves


def read_captions(path: str | Path) -> dict[str, str]:
    """Captions by the name of their recording, from a JSON object {"file": "caption"}, the published form of MUCapsCaptions.json."""
    table = read_json(Path(path), "give a JSON object of captions by file name", unique_names=True)
    if not isinstance(table, dict):
        raise ValueError(f"{path} holds no captions by file name; give a JSON object {{\"file\": \"caption\"}}.")
    wrong = [name for name, text in table.items() if not isinstance(text, str) or not text.strip()]
    if wrong or not table:
        what = f"no text for {shorten(wrong[0])}" if wrong else "no captions"
        raise ValueError(f"{path} holds {what}; give a JSON object of captions by file name.")
    return {media_name(name, AUDIO): text for name, text in table.items()}


def name_some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return comma_list(shorten(name) for name in names[:SHOWN]) + more
