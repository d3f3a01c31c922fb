"""JSON and YAML from users' files: parsed with bounds on nesting and digits, errors as one sentence that names the file.

Python's parsers answer deep nesting with RecursionError and long numbers with a message about the interpreter.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from llama.errors import shorten

MAX_DEPTH = 100  # lists and objects inside one another
MAX_DIGITS = 300  # of a whole number, so that each can become a float
MAX_YAML_VALUES = 100_000  # on one level of nesting: aliases can make a few lines into billions


def parse_json(text: str | bytes, *, unique_names: bool = False) -> Any:
    """The value of a JSON text; bytes are UTF-8, with or without a byte order mark.

    unique_names: a name that stands twice in an object is an error, where Python would drop the first value in silence.
    Raises ValueError with a phrase for a larger sentence, such as "Expecting value at line 1, column 8".
    """
    try:
        value = json.loads(_decoded(text), parse_int=_whole_number, object_pairs_hook=_unique_names if unique_names else None)
        _check_nesting(value)
        return value
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from error


def read_json(path: Path, advice: str = "mend it there", *, unique_names: bool = False) -> Any:
    """The value of a JSON file. Raises ValueError with the file, what is wrong and `advice`; OSError where it cannot be read."""
    try:
        return parse_json(path.read_bytes(), unique_names=unique_names)
    except ValueError as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); {advice}.") from error


def read_table(path: Path, advice: str = "copy the folder again") -> dict[str, Any]:
    """A configuration in JSON: the file's object. Raises as `read_json` does, also for a value that is no object."""
    try:
        value = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not a configuration in JSON ({error}); {advice}.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is not a configuration in JSON (it holds no names); {advice}.")
    return value


def check_json_files(folder: str | Path) -> None:
    """Raises ValueError for a JSON file in a local folder, or one level below, that a library could not parse. A hub name passes."""
    for file in sorted([*Path(folder).glob("*.json"), *Path(folder).glob("*/*.json")]):
        if file.is_file():
            read_json(file, "copy the folder again")


def read_yaml(path: Path, advice: str = "mend that line") -> Any:
    """The value of a YAML file; a key that is given twice is an error. Raises as `read_json` does."""
    import yaml

    try:
        value = yaml.load(_decoded(path.read_bytes()), _yaml_loader())
        _check_nesting(value, MAX_YAML_VALUES)
        return value
    except RecursionError as error:
        raise ValueError(f"{path} is not readable as YAML (it is nested more than {MAX_DEPTH} deep); {advice}.") from error
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:  # the last four: of impossible dates and tags
        raise ValueError(f"{path} is not readable as YAML ({_yaml_reason(error)}); {advice}.") from error


def _yaml_reason(error: Exception) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem is None or mark is None:
        return " ".join(str(error).split())
    return f"{problem} at line {mark.line + 1}, column {mark.column + 1}"


@lru_cache(maxsize=1)
def _yaml_loader() -> Any:
    """yaml's safe loader without the two ways in which it loses or swells a value: repeated keys, and endless numbers."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(problem=f"{key.value[:100]!r} is given twice", problem_mark=key.start_mark)
                seen.add((key.tag, key.value))
            return super().construct_mapping(node, deep)

        def construct_yaml_int(self, node: Any) -> int:
            _check_digits(node.value)
            return super().construct_yaml_int(node)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    return Loader


def _decoded(text: str | bytes) -> str:
    try:
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no text in UTF-8, at byte {error.start}") from error
    if not text.strip():
        raise ValueError("it is empty")
    return text


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = Counter(name for name, _ in pairs)
        repeated = next(name for name, count in names.items() if count > 1)
        raise ValueError(f"it names '{shorten(repeated)}' {names[repeated]} times; give each name once")
    return value


def _whole_number(digits: str) -> int:
    _check_digits(digits)
    return int(digits)


def _check_digits(number: str) -> None:
    if len(number) > MAX_DIGITS:
        raise ValueError(f"it has a number of more than {MAX_DIGITS} digits")


def _check_nesting(value: Any, most: int | None = None) -> None:
    """Raises ValueError for lists and objects nested deeper than MAX_DEPTH, or more than `most` values on one level."""
    groups = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        if most is not None and sum(map(len, groups)) > most:
            raise ValueError(f"it has more than {most} values")
        inner = (item for group in groups for item in (group.values() if isinstance(group, dict) else group))
        groups = [item for item in inner if isinstance(item, dict | list)]
        if not groups:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
