"""Types of the API's fields: numbers, base64, and values of unsupported fields that ask for nothing.

Validators raise `invalid(...)`, an error with a whole sentence. Each type has the JSON schema of what it takes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from llama.errors import shorten

Body = dict[str, Any]  # a JSON object

REQUIRED = "x-required"  # mark of a required field in its JSON schema, until `messages.Model` has read it
MAX_NUMBER = 2**63
MAX_TEMPERATURE = 2  # as in OpenAI's API; beyond it the answers are random words
BASE64_FORMS = {**str.maketrans("-_", "+/"), **dict.fromkeys(map(ord, " \t\r\n"))}  # the alphabet of URLs, and line breaks


def invalid(sentence: str, param: str = "{path}", code: str | None = None) -> PydanticCustomError:
    """Error of a validator. In sentence and param, "{path}" stands for the path of the validated value."""
    return PydanticCustomError("invalid", "invalid value", {"sentence": sentence, "param": param, "code": code})


def required() -> Any:
    """Default of a required field: a missing one reads as null, which its type rejects. Any, as pydantic's `Field` returns."""
    return Field(default=None, json_schema_extra={REQUIRED: True})


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticKnownError("float_type")
    if abs(value) > MAX_NUMBER:  # an integer of JSON may be too large for any float
        raise invalid("{path} is out of range; give a number from -2^63 to 2^63.")
    return value


def _integer(value: object) -> int:
    number = _number(value)
    if number != int(number):
        raise invalid("{path} is not a whole number; send one.")
    return int(number)


def _temperature(value: int | float) -> int | float:
    if not 0 <= value <= MAX_TEMPERATURE:
        raise invalid(f"{{path}} {shorten(value)} is out of range; give a number from 0 to {MAX_TEMPERATURE}.")
    return value


def _stop_strings(value: object) -> object:
    strings = (value,) if isinstance(value, str) else value
    if not isinstance(strings, list | tuple) or not all(isinstance(string, str) for string in strings):
        raise invalid("{path} is neither a string nor a list of strings; send one of these.")
    return tuple(strings)


def _text_format(value: object) -> object:
    name = value.get("type") if isinstance(value, dict) else value
    if name != "text":
        raise invalid(f"{{path}} '{shorten(name)}' is not supported by this model, which writes plain text; leave it out.",
                      code="unsupported_parameter")  # fmt: skip
    return value


def _neutral(*values: object) -> Callable[[object], object]:
    """Validator of a field that this model does not support: `values` ask for nothing."""

    def check(value: object) -> object:
        if value not in values:
            raise invalid("{path} is not supported by this model; leave it out.", code="unsupported_parameter")
        return value

    return check


# -- files --------------------------------------------------------------------------------------------------------------


def _decode_base64(value: object) -> bytes:
    """Bytes of a base64 text: also with line breaks, in the alphabet of URLs, or without its padding."""
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    try:
        content = _strict_base64(value)
    except ValueError as error:
        raise invalid("{path} is not base64; send the bytes of the file in base64.") from error
    if not content:
        raise invalid("{path} holds no bytes; send the file.")
    return content


def _strict_base64(text: str) -> bytes:
    """Raises ValueError for a text that is no base64 of any kind."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        text = text.translate(BASE64_FORMS).rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _decode_data_url(value: object) -> bytes:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    header, comma, data = value.partition(",")
    if not _is_data_url(value):
        sentence = "{path} is an address, and this server fetches nothing; send the file itself as 'data:TYPE;base64,...'."
        raise invalid(sentence, code="unsupported_url")
    if not comma or not header.rstrip().lower().endswith(";base64"):
        raise invalid("{path} is not in base64; send the file as 'data:TYPE;base64,...'.")
    return _decode_base64(unquote(data) if "%" in data else data)


def _decode_audio_data(value: object) -> bytes:
    return _decode_data_url(value) if isinstance(value, str) and _is_data_url(value) else _decode_base64(value)


def _is_data_url(value: str) -> bool:
    return value[:5].lower() == "data:"


def _schema(**fields: Any) -> WithJsonSchema:
    return WithJsonSchema(fields)


Number = Annotated[int | float, BeforeValidator(_number), _schema(type="number")]
Integer = Annotated[int, BeforeValidator(_integer), _schema(type="integer")]
Temperature = Annotated[
    int | float, BeforeValidator(_number), AfterValidator(_temperature), _schema(type="number", minimum=0, maximum=MAX_TEMPERATURE)
]
StopStrings = Annotated[
    tuple[str, ...], BeforeValidator(_stop_strings), _schema(anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}])
]
TextFormat = Annotated[Any, AfterValidator(_text_format), _schema(type="object", properties={"type": {"const": "text"}}, required=["type"])]
Zero = Annotated[Any, AfterValidator(_neutral(0)), _schema(const=0)]
FalseOnly = Annotated[Any, AfterValidator(_neutral(False)), _schema(const=False)]
EmptyObject = Annotated[Any, AfterValidator(_neutral({})), _schema(type="object", maxProperties=0)]
Nothing = Annotated[Any, AfterValidator(_neutral()), _schema(type="null")]
NoChoice = Annotated[Any, AfterValidator(_neutral("none", "auto")), _schema(enum=["none", "auto"])]
Ignored = Annotated[Any, _schema()]
AudioData = Annotated[bytes, BeforeValidator(_decode_audio_data), _schema(type="string", contentEncoding="base64")]
DataUrlContent = Annotated[bytes, BeforeValidator(_decode_data_url), _schema(type="string", pattern="^data:.*;base64,")]
