"""Productions of loudness: parts louder or softer than the others, and a fade at the end. Each matches a clause as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama.media.requests.draft import Draft, production
from llama.media.requests.parts import NAMED_LIST, named_parts
from llama.media.requests.vocabulary import NUMBER, PIECE, read_number
from llama.media.score import TRACKS

STEP = 4.0  # dB that a part becomes louder or softer by, where the words name no number
STEPS: Mapping[str, float] = {"little": STEP / 2, "much": 2 * STEP}
FADE_SHARE, FADE_RANGE = 0.25, (3.0, 10.0)  # of the piece, and seconds at least and at most, of a fade without a length
ONE_LOUDNESS = (
    "every piece is brought to the same loudness, so the whole cannot become {}; one part against the others can, as in "
    "'make the drums softer'"
)

MUCH = r"(?:(?P<little>a bit|a little|slightly|a touch|somewhat|a tad)|(?P<much>much|a lot|far|way))"
LOUD = r"(?P<way>louder|softer|quieter)"
BY = rf"(?: by (?P<count>{NUMBER}) ?(?:db|decibels?))?"


@production(
    rf"(?:make|play|turn|bring|have|let|put|set) (?P<parts>{NAMED_LIST}) (?:be )?(?:{MUCH} )?{LOUD}{BY}",
    rf"(?:{MUCH} )?{LOUD} (?P<parts>{NAMED_LIST})", rf"(?P<parts>{NAMED_LIST}) (?:should be |could be |must be )?(?:{MUCH} )?{LOUD}{BY}",
    rf"(?:turn|bring) (?P<parts>{NAMED_LIST}) (?P<way>up|down)(?: {MUCH})?{BY}",
    rf"(?:turn|bring) (?P<way>up|down) (?P<parts>{NAMED_LIST})(?: {MUCH})?{BY}",
    rf"(?P<way>more|less) (?P<parts>{NAMED_LIST})", rf"bring (?P<way>out) (?P<parts>{NAMED_LIST})",
    rf"(?P<parts>{NAMED_LIST}) (?:is|are) (?:much |far |way |a bit )?too (?P<way>loud|soft|quiet)",
)  # fmt: skip
def _balance(draft: Draft, groups: Mapping[str, Any]) -> None:
    sounding, missing = named_parts(draft, groups["parts"])
    louder = groups["way"] in ("louder", "up", "more", "out", "soft", "quiet")
    draft.not_done += [f"the piece has no {name}" for name in missing]
    if not sounding:
        return
    if not any(draft.score.track(name) for name in TRACKS if name not in sounding):
        _whole(draft, {"way": "louder" if louder else "softer"})
        return
    draft.want(sounding, heard=True)
    step = read_number(groups["count"]) if groups.get("count") else next((STEPS[name] for name in STEPS if groups.get(name)), STEP)
    draft.set("balance", {**draft.values.get("balance", {}), **dict.fromkeys(sounding, step if louder else -step)}, add=True)


@production(
    rf"(?:(?:make|play|turn|have) {PIECE} )?(?:be )?(?:{MUCH} )?{LOUD}{BY}", rf"turn {PIECE} (?P<way>up|down)(?: {MUCH})?{BY}",
    rf"(?:turn|raise|lower) (?:the |its )?(?:volume|loudness)(?: (?P<way>up|down))?{BY}",
    r"(?:much |way |far )?too (?P<way>loud|soft|quiet)",
)  # fmt: skip
def _whole(draft: Draft, groups: Mapping[str, Any]) -> None:
    louder = {"up": "louder", "down": "softer", "loud": "softer", "soft": "louder", "quiet": "louder", None: "louder or softer"}
    draft.not_done.append(ONE_LOUDNESS.format(louder.get(groups["way"], groups["way"])))


@production(
    rf"(?:(?:let|make|have) {PIECE} )?fade(?: {PIECE})?(?:[ -]?(?:out|away))?(?: at the end)?"
    rf"(?: (?:over|in|during|for|within) (?:the last )?(?P<count>{NUMBER}) ?(?P<unit>seconds?|secs?|s|bars?|measures?))?",
    r"(?:add|make|with|put|give it|end (?:it )?with|finish with)(?: in)? a (?:slow |long )?fade(?:[ -]?out)?(?: (?:at|to) the end)?"
    rf"(?: (?:of|over) (?:the last )?(?P<count>{NUMBER}) ?(?P<unit>seconds?|secs?|s|bars?|measures?))?",
    rf"fade(?: {PIECE})? out {MUCH}",
)  # fmt: skip
def _fade(draft: Draft, groups: Mapping[str, Any]) -> None:
    score, (shortest, longest) = draft.score, FADE_RANGE
    if not groups.get("count"):
        draft.set("fade_out", round(min(longest, max(shortest, score.seconds * FADE_SHARE)), 1))
        return
    count = read_number(groups["count"])
    if groups["unit"][0] in "bm":  # the ending belongs to the last bars
        bar = 60 / score.attributes.tempo * score.attributes.metre
        count = round(count * bar + score.seconds - draft.bar_count * bar, 2)
    draft.set("fade_out", float(count))
