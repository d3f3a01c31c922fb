"""Chunks of standard MIDI files: the header and the tracks, also within a RIFF file. Errors are sentences that name the file."""

from __future__ import annotations

from collections.abc import Iterator


def unwrap(data: bytes, name: str) -> bytes:
    """The MIDI file within a RIFF file of type RMID; any other file as it is."""
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"data":
            return data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    raise ValueError(f"{name} is a RIFF file without MIDI data; export it as a MIDI file of type 1.")


def read_chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk. Bytes after the last one that are no chunk, such as padding, are left out."""
    position = 0
    while position + 8 <= len(data):
        kind, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "big")
        position += 8
        if position + size > len(data):
            if kind not in (b"MThd", b"MTrk"):
                return
            raise ValueError(f"{name} is cut short: a chunk of {size} bytes has only {len(data) - position}; copy or export it again.")
        yield kind, data[position : position + size]
        position += size


def read_header(header: tuple[bytes, bytes], name: str) -> tuple[int, int]:
    """Type of the file and ticks of a quarter note, from the kind and the content of the header chunk."""
    kind, content = header
    if kind != b"MThd" or len(content) < 6:
        raise ValueError(f"{name} is damaged or no standard MIDI file; export it again.")
    file_type, _, division = (int.from_bytes(content[index : index + 2], "big") for index in (0, 2, 4))
    if file_type > 2:
        raise ValueError(f"{name} is a MIDI file of type {file_type}, which is not known; export it as one of type 1.")
    if file_type == 2 or division >= 0x8000 or division == 0:
        raise ValueError(f"{name} counts time without beats, or holds several songs; export it as a MIDI file of type 1.")
    return file_type, division
