"""Requests in German, French, Spanish and Italian, in the common words of each; they are answered in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from DataSet.synthesis import lexicon
from DataSet.synthesis.wishes import complete_attributes
from DataSet.synthesis.wording import chance, choose
from llama.media.score import Attributes

LANGUAGES = ("German", "French", "Spanish", "Italian")
GENDERS = "mfn"


def foreign_request(rng: np.random.Generator) -> tuple[str, Attributes]:
    """A request in one of the languages, and the piece that it asks for."""
    words = lexicon.table("foreign")[choose(rng, LANGUAGES)]
    wish: dict[str, Any] = {}
    noun = _noun_phrase(rng, words, wish)
    clauses = [clause for name, share in _CLAUSES.items() if chance(rng, share) and (clause := _clause(rng, words, name, wish))]
    text = choose(rng, words["ask"]) + choose(rng, (" ", " ", ", ")).join([noun, *(clauses[place] for place in rng.permutation(len(clauses)))])
    return text[:1].upper() + text[1:] if chance(rng, 0.5) else text, complete_attributes(wish)


_CLAUSES: Mapping[str, float] = {"leads": 0.6, "drums": 0.3, "keys": 0.25}


def _noun_phrase(rng: np.random.Generator, words: Mapping[str, Any], wish: dict[str, Any]) -> str:
    """A noun with up to two adjectives, which have its gender and stand before or after it; sometimes with its article."""
    noun, gender, style = choose(rng, words["nouns"])
    if style:
        wish["style"] = style
    adjectives = []
    if chance(rng, 0.6):
        *forms, wish["mode"] = choose(rng, words["moods"])
        adjectives.append(forms[GENDERS.index(gender)])
    if chance(rng, 0.4):
        *forms, wish["tempo"] = choose(rng, words["paces"])
        adjectives.append(forms[GENDERS.index(gender)])
    joined = [*adjectives, noun] if words["before"] else [noun, *adjectives]
    article = f"{words['articles'][gender][0]} " if chance(rng, 0.5) else ""
    return article + " ".join(joined)


def _clause(rng: np.random.Generator, words: Mapping[str, Any], name: str, wish: dict[str, Any]) -> str:
    if name == "leads":
        wish["lead"] = lead = choose(rng, tuple(words["leads"]))
        return choose(rng, words["leads"][lead])
    if name == "drums":
        wish["drums"] = has_drums = chance(rng, 0.5)
        return choose(rng, words["drums"]["yes" if has_drums else "no"])
    said, wish["key"], mode = choose(rng, words["keys"])
    if wish.setdefault("mode", mode) != mode:  # a sad piece stays sad
        del wish["key"]
        return ""
    return said
