"""The field `edit` of a request: `llama.media.edit.Edit` as JSON, and its report in answers.

The model is derived from the fields of `Edit`, so that a new one reaches the API with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, fields
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, create_model, model_validator

from demo.api.field_types import Body, Integer, Number, invalid
from llama.errors import shorten
from llama.media.edit import CHANGES, KEEPABLE, NAMES, Edit
from llama.media.requests.vocabulary import KEY, read_key

if TYPE_CHECKING:
    from llama.media.edit_report import EditReport

FIELDS: Mapping[str, Field[Any]] = {field.name: field for field in fields(Edit)}
PART_FIELDS = ("without", "parts", "keep")


def _names(value: object) -> object:
    """A list of names as a tuple."""
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise invalid("{path} is no list of names; send one such as ['drums'].")
    return tuple(value)


def _part_names(names: tuple[str, ...], field: str) -> tuple[str, ...]:
    """Each part under the name that the field knows it by: "lead" and "melody" are one part."""
    aliases = {part: name for part, name in NAMES.items() if part not in KEEPABLE}  # lead -> melody
    if field != "keep":
        aliases = {name: part for part, name in aliases.items()}
    return tuple(aliases.get(name, name) for name in names)


def _bars(value: object) -> object:
    """A list of two whole numbers as a tuple."""
    numbers = isinstance(value, list | tuple) and all(isinstance(bar, int) and not isinstance(bar, bool) for bar in value)
    if not numbers or len(value) != 2:  # type: ignore[arg-type]
        raise invalid("{path} is no range of bars; send the first and the last one, such as [5, 8].")
    return tuple(value)  # type: ignore[arg-type]


def _orders(value: object) -> object:
    """A list of ranges of bars as a tuple of tuples."""
    if not isinstance(value, list | tuple):
        raise invalid("{path} is no list of ranges of bars; send one such as [[1, 4], [1, 4]].")
    return tuple(_bars(bars) for bars in value)


def _levels(value: object) -> object:
    """Parts and their dB."""
    if not isinstance(value, dict):
        raise invalid("{path} is no object; send one such as {'drums': -6}.")
    return value


def _changes(value: object) -> object:
    """Attributes and their values; keys may be given by name, such as "E flat"."""
    if not isinstance(value, dict):
        raise invalid("{path} is no object; send one such as {'tempo': 120}.")
    name = value.get("key")
    if isinstance(name, str) and re.fullmatch(KEY, name.lower()):
        return {**value, "key": read_key(name.lower())}
    return value


JSON_TYPES: Mapping[Any, Any] = {  # type of a field of Edit -> that of its JSON
    int: Integer,
    float: Number,
    Mapping[str, Any]: Annotated[dict[str, Any], BeforeValidator(_changes)],
    tuple[str, ...]: Annotated[tuple[str, ...], BeforeValidator(_names)],
    tuple[tuple[int, int], ...]: Annotated[tuple[tuple[int, int], ...], BeforeValidator(_orders)],
    Mapping[str, float]: Annotated[dict[str, float], BeforeValidator(_levels)],
    tuple[int, int]: Annotated[tuple[int, int], BeforeValidator(_bars)],
}


def json_type(annotation: Any) -> Any:
    """The type that validates the JSON of a field of `Edit`. Raises KeyError for one that JSON_TYPES lacks."""
    if get_origin(annotation) in (Union, UnionType):
        [present] = [member for member in get_args(annotation) if member is not NoneType]
        return JSON_TYPES[present] | None
    return JSON_TYPES[annotation]


class EditBase(BaseModel):
    """What the derived model has beside the fields. Null counts as unset."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        for name in value:
            if name not in FIELDS:
                place = f"put it into change, {{'{name}': ...}}" if name in CHANGES else f"use {', '.join(FIELDS)}"
                raise invalid(f"{{path}} has no field '{shorten(name)}'; {place}.", f"{{path}}.{shorten(name)}")
        return {name: _by_part_names(name, field) for name, field in value.items() if field is not None}

    @model_validator(mode="after")
    def _check_edit(self) -> EditBase:
        try:
            self.edit()
        except ValueError as error:
            raise invalid(str(error), _field_path(str(error).split(" ", 1)[0])) from error
        return self

    def edit(self) -> Edit:
        """The edit. Raises ValueError for values out of range and contradictions."""
        return Edit(**{name: getattr(self, name) for name in self.model_fields_set})


def _by_part_names(field: str, value: object) -> object:
    if field == "balance" and isinstance(value, dict):
        return dict(zip(_part_names(tuple(value), field), value.values(), strict=True))
    is_list = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return list(_part_names(tuple(value), field)) if field in PART_FIELDS and is_list else value  # type: ignore[arg-type]


def _field_path(name: str) -> str:
    """Path of the field that an error of `Edit` begins with; of the whole edit where that is none."""
    return f"{{path}}.{name}" if name in FIELDS else f"{{path}}.change.{name}" if name in CHANGES else "{path}"


def _default(field: Field[Any]) -> Any:
    factory: Callable[[], Any] = field.default_factory  # type: ignore[assignment]
    return field.default if field.default is not MISSING else factory()


def _model() -> type[EditBase]:
    types = get_type_hints(Edit)
    members: dict[str, Any] = {name: (json_type(types[name]), _default(field)) for name, field in FIELDS.items()}
    return create_model("EditModel", __base__=EditBase, **members)


if TYPE_CHECKING:
    EditModel = EditBase
else:
    EditModel = _model()


def read_edit(value: object) -> Edit:
    """The edit of a value that was read from JSON. Raises ValueError in one sentence."""
    try:
        return EditModel.model_validate(value).edit()
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        path = ".".join(["edit", *map(str, fault["loc"])])
        sentence = str(fault.get("ctx", {}).get("sentence") or f"{{path}} is not taken: {shorten(fault['msg'])}.")
        raise ValueError(sentence.replace("{path}", shorten(path))) from error


def report_fields(report: EditReport) -> Body:
    """The field `edit` of an answer: what was done as lists of phrases, and as sentences for a person in `text`."""
    return {**asdict(report), "text": str(report)}
