"""A request of a client, checked field by field: what is unknown, unsupported or of the wrong kind is refused by name.

Fields that change nothing here are taken and ignored; fields that would change the answer and cannot are refused, unless
they ask for what is done anyway.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from demo.api.protocol import ApiError, AudioFormat, ChatRequest, MediaPart, Message, Role, unknown_model
from demo.service.request import Settings

FORMATS: tuple[AudioFormat, ...] = ("wav", "flac", "mp3", "pcm16")
STREAMED: tuple[AudioFormat, ...] = ("pcm16", "wav")  # whose beginning can be sent before the end is known
MAX_MEDIA = 16  # in one request
MAX_MESSAGES = 1000
MAX_TEXT = 200_000  # characters of all messages; the model reads far fewer
MAX_SIGNS = 400_000  # commas and opening brackets: each may become an object twenty times as large as what was sent
MAX_NUMBER = 2**63
USED = {"messages", "model", "modalities", "audio", "stream", "stream_options", "seed", "temperature", "top_p", "max_tokens",
        "max_completion_tokens", "n", "user", "safety_identifier", "seconds", "guidance", "conditioning", "score", "extra_body"}
IGNORED = {"metadata", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls",
           "reasoning_effort", "verbosity"}
NEUTRAL: Mapping[str, Sequence[Any]] = {  # the values of an unsupported field that ask for nothing
    "frequency_penalty": (0,), "presence_penalty": (0,), "logprobs": (False,), "top_logprobs": (0,), "logit_bias": ({},),
    "response_format": ({"type": "text"},), "tools": ([],), "tool_choice": ("none", "auto"), "functions": ([],),
    "function_call": ("none", "auto"), "stop": ([],), "prediction": (), "web_search_options": (),
}
ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
PARTS = {"input_audio": "audio", "image_url": "image", "video_url": "video"}
Body = dict[str, Any]


def parse_request(content: bytes, model: str) -> ChatRequest:
    """The request in a body. Raises `ApiError`; `model` is the only name there is."""
    body = _fields(_json(content))
    if body.get("model", model) != model:
        raise unknown_model(str(body["model"]), model)
    stream, sound = _flag(body, "stream"), _sound(body)
    if stream and sound is not None and sound not in STREAMED:
        raise ApiError(f"audio.format {sound!r} cannot be streamed; use 'pcm16' or 'wav', or leave out stream.", param="audio.format")
    return ChatRequest(_messages(body), _settings(body, sound is not None), sound, _flag(body, "score"), stream, _usage(body, stream),
                  str(body.get("user") or body.get("safety_identifier") or ""))


def _json(content: bytes) -> Body:
    if sum(content.count(sign) for sign in (b",", b"{", b"[")) > MAX_SIGNS:
        raise ApiError("The body of the request has too many parts to be read; send fewer and shorter messages.")
    try:
        body = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError("The body of the request could not be read as JSON; send one JSON object in UTF-8.") from error
    if not isinstance(body, dict):
        raise ApiError(f"The body of the request is {_kind(body)}; send one JSON object.")
    return body


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _fields(body: Body) -> Body:
    """The fields that are given (null is not); those inside `extra_body` count as fields, as clients send them."""
    extra = body.pop("extra_body", None)
    if extra is not None:
        body |= _object(extra, "extra_body")
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if name in NEUTRAL:
            if value not in NEUTRAL[name]:
                raise ApiError(f"{name} is not supported by this model; leave it out.", param=name, code="unsupported_parameter")
        elif name not in USED | IGNORED:
            raise ApiError(f"Unrecognized request argument supplied: {name[:100]}; leave it out.", param=name[:100])
    return given


# -- settings -----------------------------------------------------------------------------------------------------------


def _settings(body: Body, music: bool) -> Settings:
    """The ranges are checked where the settings are used; here it is numbers that are numbers."""
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise ApiError("max_tokens and max_completion_tokens are one setting; give one of them.", param="max_tokens")
    limit = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
    try:
        return Settings(seconds=_number(body, "seconds"), temperature=_number(body, "temperature"), top_p=_number(body, "top_p"),
                        guidance=_number(body, "guidance"), seed=_whole(body, "seed"), takes=_whole({"n": 1} | body, "n"),
                        max_tokens=_whole(body, limit), conditioning=_text(body, "conditioning"), music=music)
    except ValueError as error:
        raise ApiError(str(error).replace("takes", "n"), param="n") from error


def _usage(body: Body, stream: bool) -> bool:
    options = _object(body.get("stream_options", {}), "stream_options")
    if options and not stream:
        raise ApiError("stream_options are for answers that stream; set stream to true or leave them out.", param="stream_options")
    return _flag(options, "include_usage")


def _sound(body: Body) -> AudioFormat | None:
    """The format of the music; None where only words are wanted, which is so unless audio is asked for."""
    wanted = body.get("modalities", ["text", "audio"] if "audio" in body else ["text"])
    if wanted not in (["text"], ["text", "audio"], ["audio", "text"]):
        raise ApiError("modalities are not known; use ['text'] or ['text', 'audio'].", param="modalities")
    if "audio" not in wanted:
        return None
    name = _object(body.get("audio", {}), "audio").get("format", "wav")
    for known in FORMATS:
        if name == known:
            return known
    raise ApiError(f"audio.format is none of {', '.join(FORMATS)}; choose one of these.", param="audio.format")


# -- messages -----------------------------------------------------------------------------------------------------------


def _messages(body: Body) -> tuple[Message, ...]:
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise ApiError("messages must be a list with at least one message; send [{'role': 'user', 'content': '...'}].", param="messages")
    if len(given) > MAX_MESSAGES:
        raise ApiError(f"There are {len(given)} messages, at most {MAX_MESSAGES} are taken; send the last ones.", param="messages")
    messages = tuple(_message(one, f"messages[{index}]") for index, one in enumerate(given))
    written = sum(len(message.text) for message in messages)
    if written > MAX_TEXT:
        raise ApiError(f"The messages have {written} characters, at most {MAX_TEXT} are taken; shorten them.", param="messages")
    if messages[-1].role != "user":
        raise ApiError("The last message is not the user's, so there is nothing to answer; end with role 'user'.", param="messages")
    if sum(len(message.media) for message in messages) > MAX_MEDIA:
        raise ApiError(f"The messages hold more than {MAX_MEDIA} files; send fewer.", param="messages")
    return messages


def _message(given: Any, where: str) -> Message:
    message = _object(given, where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise ApiError(f"{where}.role is none of {', '.join(ROLES)}; use one of these.", param=f"{where}.role")
    if message.get("tool_calls") or message.get("function_call"):
        raise ApiError(f"{where} calls a tool, and this model has none; leave it out.", param=where, code="unsupported_parameter")
    text, media = _content(message.get("content"), f"{where}.content")
    if media and ROLES[role] != "user":
        raise ApiError(f"{where} is no message of the user's and holds a file; send files with role 'user'.", param=f"{where}.content")
    return Message(ROLES[role], text, media, _spoken(message, ROLES[role], where))


def _spoken(message: Body, role: Role, where: str) -> str | None:
    """The id of the piece that an earlier answer gave."""
    audio = message.get("audio")
    if audio is None or role != "assistant":
        return None
    name = _object(audio, f"{where}.audio").get("id")
    if not isinstance(name, str) or not name:
        raise ApiError(f"{where}.audio has no id; give the id that came with the answer.", param=f"{where}.audio.id")
    return name


def _content(content: Any, where: str) -> tuple[str, tuple[MediaPart, ...]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    if not isinstance(content, list):
        raise ApiError(f"{where} is {_kind(content)}; send a string or a list of parts.", param=where)
    texts: list[str] = []
    media: list[MediaPart] = []
    for index, part in enumerate(content):
        place = f"{where}[{index}]"
        part = _object(part, place)
        if part.get("type") in ("text", "refusal"):
            texts.append(_string(part.get(part["type"]), f"{place}.{part['type']}"))
        else:
            media.append(_medium(part, place))
    return "\n".join(texts), tuple(media)


def _medium(part: Body, where: str) -> MediaPart:
    kind = part.get("type")
    if kind == "input_audio":
        value = _object(part.get("input_audio"), f"{where}.input_audio")
        return MediaPart("audio", _decoded(_string(value.get("data"), f"{where}.input_audio.data"), f"{where}.input_audio.data"), where)
    if kind in ("image_url", "video_url"):
        value = part.get(kind)
        url = _string(value if isinstance(value, str) else _object(value, f"{where}.{kind}").get("url"), f"{where}.{kind}.url")
        return MediaPart("image" if kind == "image_url" else "video", _from_url(url, f"{where}.{kind}.url"), where)
    raise ApiError(f"{where}.type is none of text, {', '.join(PARTS)}; use one of these.", param=f"{where}.type")


def _from_url(url: str, where: str) -> bytes:
    head, comma, data = url.partition(",")
    if head[:5].lower() != "data:":
        raise ApiError(f"{where} is an address, and this server fetches nothing; send the file itself as 'data:TYPE;base64,...'.",
                       param=where, code="unsupported_url")
    if not comma or not head.lower().endswith(";base64"):
        raise ApiError(f"{where} is not in base64; send the file as 'data:TYPE;base64,...'.", param=where)
    return _decoded(data, where)


def _decoded(data: str, where: str) -> bytes:
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(f"{where} is not base64; encode the bytes of the file, without line breaks.", param=where) from error
    if not content:
        raise ApiError(f"{where} holds no bytes; send the file.", param=where)
    return content


# -- kinds of values ----------------------------------------------------------------------------------------------------


def _kind(value: Any) -> str:
    return {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}.get(
        type(value), "null")


def _wrong(value: Any, name: str, wanted: str) -> ApiError:
    return ApiError(f"{name} is {_kind(value)}; send {wanted}.", param=name)


def _object(value: Any, name: str) -> Body:
    if not isinstance(value, dict):
        raise _wrong(value, name, "an object")
    return value


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, name, "a string")
    return value


def _flag(body: Body, name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise _wrong(value, name, "true or false")
    return value


def _text(body: Body, name: str) -> str | None:
    return _string(body[name], name) if name in body else None


def _number(body: Body, name: str) -> float | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise _wrong(value, name, "a number")
    if value is not None and abs(value) > MAX_NUMBER:  # no float could hold some of them
        raise ApiError(f"{name} is out of range; give a smaller number.", param=name)
    return value


def _whole(body: Body, name: str) -> int | None:
    value = _number(body, name)
    if value is not None and not isinstance(value, int):
        raise ApiError(f"{name} is not a whole number; send one.", param=name)
    return value
