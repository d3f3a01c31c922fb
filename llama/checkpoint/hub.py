"""Models of the Hugging Face hub that a file names, such as the base in origin.json: used if they were downloaded before.

A file from a stranger must not decide what this machine downloads. What a user names in an argument is downloaded.
"""

from __future__ import annotations

import re
from pathlib import Path

from llama.errors import shorten

HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")  # the oldest ones have no owner, such as bert-base-uncased
COMPONENT_SUFFIX = "_path"  # end of the arguments whose libraries download names without an owner, too
COMPLETE = ("config.json", "model_index.json")  # one of these is in every folder that a model or component is loaded from


def downloaded_folder(name: str) -> Path | None:
    """The folder of a hub model in the local cache; None if it is not there. Nothing is downloaded."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except (OSError, ValueError):  # not in the cache, or no name of the hub's form
        return None
    return folder if any((folder / file).is_file() for file in COMPLETE) else None


def recorded_folder(recorded: str, file: Path, argument: str) -> str:
    """The place of a model that `file` names: itself if it exists, otherwise its folder in the hub's cache.

    argument: the argument of `llama.load` with which the user can name it. Raises FileNotFoundError for a hub model that was
    never downloaded.
    """
    is_hub_name = HUB_NAME.fullmatch(recorded) and ("/" in recorded or argument.endswith(COMPONENT_SUFFIX))
    if Path(recorded).exists() or not is_hub_name:
        return recorded
    folder = downloaded_folder(recorded)
    if folder is None:
        name = shorten(recorded)
        other = "" if argument == "model" else f", or give {argument} {name}"
        raise FileNotFoundError(
            f"{file} names {name} of the Hugging Face hub, which is not on this machine, and a file may not decide what is "
            f"downloaded; if you trust it, run hf download {name}{other}."
        )
    return str(folder)
