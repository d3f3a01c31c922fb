"""Renderer: plays the notes of a score to stereo sound with a room, in blocks, so that a piece sounds while it is still written.

Blocks lie on a fixed grid, and nothing in a block depends on notes that begin after it: the level is set by the first
bars, the room's echo is added block by block, the limiter looks a few milliseconds ahead. A streamed piece therefore equals
the whole, sample for sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter

import numpy as np

from llama.decoders.notes.level import LEVEL_BARS, LevelCurve
from llama.decoders.notes.mixer import BLOCK, SAMPLE_RATE, Mixer, Samples, TrackBus
from llama.media.score import TRACKS, Attributes, Note, Score, Timeline, timeline

NoteSound = Callable[[Note, str, int], Samples]  # samples of a note of a track and program, until its release has decayed
RING = 2.0  # seconds at the end of a piece, at most, in which its last chord dies away
RING_DEPTH, RING_REST = 50.0, 1 / 6  # dB that it has fallen by, so many seconds before the end: a request between two steps cuts the rest


@dataclass
class Voice:
    """A note that sounds in the present block. index: of the note in its track; first: sample of the piece at which it begins."""

    index: int
    note: Note
    first: int
    sound: Samples

    @property
    def end(self) -> int:
        return self.first + len(self.sound)


@dataclass(frozen=True)
class Plan:
    """What is known of a piece before its notes. seconds: its length; gain: its gain where that is known already."""

    attributes: Attributes
    seconds: float
    rings: bool = True  # the last chord sounds until the end and dies away
    gain: float | None = None

    @cached_property
    def samples(self) -> int:
        return round(self.seconds * SAMPLE_RATE)

    @cached_property
    def line(self) -> Timeline:
        return timeline(self.attributes, self.seconds)

    @cached_property
    def final(self) -> float:
        """Second at which the last chord begins; beyond the end of a piece that does not ring out."""
        return self.line.time(self.line.eighths) - 1e-6 if self.rings else self.seconds + 1

    def curve(self) -> LevelCurve:
        """The gains of the piece."""
        level_end = round(self.line.time(LEVEL_BARS * self.line.width) * SAMPLE_RATE)
        return LevelCurve(self.samples, level_end, self._decay(), self.gain)

    def _decay(self) -> Samples:
        """Gains [n] of the piece's last n samples, from 1 to 0."""
        length = min(round(RING * SAMPLE_RATE), round((self.seconds - self.final) * SAMPLE_RATE), self.samples)
        if length <= 0:
            return np.zeros(0, np.float32)
        rest = min(length, round(RING_REST * SAMPLE_RATE))
        share = np.arange(1, length + 1) / max(length - rest, 1)
        curve = 10 ** (-RING_DEPTH / 20 * share**1.5)
        curve[length - rest :] *= np.linspace(1, 0, rest)
        return curve.astype(np.float32)


class ScoreRenderer:
    """Renders one piece, whose score may grow from call to call. samples: length of the piece.

    With `stems` the mix is also kept apart by tracks; see `render_stems`.
    """

    def __init__(self, note_sound: NoteSound, plan: Plan, stems: bool = False) -> None:
        self._note_sound, self._plan, self._programs = note_sound, plan, plan.attributes.programs
        self.samples = plan.samples
        self._mixed = self._returned = 0  # samples
        self._voices: dict[str, list[Voice]] = {track: [] for track in TRACKS}
        self._begun = dict.fromkeys(TRACKS, 0)  # notes of each track that have begun
        self._mixers = [(TRACKS, Mixer()), *(((track,), Mixer()) for track in TRACKS if stems)]
        self._unlevelled: list[list[Samples]] = [[] for _ in self._mixers]  # blocks [2, n] of each mixer, but not returned
        self._curve = plan.curve()

    @property
    def complete(self) -> bool:
        """Whether all samples have been returned."""
        return self._returned == self.samples

    @property
    def gain(self) -> float | None:
        """The piece's gain, once its first bars are mixed."""
        return self._curve.gain

    def render(self, score: Score, stop: int) -> Samples:
        """New samples [2, n], nearly those of the blocks that end at or before `stop`; n may be 0.

        score: the piece so far, complete up to sample `stop` (at most `samples`): its later notes may be missing, and notes
        that sound on at `stop` may still be too short. Each track is that of the call before, with more notes at its end.
        """
        return self.render_tracks(score, stop)[0]

    def render_tracks(self, score: Score, stop: int) -> list[Samples]:
        """As `render`; with stems, the samples of each track follow those of the mix."""
        notes = {track: sorted(score.track(track), key=attrgetter("start")) for track in TRACKS}
        for track, voices in self._voices.items():
            for number, voice in enumerate(voices):
                if notes[track][voice.index] != voice.note:  # it has become longer
                    voices[number] = self._voice(track, voice.index, notes[track][voice.index])
        gains = [np.zeros(0, np.float32)]
        while self._mixed < self.samples and min(self._mixed + BLOCK, self.samples) <= stop:
            gains.append(self._mix_block(notes))
        return self._take(np.concatenate(gains))

    def _voice(self, track: str, index: int, note: Note) -> Voice:
        played = note
        if note.start >= self._plan.final and track != "drums":  # until the end, where the level's decay ends it
            played = replace(note, duration=max(note.duration, self._plan.seconds - note.start))
        return Voice(index, note, round(note.start * SAMPLE_RATE), self._note_sound(played, track, self._programs[track]))

    def _mix_block(self, notes: dict[str, list[Note]]) -> Samples:
        """Mixes the next block; returns the gains of the samples whose gain it has made certain."""
        start, self._mixed = self._mixed, min(self._mixed + BLOCK, self.samples)
        buses = {track: TrackBus(track) for track in TRACKS}
        for track, bus in buses.items():
            self._begin_voices(track, notes[track], start + BLOCK)
            for voice in self._voices[track]:
                _add(bus, voice, start)
            self._voices[track] = [voice for voice in self._voices[track] if voice.end > start + BLOCK]
        for (tracks, mixer), blocks in zip(self._mixers, self._unlevelled, strict=True):
            blocks.append(mixer.mix([buses[track] for track in tracks])[:, : self._mixed - start])
        return self._curve.feed(self._unlevelled[0][-1])

    def _begin_voices(self, track: str, notes: list[Note], end: int) -> None:
        """Adds the voices of the notes that begin before sample `end`."""
        index = self._begun[track]
        while index < len(notes) and round(notes[index].start * SAMPLE_RATE) < end:
            self._voices[track].append(self._voice(track, index, notes[index]))
            index += 1
        self._begun[track] = index

    def _take(self, gains: Samples) -> list[Samples]:
        """The next samples [2, n] of each mixer at their gains [n]."""
        self._returned += len(gains)
        taken = []
        for number, blocks in enumerate(self._unlevelled):
            mix = _joined(blocks)
            taken.append(mix[:, : len(gains)] * gains)
            self._unlevelled[number] = [mix[:, len(gains) :]]
        return taken


def _add(bus: TrackBus, voice: Voice, start: int) -> None:
    """Adds what sounds of a voice in the block that begins at sample `start`."""
    low, high = max(voice.first, start), min(voice.end, start + BLOCK)
    if low < high:
        bus.add(voice.note, voice.sound[low - voice.first : high - voice.first], low - start)


def _joined(blocks: Sequence[Samples]) -> Samples:
    return np.concatenate([np.zeros((2, 0), np.float32), *blocks], 1)
