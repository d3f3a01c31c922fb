"""MIDI files: a library reads back the notes of the score."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest

from DataSet.synthesis.composer import compose, sample_attributes
from llama.media.midi import CHANNELS, to_midi, write_midi
from llama.media.midi_reader import read_midi
from llama.media.notation import find_sections
from llama.media.score import Attributes, Note, Score
from llama.media.score_description import read_description
from llama.media.spelling import chord_name
from llama.media.xf_chords import decode_chord

SWING = Attributes("saxophone", "piano", "swing", 138, "minor", 4, drums=True, key=3)


def read(data: bytes) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(data))


def notes_of(file: mido.MidiFile, channel: int, tempo: int) -> list[Note]:
    """Every sounding note of a channel, in seconds, by start and pitch."""
    found, open_notes = [], dict[int, tuple[float, int]]()
    for track in file.tracks:
        ticks = 0
        for message in track:
            ticks += message.time
            if message.is_meta or message.channel != channel or message.type == "program_change":
                continue
            now = mido.tick2second(ticks, file.ticks_per_beat, mido.bpm2tempo(tempo))
            if message.type == "note_on" and message.velocity:
                assert message.note not in open_notes, "a note begins while the same one sounds"
                open_notes[message.note] = now, message.velocity
            else:
                start, velocity = open_notes.pop(message.note)
                found.append(Note(start, now - start, message.note, velocity))
    assert not open_notes
    return sorted(found, key=lambda note: (note.start, note.pitch))


def pieces(count: int) -> list[Score]:
    rng = np.random.default_rng(4)
    return [compose(rng, sample_attributes(rng), float(rng.uniform(2, 40))) for _ in range(count)]


@pytest.mark.parametrize("score", pieces(12), ids=lambda score: score.attributes.style)
def test_every_note_is_there_at_its_time(score: Score) -> None:
    file, tempo = read(to_midi(score)), score.attributes.tempo
    for name, channel in CHANNELS.items():
        wanted, found = score.track(name), notes_of(file, channel, tempo)
        assert [(note.pitch, note.velocity) for note in found] == [(note.pitch, note.velocity) for note in wanted]
        tick = 60 / tempo / file.ticks_per_beat
        for one, other in zip(found, wanted, strict=True):
            assert one.start == pytest.approx(other.start, abs=tick)
            assert one.duration == pytest.approx(other.duration, abs=2 * tick)


def test_it_names_tempo_metre_key_and_instruments() -> None:
    file = read(to_midi(compose(np.random.default_rng(1), SWING, 12.0)))
    told: dict[str, Any] = {message.type: message for message in file.tracks[0]}
    assert mido.tempo2bpm(told["set_tempo"].tempo) == pytest.approx(138, abs=0.01)
    assert (told["time_signature"].numerator, told["time_signature"].denominator) == (4, 4)
    assert told["key_signature"].key == "Ebm"
    programs = {message.channel: message.program for track in file.tracks for message in track if message.type == "program_change"}
    assert programs == {CHANNELS[name]: program for name, program in SWING.programs.items() if name != "drums"}
    assert any(not message.is_meta and message.channel == CHANNELS["drums"] for track in file.tracks for message in track)


@pytest.mark.parametrize("key", range(12))
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_every_key_has_a_signature(key: int, mode: str) -> None:
    attributes = Attributes("flute", "pad", "ambient", 60, mode, 3, drums=False, key=key)
    file = read(to_midi(compose(np.random.default_rng(0), attributes, 6.0)))
    (signature,) = [message.key for message in file.tracks[0] if message.type == "key_signature"]
    assert signature.endswith("m") == (mode == "minor")


def test_it_lasts_as_long_as_the_sound(tmp_path: Path) -> None:
    score = compose(np.random.default_rng(2), SWING, 10.0)
    write_midi(score, tmp_path / "piece.mid", seconds=9.9)
    assert mido.MidiFile(tmp_path / "piece.mid").length == pytest.approx(9.9, abs=0.01)
    assert read(to_midi(score)).length == pytest.approx(10.0, abs=0.01)


def test_silent_voices_have_no_track() -> None:
    score = compose(np.random.default_rng(2), Attributes("harp", "pad", "ambient", 60, "major", 4, drums=False, key=0), 9.0)
    assert len(read(to_midi(score)).tracks) == 4  # tempo, lead, accompaniment, bass


@pytest.mark.parametrize("key", range(12))
def test_sections_are_markers_and_chords_are_named_twice(key: int) -> None:
    score = compose(np.random.default_rng(key), Attributes("flute", "organ", "rock", 120, "minor", 4, drums=True, key=key), 30.0)
    track, tick = read(to_midi(score)).tracks[0], 0
    found: dict[str, list[tuple[float, Any]]] = {"marker": [], "text": [], "sequencer_specific": []}
    for message in track:
        tick += message.time
        if message.type in found:
            found[message.type].append((tick / 480, getattr(message, "text", None) or bytes(message.data)))
    assert found["marker"] == [(section.bar * 4, section.name) for section in find_sections(score)]
    (_, description), *texts = found["text"]
    assert read_description(description) is not None
    assert texts == [(4 * bar, chord_name(chord, key, "minor")) for bar, chord in enumerate(score.chords)]
    chords = [(beat, decode_chord(data)) for beat, data in found["sequencer_specific"]]
    assert chords == [(4 * bar, (chord.root, chord.quality)) for bar, chord in enumerate(score.chords)]


def test_the_reader_takes_chords_and_sections_apart() -> None:
    """A section named A is no chord of A major."""
    score = compose(np.random.default_rng(2), SWING, 20.0)
    raw = read_midi(to_midi(score), "piece.mid")
    assert [(chord.start, chord.root, chord.quality) for chord in raw.chords] == [
        (4 * bar, chord.root, chord.quality) for bar, chord in enumerate(score.chords)
    ]
    assert [(marker.start, marker.text) for marker in raw.markers] == [(4 * one.bar, one.name) for one in find_sections(score)]


def test_all_texts_are_ascii_and_the_same_score_gives_the_same_bytes() -> None:
    for score in pieces(6):
        data = to_midi(score)
        texts = [getattr(message, "text", getattr(message, "name", "")) for track in read(data).tracks for message in track]
        assert all(text.isascii() for text in texts) and data == to_midi(score)


@pytest.mark.parametrize(("beat", "division"), [(1 / 3, 480), (1 / 960, 960), (5 / 1024, 1024), (1 / 7, 10080)])
def test_notes_between_the_ticks_get_finer_ones(beat: float, division: int) -> None:
    score = compose(np.random.default_rng(2), Attributes("harp", "pad", "ambient", 60, "major", 4, drums=False, key=0), 9.0)
    moved = replace(score, lead=(Note(beat, 0.5, 72, 90),))  # at 60 beats a minute
    file = read(to_midi(moved))
    assert file.ticks_per_beat == division
    assert notes_of(file, CHANNELS["lead"], 60)[0].start == pytest.approx(beat, abs=1e-9)
