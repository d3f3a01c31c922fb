"""Productions of parts: taken out, added, composed anew, kept. Each matches a clause as a whole, in lower case, without courtesies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama.media.edit import KEEPABLE, NAMES
from llama.media.requests.draft import Draft, production
from llama.media.requests.vocabulary import KEPT_LIST, PART_LIST, PIECE, SPAN, names_harmony, read_parts, read_span
from llama.media.score import TRACKS


@production(
    r"(?:remove|take out|take away|drop|lose|delete|mute|cut(?: out)?|get rid of|leave out|strip(?: out)?|silence|turn off|kill) "
    rf"(?P<parts>{PART_LIST})(?: from (?:it|this|the (?:piece|song|track)))?",
    rf"take (?P<parts>{PART_LIST}) (?:out|away|off)", rf"turn (?P<parts>{PART_LIST}) off",
    rf"(?:(?:make|play|do|have) {PIECE} )?(?:with no|without|with no more) (?P<parts>{PART_LIST})", rf"no (?:more )?(?P<parts>{PART_LIST})",
    rf"(?:i )?(?:do not|don't) (?:want|like|need|play|use) (?P<parts>{PART_LIST})",
)  # fmt: skip
def _remove(draft: Draft, groups: Mapping[str, Any]) -> None:
    parts = read_parts(groups["parts"])
    draft.add("without", [part for part in parts if draft.score.track(part)])
    draft.already += [f"no {NAMES[part]}" for part in parts if not draft.score.track(part)]


@production(
    rf"(?:add|put in|bring in|bring back|give (?:it|me)|include|introduce|insert|turn on) (?:back )?(?P<parts>{PART_LIST})"
    r"(?: (?:to|in|into) (?:it|this|the (?:piece|song|track|mix)))?(?: back)?",
    rf"(?:put|bring) (?P<parts>{PART_LIST}) (?:in|back|back in|into it|under it)", rf"turn (?P<parts>{PART_LIST}) on",
    rf"(?:(?:make|play|do|have) {PIECE} )?with (?P<parts>{PART_LIST})",
)  # fmt: skip
def _add(draft: Draft, groups: Mapping[str, Any]) -> None:
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
        draft.values["bars"] = read_span(groups, draft.bar_count)
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
    draft.values["bars"] = read_span(groups, draft.bar_count)


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


@production(rf"keep (?:{KEPT_LIST}|{PIECE})(?: (?:as (?:it is|they are|is)|the same|unchanged|like that))?",
             r"(?:keep|leave) (?:everything|all|the rest|everything else)(?: else)? (?:as it is|the same|unchanged)",
             r"(?:but )?(?:do not|don't) (?:change|touch) (?:anything|the rest|anything else)(?: else)?")  # fmt: skip
def _stay(draft: Draft, groups: Mapping[str, Any]) -> None:
    """What an edit does not name stays in any case."""
