"""Standard MIDI files of scores, to continue a piece in a notation program or sequencer.

Uses mido, a maintained library of messages and ticks in pure Python, which pretty_midi builds on.
"""

from __future__ import annotations

import io
from pathlib import Path

import mido

from llama.files import atomic_path
from llama.media.score import KEYS, TRACKS, Attributes, Score

TICKS = 480  # a beat: eighths, and the thirds that swing makes of a beat, are whole numbers of them
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
