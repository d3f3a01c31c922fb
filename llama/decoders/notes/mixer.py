"""Mixer: places the tracks of a piece in the stereo image and in a room, block by block.

The width of a track is added to the left and taken from the right channel, so that it cancels in mono.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft
from scipy.signal import butter, sosfilt

from llama.media.score import Note

Samples = NDArray[np.float32]

SAMPLE_RATE = 32_000
BLOCK = SAMPLE_RATE // 2
PAN = {"lead": 0.12, "accompaniment": -0.2, "bass": 0.0}  # -1 left .. 1 right
DRUM_PAN = {36: 0.0, 38: 0.08, 42: 0.35, 46: 0.35, 51: -0.4, 49: 0.3, 39: -0.1}
WIDTH = {"lead": 0.28, "accompaniment": 0.58, "bass": 0.0}  # level of what differs between the channels; drums lie apart by DRUM_PAN
ROOM_SEND = {"lead": 1.0, "accompaniment": 0.9, "bass": 0.25, "drums": 0.5}
ROOM_LEVEL = 0.22
# Early reflections, delays in samples and gains, that the left channel gets and the right one loses. Each is followed by its
# opposite, so that low notes stay in the middle.
REFLECTIONS = ((163, 0.6), (176, -0.6), (331, -0.5), (352, 0.5), (509, 0.4), (542, -0.4))
TRANSFORM = 2**15  # length of the room's transform: two blocks, and some


class TrackBus:
    """Collects the notes of one track in one block [BLOCK], or [2, BLOCK] for drums, each of which has its own place."""

    def __init__(self, track: str) -> None:
        self.track = track
        self.notes = np.zeros((2, BLOCK) if track == "drums" else BLOCK, np.float32)
        self.send = np.zeros(BLOCK, np.float32)
        self.empty = True

    def add(self, note: Note, sound: Samples, first: int) -> None:
        """Adds the samples of a note that sound in this block from sample `first` on."""
        self.empty, place = False, slice(first, first + len(sound))
        if self.track == "drums":
            left, right = pan_gains(DRUM_PAN.get(note.pitch, 0.0))
            self.notes[0, place] += sound * left
            self.notes[1, place] += sound * right
            self.send[place] += sound
        else:
            self.notes[place] += sound


class Mixer:
    """Mixes the tracks of successive blocks to stereo."""

    def __init__(self) -> None:
        self._sent = np.zeros(BLOCK, np.float32)  # what the room heard in the block before
        self._spectrum: NDArray[np.complex64] | None = None
        self._wide = np.zeros(REFLECTIONS[-1][0], np.float32)  # the end of what was reflected in the block before

    def mix(self, buses: list[TrackBus]) -> Samples:
        """The next block [2, BLOCK] of these tracks."""
        out, send, wide = np.zeros((2, BLOCK), np.float32), np.zeros(BLOCK, np.float32), np.zeros(BLOCK, np.float32)
        for bus in buses:
            if bus.empty:
                continue
            if bus.track == "drums":
                out += bus.notes
                send += bus.send * np.float32(ROOM_SEND["drums"])
                continue
            left, right = pan_gains(PAN[bus.track])
            out[0] += bus.notes * left
            out[1] += bus.notes * right
            send += bus.notes * np.float32(ROOM_SEND[bus.track])
            if WIDTH[bus.track]:
                wide += bus.notes * np.float32(WIDTH[bus.track])
        return self._add_room(self._add_width(out, wide), send)

    def _add_width(self, out: Samples, wide: Samples) -> Samples:
        """Adds reflections of `wide` [BLOCK] with opposite signs."""
        sound = np.concatenate([self._wide, wide])
        self._wide = wide[-len(self._wide) :]
        side = np.zeros(BLOCK, np.float32)
        for delay, gain in REFLECTIONS:
            first = len(self._wide) - delay
            side += sound[first : first + BLOCK] * np.float32(gain)
        out[0] += side
        out[1] -= side
        return out

    def _add_room(self, out: Samples, send: Samples) -> Samples:
        """Adds the room's answer to the blocks so far, by overlap-save in two partitions of the impulse response."""
        spectrum = rfft(np.concatenate([self._sent, send]), TRANSFORM)
        near, far = room_spectra()
        answer = near * spectrum
        if self._spectrum is not None:
            answer += far * self._spectrum
        out += irfft(answer, TRANSFORM)[:, BLOCK : 2 * BLOCK]
        self._sent, self._spectrum = send, spectrum
        return out


@cache
def pan_gains(pan: float) -> tuple[np.float32, np.float32]:
    """Gains of the left and the right channel at constant power. pan: -1 left .. 1 right."""
    angle = (pan + 1) * np.pi / 4
    return np.float32(np.cos(angle) * 2**0.5), np.float32(np.sin(angle) * 2**0.5)


@cache
def room() -> Samples:
    """Impulse response [2, n] of a small room: decaying noise of unit energy; n is at most two blocks."""
    time = np.arange(int(0.9 * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal((2, len(time)))
    noise *= np.exp(-time / 0.16) * np.minimum(time / 0.012, 1.0)
    shaped = sosfilt(butter(1, [220, 5200], "band", fs=SAMPLE_RATE, output="sos"), noise)
    return (shaped / np.sqrt((shaped**2).sum(1, keepdims=True))).astype(np.float32)


@cache
def room_spectra() -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Spectra [2, TRANSFORM // 2 + 1] of the first BLOCK samples of the room at its level, and of the rest."""
    answer = room() * np.float32(ROOM_LEVEL)
    return rfft(answer[:, :BLOCK], TRANSFORM), rfft(answer[:, BLOCK:], TRANSFORM)
