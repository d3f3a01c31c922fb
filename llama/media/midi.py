"""Standard MIDI files of scores, to continue a piece in a notation program or sequencer.

Uses mido, a maintained library of messages and ticks in pure Python, which pretty_midi builds on.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import mido

from llama.files import atomic_path
from llama.media.naming import staff_name, title_of
from llama.media.notation import find_sections
from llama.media.score import TRACKS, Chord, Score
from llama.media.score_description import describe_score
from llama.media.spelling import chord_name, note_name, spell_pitch_class
from llama.media.xf_chords import encode_chord

DIVISIONS = (480, 960, 1024, 384, 10080, 26880)  # ticks a beat; the first that all notes begin on
CLOSE = 0.02  # of a tick
CHANNELS: Mapping[str, int] = {"lead": 0, "accompaniment": 1, "bass": 2, "drums": 9}  # the tenth is percussion in General MIDI
SPARE_CHANNELS: Mapping[str, tuple[int, ...]] = {  # for a note that is struck again while it sounds
    "lead": (3, 4, 5), "accompaniment": (6, 7, 8, 10, 11, 12), "bass": (13, 14, 15), "drums": (),
}


def to_midi(score: Score, seconds: float | None = None) -> bytes:
    """A MIDI file of type 1: a track with tempo, metre, key, section markers and chords, then one per part with notes.

    It lasts `seconds`, by default the score's. Chords are there twice: as text, and as Yamaha's XF events, which notation programs
    read. All texts are ASCII; one of them describes the score, so that reading gives it back.
    """
    ticks = _ticks_of_a_beat(score)
    file = mido.MidiFile(type=1, ticks_per_beat=ticks)
    end = _tick(score, score.seconds if seconds is None else seconds, ticks)
    file.tracks.append(_conductor_track(score, end, ticks))
    file.tracks += [_voice_track(score, name, end, ticks) for name in TRACKS if score.track(name)]
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def write_midi(score: Score, path: str | Path, seconds: float | None = None) -> None:
    """Writes `to_midi` to a file atomically."""
    with atomic_path(path) as partial:
        partial.write_bytes(to_midi(score, seconds))


def _tick(score: Score, second: float, ticks: int) -> int:
    return round(second * score.attributes.tempo / 60 * ticks)


def _ticks_of_a_beat(score: Score) -> int:
    """A division of the beat in which all notes begin on a tick, or the finest."""
    starts = {note.start * score.attributes.tempo / 60 for name in TRACKS for note in score.track(name)}
    fitting = (ticks for ticks in DIVISIONS if all(abs(start * ticks - round(start * ticks)) < CLOSE for start in starts))
    return next(fitting, DIVISIONS[-1])


def _conductor_track(score: Score, end: int, ticks: int) -> mido.MidiTrack:
    attributes = score.attributes
    key, mode, bar = attributes.key, attributes.mode, attributes.metre * ticks
    track = mido.MidiTrack(
        [
            mido.MetaMessage("track_name", name=title_of(score)),
            mido.MetaMessage("text", text=describe_score(score)),
            mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(attributes.tempo)),
            mido.MetaMessage("time_signature", numerator=attributes.metre, denominator=4),
            mido.MetaMessage("key_signature", key=note_name(key, key, mode) + ("m" if mode == "minor" else "")),
        ]
    )
    events = [(section.bar * bar, mido.MetaMessage("marker", text=section.name)) for section in find_sections(score)]
    for chord in score.chords:
        place = _tick(score, chord.start, ticks)
        events += [(place, mido.MetaMessage("text", text=chord_name(chord, key, mode))), (place, _xf_chord(chord, key, mode))]
    now = 0
    for tick, message in sorted(events, key=lambda event: event[0]):
        if tick < end:
            track.append(message.copy(time=tick - now))
            now = tick
    track.append(mido.MetaMessage("end_of_track", time=end - now))
    return track


def _xf_chord(chord: Chord, key: int, mode: str) -> mido.MetaMessage:
    return mido.MetaMessage("sequencer_specific", data=encode_chord(*spell_pitch_class(chord.root, key, mode), chord.quality))


def _voice_track(score: Score, name: str, end: int, ticks: int) -> mido.MidiTrack:
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=staff_name(score, name))])
    events, channels = list[tuple[int, int, int, int, int]](), {CHANNELS[name]}
    sounding = dict[tuple[int, int], int]()  # (channel, pitch) -> tick at which it ends
    for note in sorted(score.track(name), key=lambda note: note.start):
        first = _tick(score, note.start, ticks)
        last = max(first + 1, min(_tick(score, note.start + note.duration, ticks), end))
        free = (channel for channel in (CHANNELS[name], *SPARE_CHANNELS[name]) if sounding.get((channel, note.pitch), 0) <= first)
        channel = next(free, CHANNELS[name])
        sounding[channel, note.pitch] = last
        channels.add(channel)
        events += [(first, 1, note.pitch, note.velocity, channel), (last, 0, note.pitch, 0, channel)]
    if name != "drums":
        track += [mido.Message("program_change", channel=channel, program=score.programs[name]) for channel in sorted(channels)]
    now = 0
    for tick, kind, pitch, velocity, channel in sorted(events):  # at the same tick a note ends before the next begins
        message = "note_on" if kind else "note_off"
        track.append(mido.Message(message, channel=channel, note=pitch, velocity=velocity, time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, end - now)))
    return track
