"""Plots of a take: waveform, spectrogram and piano roll, as PNG, each with a text alternative (`*_alt`).

All three share one time axis. dark: colours for dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from demo.page.canvas import AXIS, LEFT, PLOT, RIGHT, WIDTH, Canvas, Colour, font
from llama.media.audio import Waveform
from llama.media.plots import spectrogram as bands_of
from llama.media.score import KEYS, TRACKS, Chord, Note, Score, timeline

LANE = {1: 160, 2: 120}  # channels -> points of each
GAP = 4  # points free above and below each
STEP, QUIETEST = 0.05, 0.01  # of the scale: a quiet piece is drawn larger, and the axis says so
PEAK: dict[bool, Colour] = {False: (165, 180, 252), True: (79, 70, 180)}
BODY: dict[bool, Colour] = {False: (79, 70, 229), True: (165, 180, 252)}

LOWEST, HIGHEST = 20.0, 16_000.0  # Hz
SEMITONE = 3  # points
CELL = 2  # points of a moment of the spectrogram
SHADES = 48
HEAT: dict[bool, tuple[Colour, ...]] = {  # colour map by dark mode, from silence to the loudest
    False: ((248, 250, 252), (203, 213, 245), (129, 140, 248), (126, 34, 206), (190, 24, 93), (69, 10, 10)),
    True: ((15, 23, 42), (49, 46, 129), (126, 34, 206), (225, 29, 72), (251, 146, 60), (254, 249, 195)),
}
HERTZ = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
MIN_DB, DESCRIBED_DB = -65.0, -40.0  # relative to the loudest: where colour begins, and what the alt text describes

TRACK: dict[str, dict[bool, Colour]] = {
    "lead": {False: (217, 119, 6), True: (251, 191, 36)},
    "accompaniment": {False: (96, 145, 240), True: (76, 130, 235)},
    "bass": {False: (4, 120, 87), True: (52, 211, 153)},
    "drums": {False: (120, 113, 128), True: (178, 172, 190)},
}
LAYERS = ("accompaniment", "bass", "lead")  # the tune on top
BASS_NAMES = {32: "double bass", 33: "electric bass", 38: "synth bass", 43: "bowed bass"}  # General MIDI program -> name
SUFFIX = {"major": "", "minor": "m", "diminished": "°", "dominant7": "7", "major7": "maj7", "minor7": "m7"}
SPOKEN = {"dominant7": "seventh", "major7": "major seventh", "minor7": "minor seventh"}
NAMED, ROLL, DRUM = 76, 325, 10  # points: names of instruments and chords, about those of all pitches, a row of the drums
THINNEST = 5  # points of a semitone
MAX_DESCRIBED_CHORDS = 8  # in the alt text


def waveform(music: Waveform, dark: bool) -> bytes:
    """Peak range and, inside it, RMS level over time, one lane per channel (PNG)."""
    sound = _lanes(music)
    lane, reach = LANE[len(sound)], _reach(sound)
    canvas = Canvas(len(sound) * lane + AXIS, dark)
    peak, body = canvas.colour(PEAK[dark]), canvas.colour(BODY[dark])
    for index, name in enumerate(("left", "right") if len(sound) == 2 else ("",)):
        middle = index * lane + lane / 2
        canvas.fill(LEFT, middle - 1, WIDTH - RIGHT, middle + 1, canvas.line)
        plot = canvas.points[index * lane + GAP : (index + 1) * lane - GAP, LEFT : WIDTH - RIGHT]
        low, high, mean = _columns(sound[index])
        _upright(plot, low / reach, high / reach, peak)
        _upright(plot, -mean / reach, mean / reach, body)
        canvas.write(LEFT - 12, middle, name or "0", "rm")
        canvas.write(LEFT - 12, index * lane + 14, f"{reach:.2g}", "rm")
    canvas.times(music.seconds, len(sound) * lane)
    return canvas.png()


def waveform_alt(music: Waveform) -> str:
    loud = music.samples.abs().amax(0)
    end = f"loudest at {int(loud.argmax()) / music.sample_rate:.1f} s" if float(loud.max()) > 0 else "silent throughout"
    return f"Waveform, {music.seconds:.1f} s, {_channels(music)}, {end}."


def spectrogram(music: Waveform, dark: bool) -> bytes:
    """Spectrogram from 20 Hz to 16 kHz by semitones, down to 65 dB below the loudest band (PNG)."""
    height = round(12 * math.log2(HIGHEST / LOWEST)) * SEMITONE
    canvas = Canvas(height + AXIS, dark)
    first = canvas.ramp(HEAT[dark], SHADES)
    plot = canvas.points[:height, LEFT : WIDTH - RIGHT]
    plot[:] = first + np.repeat(np.repeat(_shades(music, height // SEMITONE), SEMITONE, 0), CELL, 1)
    for hertz in HERTZ:
        y = height - 12 * math.log2(hertz / LOWEST) * SEMITONE
        words = f"{hertz} Hz" if hertz < 1000 else f"{hertz // 1000} kHz"
        canvas.write(LEFT - 10, min(y, height - 12), words, "rm")
    canvas.times(music.seconds, height)
    return canvas.png()


def spectrogram_alt(music: Waveform) -> str:
    bands = bands_of(music, LOWEST)[0]
    begin = f"Spectrogram, {music.seconds:.1f} s, 20 Hz to 16 kHz"
    if float(bands.max()) <= MIN_DB:
        return f"{begin}: silent throughout."
    loud = 10 * (10 ** (bands / 10)).mean(1).log10()  # over the whole piece, so that a single stroke does not count
    heard, strongest = (loud > loud.max() + DESCRIBED_DB).nonzero(), int(loud.argmax())
    low, high, best = (_hertz(LOWEST * 2 ** (int(band) / 12)) for band in (heard[0], heard[-1], strongest))
    return f"{begin}: sound from {low} to {high}, strongest near {best}."


def piano_roll(score: Score, seconds: float, dark: bool) -> bytes:
    """Piano roll with one colour per track, the drums below, bar lines and chord names (PNG)."""
    drums = sorted({note.pitch for note in score.drums})
    floor, ceiling = _range(score)
    row = max(THINNEST, ROLL // (ceiling - floor + 1))
    drum_top = NAMED + row * (ceiling - floor + 1) + 8
    bottom = drum_top + DRUM * len(drums) if drums else drum_top - 8
    canvas = Canvas(bottom + AXIS, dark)
    colours = {name: canvas.colour(TRACK[name][dark]) for name in TRACKS}
    _bars(canvas, score, seconds, bottom)
    for pitch in range(floor + -floor % 12, ceiling + 1, 12):
        y = NAMED + (ceiling - pitch + 1) * row
        canvas.fill(LEFT, y - 1, WIDTH - RIGHT, y + 1, canvas.faint)
        canvas.write(LEFT - 12, y - row / 2, f"C{pitch // 12 - 1}", "rm")
    for name in LAYERS:
        for note in score.track(name):
            _note(canvas, note, seconds, (NAMED + (ceiling - note.pitch) * row, row), colours[name])
    for note in score.drums:
        _note(canvas, note, seconds, (drum_top + drums[::-1].index(note.pitch) * DRUM, DRUM - 2), colours["drums"])
    _legend(canvas, score, colours)
    _chord_names(canvas, score.chords, seconds)
    canvas.times(seconds, bottom)
    return canvas.png()


def piano_roll_alt(score: Score, seconds: float) -> str:
    kind = score.attributes
    parts = [_part(score, name) for name in TRACKS if score.track(name)]
    named = [f"{KEYS[chord.root]} {SPOKEN.get(chord.quality, chord.quality)}" for chord in score.chords]
    chords = [name for index, name in enumerate(named) if index == 0 or name != named[index - 1]]
    more = " and so on" if len(chords) > MAX_DESCRIBED_CHORDS else ""
    heard = f" Chords: {', '.join(chords[:MAX_DESCRIBED_CHORDS])}{more}." if chords else ""
    key = f"{KEYS[kind.key]} {kind.mode}, {kind.tempo} beats a minute, {kind.metre} beats a bar"
    return f"Piano roll, {seconds:.1f} s, {key}: {'; '.join(parts) or 'no notes'}.{heard}"


# -- waveform ---------------------------------------------------------------------------------------------------


def _lanes(music: Waveform) -> np.ndarray:
    """Samples of each lane, [1 or 2, N]; more than two channels are averaged."""
    return (music if len(music.samples) <= 2 else music.mono()).samples.detach().cpu().numpy()


def _channels(music: Waveform) -> str:
    return {1: "mono", 2: "stereo"}.get(len(music.samples), f"{len(music.samples)} channels")


def _reach(sound: np.ndarray) -> float:
    peak = float(np.abs(sound).max())
    return max(STEP * math.ceil(peak / STEP - 1e-6), STEP) if peak > STEP else max(peak, QUIETEST)


def _columns(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest, highest and root mean square of the samples in each column, [PLOT]."""
    starts = np.arange(PLOT) * len(samples) // PLOT
    counts = np.maximum(np.diff(starts, append=len(samples)), 1)
    mean = np.sqrt(np.add.reduceat(samples * samples, starts) / counts)
    return np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts), mean


def _upright(plot: np.ndarray, low: np.ndarray, high: np.ndarray, colour: int) -> None:
    """Draws a vertical bar in each column from `low` to `high`, where 1 is the top and -1 the bottom."""
    rows, half = np.arange(len(plot))[:, None] + 0.5, len(plot) / 2
    plot[(rows >= half - high * half - 0.5) & (rows <= half - low * half + 0.5)] = colour


# -- spectrogram ------------------------------------------------------------------------------------------------


def _shades(music: Waveform, semitones: int) -> np.ndarray:
    """Shade indices (0 to SHADES - 1), [semitones, PLOT // CELL], highest pitch first; 0 above the Nyquist frequency."""
    bands, step = bands_of(music, LOWEST)
    frames = torch.arange(PLOT // CELL) * (CELL / PLOT * music.seconds / step)
    starts = frames.long().clamp_max(bands.shape[1] - 1).numpy()
    loud = np.maximum.reduceat(bands.numpy(), starts, axis=1)[:semitones]
    loud = np.pad(loud, ((0, semitones - len(loud)), (0, 0)), constant_values=MIN_DB)
    return np.rint((1 - loud[::-1].clip(MIN_DB) / MIN_DB) * (SHADES - 1)).astype(np.uint8)


def _hertz(value: float) -> str:
    return f"{value:.2g} Hz" if value < 99.5 else f"{round(value, -1):.0f} Hz" if value < 995 else f"{value / 1000:.1f} kHz"


# -- piano roll -------------------------------------------------------------------------------------------------


def _range(score: Score) -> tuple[int, int]:
    """Lowest and highest pitch of the plot: a semitone around the notes, at least two octaves."""
    pitches = [note.pitch for name in LAYERS for note in score.track(name)] or [60]
    low, high = min(pitches) - 1, max(pitches) + 1
    room = max(0, 24 - (high - low))
    return low - room // 2, high + room - room // 2


def _bars(canvas: Canvas, score: Score, seconds: float, bottom: int) -> None:
    """Draws bar lines (every fourth in a long piece) and a line at the start of the last chord."""
    line = timeline(score.attributes, score.seconds)
    bars = [line.time(bar * line.width) for bar in range(line.bar_count)] + [line.time(line.eighths)]
    for second in bars[:: 1 if len(bars) < PLOT // 12 else 4]:
        x = LEFT + second / seconds * PLOT
        if second < seconds:
            canvas.fill(x, NAMED - 4, x + 2, bottom, canvas.faint)


def _note(canvas: Canvas, note: Note, seconds: float, row: tuple[float, float], colour: int) -> None:
    """Draws a note with a gap of one pixel to the next. row: its top and height."""
    top, height = row
    left, right = (LEFT + second / seconds * PLOT for second in (note.start, note.start + note.duration))
    canvas.fill(left, top, max(left + 3, right - 1), top + height - (height > 7), colour)


def _players(score: Score) -> dict[str, str]:
    """Instrument name of each track."""
    kind = score.attributes
    return {"lead": kind.lead, "accompaniment": kind.accompaniment, "bass": BASS_NAMES[score.programs["bass"]], "drums": "drums"}


def _legend(canvas: Canvas, score: Score, colours: dict[str, int]) -> None:
    x: float = LEFT
    for name, player in _players(score).items():
        if score.track(name):
            canvas.fill(x, 8, x + 26, 26, colours[name])
            x = canvas.write(x + 36, 17, player, "lm") + 34


def _chord_names(canvas: Canvas, chords: Iterable[Chord], seconds: float) -> None:
    """Draws the name of each chord above its first bar, where it does not overlap the previous one."""
    free, before = float(LEFT), ""
    for chord in chords:
        root = KEYS[chord.root].replace(" sharp", "♯").replace(" flat", "♭")
        name, x = root + SUFFIX[chord.quality], LEFT + chord.start / seconds * PLOT
        if name != before and x >= free and x + font(22).getlength(name) < WIDTH:
            free, before = canvas.write(x + 2, NAMED - 20, name, "lm", 22) + 8, name


def _part(score: Score, name: str) -> str:
    notes: Sequence[Note] = score.track(name)
    count = f"{len(notes)} note{'s' * (len(notes) != 1)}" if name != "drums" else f"{len(notes)} stroke{'s' * (len(notes) != 1)}"
    low, high = min(note.pitch for note in notes), max(note.pitch for note in notes)
    where = "" if name == "drums" else f" from {_pitch(low)} to {_pitch(high)}" if low < high else f" on {_pitch(low)}"
    return f"{_players(score)[name]}, {count}{where}"


def _pitch(number: int) -> str:
    return f"{KEYS[number % 12]} {number // 12 - 1}"
