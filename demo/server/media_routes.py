"""HTTP routes for the media of a session: /media/{token}/{name} serves the regular files of that session's folder only.

Supports ranges, so that players can seek, and wav files that are still being written. `?as=NAME` downloads under that name.
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

from demo.server.file_stream import final_size, is_growing, stream_file
from llama.media.containers import MEDIA_FORMATS

CONTENT_TYPES = {item.suffix: item.content_type for item in MEDIA_FORMATS if item.content_type is not None}
FILE_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[a-z0-9]+)")  # a stem, a dot and a suffix: neither a path nor a hidden file
RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
HEADERS = {
    "Cache-Control": "private, no-cache",  # not cached by proxies, and revalidated by browsers: the file may be deleted
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",  # a file opened in a tab of its own runs no scripts
    "Cross-Origin-Resource-Policy": "same-origin",  # other sites cannot embed it
    "Referrer-Policy": "no-referrer",  # the URL contains the token
}
MAX_NAME_LENGTH = 80  # characters of a download's name


class SessionFolder(Protocol):
    @property
    def folder(self) -> Path: ...


class SessionStore(Protocol):
    """The part of `demo.service.sessions.Sessions` that the routes use."""

    def get(self, token: str, /) -> SessionFolder | None: ...



def media_router(sessions: SessionStore, dependencies: Sequence[Callable[..., Any]] = ()) -> APIRouter:
    """Router of /media. dependencies: FastAPI dependencies that each request must pass first, such as a login."""
    router = APIRouter(dependencies=[Depends(dependency) for dependency in dependencies])

    @router.api_route("/media/{token}/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    def media(request: Request, token: str, name: str, download: str = Query("", alias="as")) -> Response:
        try:
            return file_response(find_file(sessions, token, name), request, download)
        except FileNotFoundError:
            # One answer for every cause, so that it does not reveal whether a token or a file exists.
            raise HTTPException(404, "There is no such file here; it may have been deleted with its session.", HEADERS) from None

    return router


def find_file(sessions: SessionStore, token: str, name: str) -> Path:
    """The media file of this name in the session's folder. Raises FileNotFoundError for everything else."""
    match = FILE_NAME.fullmatch(name)
    session = sessions.get(token) if match is not None and match[1] in CONTENT_TYPES else None
    if session is None:
        raise FileNotFoundError(name)
    file = session.folder / name
    if not stat.S_ISREG(file.lstat().st_mode):  # a link may lead out of the folder
        raise FileNotFoundError(name)
    return file


def file_response(file: Path, request: Request, download: str = "") -> Response:
    """The file or a range of it; a file that is still being written is streamed. Raises FileNotFoundError if it was deleted."""
    headers, content_type = dict(HEADERS), CONTENT_TYPES[file.suffix]
    if download:
        headers["Content-Disposition"] = f"attachment; filename*=utf-8''{quote(download_name(download, file.suffix), safe='')}"
    if is_growing(file):
        return _growing_response(file, request, headers, content_type)
    return FileResponse(file, headers=headers, media_type=content_type, stat_result=file.stat())


def download_name(name: str, suffix: str) -> str:
    """A safe file name with this suffix: letters and digits of any alphabet, blanks, and -_. only."""
    letters = "".join(letter if letter.isalnum() or letter in "-_." else " " for letter in name.removesuffix(suffix))
    return (" ".join(letters.split()).strip(". ")[:MAX_NAME_LENGTH].strip(". ") or "music") + suffix


def _growing_response(file: Path, request: Request, headers: dict[str, str], content_type: str) -> Response:
    """Streams a growing file with its final size as Content-Length, so that players know the length and can seek."""
    size, byte_range = final_size(file), RANGE.fullmatch(request.headers.get("range", ""))
    start = int(byte_range[1]) if byte_range is not None else 0
    end = min(int(byte_range[2]) + 1, size) if byte_range is not None and byte_range[2] else size
    headers |= {"Cache-Control": "private, no-store", "Accept-Ranges": "bytes"}
    if start >= end:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    headers["Content-Length"] = str(end - start)
    if byte_range is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    body: Any = iter(()) if request.method == "HEAD" else stream_file(file, start, end)
    return StreamingResponse(body, 200 if byte_range is None else 206, headers, content_type)
