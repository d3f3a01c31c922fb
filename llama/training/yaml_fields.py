"""Typed reading of YAML values into dataclass fields by their annotations, and back to plain values.

Only names and types are checked here, with one error sentence for each mistake; the dataclasses check the values.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from llama.errors import comma_list, quoted

LARGEST = 2**63 - 1  # of whole numbers: torch takes no larger seed
TYPE_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text (in quotes, if it looks like a number)"}


def fields_of(cls: type, raw: Any, where: str, other_keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of the dataclass `cls` in the mapping `raw`, each converted to its type.

    where: the part of the file, for error messages. other_keys: more keys to suggest for an unknown one.
    """
    if not isinstance(raw, Mapping):
        raise ValueError(f"{quoted(raw)}{where} is no group of settings; give lines of the form key: value.")
    hints = get_type_hints(cls)
    for key in raw:
        if key not in hints:
            nearest = difflib.get_close_matches(str(key)[:100], [*hints, *other_keys], n=1, cutoff=0.0)[0]
            raise ValueError(f"the key {quoted(key)}{where} is unknown; the nearest right one is {nearest!r}.")
    return {key: value_of(hints[key], value, f"{key}{where}") for key, value in raw.items()}


def value_of(annotation: Any, raw: Any, where: str) -> Any:
    """The YAML value `raw` converted to the annotated type. ValueError if it has another type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return None if raw is None else value_of(next(option for option in arguments if option is not types.NoneType), raw, where)
    if dataclasses.is_dataclass(annotation):
        return raw if isinstance(raw, annotation) else _group(annotation, raw, where)  # type: ignore[arg-type]
    if origin is tuple and isinstance(raw, (list, tuple, types.NoneType)):
        return tuple(value_of(arguments[0], item, f"{where} number {number}") for number, item in enumerate(raw or (), 1))
    if origin is Mapping and isinstance(raw, (Mapping, types.NoneType)):
        key_type, value_type = arguments
        items = (raw or {}).items()
        return {value_of(key_type, key, f"a key in {where}"): value_of(value_type, value, f"{where}: {key}:") for key, value in items}
    return _choice(arguments, raw, where) if origin is Literal else _plain_value(annotation, raw, where)


def _group(cls: Any, raw: Any, where: str) -> Any:
    """A nested dataclass from its group of settings."""
    values = fields_of(cls, raw, f" in {where}")
    for field in dataclasses.fields(cls):
        if field.name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where} lacks {field.name}; add it.")
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _choice(options: tuple[Any, ...], raw: Any, where: str) -> Any:
    raw = "no" if raw is False else raw  # YAML reads a bare no as false
    if raw not in options:
        raise ValueError(f"{where} is {quoted(raw)}; choose {comma_list(options)}.")
    return raw


def _plain_value(cls: Any, raw: Any, where: str) -> Any:
    exponent = isinstance(raw, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", raw)
    if cls is float and (type(raw) is int or exponent):  # YAML reads 3e-4 as text because it has no point
        return float(raw)
    if type(raw) is int and abs(raw) > LARGEST:
        raise ValueError(f"{where} is {quoted(raw)}; give a whole number of at most {LARGEST}.")
    if type(raw) is not cls:
        raise ValueError(f"{where} is {quoted(raw)}; give {TYPE_WORDS.get(cls, 'a list, or lines of the form key: value')}.")
    return raw


def plain(value: Any) -> Any:
    """The value with tuples turned into lists, as YAML has no tuples."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
