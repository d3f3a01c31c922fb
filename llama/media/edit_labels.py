"""Short labels of what an edit did, for titles and file names: two pieces of one style and instrument are told apart by them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from llama.media.edit_report import EditReport

MAX_LABELS = 2  # in a title or a name
NAMED = ("tempo", "key", "mode", "lead", "style")  # attributes that a file name has anyway
PHRASES: Mapping[re.Pattern[str], str] = {  # of a report's changes -> label
    re.compile(pattern): label
    for pattern, label in {
        r"accompaniment from .+ to (.+)": r"\1 chords", r"(?:tempo|key|metre) from .+ to (.+)": r"\1",
        r"(?:mode|lead|style) from .+ to (.+)": r"\1", r"(without .+)": r"\1", r"(\w+) composed for it": r"with \1",
        r"(\w+) composed anew": r"new \1", r"(\w+) in bars (\d+) to (\d+) composed anew": r"new \1 in bars \2 to \3",
        r"chords(?: in bars .+)? chosen anew": "new chords", r"length from .+ to (\d+) bars": r"\1 bars",
        r"(\d+) bars added before the ending": r"\1 bars more", r"(bars .+) alone, with the ending": r"\1",
        r"the whole piece played (\d+) times": r"\1 times", r"bars in the order .+": "bars rearranged",
        r"(\w+) [\d.]+ dB (louder|softer)": r"\2 \1", r"fade over .+": "fade-out",
        r"all notes by \+1 semitones?": "1 semitone up", r"all notes by -1 semitones?": "1 semitone down",
        r"all notes by \+(\d+) semitones": r"\1 semitones up", r"all notes by -(\d+) semitones": r"\1 semitones down",
    }.items()
}  # fmt: skip


def title_labels(report: EditReport, title: str = "") -> tuple[str, ...]:
    """Labels of the first changes, without those that the title says already: ("108 bpm", "without drums")."""
    return tuple(label for _, label in _labels(report) if label.lower() not in title.lower())[:MAX_LABELS]


def name_labels(report: EditReport) -> tuple[str, ...]:
    """Labels of the first changes that a file name does not say by its tempo, key, instrument and style."""
    return tuple(label for phrase, label in _labels(report) if not phrase.startswith(tuple(f"{name} from" for name in NAMED)))[:MAX_LABELS]


def _labels(report: EditReport) -> Iterator[tuple[str, str]]:
    """(phrase of the report, its label). Parts that are composed anew in the same bars, or all of them, are one."""
    seen: set[str] = set()
    anew = [phrase for phrase in report.changed if phrase.endswith("composed anew")]
    for phrase in report.changed:
        label = next((match.expand(label) for pattern, label in PHRASES.items() if (match := pattern.fullmatch(phrase))), "")
        if phrase in anew and len(anew) > 1:
            label = f"{match[0]} anew" if (match := re.search(r"bars \d+ to \d+", phrase)) else "new arrangement"
        if label and label not in seen:
            seen.add(label)
            yield phrase, label
