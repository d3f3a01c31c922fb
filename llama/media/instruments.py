"""The instruments of General MIDI, and which of a score's own is nearest to each."""

from __future__ import annotations

from collections.abc import Sequence

FAMILIES: tuple[str, ...] = (  # of eight programs each
    "piano", "tuned percussion", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reeds", "pipes", "synthesizer lead",
    "synthesizer pad", "synthesizer effect", "plucked folk instrument", "percussion", "sound effect",
)  # fmt: skip
NEAREST_LEAD: Sequence[str] = (
    "piano", "marimba", "organ", "guitar", "guitar", "violin", "violin", "trumpet",
    "saxophone", "flute", "synthesizer", "synthesizer", "synthesizer", "guitar", "marimba", "synthesizer",
)  # fmt: skip
NEAREST_ACCOMPANIMENT: Sequence[str] = (
    "piano", "piano", "organ", "guitar", "guitar", "strings", "strings", "strings",
    "strings", "strings", "pad", "pad", "pad", "guitar", "piano", "pad",
)  # fmt: skip
LEAD_EXCEPTIONS = {  # program -> lead, where it is not that of its family
    42: "cello", 43: "cello", 45: "harp", 46: "harp", 47: "marimba", 54: "synthesizer", 55: "synthesizer",
    68: "clarinet", 69: "clarinet", 70: "clarinet", 71: "clarinet", 108: "marimba", 109: "clarinet", 110: "violin", 111: "clarinet",
}  # fmt: skip
ACCOMPANIMENT_EXCEPTIONS = {21: "organ", 22: "organ", 46: "piano", 54: "pad", 110: "strings"}


def nearest_lead(program: int) -> str:
    """The lead of a score that is nearest to a General MIDI program, 0..127."""
    return LEAD_EXCEPTIONS.get(program, NEAREST_LEAD[program // 8])


def nearest_accompaniment(program: int) -> str:
    """The accompaniment of a score that is nearest to a General MIDI program, 0..127."""
    return ACCOMPANIMENT_EXCEPTIONS.get(program, NEAREST_ACCOMPANIMENT[program // 8])


def family(program: int) -> str:
    """What a program is, in words."""
    return FAMILIES[program // 8]
