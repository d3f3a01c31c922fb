"""Files of local test sets, fingerprinted as the items of a set are, so that copies under other names are found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DataSet.pipeline.fingerprints import dhashes, picture_sha256
from DataSet.pipeline.frames import steadiest_frame
from DataSet.pipeline.media_index import SUFFIX_ORDER, existing_folder, walk
from DataSet.pipeline.segments import measurements
from llama.errors import sentence
from llama.files import write_text
from llama.json_yaml import parse_json
from llama.media.audio import Waveform
from llama.media.image import load_image

CACHE = "fingerprinted_files.jsonl"
VERSION = 1
NOTHING: Mapping[str, Any] = {"seconds": None, "sha256": None, "peaks": None, "picture_sha256": None, "dhash": []}


@dataclass(frozen=True)
class FingerprintedFile:
    """A file of a test folder. folder: its folder's name; name: with it; values: as those of SegmentStep, as far as fingerprints go.

    error: why it could not be read, which is counted; such a file blocks nothing.
    """

    folder: str
    name: str
    values: Mapping[str, Any]
    error: str = ""


def fingerprint_folders(folders: Iterable[str | Path], cache: Path | None = None) -> list[FingerprintedFile]:
    """The recordings, pictures and clips of folders and of those in them, in the order of their names.

    cache: a work folder that keeps the fingerprints of files that have not changed. Raises FileNotFoundError or ValueError for a folder
    that is not there.
    """
    known = _read_cache(cache / CACHE) if cache else {}
    lines, result = {}, []
    for folder in map(existing_folder, folders):
        for path in walk(folder):
            if path.suffix.lower() not in {suffix for suffixes in SUFFIX_ORDER.values() for suffix in suffixes}:
                continue
            status = path.stat()
            key = f"{VERSION} {path.resolve()} {status.st_size} {status.st_mtime_ns}"
            lines[key] = known.get(key) or _fingerprint(path)
            name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
            result.append(FingerprintedFile(folder.name, name, lines[key]["values"], lines[key]["error"]))
    if cache and lines:
        write_text(cache / CACHE, "".join(f"{json.dumps({'key': key, **line})}\n" for key, line in lines.items()))
    return result


def _read_cache(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    return {line.pop("key"): line for line in map(parse_json, path.read_text(encoding="utf-8").splitlines())}


def _fingerprint(path: Path) -> dict[str, Any]:
    try:
        return {"values": {**NOTHING, **dict(_values(path))}, "error": ""}
    except (ValueError, OSError) as error:
        return {"values": NOTHING, "error": sentence(error).replace(str(path), path.name)}


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    suffix = path.suffix.lower()
    if suffix in SUFFIX_ORDER["audio"]:
        yield from measurements(Waveform.read(path)).items()
    elif suffix in SUFFIX_ORDER["video"]:
        yield "dhash", dhashes(steadiest_frame(path))
        yield from measurements(Waveform.read(path)).items() if _has_sound(path) else ()
    else:
        picture = load_image(path)
        yield from (("picture_sha256", picture_sha256(picture)), ("dhash", dhashes(picture)))


def _has_sound(path: Path) -> bool:
    from llama.media.demuxer import media_streams, open_container

    with open_container(path) as container:
        return bool(media_streams(container, "audio"))
