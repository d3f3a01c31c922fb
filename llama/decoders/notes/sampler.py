"""Sampler: plays notes with a small bank of recorded ones (pitch shift, loops, envelopes); `renderer` mixes them to a piece.

Deterministic: the same score gives the same samples.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import soundfile
from scipy.signal import butter, sosfilt

from llama.decoders.notes.loops import loop_samples, unrolled
from llama.decoders.notes.mixer import BLOCK, SAMPLE_RATE, Samples
from llama.decoders.notes.renderer import Plan, ScoreRenderer
from llama.media.score import TRACKS, Attributes, Note, Score

MAX_BANK_SAMPLES = 2**27  # 70 minutes: a small file may unpack to far more
LOWEST_HERTZ = 20.0
PERCUSSION = 128  # program number of the drum kit
LOOPED = {16, 19, 40, 42, 43, 48, 56, 65, 71, 73, 81, 89}  # programs that sustain: looped for as long as the note lasts
RELEASE = {  # seconds in which a released note decays to about a tenth
    0: 0.25, 12: 0.5, 16: 0.08, 19: 0.2, 24: 0.25, 25: 0.22, 32: 0.12, 33: 0.1, 38: 0.06, 40: 0.18, 42: 0.2, 43: 0.25,
    46: 0.6, 48: 0.35, 56: 0.12, 65: 0.12, 71: 0.12, 73: 0.14, 81: 0.1, 89: 0.6, PERCUSSION: 0.1,
}
LEVEL = {"lead": 1.0, "accompaniment": 0.55, "bass": 0.8, "drums": 0.95}


@dataclass(frozen=True)
class BankEntry:
    """Position of one note in the bank's recording."""

    program: int
    pitch: int
    offset: int  # samples
    length: int
    gain: float


class Sampler:
    """Renders scores with a bank of recorded notes. `bank`: a mono Ogg file at 32 kHz; ValueError if it is another format."""

    def __init__(self, bank: bytes, entries: Sequence[BankEntry]) -> None:
        end = max((entry.offset + entry.length for entry in entries), default=0)
        try:
            recording, rate = soundfile.read(io.BytesIO(bank), frames=min(end, MAX_BANK_SAMPLES), dtype="float32")
        except soundfile.SoundFileError as error:
            raise ValueError("The sample bank of this music decoder is damaged; copy or download its folder again.") from error
        if len(recording) < end:
            raise ValueError(f"The sample bank has {len(recording)} samples, its notes reach up to {end}; copy the decoder's folder again.")
        if rate != SAMPLE_RATE or recording.ndim != 1:
            raise ValueError(f"The sample bank is at {rate} Hz with shape {recording.shape}; it must be mono at {SAMPLE_RATE} Hz.")
        self._recorded: dict[int, dict[int, Samples]] = {}
        for entry in entries:
            piece = recording[entry.offset : entry.offset + entry.length] * np.float32(entry.gain)
            self._recorded.setdefault(entry.program, {})[entry.pitch] = _without_offset(piece)
        self._tones: dict[tuple[int, int], Samples] = {}
        self._looped: dict[tuple[int, int], Samples] = {}

    def render(self, score: Score) -> Samples:
        """Samples [2, round(seconds * 32000)] of a score, with true peaks below -1 dB; its last chord dies away at the end."""
        renderer = self.renderer(score.attributes, score.seconds)
        return renderer.render(score, renderer.samples)

    def renderer(self, attributes: Attributes, seconds: float) -> ScoreRenderer:
        """The renderer of a piece whose score may still be growing."""
        return ScoreRenderer(self._note, Plan(attributes, seconds))

    def render_stream(self, score: Score) -> Iterator[Samples]:
        """The samples of `render`, in blocks [2, n]."""
        renderer = self.renderer(score.attributes, score.seconds)
        for stop in range(BLOCK, renderer.samples + BLOCK, BLOCK):
            block = renderer.render(score, min(stop, renderer.samples))
            if block.shape[1]:
                yield block

    def render_stems(self, score: Score) -> dict[str, Samples]:
        """The samples [2, n] of each part that has notes; they sum to `render`, because all have its gains."""
        renderer = ScoreRenderer(self._note, Plan(score.attributes, score.seconds), stems=True)
        _, *stems = renderer.render_tracks(score, renderer.samples)
        return {track: stem for track, stem in zip(TRACKS, stems, strict=True) if score.track(track)}

    def render_loop(self, score: Score, first: int, last: int) -> Samples:
        """Samples [2, n] of bars `first` to `last`, from 1, at the level of the piece; what rings at their end sounds at the beginning.

        Raises ValueError for bars that the piece does not have.
        """
        loop, start = unrolled(score, first, last)
        plan = Plan(score.attributes, loop.seconds, rings=False, gain=self._gain(score))
        sound = ScoreRenderer(self._note, plan).render(loop, plan.samples)
        return sound[:, start : start + loop_samples(score, first, last)].copy()

    def _gain(self, score: Score) -> float | None:
        """The gain of a piece, of which no more is rendered than sets it."""
        renderer, stop = self.renderer(score.attributes, score.seconds), 0
        while renderer.gain is None and stop < renderer.samples:
            stop = min(stop + BLOCK, renderer.samples)
            renderer.render(score, stop)
        return renderer.gain

    def _note(self, note: Note, track: str, program: int) -> Samples:
        """Samples of one note at its velocity, until its release has decayed."""
        release = RELEASE[program]
        if track == "drums":
            sound = self._tone(program, note.pitch)
            duration = len(sound)
        else:
            duration = max(1, round(note.duration * SAMPLE_RATE))
            sound = self._sustained(program, note.pitch, duration + round(2.5 * release * SAMPLE_RATE))
        sound = sound * np.float32(LEVEL[track] * (note.velocity / 100) ** 1.7)
        if duration < len(sound):
            decay = np.arange(len(sound) - duration, dtype=np.float32) / np.float32(release * 0.43 * SAMPLE_RATE)
            sound[duration:] *= np.exp(-decay)
        return _soft_edges(sound)

    def _tone(self, program: int, pitch: int) -> Samples:
        """The nearest recorded note, shifted to `pitch`, in its full length. ValueError if the bank lacks the instrument."""
        key = (program, pitch)
        if key not in self._tones:
            notes = self._recorded.get(program)
            if not notes:
                raise ValueError(f"The sample bank has no instrument {program}; it has {sorted(self._recorded)}.")
            nearest = min(notes, key=lambda recorded: abs(recorded - pitch))
            shift = 0 if program == PERCUSSION else pitch - nearest
            self._tones[key] = _shift(notes[nearest], 2 ** (shift / 12))
        return self._tones[key]

    def _sustained(self, program: int, pitch: int, length: int) -> Samples:
        """A tone of at most `length` samples; sustaining instruments are looped to that length."""
        tone = self._tone(program, pitch)
        if len(tone) < length and program in LOOPED:
            looped = self._looped.get((program, pitch), tone)
            if len(looped) < length:  # looped from the recording itself, so that a note never depends on earlier notes
                self._looped[program, pitch] = looped = _loop(tone, length)
            tone = looped
        return tone[:length]


def _without_offset(sound: Samples) -> Samples:
    """A recorded note without its offset from zero and what else lies below the lowest note: recorded pads stray by half their level."""
    filtered: Samples = sosfilt(butter(2, LOWEST_HERTZ, "highpass", fs=SAMPLE_RATE, output="sos"), sound).astype(np.float32)
    return filtered


def _shift(sound: Samples, ratio: float) -> Samples:
    """Resample by four-point Hermite interpolation: `ratio` 2 is an octave up."""
    if ratio == 1:
        return sound
    position = np.arange(int((len(sound) - 3) / ratio)) * ratio + 1
    index = position.astype(np.int64)
    t = (position - index).astype(np.float32)
    a, b, c, d = sound[index - 1], sound[index], sound[index + 1], sound[np.minimum(index + 2, len(sound) - 1)]
    shifted: Samples = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return shifted


def _loop(sound: Samples, length: int) -> Samples:
    """Repeat the second half with phase-aligned crossfades up to `length` samples; a longer loop begins like a shorter one."""
    cut = round(0.03 * SAMPLE_RATE)
    sound = sound[: -2 * cut] if len(sound) > 8 * cut else sound  # the recording's own fade-out
    period = int(len(sound) * 0.5)
    fade = period // 3
    start = _aligned_start(sound, len(sound) - period, fade)
    body = sound[start:]
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    pieces, have = [sound[:-fade]], len(sound) - fade
    tail = sound[-fade:]
    while have < length:
        pieces += [tail * (1 - ramp) + body[:fade] * ramp, body[fade:-fade]]
        have += len(body) - fade
        tail = body[-fade:]
    return np.concatenate(pieces)


def _aligned_start(sound: Samples, start: int, fade: int) -> int:
    """The index near `start` whose waveform correlates best with the last `fade` samples."""
    reach = min(600, start)
    around = sound[start - reach : start + fade + reach]
    size = 1 << int(np.ceil(np.log2(len(around) + fade)))
    match = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(sound[-fade:], size)), size)[: 2 * reach + 1]
    return start - reach + int(match.argmax())


def _soft_edges(sound: Samples) -> Samples:
    """Apply short ramps at both ends, so that notes do not click."""
    rise, fall = min(48, len(sound)), min(320, len(sound))
    sound[:rise] *= _ramp(0, 1, rise)
    sound[-fall:] *= _ramp(1, 0, fall)
    return sound


@cache
def _ramp(first: int, last: int, length: int) -> Samples:
    """Linear ramp [length]; cached, so callers must not modify it."""
    return np.linspace(first, last, length, dtype=np.float32)
