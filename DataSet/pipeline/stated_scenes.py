"""Facts that captions of pictures and clips state, in the words of the made set: mood, place, light, weather, pace."""

from __future__ import annotations

import re
from collections.abc import Mapping

from DataSet.synthesis.dialogues import LIGHTS, PLACES, WEATHERS
from DataSet.synthesis.scenes import MOODS

PACES: Mapping[str, str] = {"slow": r"\bslow(ly)?\b", "medium": r"\bmedium pace\b", "fast": r"\bfast\b"}
MODE_OF_MOOD: Mapping[str, str] = {"happy": "major", "calm": "major", "sad": "minor", "tense": "minor"}  # as the composer chooses
SCENE_FACTS = ("mood", "place", "light", "weather", "motion")


def parse_scene(name: str, text: str) -> str | None:
    """The value of a fact that a caption states, or None."""
    text = text.lower()
    words = {
        "mood": {mood: rf"\bfeels {mood}\b" for mood in MOODS},
        "place": {place: rf"\b{re.escape(words.lower())}\b" for place, words in PLACES.items()},
        "light": {light: rf"\b{re.escape(words)}\b" for light, words in LIGHTS.items()},
        "weather": {weather: re.escape(words.strip()) for weather, words in WEATHERS.items() if words},
        "motion": PACES,
    }[name]
    return next((value for value, pattern in words.items() if re.search(pattern, text)), None)
