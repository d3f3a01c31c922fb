"""Seeded damage to a file: what disks, networks, editors and strangers do to its bytes, and to the values of a JSON file."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

HEADER = 256  # bytes in which most fields lie
MAX_BYTES = 1 << 20  # of a damaged file
INTEGERS = (0, 1, 2, 7, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
NUMBERS = (0, 1, -1, 3, 7, 2**31, -(2**63), 10**10, 10**30, 1e308, 0.5, -0.0, float("nan"), float("inf"))
VALUES = (*NUMBERS, None, True, "", "x", "\ud800", "\x1b[31m\n", "é" * 300, "../../etc/passwd", [], {}, [[]], {"a": None}, 10**5000)

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def _span(rng: random.Random, content: bytes, longest: int = 4096) -> tuple[int, int]:
    """A random range of the content, mostly short."""
    begin = rng.randrange(len(content))
    return begin, min(len(content), begin + int(2 ** rng.uniform(0, longest.bit_length() - 1)))


def flip_bits(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    out = bytearray(content)
    for _ in range(int(2 ** rng.uniform(0, 6))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def set_bytes(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    begin, end = _span(rng, content, 64)
    return content[:begin] + rng.randbytes(end - begin) + content[end:]


def set_field(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A number of 1, 2, 4 or 8 bytes in either order, mostly in the header."""
    kind, size = rng.choice((("B", 1), ("H", 2), ("I", 4), ("Q", 8)))
    at = rng.randrange(min(len(content), HEADER if rng.random() < 0.7 else len(content)))
    value = rng.choice(INTEGERS) % (1 << 8 * size)
    return (content[:at] + struct.pack(rng.choice("<>") + kind, value) + content[at + size :])[: max(len(content), 1)]


def truncate(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return content[: rng.randrange(len(content))]


def extend(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    return content + rng.randbytes(int(2 ** rng.uniform(0, 12)))


def zero_block(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    begin, end = _span(rng, content)
    return content[:begin] + bytes(end - begin) + content[end:]


def remove_block(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    begin, end = _span(rng, content)
    return content[:begin] + content[end:]


def repeat_block(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    begin, end = _span(rng, content)
    return content[:end] + content[begin:end] * rng.choice((1, 1, 2, 50)) + content[end:]


def splice(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """The beginning of one file and the end of another."""
    other = rng.choice(others)
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


def insert_other(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A block of another file in the middle."""
    other = rng.choice(others)
    begin, end = _span(rng, other)
    at = rng.randrange(len(content))
    return content[:at] + other[begin:end] + content[at:]


# -- text ---------------------------------------------------------------------------------------------------------------


def replace_number(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A number of the text becomes another value."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?(e-?\d+)?", content))
    if not numbers:
        return flip_bits(rng, content, others)
    match, value = rng.choice(numbers), rng.choice(VALUES)
    text = "9" * 5000 if isinstance(value, int) and value > 10**30 else json.dumps(value)
    return content[: match.start()] + text.encode("utf-8", "surrogatepass") + content[match.end() :]


def nest(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + rng.choice((b"[", b'{"a":', b"- ", b"a: [")) * rng.choice((50, 2_000, 100_000)) + content[at:]


def change_value(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A value of a JSON file becomes another, a key is lost, or the value of another key."""
    try:
        data = json.loads(content)
        places = list(_places(data))
    except (ValueError, RecursionError):  # YAML, or damaged before
        return replace_number(rng, content, others)
    if not places:
        return json.dumps(rng.choice(VALUES[:-1])).encode()
    for _ in range(rng.choice((1, 1, 1, 3))):
        owner, key = rng.choice(places)
        if rng.random() < 0.15 and isinstance(owner, dict):
            owner.pop(key, None)
        else:
            owner[key] = rng.choice(VALUES[:-1])
    return json.dumps(data).encode("utf-8", "surrogatepass")


def _places(data: Any) -> list[tuple[Any, Any]]:
    """(object or list, key) of every value."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in items for place in ((data, key), *_places(value))]


BINARY: tuple[Mutation, ...] = (
    flip_bits, flip_bits, set_bytes, set_field, set_field, set_field, truncate, extend, zero_block, remove_block, repeat_block, splice,
    insert_other,
)  # fmt: skip
TEXT: tuple[Mutation, ...] = (
    change_value, change_value, change_value, replace_number, replace_number, nest, flip_bits, truncate, remove_block, repeat_block, splice,
)  # fmt: skip


def damage(rng: random.Random, content: bytes, others: Sequence[bytes], text: bool) -> tuple[bytes, list[str]]:
    """The content after one to four mutations, and their names. others: files of which blocks may be taken."""
    names: list[str] = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        mutation = rng.choice(TEXT if text else BINARY)
        content = (mutation(rng, content, others) or b"\0")[:MAX_BYTES]
        names.append(mutation.__name__)
    return content, names
