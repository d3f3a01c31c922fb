"""Fields of a dataclass from what YAML gave, each in the type of its annotation, and back; every slip is named.

Whoever calls knows the settings' meaning; here they are only checked for their names and types.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from llama.errors import comma_list

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text (in quotes, if it looks like a number)"}


def fields_of(kind: type, raw: Any, where: str, beside: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of `kind` that `raw` gives, each in its type. `where` says in an error which part of the file it is."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"{raw!r}{where} is no group of settings; give lines of the form key: value.")
    hints = get_type_hints(kind)
    for key in raw:
        if key not in hints:
            nearest = difflib.get_close_matches(str(key), [*hints, *beside], n=1, cutoff=0.0)[0]
            raise ValueError(f"the key {key!r}{where} is unknown; the nearest right one is {nearest!r}.")
    return {key: value_of(hints[key], value, f"{key}{where}") for key, value in raw.items()}


def value_of(kind: Any, raw: Any, where: str) -> Any:
    """`raw`, as YAML gave it, in the annotated type `kind`."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if raw is None else value_of(next(part for part in parts if part is not types.NoneType), raw, where)
    if dataclasses.is_dataclass(kind):
        return raw if isinstance(raw, kind) else _group(kind, raw, where)  # type: ignore[arg-type]
    if origin is tuple and isinstance(raw, (list, tuple, types.NoneType)):
        return tuple(value_of(parts[0], one, f"{where} number {at}") for at, one in enumerate(raw or (), 1))
    if origin is Mapping and isinstance(raw, (Mapping, types.NoneType)):
        key, value = parts
        return {value_of(key, one, f"a key in {where}"): value_of(value, raw[one], f"{where}: {one}:") for one in raw or ()}
    return _choice(parts, raw, where) if origin is Literal else _plain_value(kind, raw, where)


def _group(kind: Any, raw: Any, where: str) -> Any:
    values = fields_of(kind, raw, f" in {where}")
    for one in dataclasses.fields(kind):
        if one.name not in values and one.default is one.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where} lacks {one.name}; add it.")
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _choice(parts: tuple[Any, ...], raw: Any, where: str) -> Any:
    raw = "no" if raw is False else raw  # YAML takes a bare no for false
    if raw not in parts:
        raise ValueError(f"{where} is {raw!r}; choose {comma_list(parts)}.")
    return raw


def _plain_value(kind: Any, raw: Any, where: str) -> Any:
    exponent = isinstance(raw, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", raw)
    if kind is float and (type(raw) is int or exponent):  # YAML takes 3e-4 for a word, as it has no point
        return float(raw)
    if type(raw) is not kind:
        raise ValueError(f"{where} is {raw!r}; give {KINDS.get(kind, 'a list, or lines of the form key: value')}.")
    return raw


def plain(value: Any) -> Any:
    """Tuples as lists, which YAML has."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value
