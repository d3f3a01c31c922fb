"""Parses the body of a request; turns pydantic's errors into one sentence about one field.

The models are in protocol.py and generation_request.py.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from demo.api.field_types import Body
from demo.api.messages import MAX_MESSAGES, PART_TYPES, ROLES
from demo.api.protocol import ApiError, AudioFormat, unknown_model
from llama.errors import shorten

MAX_SIGNS = 400_000  # commas and opening brackets: each may become an object twenty times as large as its JSON
MAX_UNKNOWN = 100  # fields of one request
MIN_NAME, MAX_NAME = 6, 64  # characters of a field's name, and of an unknown one, that are compared: "speed" is no "seed"
SIMILARITY = 0.85  # of an unknown name to a field's from which it is taken for a mistyped one: "temperatur", not "min_tokens"
# Fields of other servers that ask for an answer of another kind: ignoring them would change what the answer means.
FORMAT_FIELDS = (
    "grammar", "guided_choice", "guided_grammar", "guided_json", "guided_regex", "json_schema", "structured_outputs",
)  # fmt: skip
EXPECTED = {  # type of pydantic's error -> what to send
    "model_type": "an object", "string_type": "a string", "bool_type": "true or false", "float_type": "a number",
}  # fmt: skip


RequestT = TypeVar("RequestT", bound=BaseModel)


def parse_request(content: bytes, model: str, request_type: type[RequestT]) -> tuple[RequestT, tuple[str, ...]]:
    """The request in a body, and the names of its fields that no request has, which are ignored.

    model: the only model name. Raises `ApiError`, also for a name that is nearly a field's: a mistyped setting would change
    the answer silently.
    """
    body = _merge_extra_body(_read_json(content))
    if body.get("model", model) != model:
        raise unknown_model(str(body["model"]), model)
    unknown = [name for name in body if name not in request_type.model_fields]
    _check_unknown(unknown, request_type.model_fields)
    try:
        return request_type.model_validate({name: value for name, value in body.items() if name not in unknown}), tuple(unknown)
    except ValidationError as error:
        raise _to_api_error(error.errors(include_url=False)) from error


def _check_unknown(unknown: Sequence[str], fields: Iterable[str]) -> None:
    """Raises `ApiError` for too many unknown fields, for one that is nearly a field's name, and for one that asks for a format."""
    if len(unknown) > MAX_UNKNOWN:
        raise ApiError(f"The request has {len(unknown)} unknown fields, at most {MAX_UNKNOWN} are ignored; leave them out.")
    known = [name for name in fields if len(name) >= MIN_NAME]
    for name in unknown:
        if name in FORMAT_FIELDS:
            raise ApiError(f"{name} is not supported by this model, which writes plain text; leave it out.", param=name,
                           code="unsupported_parameter")
        if similar := difflib.get_close_matches(name[:MAX_NAME], known, 1, SIMILARITY):
            sentence = f"Unrecognized request argument supplied: {shorten(name)}; write {similar[0]}, or leave it out."
            raise ApiError(sentence, param=shorten(name))


def _read_json(content: bytes) -> Body:
    if sum(content.count(sign) for sign in (b",", b"{", b"[")) > MAX_SIGNS:
        raise ApiError("The body of the request has too many parts to be read; send fewer and shorter messages.")
    try:
        body = json.loads(content, parse_constant=_reject_constant)
    except RecursionError as error:
        raise ApiError("The body of the request is nested too deeply to be read; send a flatter one.") from error
    except ValueError as error:  # also a number of thousands of digits
        raise ApiError("The body of the request could not be read as JSON; send one JSON object in UTF-8.") from error
    if not isinstance(body, dict):
        raise ApiError(f"The body of the request is {_json_type(body)}; send one JSON object.")
    return body


def _reject_constant(name: str) -> None:
    """NaN and Infinity are no JSON. A number that is too large for a float, such as 1e999, is left to the field's type."""
    raise ApiError(f"The body of the request holds {name}, which is no number of JSON; send a finite number.")


def _merge_extra_body(body: Body) -> Body:
    """The fields that are set: null counts as unset, and fields of `extra_body` as fields of the body."""
    extra = body.get("extra_body")
    if extra is not None and not isinstance(extra, dict):
        raise ApiError(f"extra_body is {_json_type(extra)}; send an object.", param="extra_body")
    return {name: value for name, value in (body | (extra or {})).items() if value is not None and name != "extra_body"}


# -- errors -------------------------------------------------------------------------------------------------------------


def _to_api_error(errors: Sequence[ErrorDetails]) -> ApiError:
    """Error response for the first error."""
    error = errors[0]
    path, kind = _path(error["loc"]), error["type"]
    if kind == "invalid":
        details = error["ctx"]
        sentence, param = (_fill(details[name], path) for name in ("sentence", "param"))
        return ApiError(sentence, param=param, code=details["code"])
    if path == "messages":
        return ApiError(_messages_sentence(error), param=path)
    sentence, param = _field_sentence(path, error["input"], kind)
    return ApiError(sentence, param=param)


def _field_sentence(path: str, value: object, kind: str) -> tuple[str, str]:
    """(sentence, path of the field) of an error that pydantic found."""
    name = path.rpartition(".")[2]
    if name == "id":
        return f"{path.removesuffix('.id')} has no id; give the id that came with the answer.", path
    if name == "role":
        return f"{path} is none of {', '.join(ROLES)}; use one of these.", path
    if name == "format":
        return f"{path} is none of {', '.join(get_args(AudioFormat))}; choose one of these.", path
    if kind == "union_tag_not_found" and isinstance(value, dict):
        types = ", ".join(name for name in PART_TYPES if name != "refusal")
        return f"{path}.type is none of {types}; use one of these.", f"{path}.type"
    expected = "a string or a list of parts" if name == "content" else EXPECTED.get(kind, "an object")
    return f"{path} is {_json_type(value)}; send {expected}.", path


def _messages_sentence(error: ErrorDetails) -> str:
    if error["type"] == "too_long":
        return f"There are {error['ctx']['actual_length']} messages, at most {MAX_MESSAGES} are taken; send the last ones."
    return "messages must be a list with at least one message; send [{'role': 'user', 'content': '...'}]."


def _path(location: tuple[int | str, ...]) -> str:
    """Path of a field, such as "messages[0].content[1].text", without the names of a union's members."""
    path = ""
    for index, name in enumerate(location):
        if isinstance(name, int):
            path += f"[{name}]"
        elif not _is_union_member(location, index):
            path += f".{name}" if path else name
    return path.removeprefix("stream_options.")


def _is_union_member(location: tuple[int | str, ...], index: int) -> bool:
    after_part = index >= 2 and isinstance(location[index - 1], int) and location[index - 2] == "content"
    return after_part and index < len(location) - 1  # a text part's name is its field's, too


def _fill(template: str, path: str) -> str:
    return template.replace("{path}", path).replace("{parent}", path.rpartition(".")[0])


def _json_type(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "null")
