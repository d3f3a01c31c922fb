"""Everything that this server patches or reads of gradio's private parts, in one file.

Written for and tested with the gradio of requirements.txt; tests/demo/server/test_gradio_patches.py checks each part
against the installed version and says which of them is missing after an update.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import shutil
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException

from demo.server.access_middleware import MAX_BODY_BYTES, MAX_FULL_FILES
from demo.service.uploads import folder_size
from llama.errors import shorten

if TYPE_CHECKING:
    import gradio as gr

MAX_PENDING_BYTES = 4_000_000_000  # bytes of all uploads that no message has used; the page deletes those after an hour
PENDING_FULL = "The uploads that wait here have the maximum allowed size together; try again in a few minutes."
MAX_UPLOAD_FILES = 16  # in one upload, each with a descriptor until it has ended
MAX_TRACKED_UPLOADS = 1000  # whose progress the page may ask for
TOO_MANY_FILES = f"An upload has at most {MAX_UPLOAD_FILES} files; send the others in another."
NO_FILES = 'An upload has files only, in fields named "files".'
CUT_OFF = "The upload ended within a file; send it again."
NO_ROOM = "The server could not store the upload; try again in a few minutes."
NO_DOWNLOADS = "This server fetches nothing; send the file itself."


# -- the page's controls and sessions -----------------------------------------------------------------------------------


def patch_controls(blocks: gr.Blocks) -> None:
    """Changes how the sliders and file inputs of a page read their values (`preprocess`).

    Sliders accept None, the value of a cleared field, which gradio compares with the limits and fails. Files are passed as
    the path of the upload: gradio's own version leaves an empty temporary file behind for each.
    """
    from gradio.components import File, Slider

    for block in blocks.blocks.values():
        if isinstance(block, Slider):
            setattr(block, "preprocess", _accept_none(block))  # noqa: B010 - replaces a method of this object only
        elif isinstance(block, File):
            setattr(block, "preprocess", _upload_path)  # noqa: B010


def _accept_none(slider: gr.Slider) -> Any:
    preprocess = type(slider).preprocess
    return lambda payload: None if payload is None else preprocess(slider, payload)


def _upload_path(payload: Any) -> str | None:
    return payload.path if payload is not None else None


def require_uploads(blocks: gr.Blocks) -> None:
    """Makes gradio accept only uploaded files. It skips that check for a page that was mounted and not launched."""
    blocks.has_launched = True


def stop_events(routes: Iterable[object]) -> Iterator[Any]:
    """Events that end the open event streams of mounted gradio apps and of the page, which would otherwise delay the shutdown."""
    for route in routes:
        for owner in (getattr(route, "app", None), getattr(route, "endpoint", None)):
            event = getattr(owner, "stop_event", None)
            if event is not None:
                yield event
        included = getattr(route, "original_router", None)  # fastapi's routers are inside of one route each
        if included is not None:
            yield from stop_events(included.routes)


def open_tunnel(port: int) -> str:
    """Opens a tunnel through gradio's servers and returns its public URL. Used with --share only."""
    from gradio import networking

    return networking.setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)


# -- uploads and downloads ----------------------------------------------------------------------------------------------


def patch_uploads() -> None:
    """Gives every upload files of its own, a limit on their number, one on all pending uploads, and a clean-up of refused ones.

    gradio names an upload by the hash of its content, so that two users with the same file share it and the first to
    finish deletes it. It keeps the temporary files of interrupted and refused uploads, takes a thousand files at once, each
    with an open descriptor, and has no limit on their total size.
    """
    from gradio import route_utils, routes

    if getattr(route_utils, "patched_by_mumu_llama", False):
        return
    budget, upload_fn = UploadBudget(), routes.upload_fn

    async def upload_into_own_folder(request: Any, upload_dir: str, max_file_size: float, upload_id: str | None, **named: Any) -> Any:
        folder, progress = Path(upload_dir) / secrets.token_hex(16), named.get("upload_progress")
        try:
            result = await upload_fn(request, str(folder), max_file_size, upload_id, **named)
        except BaseException as error:
            if progress is not None:
                progress.set_done(upload_id)  # the page stops waiting for it
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            if isinstance(error, OSError):
                logging.error("an upload could not be written", exc_info=error)
                raise HTTPException(503, NO_ROOM, {"Retry-After": "60"}) from error
            raise
        if not result[0]:  # no files
            folder.rmdir()
        return result

    class UniqueUploadFile(route_utils.GradioUploadFile):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.sha.update(secrets.token_bytes(32))

    class BoundedMultipartParser(route_utils.GradioMultiPartParser):
        def on_headers_finished(self) -> None:
            if self._current_files >= MAX_UPLOAD_FILES:
                raise route_utils.MultiPartException(TOO_MANY_FILES)
            super().on_headers_finished()
            file = self._current_part.file
            if file is None or self._current_part.field_name != "files":
                raise route_utils.MultiPartException(NO_FILES)
            file.filename = (file.filename or "").encode("utf-8", "replace").decode()  # odd charsets give halves of surrogate pairs

        async def parse(self) -> Any:
            content_length = self.headers.get("content-length", "")
            # A chunked upload does not announce its size: reserve the largest that the middleware lets through.
            largest = min(MAX_FULL_FILES * self.max_file_size + MAX_BODY_BYTES, MAX_PENDING_BYTES)
            upload = PendingUpload(int(content_length) if content_length.isdecimal() else int(largest))
            self.stream = upload.count(self.stream)
            try:
                if not await asyncio.to_thread(budget.reserve, Path(self.upload_dir or ".").parent, upload):
                    raise route_utils.MultiPartException(PENDING_FULL)
                form = await super().parse()
                if len(self.items) < len(self._files_to_close_on_error):
                    raise route_utils.MultiPartException(CUT_OFF)
                return form
            except BaseException as error:
                for file in self._files_to_close_on_error:
                    file.close()
                    Path(file.name).unlink(missing_ok=True)
                if isinstance(error, ValueError):  # of a library below, for a boundary that is none
                    raise route_utils.MultiPartException(f"The upload is no multipart form: {shorten(error)}.") from error
                raise
            finally:
                upload.remaining = 0

    class BoundedUploadProgress(route_utils.FileUploadProgress):
        """Upload progress by the client's upload id. The oldest entries are dropped, since a client may never read its own."""

        def track(self, upload_id: str) -> None:
            self._forget()
            super().track(upload_id)

        async def is_tracked(self, upload_id: str) -> bool:
            self._forget()
            return await super().is_tracked(upload_id)

        def _forget(self) -> None:
            for entries in (self._statuses, self._signals):
                while len(entries) >= MAX_TRACKED_UPLOADS:
                    del entries[next(iter(entries))]

    patches = {"GradioUploadFile": UniqueUploadFile, "GradioMultiPartParser": BoundedMultipartParser, "patched_by_mumu_llama": True}
    for name, value in patches.items():
        setattr(route_utils, name, value)
    setattr(routes, "upload_fn", upload_into_own_folder)  # noqa: B010
    setattr(routes, "file_upload_statuses", BoundedUploadProgress())  # noqa: B010


@dataclass(eq=False)
class PendingUpload:
    """An upload that is being received. remaining: bytes that it may still send."""

    remaining: int

    async def count(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Passes the chunks on. A chunk is subtracted when the next one is requested, since it is on the disk by then."""
        async for chunk in chunks:
            yield chunk
            self.remaining = max(0, self.remaining - len(chunk))


class UploadBudget:
    """Limits the files in the upload folder and the bytes still to come to `MAX_PENDING_BYTES` together. Thread-safe."""

    def __init__(self) -> None:
        self._lock, self._uploads = threading.Lock(), list[PendingUpload]()

    def reserve(self, folder: Path, upload: PendingUpload) -> bool:
        """Reserves the remaining bytes of an upload for as long as it is pending. False if they exceed the limit."""
        with self._lock:
            self._uploads = [pending for pending in self._uploads if pending.remaining]
            reserved = sum(pending.remaining for pending in self._uploads)  # before reading the folder: counts twice rather than not
            fits = reserved + folder_size(folder) + upload.remaining <= MAX_PENDING_BYTES
            self._uploads += [upload] if fits else []
            return fits



def patch_downloads() -> None:
    """Refuses files given as URLs. gradio would download them, and query a public DNS resolver for their host."""
    from gradio import processing_utils

    def refuse(url: str, *arguments: Any, **named: Any) -> str:
        raise ValueError(NO_DOWNLOADS)

    async def refuse_async(url: str, *arguments: Any, **named: Any) -> str:
        return refuse(url)

    for name, function in (("ssrf_protected_download", refuse), ("async_ssrf_protected_download", refuse_async)):
        setattr(processing_utils, name, function)


# -- the log ------------------------------------------------------------------------------------------------------------


def patch_tracebacks() -> None:
    """Sends the tracebacks that gradio prints to the log, which escapes what a request holds."""
    from gradio import queueing, route_utils, routes

    for module in (queueing, route_utils, routes):
        setattr(module, "traceback", SimpleNamespace(print_exc=log_call_error))  # noqa: B010


def log_call_error() -> None:
    """Logs the current exception of a call: one line where its caller named a file that is not theirs, else a traceback."""
    error = sys.exc_info()[1]
    if error is not None and _is_of_caller(error):
        logging.warning("a call of the page was refused: %s", error)
    else:
        logging.error("a call of the page failed", exc_info=error)


def _is_of_caller(error: BaseException) -> bool:
    """Whether the caller named a file that was not uploaded, an address, or what no file can be named."""
    from gradio.exceptions import InvalidPathError

    name_too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
    return isinstance(error, InvalidPathError) or name_too_long or str(error) in (NO_DOWNLOADS, "embedded null byte")
