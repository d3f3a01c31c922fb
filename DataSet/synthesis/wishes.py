"""Meaning of a request: from some attributes, a picture's mood or a clip's motion to the complete attributes of a piece.

All functions are deterministic: equal requests give equal attributes, so that a small model can learn the rule and a test
can check it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from DataSet.synthesis.captions import DRUM_WORDS, METRE_WORDS, MODE_WORDS, STYLE_WORDS, TEMPO_WORDS
from llama.media.score import KEYS, TEMPI, Attributes

Wish = Mapping[str, Any]  # some of the fields of Attributes

STYLE_HABITS: Mapping[str, Wish] = {  # what a style means when nothing else is said
    "ballad": {"lead": "piano", "accompaniment": "strings", "tempo": 72, "mode": "major", "metre": 4, "drums": False},
    "rock": {"lead": "guitar", "accompaniment": "organ", "tempo": 132, "mode": "minor", "metre": 4, "drums": True},
    "dance": {"lead": "synthesizer", "accompaniment": "pad", "tempo": 124, "mode": "major", "metre": 4, "drums": True},
    "waltz": {"lead": "violin", "accompaniment": "piano", "tempo": 108, "mode": "major", "metre": 3, "drums": False},
    "swing": {"lead": "saxophone", "accompaniment": "piano", "tempo": 140, "mode": "major", "metre": 4, "drums": True},
    "ambient": {"lead": "flute", "accompaniment": "pad", "tempo": 66, "mode": "major", "metre": 4, "drums": False},
}
LEAD_STYLE: Mapping[str, str] = {  # the style an instrument suggests by itself
    "piano": "ballad", "organ": "ballad", "guitar": "rock", "violin": "ballad", "cello": "ballad", "trumpet": "swing",
    "flute": "ambient", "saxophone": "swing", "clarinet": "swing", "harp": "ambient", "marimba": "dance", "synthesizer": "dance",
}
STYLE_NAMES: Mapping[str, str] = {  # names people use -> the style that comes nearest
    "ballad": "ballad", "love song": "ballad", "lullaby": "ballad", "folk song": "ballad", "slow song": "ballad", "hymn": "ballad",
    "rock": "rock", "metal": "rock", "punk": "rock", "hard rock": "rock", "dance": "dance", "techno": "dance", "house": "dance",
    "disco": "dance", "pop": "dance", "electronic": "dance", "club": "dance", "waltz": "waltz", "swing": "swing", "jazz": "swing",
    "big band": "swing", "blues": "swing", "ambient": "ambient", "meditation": "ambient", "lo-fi": "ambient", "spa": "ambient",
    **dict.fromkeys(("soul", "gospel", "r&b", "acoustic", "singer-songwriter", "folk", "power ballad", "schmaltz", "chanson", "romance"), "ballad"),
    **dict.fromkeys(("grunge", "indie", "garage rock", "alternative", "heavy metal", "rock and roll", "rock'n'roll", "hardcore", "classic rock", "country", "surf rock"), "rock"),
    **dict.fromkeys(("edm", "trance", "drum and bass", "electro", "synthwave", "funk", "eurodance", "hip hop", "reggaeton", "synthpop", "k-pop", "electronica", "dubstep", "party"), "dance"),
    **dict.fromkeys(("minuet", "Viennese waltz", "mazurka", "musette", "ballroom"), "waltz"),
    **dict.fromkeys(("bebop", "dixieland", "ragtime", "boogie-woogie", "cool jazz", "bossa nova", "lounge", "charleston", "smooth jazz"), "swing"),
    **dict.fromkeys(("chillout", "new age", "drone", "soundscape", "sleep", "downtempo", "atmospheric", "relaxation", "wellness"), "ambient"),
}
MOODS: Mapping[str, Wish] = {  # an adjective, and what it asks for
    **{word: {"mode": mode} for mode, words in MODE_WORDS.items() for word in words},
    "calm": {"style": "ambient", "drums": False}, "peaceful": {"style": "ambient", "drums": False},
    "relaxing": {"style": "ambient", "drums": False}, "dreamy": {"style": "ambient", "drums": False},
    "gentle": {"style": "ballad", "drums": False}, "romantic": {"style": "ballad", "drums": False},
    "tender": {"style": "ballad", "drums": False}, "powerful": {"style": "rock", "drums": True},
    "wild": {"style": "rock", "drums": True}, "angry": {"style": "rock", "mode": "minor", "drums": True},
    "groovy": {"style": "dance", "drums": True}, "danceable": {"style": "dance", "drums": True},
    **dict.fromkeys(("jolly", "playful", "joyous", "lighthearted", "positive", "triumphant", "glad", "sweet", "smiling", "feel-good", "carefree", "radiant", "blissful", "festive"), {"mode": "major"}),
    **dict.fromkeys(("blue", "bittersweet", "depressing", "tragic", "tearful", "heartbroken", "spooky", "creepy", "mysterious", "haunting", "sinister", "gothic", "lonely",
                     "grim", "sombre", "despairing", "unhappy", "eerie", "nostalgic"), {"mode": "minor"}),
    **dict.fromkeys(("soothing", "chill", "mellow", "serene", "meditative", "quiet", "ethereal", "spacey", "tranquil", "floating", "sleepy", "zen"), {"style": "ambient", "drums": False}),
    **dict.fromkeys(("soft", "delicate", "intimate", "loving"), {"style": "ballad", "drums": False}),
    **dict.fromkeys(("epic", "heavy", "loud", "intense", "rebellious", "rough", "raw"), {"style": "rock", "drums": True}),
    **dict.fromkeys(("aggressive", "furious", "menacing"), {"style": "rock", "mode": "minor", "drums": True}),
    **dict.fromkeys(("funky", "partying", "clubby", "catchy"), {"style": "dance", "drums": True}),
    **dict.fromkeys(("jazzy", "swinging", "bluesy"), {"style": "swing"}), **dict.fromkeys(("elegant", "graceful", "whirling"), {"style": "waltz"}),
}
PACES: Mapping[str, int] = {
    **{word: (low + high) // 4 * 2 for low, high, words in TEMPO_WORDS for word in words},
    **dict.fromkeys(("sluggish", "dragging", "super slow", "slow as can be", "really slow", "lento", "snail-paced"), 66), **dict.fromkeys(("leisurely", "slowish", "laid-back", "not fast"), 74),
    **dict.fromkeys(("not too fast", "easy-going", "strolling", "mid-tempo", "moderato", "medium", "middling"), 108),
    **dict.fromkeys(("peppy", "bouncy", "vivid", "animated", "snappy", "zippy", "spirited", "vivace", "up-tempo", "uptempo"), 128),
    **dict.fromkeys(("speedy", "swift", "hasty", "rushing", "fast-paced", "hurried"), 158), **dict.fromkeys(("super fast", "really fast", "breakneck", "insanely fast", "prestissimo", "lightning fast"), 170),
}
OCCASIONS: Mapping[str, Wish] = {
    "a rainy evening": {"style": "ballad", "mode": "minor", "lead": "piano"}, "a birthday party": {"style": "dance", "lead": "trumpet"},
    "falling asleep": {"style": "ambient", "lead": "harp"}, "a royal ball": {"style": "waltz", "accompaniment": "strings"},
    "a jazz club": {"style": "swing"}, "running": {"style": "dance", "tempo": 160}, "a workout": {"style": "dance", "tempo": 140},
    "a funeral": {"style": "ballad", "mode": "minor", "lead": "organ", "tempo": 60}, "a wedding": {"style": "waltz", "lead": "organ"},
    "studying": {"style": "ambient", "lead": "piano"}, "a car chase": {"style": "rock", "tempo": 168},
    "a sunrise": {"style": "ambient", "lead": "flute"}, "the sea": {"style": "ambient", "lead": "harp"},
    "a battle": {"style": "rock", "lead": "trumpet", "tempo": 150}, "a candlelight dinner": {"style": "ballad", "lead": "saxophone"},
    "a walk in the forest": {"style": "ambient", "lead": "clarinet"}, "a night drive": {"style": "dance", "mode": "minor", "tempo": 104},
    "a haunted house": {"style": "ambient", "mode": "minor", "lead": "organ"}, "a carousel": {"style": "waltz", "lead": "organ", "tempo": 120},
    "yoga": {"style": "ambient"}, "a road trip": {"style": "rock", "mode": "major"}, "a street parade": {"style": "swing", "lead": "trumpet"},
    "a lonely night": {"style": "ballad", "mode": "minor", "lead": "cello"}, "a beach holiday": {"style": "dance", "lead": "marimba", "tempo": 108},
    "a winter morning": {"style": "ballad", "lead": "harp"}, "cooking": {"style": "swing", "tempo": 120},
    "a video game": {"style": "dance", "lead": "synthesizer", "tempo": 150}, "outer space": {"style": "ambient", "lead": "synthesizer"},
    "a church": {"style": "ballad", "lead": "organ"}, "a baby": {"style": "ballad", "lead": "marimba", "tempo": 66},
    **dict.fromkeys(("bedtime", "a nap", "going to bed", "sleeping", "a lullaby hour", "putting the kids to bed"), {"style": "ambient", "lead": "harp"}), **dict.fromkeys(("the gym", "lifting weights", "a spinning class", "jogging", "exercise"), {"style": "dance", "tempo": 140}),
    **dict.fromkeys(("reading", "homework", "concentration", "deep work", "focus", "coding", "writing"), {"style": "ambient", "lead": "piano"}), **dict.fromkeys(("a date", "a first kiss", "a romantic evening", "valentine's day", "an anniversary"), {"style": "ballad", "lead": "saxophone"}),
    **dict.fromkeys(("new year's eve", "a disco", "a club night", "a rave", "a house party", "dancing all night"), {"style": "dance", "lead": "synthesizer"}), **dict.fromkeys(("a breakup", "a goodbye", "heartbreak", "a sad ending", "crying"), {"style": "ballad", "mode": "minor", "lead": "cello"}),
    **dict.fromkeys(("a bar", "a cocktail bar", "a hotel lobby", "a brunch", "a speakeasy"), {"style": "swing", "lead": "piano"}), **dict.fromkeys(("meditation", "a spa", "a massage", "breathing exercises", "mindfulness"), {"style": "ambient"}),
    **dict.fromkeys(("a motorbike ride", "a football match", "a stadium", "a skate video", "a fight scene"), {"style": "rock", "lead": "guitar"}), **dict.fromkeys(("a masquerade", "a palace", "a ballroom", "a debutante ball", "a ballet class"), {"style": "waltz", "lead": "violin"}),
    **dict.fromkeys(("a horror film", "halloween", "a graveyard", "a ghost story", "a vampire"), {"style": "ambient", "mode": "minor", "lead": "organ"}), **dict.fromkeys(("a space documentary", "the stars", "an alien planet", "the moon landing"), {"style": "ambient", "lead": "synthesizer"}),
    **dict.fromkeys(("a cartoon", "a children's party", "a puppy video", "a comedy", "a playground"), {"style": "dance", "lead": "marimba"}), **dict.fromkeys(("a picnic", "a spring day", "a hike", "a garden party"), {"style": "ballad", "lead": "flute"}),
}
WEATHER_OF_DAYS: Mapping[str, Wish] = {  # "a rainy sunday": the adjective decides
    **dict.fromkeys(("rainy", "lonely", "grey", "cold", "foggy", "heartbroken"), {"style": "ballad", "mode": "minor", "lead": "piano"}),
    **dict.fromkeys(("sunny", "colourful", "busy", "funny", "exciting", "crazy"), {"style": "dance", "lead": "marimba"}),
    **dict.fromkeys(("quiet", "calm", "slow", "lazy", "peaceful", "starry", "snowy"), {"style": "ambient", "lead": "harp"}),
    **dict.fromkeys(("wild", "stormy", "dangerous", "angry", "fast"), {"style": "rock", "mode": "minor", "lead": "guitar"}),
    **dict.fromkeys(("elegant", "royal", "old", "festive"), {"style": "waltz", "lead": "violin"}),
    **dict.fromkeys(("romantic", "tender", "warm", "nostalgic"), {"style": "ballad", "lead": "saxophone"}),
}
DAYS = ("sunday", "monday", "friday", "morning", "evening", "night", "day", "afternoon", "weekend", "summer", "autumn", "winter", "walk", "trip", "city",
        "village", "garden", "river", "dream", "dinner", "holiday", "street", "party", "film", "story", "memory", "landscape", "ride")
COMPOSERS: Mapping[str, Wish] = {
    "Mozart": {"style": "ballad", "lead": "piano", "tempo": 120}, "Bach": {"style": "ballad", "lead": "organ", "mode": "minor"},
    "Chopin": {"style": "waltz", "lead": "piano", "mode": "minor"}, "Vivaldi": {"style": "ballad", "lead": "violin", "tempo": 140},
    "Strauss": {"style": "waltz", "accompaniment": "strings", "tempo": 160}, "Satie": {"style": "ambient", "lead": "piano", "metre": 3},
    "Beethoven": {"style": "ballad", "lead": "piano", "mode": "minor", "tempo": 108}, "Duke Ellington": {"style": "swing", "lead": "clarinet"},
    "Louis Armstrong": {"style": "swing", "lead": "trumpet"}, "Debussy": {"style": "ambient", "lead": "harp"},
}
SUBSTITUTES: Mapping[str, str] = {  # instruments that are not here -> the nearest that is
    "banjo": "guitar", "ukulele": "guitar", "sitar": "guitar", "mandolin": "guitar", "lute": "guitar", "oboe": "clarinet",
    "bassoon": "clarinet", "trombone": "trumpet", "French horn": "trumpet", "tuba": "trumpet", "viola": "violin", "erhu": "violin",
    "double bass": "cello", "theremin": "synthesizer", "accordion": "organ", "harmonica": "clarinet", "bagpipes": "organ",
    "recorder": "flute", "panpipes": "flute", "xylophone": "marimba", "vibraphone": "marimba", "harpsichord": "harp", "kazoo": "saxophone",
    "didgeridoo": "clarinet", "hurdy-gurdy": "organ", "balalaika": "guitar", "koto": "harp", "zither": "harp", "celesta": "marimba", "glockenspiel": "marimba", "steel drum": "marimba", "tin whistle": "flute",
    "ocarina": "flute", "piccolo": "flute", "bugle": "trumpet", "flugelhorn": "trumpet", "cornet": "trumpet", "electric guitar": "guitar", "bass guitar": "cello", "lyre": "harp", "dulcimer": "harp",
    "melodica": "organ", "concertina": "organ", "harmonium": "organ", "turntable": "synthesizer", "keytar": "synthesizer", "music box": "marimba", "alphorn": "trumpet", "vuvuzela": "trumpet", "bell": "marimba", "gong": "marimba",
    "triangle": "marimba", "jaw harp": "synthesizer", "cowbell": "marimba", "oud": "guitar", "shamisen": "guitar", "saw": "violin", "whistle": "flute", "English horn": "clarinet", "sousaphone": "trumpet",
}
_ACCOMPANY = {"piano": "strings", "organ": "pad", "guitar": "piano", "strings": "piano", "pad": "organ"}
_PLACE_LEAD = {"sea": "harp", "mountain": "trumpet", "forest": "flute", "meadow": "violin", "desert": "clarinet",
               "city": "saxophone", "party": "synthesizer", "fire": "guitar", "pattern": "marimba"}
_PICTURE_TEMPO = {"low": 66, "middle": 100, "high": 136}
_MOTION_TEMPO = {"slow": 66, "medium": 104, "fast": 152}


ACCOMPANIMENT: Mapping[str, str] = {"piano": "piano chords", "organ": "organ chords", "guitar": "guitar chords",
                                   "strings": "strings", "pad": "a soft pad"}


def even_tempo(tempo: float) -> int:
    """The playable tempo at or just below, in beats a minute."""
    return max(TEMPI[0], min(TEMPI[-1], int(tempo) // 2 * 2))


def complete_attributes(wish: Wish) -> Attributes:
    """Completes a request: a missing style from the other attributes, then the others from the style."""
    style = wish.get("style") or _style_of(wish)
    values = {**STYLE_HABITS[style], **{name: value for name, value in wish.items() if name != "key"}, "style": style}
    if "accompaniment" not in wish and values["accompaniment"] == values["lead"]:
        values["accompaniment"] = _ACCOMPANY[values["lead"]]
    values["tempo"] = even_tempo(values["tempo"])
    key = wish.get("key", 0 if values["mode"] == "major" else 9)
    return Attributes(**values, key=key)


def _style_of(wish: Wish) -> str:
    if wish.get("metre") == 3:
        return "waltz"
    if "tempo" in wish and wish["tempo"] < 90 and not wish.get("drums"):
        return "ballad"
    if "lead" in wish:
        return LEAD_STYLE[wish["lead"]]
    if wish.get("drums") or wish.get("tempo", 0) >= 120:
        return "rock" if wish.get("mode") == "minor" else "dance"
    return "ballad"


def music_for_picture(labels: Mapping[str, str]) -> dict[str, Any]:
    """Mood decides mode and style, energy tempo and drums, the place, where there is one, the lead."""
    mood, energy = labels["mood"], labels["energy"]
    styles = {"happy": "dance", "calm": "ambient", "sad": "ballad", "tense": "rock"}
    wish: dict[str, Any] = {"mode": "major" if mood in ("happy", "calm") else "minor", "style": styles[mood]}
    wish |= {"lead": _PLACE_LEAD[labels["place"]]} if "place" in labels else {}
    return {**wish, "tempo": _PICTURE_TEMPO[energy], "drums": energy == "high"}


def music_for_clip(labels: Mapping[str, str]) -> dict[str, Any]:
    """Motion decides tempo, light the mode, a pulse in threes the metre, a pulse in fours the drums, mood the lead."""
    motion, threes = labels["motion"], labels["pulse"] == "threes"
    style = "waltz" if threes else {"slow": "ambient", "medium": "ballad", "fast": "rock"}[motion]
    lead = {"happy": "trumpet", "calm": "flute", "sad": "cello", "tense": "guitar"}[labels["mood"]]
    return {"style": style, "tempo": _MOTION_TEMPO[motion], "mode": "minor" if labels["light"] == "night" else "major",
            "metre": 3 if threes else 4, "drums": labels["pulse"] == "fours", "lead": lead}


def apply_edit(source: Attributes, change: Wish) -> Attributes:
    """The source piece with a change; a tempo change is "faster": a difference in beats a minute, negative for slower."""
    values = {name: getattr(source, name) for name in ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums", "key")}
    values |= {name: value for name, value in change.items() if name != "faster"}
    values["tempo"] = even_tempo(values["tempo"] + change.get("faster", 0))
    return Attributes(**values)


def full_caption(piece: Attributes, key: bool = False) -> str:
    """The music decoder's caption of a piece; `key` adds the key."""
    mood, style = MODE_WORDS[piece.mode][0], STYLE_WORDS[piece.style][0]
    tonic = f" in {KEYS[piece.key]} {piece.mode}" if key else ""
    return (f"{'An' if mood[0] in 'aeiou' else 'A'} {mood} {style} for {piece.lead} over {ACCOMPANIMENT[piece.accompaniment]} "
            f"at {piece.tempo} bpm{tonic} {METRE_WORDS[piece.metre][1]} {DRUM_WORDS[piece.drums][0]}")
