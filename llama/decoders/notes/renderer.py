"""Renderer: mixes the notes of a score to stereo sound with a room, in blocks, so that a piece sounds while it is still written.

Blocks lie on a fixed grid, and nothing in a block depends on notes that begin after it: the level is set by the first two
bars, the room's echo is added block by block, the limiter sees single samples. A streamed piece therefore equals the whole,
sample for sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, sosfilt

from llama.media.score import TRACKS, Attributes, Note, Score, timeline

Samples = NDArray[np.float32]
NoteSound = Callable[[Note, str, int], Samples]  # samples of a note of a track and program, until its release has decayed

SAMPLE_RATE = 32_000
BLOCK = SAMPLE_RATE // 2
PAN = {"lead": 0.1, "accompaniment": -0.3, "bass": 0.0}  # -1 left .. 1 right
DRUM_PAN = {36: 0.0, 38: 0.08, 42: 0.35, 46: 0.35, 51: -0.4, 49: 0.3, 39: -0.1}
ROOM_SEND = {"lead": 1.0, "accompaniment": 0.9, "bass": 0.25, "drums": 0.5}
ROOM_LEVEL = 0.22
LEVEL_BARS = 2  # bars that set the gain of a piece
# gain = GAIN * level ** -GAIN_SLOPE, of the root mean square of the louder half of the first bars. Fitted to 200 pieces, where
# it brings that of the whole piece to 0.12 with a standard deviation of 0.40 dB. (By one bar 0.50, by four 0.27, by a constant 1.12.)
GAIN, GAIN_SLOPE, MAX_GAIN = 0.175, 0.8, 1.5
KNEE, CEILING = 0.7, 0.95
ENDING_FADE = 0.22  # seconds of the fade after the final chord's release, reverb included


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


class ScoreRenderer:
    """Renders one piece, whose score may grow from call to call. samples: length of the piece."""

    def __init__(self, note_sound: NoteSound, attributes: Attributes, seconds: float) -> None:
        self._note_sound, self._programs = note_sound, attributes.programs
        self._line = timeline(attributes, seconds)
        self.samples = round(seconds * SAMPLE_RATE)
        self._mixed = 0  # samples mixed so far
        self._voices: dict[str, list[Voice]] = {track: [] for track in TRACKS}
        self._begun = dict.fromkeys(TRACKS, 0)  # notes of each track that have begun
        self._unlevelled: list[Samples] = []  # blocks [2, n] mixed, but not returned
        self._echo = np.zeros((2, room_spectrum()[1]), np.float32)  # the room's answer to the blocks so far, from the next one on
        self._gain: np.float32 | None = None

    @property
    def complete(self) -> bool:
        """Whether all samples have been returned."""
        return self._mixed == self.samples

    def render(self, score: Score, stop: int) -> Samples:
        """New samples [2, n] within -0.95..0.95 of the blocks that end at or before `stop`; n may be 0.

        score: the piece so far, complete up to sample `stop` (at most `samples`): its later notes may be missing, and notes
        that sound on at `stop` may still be too short. Each track is that of the call before, with more notes at its end.
        """
        notes = {track: sorted(score.track(track), key=attrgetter("start")) for track in TRACKS}
        for track, voices in self._voices.items():
            for number, voice in enumerate(voices):
                if notes[track][voice.index] != voice.note:  # it has become longer
                    voices[number] = self._voice(track, voice.index, notes[track][voice.index])
        while self._mixed < self.samples and min(self._mixed + BLOCK, self.samples) <= stop:
            self._unlevelled.append(self._mix_block(notes))
        return self._take_levelled()

    def _voice(self, track: str, index: int, note: Note) -> Voice:
        return Voice(index, note, round(note.start * SAMPLE_RATE), self._note_sound(note, track, self._programs[track]))

    def _mix_block(self, notes: dict[str, list[Note]]) -> Samples:
        """The next block [2, n] before gain and limiter: the direct sound of its notes, and the room's answer."""
        start, self._mixed = self._mixed, min(self._mixed + BLOCK, self.samples)
        dry, send = np.zeros((2, BLOCK), np.float32), np.zeros(BLOCK, np.float32)
        for track in TRACKS:
            self._begin_voices(track, notes[track], start + BLOCK)
            for voice in self._voices[track]:
                _add(dry, send, voice, track, start)
            self._voices[track] = [voice for voice in self._voices[track] if voice.end > start + BLOCK]
        spectrum, length = room_spectrum()
        self._echo[:] += irfft(rfft(send, length) * spectrum, length)
        dry += ROOM_LEVEL * self._echo[:, :BLOCK]
        self._echo[:, :-BLOCK] = self._echo[:, BLOCK:].copy()
        self._echo[:, -BLOCK:] = 0
        return dry[:, : self._mixed - start]

    def _begin_voices(self, track: str, notes: list[Note], end: int) -> None:
        """Adds the voices of the notes that begin before sample `end`."""
        index = self._begun[track]
        while index < len(notes) and round(notes[index].start * SAMPLE_RATE) < end:
            self._voices[track].append(self._voice(track, index, notes[index]))
            index += 1
        self._begun[track] = index

    def _take_levelled(self) -> Samples:
        """The blocks mixed since the last call at the piece's level, once the bars that set it are mixed."""
        level_end = min(round(self._line.time(LEVEL_BARS * self._line.width) * SAMPLE_RATE), self.samples)
        if self._gain is None:
            if self._mixed < level_end:
                return np.zeros((2, 0), np.float32)
            level = loudness(np.concatenate(self._unlevelled, 1)[:, :level_end])
            self._gain = np.float32(min(GAIN * max(level, 1e-6) ** -GAIN_SLOPE, MAX_GAIN))
        blocks, self._unlevelled = self._unlevelled, []
        start = self._mixed - sum(block.shape[1] for block in blocks)
        finished = [np.zeros((2, 0), np.float32)]
        for block in blocks:
            finished.append(self._fade(_limit(block * self._gain), start))
            start += block.shape[1]
        return np.concatenate(finished, 1)

    def _fade(self, sound: Samples, start: int) -> Samples:
        """Fades out what lies behind the final chord. start: sample of the piece at which `sound` [2, n] begins."""
        first = min(round(self._line.end * SAMPLE_RATE), self.samples)
        if start + sound.shape[1] <= first:
            return sound
        length = max(1, min(round(ENDING_FADE * SAMPLE_RATE), self.samples - first))
        curve = np.zeros(self.samples - first, np.float32)
        curve[:length] = (np.cos(np.linspace(0, np.pi / 2, length)) ** 2)[: len(curve)]
        inside = max(0, first - start)
        sound[:, inside:] *= curve[start + inside - first :][: sound.shape[1] - inside]
        return sound


def _add(dry: Samples, send: Samples, voice: Voice, track: str, start: int) -> None:
    """Mixes a voice into the dry stereo sum [2, n] and the reverb send [n] of the block that begins at sample `start`."""
    low, high = max(voice.first, start), min(voice.end, start + len(send))
    if low >= high:
        return
    sound, place = voice.sound[low - voice.first : high - voice.first], slice(low - start, high - start)
    angle = ((DRUM_PAN.get(voice.note.pitch, 0.0) if track == "drums" else PAN[track]) + 1) * np.pi / 4
    dry[0, place] += sound * np.float32(np.cos(angle) * 2**0.5)
    dry[1, place] += sound * np.float32(np.sin(angle) * 2**0.5)
    send[place] += sound * np.float32(ROOM_SEND[track])


@cache
def room() -> Samples:
    """Impulse response [2, n] of a small room: decaying noise of unit energy."""
    time = np.arange(int(0.9 * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal((2, len(time)))
    noise *= np.exp(-time / 0.16) * np.minimum(time / 0.012, 1.0)
    shaped = sosfilt(butter(1, [220, 5200], "band", fs=SAMPLE_RATE, output="sos"), noise)
    return (shaped / np.sqrt((shaped**2).sum(1, keepdims=True))).astype(np.float32)


@cache
def room_spectrum() -> tuple[NDArray[np.complex64], int]:
    """Spectrum [2, n // 2 + 1] of the room for blocks of BLOCK samples, and the length n of its transform."""
    length = next_fast_len(BLOCK + room().shape[1] - 1, real=True)
    return rfft(room(), length), length


def _limit(sound: Samples) -> Samples:
    """Limits samples above the knee to the ceiling."""
    loud = np.nonzero(np.abs(sound) > KNEE)
    over = np.abs(sound[loud]) - KNEE
    sound[loud] = np.sign(sound[loud]) * (KNEE + (CEILING - KNEE) * np.tanh(over / (CEILING - KNEE)))
    return sound


def loudness(sound: Samples) -> float:
    """Root mean square of the louder half of all tenths of a second, so that rests do not count. sound: [2, n]."""
    width = SAMPLE_RATE // 10
    sound = sound[:, : max(width, sound.shape[1] // width * width)]
    power = np.sort((sound.reshape(2, -1, min(width, sound.shape[1])) ** 2).mean((0, 2)))
    return float(np.sqrt(power[len(power) // 2 :].mean()))
