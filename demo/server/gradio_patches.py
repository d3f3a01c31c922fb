"""Patches of gradio's private parts: bounded uploads, and no downloads from addresses."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.server.access_middleware import MAX_BODY_BYTES, MAX_FILES

MAX_PENDING_BYTES = 4_000_000_000  # bytes of all pending uploads; those that no message uses are deleted after an hour


PENDING_FULL = "The uploads that wait here have the maximum allowed size together; try again in a few minutes."


def patch_uploads() -> None:
    """gradio names an upload by its content: two users with one file would share it, and the first to be done deletes it.
    What has arrived of an upload that breaks off it leaves lying there, under a name that nobody is told; and it takes
    whatever comes, though the disk be full of what nobody has asked about."""
    from gradio import route_utils

    if getattr(route_utils, "of_our_own", False):
        return
    room = UploadBudget()

    class Arrived(route_utils.GradioUploadFile):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.sha.update(secrets.token_bytes(32))

    class Arriving(route_utils.GradioMultiPartParser):
        async def parse(self) -> Any:
            most = min(MAX_FILES * self.max_file_size + MAX_BODY_BYTES, MAX_PENDING_BYTES)  # of one that does not tell how long it is
            announced = self.headers.get("content-length", "")
            coming = PendingUpload(int(announced) if announced.isdecimal() else int(most))
            self.stream = coming.counted(self.stream)
            try:
                if not await asyncio.to_thread(room.take, Path(self.upload_dir), coming):
                    raise route_utils.MultiPartException(PENDING_FULL)
                return await super().parse()
            except BaseException:
                for file in self._files_to_close_on_error:
                    file.close()
                    Path(file.name).unlink(missing_ok=True)
                raise
            finally:
                coming.left = 0

    for name, own in (("GradioUploadFile", Arrived), ("GradioMultiPartParser", Arriving), ("of_our_own", True)):
        setattr(route_utils, name, own)  # the library offers no other way


@dataclass(eq=False)
class PendingUpload:
    """An upload under way. left: bytes that it may still send."""

    left: int

    async def counted(self, parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The same parts; each is on the disk when the next one is asked for."""
        async for part in parts:
            yield part
            self.left = max(0, self.left - len(part))


class UploadBudget:
    """What lies in the folder of uploads and what is still to come there have `MAX_PENDING_BYTES` bytes together. For any thread."""

    def __init__(self) -> None:
        self._guard, self._coming = threading.Lock(), list[PendingUpload]()

    def take(self, folder: Path, upload: PendingUpload) -> bool:
        """Keeps what an upload may still send free for it, as long as it has something left; False where that is too much."""
        with self._guard:
            self._coming = [one for one in self._coming if one.left]
            coming = sum(one.left for one in self._coming)  # before the folder is read: rather twice than not at all
            fits = coming + _held(folder) + upload.left <= MAX_PENDING_BYTES
            self._coming += [upload] if fits else []
            return fits


def _held(folder: Path) -> int:
    """Bytes of what lies in a folder and its folders; what is deleted meanwhile takes no room."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def patch_downloads() -> None:
    """gradio fetches what a client gives as the address of a file, and asks a resolver on the internet where that is."""
    from gradio import processing_utils

    def refused(url: str, *arguments: Any, **named: Any) -> str:
        raise ValueError("This server fetches nothing; send the file itself.")

    async def refused_later(url: str, *arguments: Any, **named: Any) -> str:
        return refused(url)

    for name in ("ssrf_protected_download", "async_ssrf_protected_download"):
        setattr(processing_utils, name, refused_later if name.startswith("async") else refused)
