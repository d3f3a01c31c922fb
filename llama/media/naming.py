"""Names of pieces and their files, which say what is in them."""

from __future__ import annotations

from llama.media.score import Score
from llama.media.spelling import key_name

MOODS = {"major": "happy", "minor": "sad"}


def piece_name(score: Score) -> str:
    """A file name without its ending, such as "sad-ballad-piano-72bpm-E-minor": ASCII letters, digits and hyphens alone."""
    attributes = score.attributes
    kind = MOODS[attributes.mode], attributes.style, attributes.lead
    return "-".join([*kind, f"{round(attributes.tempo)}bpm", *key_name(attributes.key, attributes.mode).split()])


def loop_name(score: Score, first: int, last: int) -> str:
    """The name of a loop of these bars, from 1: the piece's with "bars-5-8", or "bar-5" for one."""
    return f"{piece_name(score)}-{f'bar-{first}' if first == last else f'bars-{first}-{last}'}"


def title_of(score: Score) -> str:
    """A title above a page, such as "Ballad in E minor"."""
    return f"{score.attributes.style.capitalize()} in {key_name(score.attributes.key, score.attributes.mode)}"


def staff_name(score: Score, name: str) -> str:
    """The name of a staff: the instrument of lead and accompaniment, numbered where it is the same, "Bass", "Drums"."""
    if name not in ("lead", "accompaniment"):
        return name.capitalize()
    instrument = str(getattr(score.attributes, name)).capitalize()
    same = score.attributes.lead == score.attributes.accompaniment and score.lead and score.accompaniment
    return f"{instrument} {1 if name == 'lead' else 2}" if same else instrument
