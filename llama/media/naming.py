"""Names of pieces and their files, which say what is in them."""

from __future__ import annotations

import re
import unicodedata

from llama.media.score import Score
from llama.media.spelling import key_name

MOODS = {"major": "happy", "minor": "sad"}
MAX_WORDS = 8  # of a text in a file name
MAX_LETTERS = 60
RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])", re.IGNORECASE)  # names that Windows gives to devices


def piece_name(score: Score, label: str = "") -> str:
    """A file name without its ending, such as "sad-ballad-piano-72bpm-E-minor": ASCII letters, digits and hyphens alone.

    label: what an edit did beside that, such as "without drums", at its end.
    """
    attributes = score.attributes
    kind = MOODS[attributes.mode], attributes.style, attributes.lead
    name = "-".join([*kind, f"{round(attributes.tempo)}bpm", *key_name(attributes.key, attributes.mode).split()])
    return f"{name}-{text_name(label)}" if label else name


def loop_name(score: Score, first: int, last: int, label: str = "") -> str:
    """The name of a loop of these bars, from 1: the piece's with "bars-5-8", or "bar-5" for one."""
    return f"{piece_name(score, label)}-{f'bar-{first}' if first == last else f'bars-{first}-{last}'}"


def text_name(text: str, default: str = "music") -> str:
    """A file name without its ending from the first words of a text, such as "a-slow-sad-piano-piece": ASCII letters, digits and hyphens.

    Accents are left out; a text without such letters, or one that is a device's name, gives `default`.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", plain.replace("'", ""))[:MAX_WORDS]
    name = "-".join(words).lower()[:MAX_LETTERS].strip("-")
    return default if not name or RESERVED.fullmatch(name) else name


def title_of(score: Score) -> str:
    """A title above a page, such as "Ballad in E minor"."""
    return f"{score.attributes.style.capitalize()} in {key_name(score.attributes.key, score.attributes.mode)}"


def playing_words(instrument: str) -> str:
    """The instrument of the chords with its verb, such as "strings play", "the organ plays"."""
    return {"strings": "strings play", "pad": "a soft pad plays"}.get(instrument, f"the {instrument} plays")


def staff_name(score: Score, name: str) -> str:
    """The name of a staff: the instrument of lead and accompaniment, numbered where it is the same, "Bass", "Drums"."""
    if name not in ("lead", "accompaniment"):
        return name.capitalize()
    instrument = str(getattr(score.attributes, name)).capitalize()
    same = score.attributes.lead == score.attributes.accompaniment and score.lead and score.accompaniment
    return f"{instrument} {1 if name == 'lead' else 2}" if same else instrument
