"""Command-line flags of an edit, and the `Edit` that they make."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llama.errors import quoted

if TYPE_CHECKING:
    from llama.media.edit import Edit

CHANGES = ("tempo", "key", "mode", "lead", "accompaniment", "style", "metre")
NAMES = (*CHANGES, "transpose", "keep", "parts", "bars", "with_parts", "without", "excerpt", "order", "bars_total", "continuation",
         "balance", "fade_out", "strength")  # fmt: skip
STEPS: Mapping[str, int] = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS: Mapping[str, int] = {"": 0, "#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}
KEY = re.compile(r"([A-G])[ -]?(#|♯|sharp|b|♭|flat)?", re.IGNORECASE)
TUNE = ("lead", "melody", "tune")  # one part under three names


def add_edit_flags(parser: ArgumentParser) -> None:
    """Adds the flags of `Edit`, all None by default, to a group of their own."""
    group = parser.add_argument_group("edit", "of --score or --audio; what is not named is kept, and without flags the words decide")
    add = group.add_argument
    add("--tempo", type=float, metavar="BPM", help="another tempo, in beats a minute")
    add("--key", metavar="KEY", help='another tonic, such as "E flat" or F#')
    add("--mode", metavar="MODE", help="major or minor")
    add("--transpose", type=int, metavar="N", help="semitones by which all notes move")
    add("--lead", metavar="NAME", help="another instrument for the melody, such as flute")
    add("--accompaniment", metavar="NAME", help="another one for the chords, such as guitar")
    add("--style", metavar="NAME", help="another style, such as waltz: melody and chords are kept")
    add("--metre", metavar="N", help="3 or 4 beats a bar")
    add("--with", dest="with_parts", metavar="PARTS", help="parts that are added, such as drums")
    add("--without", metavar="PARTS", help="parts that are taken out, such as drums,bass")
    add("--parts", metavar="PARTS", help="parts that are composed anew")
    add("--bars", metavar="A-B", help="bars in which they are composed anew, all parts if none are named")
    add("--keep", metavar="PARTS", help="only these are kept, such as melody,chords; all else is composed anew")
    add("--excerpt", metavar="A-B", help="these bars alone, with the ending")
    add("--order", metavar="A-B,C-D", help="bars in the order in which they are played, such as 1-4,1-4,9-11")
    add("--balance", metavar="PART=DB", help="parts louder or softer than the others, such as drums=-6,melody=3")
    add("--fade-out", type=float, metavar="SECONDS", help="the notes become softer and softer at the end")
    add("--bars-total", type=int, metavar="N", help="length in bars, also of a new piece; --seconds takes the nearest")
    add("--continue", dest="continuation", type=float, metavar="SECONDS", help="new music after the piece")
    add("--strength", type=float, metavar="X", help="how far a decoder of sound may go from the recording, 0 to 1")


def edit_of(values: Namespace) -> Edit | None:
    """The edit that the flags ask for; None if they ask for none, but a score without a text is kept. Raises ValueError in one sentence.

    --seconds is its length where there is a score or another flag, and --bars-total where there is a piece; otherwise they are
    those of a new piece.
    """
    given = {name: getattr(values, name) for name in NAMES if getattr(values, name) is not None}
    has_piece = values.score is not None or values.audio is not None
    if not has_piece and given.pop("bars_total", None) is not None and values.seconds is not None:
        raise ValueError("--bars-total and --seconds both set the length of the piece; give one of them.")
    if given and not has_piece:
        flag = next(iter(given)).replace("with_parts", "with").replace("continuation", "continue")
        raise ValueError(f"--{flag} edits a piece, but none was given; give its notes with --score or its recording with --audio.")
    if values.seconds is not None and (given or values.score is not None):
        given["seconds"] = values.seconds
    from llama.media.edit import Edit

    if not given:  # a score alone is played and written as it is
        return Edit() if values.score is not None and values.out is not None and not values.text.strip() else None

    return Edit(**_edit_fields(given))


def _edit_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an `Edit` from the flags that were given."""
    change = {name: _change(name, given[name]) for name in CHANGES if name in given}
    fields: dict[str, Any] = {"change": change, "parts": _parts(given.get("parts", ""), "lead")}
    added = _parts(given.get("with_parts", ""), "lead")
    if "drums" in added:
        change["drums"] = True
    fields["parts"] += tuple(part for part in added if part != "drums")
    fields["without"] = _parts(given.get("without", ""), "lead")
    fields["keep"] = _parts(given.get("keep", ""), "melody")
    for name in ("bars", "excerpt"):
        fields[name] = bar_range(name, given[name]) if name in given else None
    fields["order"] = tuple(bar_range("order", bars) for bars in given["order"].split(",")) if "order" in given else ()
    fields["balance"] = _balance(given["balance"]) if "balance" in given else {}
    fields["bar_count"] = given.get("bars_total")
    return {**fields, **{name: given[name] for name in ("transpose", "continuation", "strength", "seconds", "fade_out") if name in given}}


def _change(name: str, value: Any) -> Any:
    """The value of an attribute; what is not understood goes on to `Edit`, which says what is allowed."""
    if name == "key":
        return pitch_class(value)
    if name == "tempo":
        return int(value) if float(value).is_integer() else value
    if name == "metre":
        return {"3": 3, "4": 4, "3/4": 3, "4/4": 4}.get(value, value)
    return value


def pitch_class(name: str) -> int:
    """The pitch class of a key's name, such as "E flat", "Eb", "f#" or "D flat". Raises ValueError for others."""
    match = KEY.fullmatch(name.strip())
    if match is None:
        raise ValueError(f"The key {quoted(name)} is not known; give a letter from A to G, with sharp or flat, and the mode with --mode.")
    step, accidental = match.groups(default="")
    return (STEPS[step.upper()] + ACCIDENTALS[accidental.lower()]) % 12


def _parts(names: str, melody: str) -> tuple[str, ...]:
    """Parts from "melody,chords". melody: the name that `Edit` has for the melody here; it checks the others."""
    parts = [part.strip().lower() for part in names.split(",") if part.strip()]
    return tuple(melody if part in TUNE else part for part in parts)


def _balance(text: str) -> dict[str, float]:
    """Parts and dB from "drums=-6,melody=3". Raises ValueError for other text; `Edit` checks the values."""
    balance = {}
    for item in text.split(","):
        name, _, level = item.partition("=")
        try:
            balance[_parts(name, "lead")[0]] = float(level)
        except (ValueError, IndexError):
            raise ValueError(f"--balance {quoted(item)} is no part with its dB; give some such as drums=-6,melody=3.") from None
    return balance


def bar_range(name: str, text: str) -> tuple[int, int]:
    """First and last bar from "5-8", or "5" for one bar. name: of the flag, for the sentence."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?", text)
    if match is None:
        raise ValueError(f"--{name} {quoted(text)} is no range of bars; give the first and the last one, such as 5-8.")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last:
        raise ValueError(f"--{name} {quoted(text)} is no range of bars; give bars from 1, the first one first, such as 5-8.")
    return first, last
