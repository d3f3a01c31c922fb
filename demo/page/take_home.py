"""The take-home menu of a piece: each form in which it can be had, what that is for, and how large or long it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demo.service.exports import DEFAULT_LOOP_BARS, EXPORT_FORMATS, SOUND_FORMS, file_name, piece_stem
from demo.service.sessions import export_url, media_url
from llama.media.score import TRACKS
from llama.media.score_edits import score_line

if TYPE_CHECKING:
    from llama.media.score import Score

MP3_SHARE = 0.2  # of the wav file, for music of this decoder
FLAC_SHARE = 0.5
MEGABYTE = 1e6


def take_home(token: str, sound: Path, score: Score | None, label: str = "") -> list[dict[str, str]]:
    """The downloads of a card. token: of the session; sound: the piece's wav file in its folder; score: its notes, if they are known.

    All forms but the sound itself are made when they are asked for. name: under which the browser saves it. label: of the edit that made
    the piece, as in `piece_stem`.
    """
    stem, size = piece_stem(sound, score, label), sound.stat().st_size
    wav = {"form": "wav", "label": "WAV", "url": media_url(token, sound.name, f"{stem}.wav"), "name": f"{stem}.wav",
           "hint": f"for every editor, {_size(size)}"}  # fmt: skip
    bars = 0 if score is None else _bar_count(score)
    forms = [form for form in EXPORT_FORMATS if form in SOUND_FORMS or score is not None and (form != "loop" or bars)]
    return [wav, *({"form": form, "label": EXPORT_FORMATS[form].label, "url": export_url(token, sound.name, form),
                    "name": _name(sound, score, form, bars, label), "hint": _hint(form, size, score, bars)} for form in forms)]  # fmt: skip


def _bar_count(score: Score) -> int:
    """Bars of a piece; 0 where its chords do not tell."""
    try:
        return score_line(score).bar_count
    except ValueError:
        return 0


def _name(sound: Path, score: Score | None, form: str, bars: int, label: str) -> str:
    if score is None or form in SOUND_FORMS:
        return piece_stem(sound, score, label) + EXPORT_FORMATS[form].suffix
    return file_name(score, form, (1, min(DEFAULT_LOOP_BARS, bars)), label)


def _hint(form: str, size: int, score: Score | None, bars: int) -> str:
    parts = 0 if score is None else sum(bool(score.track(name)) for name in TRACKS)
    return {
        "mp3": f"small, plays everywhere, about {_size(MP3_SHARE * size)}",
        "flac": f"lossless and smaller, about {_size(FLAC_SHARE * size)}",
        "loop": f"the first {_counted(min(DEFAULT_LOOP_BARS, bars), 'bar')} without a seam, WAV",
        "stems": f"{_counted(parts, 'part')} as WAV files of their own, ZIP",
        "midi": "the notes, for any sequencer",
        "musicxml": "sheet music, for notation programs",
        "chords": f"{_counted(bars, 'bar')} as text, to play from",
        "all": "every form in one ZIP" if score is not None else "WAV, FLAC and MP3 in one ZIP",
    }[form]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _size(size: float) -> str:
    return f"{size / MEGABYTE:.1f} MB" if size >= 0.1 * MEGABYTE else f"{size / 1000:.0f} kB"
