"""How the beats and bars of a score count those of a file that may have any tempi and metres, and what to say about it.

A score has one tempo from 30 to 300 and bars of 3 or 4 beats. No note moves against the beat: what changes is which beats a bar
holds, and how long a beat lasts where the file's tempo changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from llama.media.raw_score import DEFAULT_TEMPO, RawMetre, RawScore, mean_tempo, spans
from llama.media.score import TEMPO_RANGE

STEADY = 0.75  # share of the piece from which one of several tempi is that of the whole


@dataclass(frozen=True)
class BarCounting:
    """tempo, metre: of the score. unit: quarter notes of a beat; shift: beats by which all begins later; remarks: sentences."""

    tempo: float
    metre: int
    unit: float
    shift: float
    remarks: tuple[str, ...]

    def beat_at(self, quarters: float) -> float:
        """The beat of the score at a place in the file."""
        return quarters / self.unit + self.shift

    def seconds_of(self, quarters: float) -> float:
        """The time that so many quarter notes last."""
        return quarters / self.unit * 60 / self.tempo

    def seconds_at(self, quarters: float) -> float:
        """The time in the score of a place in the file."""
        return self.beat_at(quarters) * 60 / self.tempo

    def with_tempo(self, tempo: float) -> BarCounting:
        """The same bars at another tempo."""
        return replace(self, tempo=tempo)


def count_bars(raw: RawScore, length: float) -> BarCounting:
    """The counting of a file whose notes end after `length` quarter notes."""
    tempo, remark = _one_tempo(raw, length)
    unit = _beat_unit(tempo)
    remarks = [remark]
    if unit != 1:
        note = {Fraction(2): "a half note", Fraction(1, 2): "an eighth"}.get(unit, f"{unit} quarter notes")
        remarks.append(f"At {tempo:g} quarter notes a minute, a beat of the score is {note}.")
    signature = _main_metre(raw, length)
    metre, aligned, bar = _score_metre(signature, unit)
    shift = 0.0
    if raw.upbeat and aligned:
        shift = float((-Fraction(raw.upbeat).limit_denominator(960) / unit) % metre)
        remarks.append(f"The upbeat ends bar 1, so all notes begin {shift:g} beats later than in the file." if shift else "")
    remarks.append(_metre_remark(raw, signature, metre, aligned, bar))
    return BarCounting(tempo / float(unit), metre, float(unit), shift, tuple(filter(None, remarks)))


def _beat_unit(tempo: float) -> Fraction:
    """Quarter notes of a beat: doubled or halved until the beats have a tempo that a score may have."""
    power = 0
    while tempo / 2.0**power > TEMPO_RANGE[1]:
        power += 1
    while tempo / 2.0**power < TEMPO_RANGE[0]:
        power -= 1
    return Fraction(2) ** power


def _one_tempo(raw: RawScore, length: float) -> tuple[float, str]:
    """Quarter notes a minute for the whole piece, and a sentence if the file has several: the main one, or the mean."""
    changes = [(change.start, change.tempo) for change in raw.tempi]
    held = spans(changes if changes and changes[0][0] <= 0 else [(0.0, DEFAULT_TEMPO), *changes], length)
    used = {tempo: span for tempo, span in held.items() if span > 0}
    main = max(used, key=lambda tempo: used[tempo])
    if len(used) < 2:
        return main, ""
    steady = used[main] >= STEADY * length
    tempo = main if steady else round(mean_tempo(raw.tempi, length), 2)
    return tempo, (
        f"The tempo of the file changes between {min(used):.4g} and {max(used):.4g}; the whole piece has {tempo:g}, "
        f"{'its main tempo' if steady else 'the mean'}."
    )


def _main_metre(raw: RawScore, length: float) -> RawMetre:
    """The time signature of most of the piece; 4/4 where none is given."""
    if not raw.metres:
        return RawMetre(0.0, 4, 4)
    held = spans(((change.start, (change.beats, change.unit)) for change in raw.metres), length)
    return RawMetre(0.0, *max(held, key=lambda signature: held[signature]))


def _score_metre(signature: RawMetre, unit: Fraction) -> tuple[int, bool, Fraction]:
    """3 or 4 beats, whether such bars begin where bars of the file do, and the beats of a bar of the file."""
    bar = Fraction(4 * signature.beats, signature.unit) / unit
    preferred = (3, 4) if signature.beats % 3 == 0 else (4, 3)
    fitting = [metre for metre in preferred if (bar / metre).denominator == 1 or (metre / bar).denominator == 1]
    return fitting[0] if fitting else preferred[0], bool(fitting), bar


def _metre_remark(raw: RawScore, signature: RawMetre, metre: int, aligned: bool, bar: Fraction) -> str:
    """A sentence about bars that are counted in another way than in the file; empty if they are not."""
    name, counted = f"{signature.beats}/{signature.unit}", f"{metre}/4"
    if len({(change.beats, change.unit) for change in raw.metres} - {(signature.beats, signature.unit)}) > bool(raw.upbeat):
        return f"The metre of the file changes; all bars are counted in {counted}, so some begin elsewhere."
    if not aligned:
        return f"Bars have 3 or 4 beats: {name} is counted in {counted}, so most bars begin elsewhere."
    if bar > metre:
        return f"A bar of {name} is {bar / metre} bars of {counted} here."
    if bar < metre:
        return f"{metre / bar} bars of {name} are one bar of {counted} here."
    return "" if name == counted else f"Bars of {name} are counted in {counted}; they are as long."
