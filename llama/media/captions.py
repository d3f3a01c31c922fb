"""Reader of the music decoder's captions: the attributes that an answer of the embedded model states, in its fixed form.

"A sad waltz for organ over guitar chords at 160 bpm in C minor in 3/4 without drums": nothing else is read as a caption.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from llama.media.edit import CHANGES, Edit
from llama.media.score import KEYS, LEADS, TEMPI, Attributes, Score

TEMPO_TOLERANCE = 0.04  # of the tempo: what is nearer was not asked to change, only heard a little wrong
MOODS: Mapping[str, str] = {"happy": "major", "sad": "minor"}
STYLE_NOUNS: Mapping[str, str] = {
    "ballad": "ballad", "rock song": "rock", "dance track": "dance", "waltz": "waltz", "swing tune": "swing", "ambient piece": "ambient",
}
ACCOMPANIMENT_NOUNS: Mapping[str, str] = {
    "piano chords": "piano", "organ chords": "organ", "guitar chords": "guitar", "strings": "strings", "a soft pad": "pad",
}


def _one_of(names: Iterable[str]) -> str:
    return "(" + "|".join(sorted(names, key=len, reverse=True)) + ")"


CAPTION = re.compile(
    rf"\b{_one_of(MOODS)} {_one_of(STYLE_NOUNS)} for {_one_of(LEADS)} over {_one_of(ACCOMPANIMENT_NOUNS)} at (\d{{2,3}}) bpm"
    rf"(?: in {_one_of(KEYS)} (major|minor))? in ([34])/4 (with|without) drums"
)


def read_caption(text: str, key: int) -> Attributes | None:
    """The attributes of the caption in a text; None if there is none. key: the pitch class where the caption names no key."""
    match = CAPTION.search(text)
    if match is None or int(match[5]) not in TEMPI:
        return None
    mood, style, lead, accompaniment, tempo, tonic, mode, metre, drums = match.groups()
    return Attributes(
        lead=lead, accompaniment=ACCOMPANIMENT_NOUNS[accompaniment], style=STYLE_NOUNS[style], tempo=int(tempo),
        mode=mode or MOODS[mood], metre=int(metre), drums=drums == "with", key=KEYS.index(tonic) if tonic else key,
    )  # fmt: skip


def stated_edit(score: Score, text: str) -> Edit | None:
    """The edit that leads from a piece to the one that a text announces; None if it announces none, or one of another style or metre."""
    stated = read_caption(text, score.attributes.key)
    if stated is None or (stated.style, stated.metre) != (score.attributes.style, score.attributes.metre):
        return None
    values = {name: getattr(stated, name) for name in CHANGES}
    if abs(stated.tempo - score.attributes.tempo) <= TEMPO_TOLERANCE * score.attributes.tempo:
        del values["tempo"]
    return Edit(change={name: value for name, value in values.items() if value != getattr(score.attributes, name)})
