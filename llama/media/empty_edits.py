"""Edits that would leave a piece as it is: whether an edit is one, and the sentence that says so instead of the same music again.

"Remove the drums" of a piece without drums made a second piece with the same notes; a person wants to know that there are none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llama.errors import and_list
from llama.media.captions import STYLE_NOUNS
from llama.media.edit import NAMES, Edit, apply_edit, edited_bar_count, prepare
from llama.media.naming import playing_words
from llama.media.score import Score
from llama.media.score_edits import score_line, set_tempo
from llama.media.spelling import key_name

COUNTABLE = {"drums", "strings"}  # names of many


def leaves_as_is(score: Score, edit: Edit) -> bool:
    """Whether the edit composes nothing and every note of the edited piece is the source's. Raises ValueError as `apply_edit` does."""
    return not edit.composed_parts(score) and edit.continuation is None and apply_edit(prepare(score, edit), edit) == score


def unchanged_text(
    score: Score, edit: Edit, already: Sequence[str] = (), not_done: Sequence[str] = (), transcribed: bool = False
) -> str:
    """What is said of an edit that changes nothing: what is so already, or why nothing was done.

    already, not_done: as in `report_edit`. transcribed: the notes were written down from a recording, so that facts are as heard.
    """
    source = "recording" if transcribed else "piece"
    clauses = already_clauses(score, edit, already)
    sentences = [_sentence(reason) for reason in not_done]
    if not clauses:
        return " ".join([*sentences, f"The {source} is as it was."]) if sentences else f"That changes nothing; the {source} is as it was."
    return " ".join([*sentences, _sentence(f"{and_list(_as_heard(clauses) if transcribed else clauses)}; the {source} is as it was")])


def already_text(score: Score, edit: Edit, already: Sequence[str] = (), transcribed: bool = False) -> str:
    """The sentence of what was so already, beside what an edit changed; "" for nothing."""
    clauses = already_clauses(score, edit, already)
    return _sentence(and_list(_as_heard(clauses) if transcribed else clauses)) if clauses else ""


def already_clauses(score: Score, edit: Edit, already: Sequence[str] = ()) -> list[str]:
    """What the request asks for and is so already, as clauses: "there are no drums to remove", "it is in A minor already".

    already: as the grammar of requests notes it: "no NAME", "only NAMES", or the name of a part that is there.
    """
    clauses = [_noted_clause(phrase) for phrase in already]
    clauses += [_missing_clause(NAMES[name], "remove") for name in edit.removed if not score.track(name)]
    if edit.change.get("drums") and score.drums:
        clauses.append("there are drums already")
    clauses += _attribute_clauses(score, edit)
    clauses += [
        _missing_clause(NAMES[name], f"make {'louder' if level > 0 else 'softer'}")
        for name, level in edit.balance.items() if not score.track(name) and name not in edit.composed_parts(score)
    ]  # fmt: skip
    return list(dict.fromkeys([*clauses, *_length_clauses(score, edit)]))


def _attribute_clauses(score: Score, edit: Edit) -> list[str]:
    attributes, same = score.attributes, {name for name, value in edit.change.items() if getattr(score.attributes, name) == value}
    clauses = []
    if same & {"key", "mode"} and same >= {"key", "mode"} & {*edit.change}:
        clauses.append(f"it is in {key_name(attributes.key, attributes.mode)} already")
    if "tempo" in same:
        clauses.append(f"it is at {attributes.tempo:g} bpm already")
    if "metre" in same:
        clauses.append(f"it is in {attributes.metre}/4 already")
    if "style" in same:
        noun = next(noun for noun, style in STYLE_NOUNS.items() if style == attributes.style)
        clauses.append(f"it is {_article(noun)}{noun} already")
    if "lead" in same:
        clauses.append(f"the {attributes.lead} plays the melody already")
    if "accompaniment" in same:
        clauses.append(f"{playing_words(attributes.accompaniment)} the chords already")
    return clauses


def _length_clauses(score: Score, edit: Edit) -> list[str]:
    count = score_line(score).bar_count
    bars, every = f"{count} bar{'' if count == 1 else 's'}", [bar for first, last in edit.order for bar in range(first, last + 1)]
    if edit.excerpt == (1, count) or every and every == [*range(1, count + 1)]:
        return [f"{bars} are all that it has" if count > 1 else "one bar is all that it has"]
    tempo = edit.change.get("tempo", score.attributes.tempo)
    timed = set_tempo(prepare(score, edit), tempo) if edit.seconds is not None else score
    if edited_bar_count(timed, edit) != count:
        return []
    if edit.seconds is None or abs(edit.seconds - timed.seconds) < 0.05:
        return [f"it is {bars} long already" if edit.seconds is None else f"it is {timed.seconds:g} seconds long already"]
    return [f"with its {bars} it lasts {timed.seconds:.1f} seconds, which is as near to {edit.seconds:g} as whole bars come"]


def _noted_clause(phrase: str) -> str:
    if phrase.startswith("no "):
        return _missing_clause(phrase.removeprefix("no "), "remove")
    if phrase.startswith("only "):
        return f"there is {phrase} in it already"
    return f"there {_be(phrase)} {_article(phrase)}{phrase} already"


def _missing_clause(name: str, verb: str) -> str:
    return f"there {_be(name)} no {name} to {verb}"


def _as_heard(clauses: Sequence[str]) -> list[str]:
    """Clauses about a recording, of which nothing is known but what is heard: "I hear no drums to remove"."""
    heard = [re.sub(r"^there (?:is|are) no", "I hear no", clause) for clause in clauses]
    return [clause if clause.startswith("I hear no") else f"as I hear it, {clause}" for clause in heard]


def _be(name: str) -> str:
    return "are" if name in COUNTABLE else "is"


def _article(name: str) -> str:
    return "" if name in COUNTABLE else "an " if name[0] in "aeiou" else "a "


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
