"""gradio's folder of uploads: which files are there, and their deletion once a session has its own copies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class UploadsFolder:
    """Folder in which gradio stores an upload until a session copies it."""

    def __init__(self, upload_dir: Path) -> None:
        self.upload_dir = upload_dir

    def uploaded_paths(self, files: Sequence[str | Path]) -> list[Path]:
        """Paths of uploaded files. Raises ValueError for a file that was not uploaded.

        A request may name any path on the server, and the page serves the files that it accepts, so this repeats gradio's check.
        """
        paths = [Path(file) for file in files]
        if not all(path.resolve().is_relative_to(self.upload_dir.resolve()) for path in paths):
            raise ValueError("A file was named that was not uploaded; upload it, and name what the upload gave.")
        return paths

    def delete_uploads(self, files: Sequence[str | Path]) -> None:
        """Deletes gradio's copies of uploads once the session has its own, and their folders; files elsewhere stay."""
        for file in map(Path, files):
            if file.resolve().is_relative_to(self.upload_dir.resolve()):
                file.unlink(missing_ok=True)
                self._delete_empty_folders(file.resolve().parent)

    def _delete_empty_folders(self, folder: Path) -> None:
        """Deletes a folder below the upload folder, and those that are empty then."""
        while folder != self.upload_dir.resolve():
            try:
                folder.rmdir()
            except OSError:  # another file of the upload is there, or another thread was faster
                return
            folder = folder.parent
