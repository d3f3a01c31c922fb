"""Lists of edits in the published form of MUEdit, with or without the values that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama.data.formats import inside
from llama.errors import PATH_LENGTH, quoted, shorten
from llama.evaluation.editing_comparison import EditCase
from llama.evaluation.media_folders import AUDIO, media_name
from llama.json_yaml import read_json

EDIT = "edit"  # key of our lists: {"operation", "asked", "expected"}
SET, EVAL = "MUEdit", "Eval"  # in the names of test lists


def find_list(folder: Path) -> Path:
    """The list of edits in a folder: the only JSON file that is one, or of several the one with MUEdit, or else Eval, in its name.

    Raises FileNotFoundError or ValueError where that is none, or more than one.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {shorten(folder, PATH_LENGTH)}; check its name.")
    lists = [path for path in sorted(folder.glob("*.json")) if _is_list(path)]
    own = [path for path in lists if SET in path.name] or lists
    chosen = [path for path in own if EVAL in path.name] or own
    if len(chosen) != 1:
        names = ", ".join(path.name for path in chosen) or "none"
        raise ValueError(f"{shorten(folder, PATH_LENGTH)} should hold one list of edits ({names} found); name it by --list.")
    return chosen[0]


def _is_list(path: Path) -> bool:
    value = read_json(path, "repair the file, or name the list by --list")
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping) and {"input_file", "output_file"} <= set(value[0])


def find_media(folder: Path) -> Path:
    """Where the recordings of a list lie: audios/ in its folder, or the folder itself."""
    return folder / "audios" if (folder / "audios").is_dir() else folder


def read_edit_list(path: Path) -> list[tuple[EditCase, str]]:
    """The edits of a list, each with the words that ask for it; what is asked is filled where the list itself has the values.

    Raises FileNotFoundError without the file, ValueError with the number of an item that is no edit, and for two of one output file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no list {shorten(path, PATH_LENGTH)}; check its name.")
    items = read_json(path, "repair the list", unique_names=True)
    if not isinstance(items, list) or not items:
        raise ValueError(f"{path.name} is no list of edits; give a list of objects with input_file, output_file and conversation.")
    cases = [_case(f"{path.name} #{number}", item) for number, item in enumerate(items, 1)]
    names = [case.name for case, _ in cases]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{path.name} has two edits with the output file {shorten(twice)}; give each its own.")
    return cases


def _case(where: str, item: Any) -> tuple[EditCase, str]:
    turns = item.get("conversation", item.get("conversations")) if isinstance(item, Mapping) else None
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], Mapping):
        raise ValueError(f"{where} has no conversation; give input_file, output_file and conversation.")
    for key in ("input_file", "output_file"):
        if not isinstance(item.get(key), str):
            raise ValueError(f"{where} has no {key} ({quoted(item.get(key))}); give the name of a recording.")
    edit = item.get(EDIT) or {}
    expected = edit.get("expected", {})
    if not isinstance(expected, Mapping) or not all(_is_number(expected.get(name, 0)) for name in ("speed", "cents")):
        raise ValueError(f"{where}: its expected speed and cents are no numbers; give numbers, or leave {EDIT} out.")
    speed, cents = expected.get("speed"), expected.get("cents")
    if cents is None and expected.get("interval") == 0:  # of an edited score in its own key
        cents = 0.0
    name, recording = (media_name(inside(where, item[key]), AUDIO) for key in ("output_file", "input_file"))
    case = EditCase(name, recording, str(edit.get("operation", "")), *(None if value is None else float(value) for value in (speed, cents)))
    return case, str(turns[0].get("value") or "")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
