"""The report of an edit: what it changed, what it kept, what was so already, and what was not done, in words for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llama.errors import and_list
from llama.media.edit import NAMES, Edit, edited_bar_count, prepare
from llama.media.score import TRACKS, Score
from llama.media.score_edits import score_line, set_tempo
from llama.media.spelling import key_name

SPOKEN = ("melody", "chords", "bass", "drums")  # parts in a summary; the accompaniment plays the chords


@dataclass(frozen=True)
class EditReport:
    """What an edit did: changes in words, parts that are the source's note for note (moved in time or pitch as a whole where
    the edit says so), requests that changed nothing because the piece is so already, and what was not understood or not possible."""

    changed: tuple[str, ...]
    kept: tuple[str, ...]
    unchanged: tuple[str, ...] = ()
    not_done: tuple[str, ...] = ()
    transcribed: bool = False  # the source's notes were written down from a recording

    @property
    def summary(self) -> str:
        """What was changed and which parts were kept, in one sentence: "Tempo from 120 bpm to 108 bpm; melody, chords and bass kept."."""
        parts = [name for name in SPOKEN if name in self.kept and not (name == "chords" and "without accompaniment" in self.changed)]
        kept = f"; {and_list(parts)} kept" if parts else ""
        words = "; ".join(self.changed) if self.changed else "nothing changed"
        return f"{words[:1].upper()}{words[1:]}{kept}."

    def __str__(self) -> str:
        """One to four sentences for a person."""
        done = f"Changed: {', '.join(self.changed)}." if self.changed else "Nothing changed."
        kept = f" Kept: {', '.join(self.kept)}." if self.kept else ""
        already = f" Already so: {', '.join(self.unchanged)}." if self.unchanged else ""
        not_done = f" Not done: {'; '.join(self.not_done)}." if self.not_done else ""
        return done + kept + already + not_done + (" The notes were written down from the recording." if self.transcribed else "")


def report_edit(
    score: Score, edit: Edit, already: Sequence[str] = (), not_done: Sequence[str] = (), transcribed: bool = False
) -> EditReport:
    """The report of an edit of this piece: its changes, and the parts that stay.

    already: requests that the piece fulfils already. not_done: requests that were not carried out, with the reason.
    """
    changed: list[str] = []
    unchanged, mode = list(already), score.attributes.mode
    for name, value in edit.change.items():
        was, modes = getattr(score.attributes, name), (mode, edit.change.get("mode", mode))
        if name != "drums" and not (name == "mode" and "key" in edit.change):  # a key is named with its mode
            is_same = was == value and (name != "key" or modes[0] == modes[1])
            (unchanged if is_same else changed).append(_change_in_words(name, was, value, modes))
    if edit.transpose:
        changed.append(f"all notes by {edit.transpose:+d} semitones")
    composed = edit.composed_parts(score)
    for name in edit.removed:
        if score.track(name):
            changed.append(f"without {NAMES[name]}")
        else:
            unchanged.append(f"no {NAMES[name]}")
    if edit.change.get("drums") and score.drums and "drums" not in composed:
        unchanged.append("drums")
    changed += _composed_in_words(score, edit, composed)
    changed += _dynamics_in_words(score, edit)
    length, same = _length_in_words(score, edit)
    (unchanged if same else changed).extend(length)
    kept = _kept(score, edit, composed, not length or same)
    return EditReport(tuple(changed), kept, tuple(dict.fromkeys(unchanged)), tuple(not_done), transcribed)


def report_recording_edit(edit: Edit) -> EditReport:
    """What a decoder of sound was told to do with a recording. It comes near to what it keeps, and keeps nothing exactly."""
    changed = [f"everything but the {' and '.join(edit.keep)}"] if edit.keep else []
    numbers = {"length to {:g} s": edit.seconds, "continued by {:g} s": edit.continuation, "all, by a strength of {:g}": edit.strength}
    changed += [words.format(value) for words, value in numbers.items() if value is not None]
    kept = ("the recording itself",) if edit.continuation else tuple(f"{name}, nearly" for name in edit.keep)
    return EditReport(tuple(changed) or ("all, by the decoder's usual strength",), kept)


def _composed_in_words(score: Score, edit: Edit, composed: Sequence[str]) -> list[str]:
    if edit.continuation is not None:
        return []
    where = f" in bars {edit.bars[0]} to {edit.bars[1]}" if edit.bars else ""
    words = [f"{NAMES[name]}{where} composed {'anew' if score.track(name) else 'for it'}" for name in composed]
    if not edit.keeps_chords:
        words.append(f"chords{where} chosen anew")
    if edit.change.get("metre", score.attributes.metre) != score.attributes.metre:
        lost = len(score.lead) - len(prepare(score, edit).lead)
        words.append("melody fitted into the new bars" + (f", {lost} of {len(score.lead)} notes left out" if lost else ""))
    return words


def _dynamics_in_words(score: Score, edit: Edit) -> list[str]:
    words = [
        f"{NAMES[name]} {abs(level):g} dB {'louder' if level > 0 else 'softer'}"
        for name, level in edit.balance.items() if score.track(name) or name in edit.composed_parts(score)
    ]  # fmt: skip
    return words if edit.fade_out is None else [*words, f"fade over the last {edit.fade_out:g} s"]


def _order_in_words(order: tuple[tuple[int, int], ...], bar_count: int) -> list[str]:
    """Bars played several times or left out, if that is all that the order does; otherwise the order itself."""
    times = len(order)
    if {*order} == {(1, bar_count)}:
        return [f"the whole piece played {times} times"]
    ranges = [f"{first} to {last}" if last > first else f"{first}" for first, last in order]
    return [f"bars in the order {', '.join(ranges)}"]


def _length_in_words(score: Score, edit: Edit) -> tuple[list[str], bool]:
    """How the length in bars changes, and whether it was as asked already."""
    if edit.excerpt:
        return [f"bars {edit.excerpt[0]} to {edit.excerpt[1]} alone, with the ending"], False
    if edit.order:
        return _order_in_words(edit.order, score_line(score).bar_count), False
    if added := edit.added_bars(score):
        return [f"{added} bars added before the ending"], False
    tempo = edit.change.get("tempo", score.attributes.tempo)
    bars = edited_bar_count(set_tempo(prepare(score, edit), tempo) if edit.seconds is not None else score, edit)
    was = score_line(score).bar_count
    if bars is None:
        return [], True
    return ([f"{was} bars long"], True) if bars == was else ([f"length from {was} to {bars} bars"], False)


def _kept(score: Score, edit: Edit, composed: Sequence[str], length: bool) -> tuple[str, ...]:
    continued = edit.continuation is not None
    fitted = edit.change.get("metre", score.attributes.metre) != score.attributes.metre
    kept = [
        NAMES[name] for name in TRACKS
        if score.track(name) and name not in edit.removed and (continued or name not in composed) and not (fitted and name == "lead")
    ]  # fmt: skip
    chords = ("chords",) if edit.keeps_chords else ()
    return (*kept, *chords, *(("length in bars",) if length else ()))


def _change_in_words(name: str, was: Any, value: Any, modes: tuple[str, str]) -> str:
    """modes: of the piece before and after the edit, which decide how keys are named."""
    if name == "key":
        before, after = (key_name(key, mode) for key, mode in zip((was, value), modes, strict=True))
    else:
        words = {"tempo": lambda tempo: f"{tempo:g} bpm", "metre": lambda metre: f"{metre}/4"}.get(name, str)
        before, after = words(was), words(value)
    return f"{name} {before}" if before == after else f"{name} from {before} to {after}"
