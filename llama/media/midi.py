"""Standard MIDI files of scores, to continue a piece in a notation program or sequencer, and the notes of any such file.

Uses mido, a maintained library of messages and ticks in pure Python, which pretty_midi builds on.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mido

from llama.errors import PATH_LENGTH, shorten
from llama.files import atomic_path
from llama.media.containers import existing_file
from llama.media.score import KEYS, TRACKS, Attributes, Score

TICKS = 480  # a beat: eighths, and the thirds that swing makes of a beat, are whole numbers of them
MAX_MIDI_BYTES = 5_000_000  # of a file that is read; long orchestral pieces have a tenth
DEFAULT_TEMPO = 500_000  # microseconds a beat, where a file states none
CHANNELS = {"lead": 0, "accompaniment": 1, "bass": 2, "drums": 9}  # the tenth is percussion in General MIDI


def to_midi(score: Score, seconds: float | None = None) -> bytes:
    """A MIDI file of type 1: a track with tempo, metre and key, then one per voice. It lasts `seconds`, by default the score's."""
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    end = _ticks(score, score.seconds if seconds is None else seconds)
    file.tracks.append(_conductor_track(score.attributes, end))
    file.tracks += [_voice_track(score, name, end) for name in TRACKS if score.track(name)]
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def write_midi(score: Score, path: str | Path, seconds: float | None = None) -> None:
    """Writes `to_midi` to a file atomically."""
    with atomic_path(path) as partial:
        partial.write_bytes(to_midi(score, seconds))


def _ticks(score: Score, second: float) -> int:
    return round(second * score.attributes.tempo / 60 * TICKS)


def _conductor_track(attributes: Attributes, end: int) -> mido.MidiTrack:
    key = KEYS[attributes.key].replace(" sharp", "#").replace(" flat", "b") + ("m" if attributes.mode == "minor" else "")
    name = f"{attributes.style} in {KEYS[attributes.key]} {attributes.mode}"
    return mido.MidiTrack(
        [
            mido.MetaMessage("track_name", name=name),
            mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(attributes.tempo)),
            mido.MetaMessage("time_signature", numerator=attributes.metre, denominator=4),
            mido.MetaMessage("key_signature", key=key),
            mido.MetaMessage("end_of_track", time=end),
        ]
    )


def _voice_track(score: Score, name: str, end: int) -> mido.MidiTrack:
    channel, instrument = CHANNELS[name], getattr(score.attributes, name, name)
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=instrument if isinstance(instrument, str) else name)])
    if name != "drums":
        track.append(mido.Message("program_change", channel=channel, program=score.programs[name]))
    events = []
    for note in score.track(name):
        first = _ticks(score, note.start)
        last = max(first + 1, min(_ticks(score, note.start + note.duration), end))
        events += [(first, 1, note.pitch, note.velocity), (last, 0, note.pitch, 0)]
    now = 0
    for tick, kind, pitch, velocity in sorted(events):  # at the same tick a note ends before the next begins
        message = "note_on" if kind else "note_off"
        track.append(mido.Message(message, channel=channel, note=pitch, velocity=velocity, time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, end - now)))
    return track


# -- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MidiNote:
    """A note of a file. start, beats: its begin and its length, in beats; channel: from 0, of which 9 is percussion."""

    start: float
    beats: float
    pitch: int
    channel: int


@dataclass(frozen=True)
class MidiNotes:
    """Notes of a MIDI file in the order of their begin, and its tempo in beats a minute: the mean over its length."""

    notes: tuple[MidiNote, ...]
    tempo: float


def read_notes(path: str | Path) -> MidiNotes:
    """Reads the notes and the tempo of a standard MIDI file of type 0 or 1.

    A note that never ends lasts to the end of its track; a note that is struck again before it ended ends there.
    Raises `FileNotFoundError`, and `ValueError` for what is no such file or too large.
    """
    file = existing_file(path)
    name = shorten(file, PATH_LENGTH)
    if file.stat().st_size > MAX_MIDI_BYTES:
        raise ValueError(f"{name} has {file.stat().st_size} bytes; a MIDI file may have up to {MAX_MIDI_BYTES}: give a part of it.")
    try:
        midi = mido.MidiFile(file, clip=True)
    except (OSError, EOFError, ValueError, LookupError, TypeError, mido.KeySignatureError) as error:
        raise ValueError(f"{name} is damaged or no standard MIDI file; export it again.") from error
    if midi.type == 2 or midi.ticks_per_beat <= 0:
        raise ValueError(f"{name} counts time without beats, or holds several songs; export it as a MIDI file of type 1.")
    notes = sorted((note for track in midi.tracks for note in _track_notes(track, midi.ticks_per_beat)), key=lambda note: note.start)
    return MidiNotes(tuple(notes), _mean_tempo(midi))


def _track_notes(track: mido.MidiTrack, ticks_per_beat: int) -> Iterator[MidiNote]:
    tick, open_notes = 0, dict[tuple[int, int], int]()  # (channel, pitch) -> tick
    for message in track:
        tick += message.time
        if message.type not in ("note_on", "note_off"):
            continue
        name = message.channel, message.note
        if name in open_notes:
            yield _note(name, open_notes.pop(name), tick, ticks_per_beat)
        if message.type == "note_on" and message.velocity > 0:
            open_notes[name] = tick
    for name, start in open_notes.items():
        yield _note(name, start, tick, ticks_per_beat)


def _note(name: tuple[int, int], start: int, end: int, ticks_per_beat: int) -> MidiNote:
    return MidiNote(start / ticks_per_beat, (end - start) / ticks_per_beat, name[1], name[0])


def _mean_tempo(midi: mido.MidiFile) -> float:
    """Beats by minutes from the first tick to the last one; tempo changes may stand in any track."""
    changes, length = [], 0
    for track in midi.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "set_tempo" and message.tempo > 0:
                changes.append((tick, message.tempo))
        length = max(length, tick)
    changes = [(0, DEFAULT_TEMPO), *sorted(changes, key=lambda change: change[0])]
    if not length:
        return mido.tempo2bpm(changes[-1][1])
    ends = [*(tick for tick, _ in changes[1:]), length]
    microseconds = sum((end - start) * tempo for (start, tempo), end in zip(changes, ends, strict=True) if end > start)
    return 60e6 * length / microseconds
