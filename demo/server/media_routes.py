"""What a session made and got, over HTTP: /media/{token}/{name}, nothing but the plain files of that session's folder.

Players may seek (ranges), and hear a wav file while it is still being written. `?as=NAME` is a download under that name.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from demo.server.file_stream import final_size, follow, under_way
from llama.media.containers import MEDIA_FORMATS

TYPES = {item.suffix: item.content_type for item in MEDIA_FORMATS if item.content_type is not None}
PLAIN = re.compile(r"[A-Za-z0-9_-]+(\.[a-z0-9]+)")  # a name, a dot and a suffix: neither a path nor hidden
RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
HEADERS = {
    "Cache-Control": "private, no-cache",  # no proxy keeps it, and a browser asks again whether it is still there
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",  # opened by itself, it runs nothing
    "Cross-Origin-Resource-Policy": "same-origin",  # no other site shows it
    "Referrer-Policy": "no-referrer",  # the address holds the token
}
LONGEST_NAME = 80  # characters of a download's name


class Folder(Protocol):
    @property
    def folder(self) -> Path: ...


class Folders(Protocol):
    """What is needed of `demo.service.sessions.Sessions`."""

    def get(self, token: str, /) -> Folder | None: ...



def media_router(sessions: Folders, dependencies: Sequence[Callable[..., Any]] = ()) -> APIRouter:
    """The routes. dependencies: what each request has to pass first, such as a login."""
    router = APIRouter(dependencies=[Depends(each) for each in dependencies])

    @router.api_route("/media/{token}/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    def media(request: Request, token: str, name: str, download: str = Query("", alias="as")) -> Response:
        try:
            return serve(find(sessions, token, name), request, download)
        except FileNotFoundError:
            # The same answer to whatever is not there, so that nobody learns which part was wrong.
            raise HTTPException(404, "There is no such file here; it may have been deleted with its session.", HEADERS) from None

    return router


def find(sessions: Folders, token: str, name: str) -> Path:
    """The file of that name in the folder of that session; FileNotFoundError for everything else."""
    plain = PLAIN.fullmatch(name)
    session = sessions.get(token) if plain is not None and plain[1] in TYPES else None
    if session is None:
        raise FileNotFoundError(name)
    file = session.folder / name
    if not stat.S_ISREG(file.lstat().st_mode):  # a link may lead out of the folder
        raise FileNotFoundError(name)
    return file


def serve(file: Path, request: Request, download: str = "") -> Response:
    """The file whole or in ranges; one under way as it grows. Raises FileNotFoundError if it is gone."""
    headers, kind = dict(HEADERS), TYPES[file.suffix]
    if download:
        headers["Content-Disposition"] = f"attachment; filename*=utf-8''{quote(friendly(download, file.suffix), safe='')}"
    if under_way(file):
        return _growing(file, request, headers, kind)
    return FileResponse(file, headers=headers, media_type=kind, stat_result=file.stat())


def friendly(name: str, suffix: str) -> str:
    """A file name of letters, digits, blanks and -_., in any alphabet, that keeps the file's own suffix."""
    letters = "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in name.removesuffix(suffix))
    return (" ".join(letters.split()).strip(". ")[:LONGEST_NAME].strip(". ") or "music") + suffix


def _growing(file: Path, request: Request, headers: dict[str, str], kind: str) -> Response:
    """What is there and what comes, as long as its header promises, so that players know the length and may seek."""
    size, wanted = final_size(file), RANGE.fullmatch(request.headers.get("range", ""))
    start = int(wanted[1]) if wanted is not None else 0
    end = min(int(wanted[2]) + 1, size) if wanted is not None and wanted[2] else size
    headers |= {"Cache-Control": "private, no-store", "Accept-Ranges": "bytes"}
    if start >= end:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    headers["Content-Length"] = str(end - start)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    body: Any = iter(()) if request.method == "HEAD" else follow(file, start, end)
    return StreamingResponse(body, 200 if wanted is None else 206, headers, kind)
