"""Edits of a recording: one change, several, or none; impossible ones get a substitute that the answer states."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from DataSet.synthesis import phrases, requests, synonyms
from DataSet.synthesis.dialogue import Dialogue, music
from DataSet.synthesis.impossible_requests import impossible_tempo, instrument_note, metre_note
from DataSet.synthesis.requests import an, capital, with_article
from DataSet.synthesis.wishes import SUBSTITUTES, apply_edit, even_tempo
from DataSet.synthesis.wording import chance, choose, pick, spin
from llama.media.score import ACCOMPANIMENTS, LEADS, MODES, STYLES, TEMPI, Attributes

_MUCH = tuple(name for name in phrases.MUCH if name)


def edit(rng: np.random.Generator, source: Attributes, held_out: bool = False) -> Dialogue:
    """An instruction that changes the source piece in one, several or no attributes, with its answer."""
    roll = rng.random()
    if roll < 0.09:
        return music(rng, capital(pick(rng, phrases.LIKE, held_out)), source, "like", key=True)
    if roll < 0.30:
        return _changes(rng, source, held_out)
    name = choose(rng, [name for name in phrases.EDITS if name != ("remove" if not source.drums else "add")])
    pattern = pick(rng, phrases.EDITS[name], held_out)
    value, change, note = _change(rng, name, source, pattern)
    much = choose(rng, _MUCH) if "{much}" in pattern and chance(rng, 0.6) else ""
    if much:
        change = {"faster": phrases.MUCH[much] * (1 if name == "faster" else -1)}
    pattern = re.sub(r"\{much\}(?=[a-z])", much, pattern).replace("{much}", f" {much.strip()}" if much else "")
    text = with_article(capital(pattern.replace("{value}", value).replace("{old}", source.lead)))
    return music(rng, text, apply_edit(source, change), f"edit {name}", key=True, note=note)


def _changes(rng: np.random.Generator, source: Attributes, held_out: bool) -> Dialogue:
    """One to three changes as clauses: "the same on a flute, without drums"."""
    count = choose(rng, (1, 1, 2, 2, 3))
    clauses: list[str] = []
    change: dict[str, Any] = {}
    for _ in range(count):
        clause, parts = requests.addition(rng, held_out)
        additions = {name: value for name, value in parts.wish.items() if name != "style"}
        if set(additions) & set(change) or any(getattr(source, name) == value for name, value in additions.items() if name in ("drums", "lead", "metre")):
            continue
        clauses.append(clause)
        change |= additions
    if not clauses:
        return music(rng, capital(pick(rng, phrases.LIKE, held_out)), source, "like", key=True)
    how = ", ".join(clauses) if chance(rng, 0.3) else ", ".join(clauses[:-1]) + (" and " if len(clauses) > 1 else "") + clauses[-1]
    text = with_article(capital(pick(rng, phrases.CHANGE, held_out).replace("{how}", how)))
    return music(rng, text, apply_edit(source, change), "edit several", key=True)


def _change(rng: np.random.Generator, name: str, source: Attributes, pattern: str) -> tuple[str, dict[str, Any], str]:
    """The value in words, the change, and the note about a substitute ("" for a possible value)."""
    match name:
        case "faster" | "slower":
            return "", {"faster": 30 if name == "faster" else -30}, ""
        case "add" | "remove":
            return "", {"drums": name == "add"}, ""
        case "tempo":
            number, note = impossible_tempo(rng) if chance(rng, 0.1) else (int(rng.integers(TEMPI[0], TEMPI[-1] + 1)), "")
            return synonyms.beats(rng, number) if chance(rng, 0.85) else str(number), {"tempo": even_tempo(number)}, note
        case "metre":
            if chance(rng, 0.08):
                odd = choose(rng, synonyms.UNKNOWN_METRES)
                metre = 3 if odd in synonyms.IN_THREE else 4
                return odd, {"metre": metre}, metre_note(rng, odd)
            return choose(rng, synonyms.METRE_NAMES[7 - source.metre]), {"metre": 7 - source.metre}, ""
        case "mode":
            mode = _other(rng, MODES, source.mode)
            return spin(rng, f"{{{mode}|{mode}|a {mode} key|the {mode} mode}}"), {"mode": mode}, ""
        case "key":
            key, mode = _other(rng, range(12), source.key), source.mode if chance(rng, 0.6) else None
            if mode is None and chance(rng, 0.5):
                mode = choose(rng, MODES)
            return synonyms.key(rng, key, mode), {"key": key, "mode": mode or source.mode}, ""
        case "lead":
            if chance(rng, 0.1):
                odd = choose(rng, tuple(SUBSTITUTES))
                return odd, {"lead": SUBSTITUTES[odd]}, instrument_note(rng, odd)
            lead = _other(rng, tuple(LEADS), source.lead)
            return synonyms.lead(rng, lead), {"lead": lead}, ""
        case "accompaniment":
            back = _other(rng, tuple(ACCOMPANIMENTS), source.accompaniment)
            return synonyms.backing(rng, back), {"accompaniment": back}, ""
    style = _other(rng, STYLES, source.style)
    changes = {"style": style, "metre": 3 if style == "waltz" else 4 if source.style == "waltz" else source.metre}
    return an(choose(rng, synonyms.STYLE_NOUNS[style])), changes, ""


def _other(rng: np.random.Generator, names: Any, old: Any) -> Any:
    return choose(rng, [name for name in names if name != old])
