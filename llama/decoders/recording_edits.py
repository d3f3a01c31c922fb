"""Edits of a recording by decoders of sound: what each can do, and the sentence for what it cannot.

A decoder of sound can be alike, not exact: it continues a recording, keeps its melody (MusicGen Melody), or stays near it
(AudioLDM2). What only notes can do is refused before the work begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import fields

from llama.config import MAX_MUSIC_SECONDS
from llama.media.audio import Waveform
from llama.media.edit import Edit
from llama.media.score import Score

WISHES: Mapping[str, str] = {  # field of an Edit -> what it asks of a recording
    "change": "change the {change} of a recording and keep the rest", "transpose": "transpose a recording",
    "without": "take {without} out of a recording", "parts": "make the {parts} of a recording anew and keep the rest",
    "bars": "make bars of a recording anew", "excerpt": "cut a recording at its bars",
    "order": "play the bars of a recording in another order", "balance": "change the loudness of the parts of a recording",
    "fade_out": "fade a recording out", "keep": "keep the {keep} of a recording",
    "bar_count": "count the bars of a recording", "seconds": "change the length of a recording",
    "continuation": "continue a recording", "strength": "take a strength",
}  # fmt: skip
ABILITIES: Mapping[str, str] = {  # field -> what a decoder that takes it offers instead
    "continuation": "continue it (continuation, in seconds)", "keep": "keep its melody (keep)",
    "strength": "stay near it (strength, 0 to 1)",
}  # fmt: skip
LISTED = ("change", "without", "parts", "keep")  # fields whose values are named in WISHES


def requested(edit: Edit) -> tuple[str, ...]:
    """Names of the fields by which an edit differs from one that asks for nothing."""
    nothing = type(edit)()
    return tuple(field.name for field in fields(edit) if getattr(edit, field.name) != getattr(nothing, field.name))


def check_recording_edit(name: str, edit: Edit, source: Score | Waveform, able: Set[str]) -> None:
    """Raises ValueError in one sentence for an edit that a decoder of sound cannot make.

    name: the decoder's, for the sentence. able: the fields of ABILITIES that it takes. A kept melody may come from a
    recording or from a score, and may become shorter or longer (`seconds`); every other edit takes a recording.
    """
    wishes = requested(edit)
    only_melody = "keep" in able and edit.keep == ("melody",)
    allowed = ({*able} - {"keep"}) | ({"keep", "seconds"} if only_melody else set())
    offer = " or ".join(words for field, words in ABILITIES.items() if field in able)
    if refused := [wish for wish in wishes if wish not in allowed]:
        wish = WISHES[refused[0]].format(**{field: " and ".join(getattr(edit, field)) for field in LISTED})
        raise ValueError(f"{name} makes sound without notes, so it cannot {wish}; it can {offer}; a decoder that writes notes can do more.")
    if not wishes and "strength" not in able:
        raise ValueError(f"The edit asks for nothing that {name} could do with a recording; it can {offer}.")
    if not isinstance(source, Waveform) and not only_melody:
        raise ValueError(f"{name} cannot play notes, so it edits recordings; give the piece as a recording.")
    seconds = edited_seconds(edit, source)
    if seconds > MAX_MUSIC_SECONDS:
        raise ValueError(f"The edit would last {seconds:.1f} s, and music lasts at most {MAX_MUSIC_SECONDS:g} s; give a shorter recording.")


def edited_seconds(edit: Edit, source: Score | Waveform) -> float:
    """Length of the music that a decoder of sound makes of a recording: that of the recording, with its continuation."""
    if edit.continuation is not None:
        return source.seconds + edit.continuation
    return source.seconds if edit.seconds is None else edit.seconds
