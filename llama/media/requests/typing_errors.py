"""Typing errors in the words of edits: "fastr", "witout drums". A word is read as the one word of edits that is one letter off.

English words that are one letter off ("flower", "master") are left as they are, and so is what could be two words.
"""

from __future__ import annotations

import re
from functools import lru_cache

WORDS = tuple(
    "remove without transpose faster slower louder softer quieter longer shorter higher lower melody drums octave octaves semitone "
    "semitones fifth fourth third seconds minutes minor major tempo repeat measure measures accompaniment percussion backing chords "
    "harmony violin guitar piano flute clarinet trumpet saxophone marimba synthesizer cello organ strings waltz ballad swing ambient "
    "double twice continue extend shorten lengthen sadder happier calmer brighter darker change delete instruments quicker".split()
)  # fmt: skip
ENGLISH = frozenset(
    "removed removes remover remote string springs stings stringy continues continued marker parker barker larker darken darter loader "
    "lauder changes changed charge chance caller palmer balmy master easter raster foster caster fasten fatter paster vaster fester "
    "taster waster laster deleted deletes hello jello cells synthesized synthesize fifths fifty filth coords chorus cords chord chore "
    "extends extent expend power tower lowers flower lover loser blower mower bower dower rower cower sower glower lowery measured "
    "repeats doubles doubled doubly doable rouble doublet trouble transposed transposes violins logger linger conger lounger lodger "
    "monger temps tempi tempos temper quilter quitter quieted packing lacking baking hacking barking basking sacking bucking tacking "
    "racking forth fourths brighten minuses minute minuet minors manor miner mayor majors shower slowed sing sling sting swine sewing "
    "sowing owing swings swung swang suing wring sorter soften sifter shorted snorter shouter drugs drams thirds thirst hither guitars "
    "flutes fluke fluted flume elute clarinets trumpets trumped strumpet ballads second secondo organs morgan octane adder ladder "
    "sander padder madder bladder saddler twine trice lengthens instrument harmonic harmonise pianos cellos waltzes quickest quacker "
    "melodic tempted violent violet delegate lowest".split()
)


def correct_typing(text: str) -> str:
    """The text with words of edits that are one letter off as they should be; all else as it is."""
    return re.sub(r"[^\W\d_]{5,20}", lambda word: _corrected(word[0]), text)


@lru_cache(4096)
def _corrected(word: str) -> str:
    lower = word.lower()
    if lower in WORDS or lower in ENGLISH:
        return word
    found = [other for other in WORDS if _is_one_off(lower, other)]
    return found[0] if len(found) == 1 else word


def _is_one_off(word: str, other: str) -> bool:
    """Whether one letter is wrong, missing or too many, or two neighbours are exchanged. A letter more at the end must be a repeated
    one: "octaved" is a form of its own."""
    if len(word) == len(other):
        places = [place for place, (a, b) in enumerate(zip(word, other, strict=True)) if a != b]
        first, last = places[0], places[-1]
        return first == last or len(places) == 2 and last == first + 1 and (word[first], word[last]) == (other[last], other[first])
    short, long = sorted((word, other), key=len)
    if len(long) - len(short) != 1:
        return False
    if long == word and long.startswith(short):
        return long[-1] == long[-2]
    return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))
