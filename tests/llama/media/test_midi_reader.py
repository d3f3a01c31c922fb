"""MIDI files of strangers: what can be read is read rightly, everything else is refused in one sentence."""

from __future__ import annotations

import random
import struct

import pytest

from llama.media.midi_reader import MAX_CHANGES, MAX_MIDI_BYTES, MAX_NOTES, beats_a_minute, read_midi
from llama.media.raw_score import RawKey, RawNote, RawPart
from llama.media.score_file import score_from_bytes

END = b"\x00\xff\x2f\x00"
NOTE = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x00"  # C4, a quarter note of 480 ticks


def track(events: bytes, size: int | None = None) -> bytes:
    return b"MTrk" + struct.pack(">I", len(events) if size is None else size) + events


def midi(*tracks: bytes, file_type: int = 1, division: int = 480, count: int | None = None) -> bytes:
    return b"MThd" + struct.pack(">IHHH", 6, file_type, len(tracks) if count is None else count, division) + b"".join(tracks)


def notes(data: bytes) -> list[tuple[float, float, int, int]]:
    return [(note.start, note.length, note.pitch, note.velocity) for note in read_midi(data, "song.mid").notes]


ONE = [(0.0, 1.0, 60, 64)]
READ = {
    "one note": (midi(track(NOTE + END)), ONE),
    "running status": (midi(track(b"\x00\x90\x3c\x40\x83\x60\x3c\x00\x00\x3e\x50\x83\x60\x3e\x00" + END)), [*ONE, (1.0, 1.0, 62, 80)]),
    "running status beyond a meta event": (midi(track(b"\x00\x90\x3c\x40\x00\xff\x01\x01a\x83\x60\x3c\x00" + END)), ONE),
    "no end of track": (midi(track(NOTE)), ONE),
    "events after the end of the track": (midi(track(NOTE + END + NOTE)), ONE),
    "a count of tracks that lies": (midi(track(NOTE + END), count=9), ONE),
    "unknown chunks and padding": (midi(b"XFIH\x00\x00\x00\x04abcd", track(NOTE + END), bytes(13)), ONE),
    "a longer header": (b"MThd" + struct.pack(">IHHHH", 8, 0, 1, 480, 7) + track(NOTE + END), ONE),
    "sysex and system messages": (midi(track(b"\x00\xf0\x03\x01\x02\xf7\x00\xf8\x00\xf2\x01\x02\x00\xf3\x01" + NOTE + END)), ONE),
    "program and pressure": (midi(track(b"\x00\xc0\x05\x00\xd0\x07\x00\xe0\x00\x40\x00\xb0\x40\x7f" + NOTE + END)), ONE),
    "a note of no length": (midi(track(b"\x00\x90\x3c\x40\x00\x3c\x00" + END)), [(0.0, 1 / 480, 60, 64)]),
    "an end before its begin": (midi(track(b"\x00\x80\x3c\x00\x00\x90\x3c\x40\x83\x60\x3e\x40\x83\x60\x3e\x00" + END)),
                                [(0.0, 1 / 480, 60, 64), (1.0, 1.0, 62, 64)]),
    "overlapping notes of a pitch": (midi(track(b"\x00\x90\x3c\x40\x83\x60\x3c\x50\x83\x60\x3c\x00\x83\x60\x3c\x00" + END)),
                                     [(0.0, 2.0, 60, 64), (1.0, 2.0, 60, 80)]),
    "notes that never end": (midi(track(b"\x00\x90\x3c\x40\x83\x60\x3c\x50\x83\x60\xff\x2f\x00")),
                             [(0.0, 1.0, 60, 64), (1.0, 1.0, 60, 80)]),
    "one end for two notes": (midi(track(b"\x00\x90\x3c\x40\x83\x60\x3c\x50\x83\x60\x3c\x00" + END)),
                              [(0.0, 2.0, 60, 64), (1.0, 1.0, 60, 80)]),
    "a tempo of zero": (midi(track(b"\x00\xff\x51\x03\x00\x00\x00" + NOTE + END)), ONE),
    "a key that is none": (midi(track(b"\x00\xff\x59\x02\x80\x01" + NOTE + END)), ONE),
    "a metre that is none": (midi(track(b"\x00\xff\x58\x04\x00\x02\x18\x08\x00\xff\x58\x04\x04\xff\x18\x08" + NOTE + END)), ONE),
    "division of one": (midi(track(b"\x00\x90\x3c\x40\x01\x3c\x00" + END), division=1), ONE),
    "within RIFF": (b"RIFF" + struct.pack("<I", 40) + b"RMIDLIST" + struct.pack("<I", 3) + b"abc\x00data"
                    + struct.pack("<I", len(midi(track(NOTE + END)))) + midi(track(NOTE + END)), ONE),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_odd_files_are_read_rightly(name: str) -> None:
    data, wanted = READ[name]
    assert notes(data) == wanted
    score_from_bytes(data, "song.mid")


REFUSED = {
    "empty": (b"", "no standard MIDI file"), "a word": (b"MThd", "no standard MIDI file"), "text": (b"to be or not to be", "no standard"),
    "no track": (midi(), "has no track"), "SMPTE": (midi(track(NOTE), division=0xE728), "without beats"),
    "no division": (midi(track(NOTE), division=0), "without beats"), "several songs": (midi(track(NOTE), file_type=2), "several songs"),
    "unknown type": (midi(track(NOTE), file_type=7), "type 7"), "RIFF without data": (b"RIFF\x04\x00\x00\x00RMID", "RIFF file without"),
    "a long length that lies": (midi(track(NOTE + END, 1000)), "cut short"), "four gigabytes": (midi(track(NOTE, 0xFFFFFFFF)), "cut short"),
    "a short length that lies": (midi(track(NOTE + END, 6)), "ends within an event"), "cut": (midi(track(NOTE + END))[:-9], "cut short"),
    "a meta event that lies": (midi(track(b"\x00\xff\x01\x7fab")), "ends within an event"),
    "five bytes of delta": (midi(track(b"\xff\xff\xff\xff\x7f" + NOTE)), "more than four bytes"),
    "data without a status": (midi(track(b"\x00\x3c\x40")), "no event"),
    "a pitch above 127": (midi(track(b"\x00\x90\x8c\x40")), "no event"),
    "no notes": (midi(track(END)), "no notes"), "nine years": (midi(track((b"\xff\xff\xff\x7f" + NOTE[1:]) * 2)), "lasts .* seconds"),
    "too many bytes": (midi(track(bytes(MAX_MIDI_BYTES))), "bytes that a MIDI file may have"),
    "too many notes": (midi(track(b"\x00\x90\x3c\x40" + b"\x00\x3c\x40" * MAX_NOTES)), "more than 50000 notes"),
    "too many tempi": (midi(track(b"\x00\xff\x51\x03\x07\xa1\x20" * (MAX_CHANGES + 1) + NOTE)), "more than 20000 times"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_sentence(name: str) -> None:
    data, words = REFUSED[name]
    with pytest.raises(ValueError, match=words) as caught:
        score_from_bytes(data, "song.mid")
    text = str(caught.value)
    assert text.startswith("song.mid ") and text.endswith(".") and "\n" not in text and len(text) < 200


def test_floods_of_what_makes_no_note_are_read() -> None:
    """Tracks, ends of notes, programs, messages: they take no memory, and there may be as many as fit into a file."""
    assert notes(midi(*[track(END)] * 5000, track(NOTE))) == ONE
    flood = b"\x00\x90\x3c\x00" + b"\x00\x3c\x00" * 20_000 + b"\x00\xf0\x01\xf7" * 5000 + b"\x00\xc0\x05" * 5000
    assert notes(midi(track(NOTE + flood))) == ONE
    marked = read_midi(midi(track(b"\x00\xff\x06\x02Am" * 5000 + NOTE)), "song.mid")
    assert len(marked.chords) == 1000


def test_parts_texts_and_keys() -> None:
    conductor = track(b"\x00\xff\x03\x04\xff\xfe\x1bX\x00\xff\x59\x02\xfd\x01\x00\xff\x01\x02Hi\x00\xff\x06\x01A" + END)
    flute = track(b"\x00\xff\x03\x05Flute\x00\xc3\x49\x00\x93\x3c\x40\x83\x60\x83\x3c\x00" + END)
    drums = track(b"\x00\x99\x24\x40\x10\x89\x24\x00" + END)
    raw = read_midi(midi(conductor, flute, drums), "song.mid")
    assert raw.parts == (RawPart("Flute", 73), RawPart("", 0, is_drum=True)) and raw.keys == (RawKey(0.0, -3, "minor"),)
    assert raw.notes[1] == RawNote(1, 0.0, 16 / 480, 36, 64)
    assert raw.texts == ("\u00ff\u00fe X", "Hi") and [mark.text for mark in raw.markers] == ["A"] and not raw.chords


def test_channels_are_parts_where_there_is_one_track_for_all() -> None:
    both = track(b"\x00\x90\x3c\x40\x00\x91\x40\x40\x83\x60\x80\x3c\x00\x00\x81\x40\x00" + END)
    assert len(read_midi(midi(both, file_type=0), "song.mid").parts) == 2
    assert len(read_midi(midi(both), "song.mid").parts) == 1  # a track of a file of several tracks is a part


@pytest.mark.parametrize(("microseconds", "tempo"), [(500_000, 120), (461_538, 130), (461_539, 130), (511_335, 117.34), (600_150, 99.975)])
def test_tempi_are_the_numbers_that_were_meant(microseconds: int, tempo: float) -> None:
    assert beats_a_minute(microseconds) == tempo


def test_damaged_files_end_in_a_score_or_one_sentence() -> None:
    rng = random.Random(3)
    files = [data for data, _ in READ.values()]
    tracks = [data[22:] for data in files if data[14:18] == b"MTrk"]
    outcomes = {"read": 0, "refused": 0}
    for case in range(1200):
        data = damaged(rng, files) if case % 2 else midi(track(damaged(rng, tracks)))
        try:
            score_from_bytes(data, "song.mid")
            outcomes["read"] += 1
        except ValueError as error:
            assert str(error).startswith("song.mid ") and "\n" not in str(error) and len(str(error)) < 200
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100, outcomes


def damaged(rng: random.Random, originals: list[bytes]) -> bytes:
    """One of the originals with up to four places changed, left out, or filled with bytes or a piece of another."""
    data = bytearray(rng.choice(originals))
    for _ in range(rng.randint(1, 4)):
        place, change = rng.randrange(len(data) + 1), rng.randrange(4)
        if change == 0:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif change == 1:
            data[place : place + rng.randrange(1, 6)] = b""
        elif change == 2:
            data[place:place] = bytes(rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256))) for _ in range(rng.randrange(1, 6)))
        else:
            data[place:place] = rng.choice(originals)[: rng.randrange(60)]
    return bytes(data)
