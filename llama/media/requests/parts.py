"""Productions of parts: taken out, added, composed anew, kept. Each matches a clause as a whole, in lower case, without courtesies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llama.errors import and_list
from llama.media.edit import KEEPABLE, NAMES
from llama.media.requests.draft import Draft, production
from llama.media.requests.vocabulary import (
    KEPT,
    KEPT_LIST,
    PART_LIST,
    PIECE,
    SPAN,
    names_harmony,
    read_parts,
    read_span,
)
from llama.media.score import ACCOMPANIMENTS, LEADS, TRACKS

SHORT_NAMES: Mapping[str, str] = {"sax": "saxophone", "synth": "synthesizer", "soft pad": "pad"}
INSTRUMENTS: tuple[str, ...] = tuple(dict.fromkeys((*LEADS, *ACCOMPANIMENTS, *SHORT_NAMES)))
NAMED = rf"(?:{KEPT}|(?:the |any |its )?(?:{'|'.join(sorted(INSTRUMENTS, key=len, reverse=True))}))"
NAMED_LIST = rf"{NAMED}(?:(?:,| and| or|, and) {NAMED})*"


def named_parts(draft: Draft, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Parts of the piece that a list names, also by their instruments, and the names of those that it does not have."""
    parts = {*read_parts(text), *(("accompaniment",) if names_harmony(text) else ())}
    found, missing = {part for part in parts if draft.score.track(part)}, [NAMES[part] for part in TRACKS if part in parts]
    missing = [name for name in missing if name not in {NAMES[part] for part in found}]
    for word in INSTRUMENTS:
        if not re.search(rf"\b{word}\b", text.replace("bass guitar", "bass")):
            continue
        name, attributes = SHORT_NAMES.get(word, word), draft.score.attributes
        played = [part for part in ("lead", "accompaniment") if getattr(attributes, part) == name and draft.score.track(part)]
        found |= {*played}
        missing += [] if played else [name]
    return tuple(part for part in TRACKS if part in found), tuple(missing)


@production(
    r"(?:remove|take out|take away|drop|lose|delete|mute|cut(?: out)?|get rid of|leave out|strip(?: out)?|silence|turn off|kill) "
    rf"(?P<parts>{NAMED_LIST})(?: from (?:it|this|the (?:piece|song|track)))?",
    rf"take (?P<parts>{NAMED_LIST}) (?:out|away|off)", rf"turn (?P<parts>{NAMED_LIST}) off",
    rf"(?:(?:make|play|do|have) {PIECE} )?(?:with no|without|with no more) (?P<parts>{NAMED_LIST})",
    rf"no (?:more )?(?P<parts>{NAMED_LIST})", rf"(?:i )?(?:do not|don't|dont) (?:want|like|need|play|use) (?P<parts>{NAMED_LIST})",
)  # fmt: skip
def _remove(draft: Draft, groups: Mapping[str, Any]) -> None:
    parts, missing = named_parts(draft, groups["parts"])
    draft.want((*parts, *read_parts(groups["parts"])), heard=False)
    draft.add("without", parts)
    draft.already += [f"no {name}" for name in missing]


@production(
    rf"(?:(?:play|give me|let me hear|hear|i (?:only )?want|i want to hear|use|leave|have|make it) )?(?:only|just|nothing but|solo)"
    rf" (?P<parts>{NAMED_LIST})(?: alone| only| solo)?",
    rf"(?:(?:play|give me|let me hear|leave) )?(?P<parts>{NAMED_LIST}) (?:only|alone|solo|by itself|on its own|by themselves)",
    rf"(?:remove|mute|take out|drop|delete|lose|cut|silence) (?:everything|all|all parts)(?: else)? (?:but|except(?: for)?) "
    rf"(?P<parts>{NAMED_LIST})",
)  # fmt: skip
def _solo(draft: Draft, groups: Mapping[str, Any]) -> None:
    """Only some parts are heard; none of them is made for it."""
    heard, missing = named_parts(draft, groups["parts"])
    draft.not_done += [f"the piece has no {name}" for name in missing]
    draft.want(heard, heard=True)
    others = [name for name in TRACKS if draft.score.track(name) and name not in heard]
    if heard and others:
        draft.add("without", others)
    elif heard:
        draft.already.append(f"only {and_list([NAMES[part] for part in heard])}")


@production(
    rf"(?:add|put in|bring in|bring back|give (?:it|me)|include|introduce|insert|turn on) (?:back )?(?P<parts>{PART_LIST})"
    r"(?: (?:to|in|into) (?:it|this|the (?:piece|song|track|mix)))?(?: back)?",
    rf"(?:put|bring) (?P<parts>{PART_LIST}) (?:in|back|back in|into it|under it)", rf"turn (?P<parts>{PART_LIST}) on",
    rf"(?:(?:make|play|do|have) {PIECE} )?with (?P<parts>{PART_LIST})",
)  # fmt: skip
def _add(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.want(read_parts(groups["parts"]), heard=True)
    for part in read_parts(groups["parts"]):
        if draft.score.track(part):
            draft.already.append(NAMES[part])
        elif part == "drums":
            draft.change("drums", True)
        else:
            draft.add("parts", [part])


NEW = r"(?:(?:a |an |some |the )?(?:completely |totally |whole )?(?:new|different|other|another|fresh|alternative)|another)"
COMPOSE = r"(?:write|compose|make|give (?:it|me)|create|generate|invent|find|try|have|put)(?: me| in)?"
REDO = r"(?:rewrite|re-write|recompose|redo|re-do|regenerate|change|vary|replace|renew|rework|make up)"
ANEW = r"(?: anew| again| new| from scratch| with (?:something|a) (?:new|different)(?: one)?| differently| different)?"
PLACE = rf"(?: (?:in|for|of|from|during|at|over) {SPAN})?"


@production(
    rf"(?:{COMPOSE} )?{NEW} (?P<parts>{KEPT_LIST}){PLACE}", rf"(?:only )?{REDO} (?:only |just )?(?P<parts>{KEPT_LIST}){PLACE}{ANEW}",
    rf"(?:make|compose|write) (?P<parts>{KEPT_LIST}){PLACE} (?:anew|new|different|again|differently)",
)  # fmt: skip
def _compose(draft: Draft, groups: Mapping[str, Any]) -> None:
    if groups["first"] or groups["end"] or groups["edge"] or groups["which"] or groups["quarter"]:
        draft.set("bars", read_span(groups, draft.bar_count))
    if not names_harmony(groups["parts"]):
        draft.add("parts", read_parts(groups["parts"]))
        return
    anew = {*read_parts(groups["parts"]), "accompaniment", "bass"}
    draft.values["keep"] = tuple(NAMES[part] for part in TRACKS if part not in anew)


@production(
    rf"{SPAN} (?:anew|again|new|different|differently|from scratch)", rf"{REDO} {SPAN}{ANEW}",
    rf"(?:make|compose|write|play) {SPAN} (?:anew|again|new|different|differently|from scratch)",
    rf"{COMPOSE} (?:something )?(?:new|different|else)(?: music)? (?:in|for|at|over) {SPAN}",
)  # fmt: skip
def _compose_bars(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.set("bars", read_span(groups, draft.bar_count))


@production(rf"re-?harmoni[sz]e (?:{PIECE}|the (?:melody|tune))(?: with .{{0,20}}chords)?")
def _reharmonise(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.values["keep"] = ("melody", "drums")


OTHERS = rf"(?:(?:{REDO}|{COMPOSE}|make) )?(?:everything else|all else|all the rest|the rest|the other parts|all other parts)"


@production(
    rf"keep (?:only |just )?(?P<parts>{KEPT_LIST})(?:,| and|, and| but|, but) {OTHERS}{ANEW}",
    rf"keep (?:only|just|nothing but) (?P<parts>{KEPT_LIST})",
    rf"{REDO} everything (?:but|except(?: for)?) (?P<parts>{KEPT_LIST})",
    rf"(?:make|compose|write) everything (?:but|except(?: for)?) (?P<parts>{KEPT_LIST}) (?:new|anew|different)",
)  # fmt: skip
def _keep(draft: Draft, groups: Mapping[str, Any]) -> None:
    kept = {NAMES[part] for part in read_parts(groups["parts"])} | ({"chords"} if names_harmony(groups["parts"]) else set())
    draft.values["keep"] = tuple(name for name in KEEPABLE if name in kept)


@production(rf"(?:keep|leave) (?:(?P<parts>{KEPT_LIST})|{PIECE})(?: (?:as (?:it is|they are|is)|the same|unchanged|like that))?",
             r"(?:keep|leave) (?:everything|all|the rest|everything else)(?: else)? (?:as it is|the same|unchanged)",
             r"(?:but )?(?:do not|don't) (?:change|touch) (?:anything|the rest|anything else)(?: else)?")  # fmt: skip
def _stay(draft: Draft, groups: Mapping[str, Any]) -> None:
    """What an edit does not name stays in any case; in another style only what is named."""
    if groups.get("parts"):
        draft.kept |= {NAMES[part] for part in read_parts(groups["parts"])} | ({"chords"} if names_harmony(groups["parts"]) else set())


@production(
    r"(?:(?:just|exactly|do it|make it|play it) )?(?:like|as) (?:it was )?(?:before|that|this|it|the (?:last|first|previous) one)",
    r"(?:it|this|that|this one|that one|(?:the )?same(?: (?:one|thing|piece|song|tune|track|music))?)(?: again)?",
)  # fmt: skip
def _same(draft: Draft, groups: Mapping[str, Any]) -> None:
    """"Like before, but in E minor": the first half says which piece, which is known."""
