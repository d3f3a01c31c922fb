"""Productions of how a piece is played: faster or slower without a number, in the other mode, on another instrument.

The model understands these words, too, but changes other things beside them. Each matches a clause as a whole, in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama.media.requests.draft import Draft, production
from llama.media.requests.parts import INSTRUMENTS, NAMED, SHORT_NAMES, named_parts
from llama.media.requests.vocabulary import PIECE
from llama.media.score import ACCOMPANIMENTS, LEADS, TEMPI, TEMPO_RANGE, nearest_tempo

TEMPO_STEPS: Mapping[str, float] = {"little": 1.1, "usual": 1.2, "much": 1.4}
LITTLE, MUCH = r"a bit|a (?:tiny|wee|little|small) bit|a little|a hair|just a bit|slightly|somewhat|a touch|a tad", r"much|a lot|far|way"
AMOUNT = rf"(?:(?P<little>{LITTLE})|(?P<much>{MUCH}))"
INSTRUMENT = rf"(?:(?:a|an|the|some) )?(?:solo )?(?P<new>{'|'.join(sorted(INSTRUMENTS, key=len, reverse=True))})"
OLD = rf"(?P<parts>{NAMED})"


@production(
    rf"(?:(?:make|play|do|have) {PIECE} )?(?:{AMOUNT} )?(?P<way>faster|quicker|slower)",
    rf"(?P<way>speed|slow) (?:{PIECE} )?(?:up|down)(?: {AMOUNT})?", rf"(?P<way>speed|slow) (?:up|down) {PIECE}(?: {AMOUNT})?",
    rf"(?P<way>faster|quicker|slower) {AMOUNT}",
)  # fmt: skip
def _pace(draft: Draft, groups: Mapping[str, Any]) -> None:
    factor = next((TEMPO_STEPS[name] for name in ("little", "much") if groups.get(name)), TEMPO_STEPS["usual"])
    was, (low, high) = draft.score.attributes.tempo, TEMPO_RANGE
    wanted = was / factor if groups["way"].startswith("slow") else was * factor
    tempo = nearest_tempo(wanted) if TEMPI[0] <= wanted <= TEMPI[-1] else round(min(high, max(low, wanted)))
    if tempo == was:
        draft.not_done.append(f"{was:g} beats a minute are the {'slowest' if wanted < was else 'fastest'} that are possible")
    else:
        draft.change("tempo", tempo)


@production(rf"(?:(?:make|play|put|turn|change|do|transpose|set) {PIECE} )?(?:in|into|to)(?: a)? (?P<mode>major|minor)(?: key| mode)?")
def _mode(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.change("mode", groups["mode"])


@production(
    rf"(?:(?:play|put|use|take|try|with|have|give me) )?{INSTRUMENT} (?:instead of|in place of|rather than) {OLD}",
    rf"(?:replace|swap|exchange|change|switch|substitute|trade) {OLD} (?:with|by|for|to|into) {INSTRUMENT}",
    rf"(?:play|put|move|give|set|have) {OLD} (?:on|to|onto|with|played by) {INSTRUMENT}",
    rf"(?:let|have|make) {INSTRUMENT} (?:play|take|carry) {OLD}", rf"(?:make|turn) {OLD} (?:into |to )?{INSTRUMENT}",
)  # fmt: skip
def _instrument(draft: Draft, groups: Mapping[str, Any]) -> None:
    new = SHORT_NAMES.get(groups["new"], groups["new"])
    parts, missing = named_parts(draft, groups["parts"])
    draft.not_done += [f"the piece has no {name}" for name in missing]
    for part in parts:
        allowed = {"lead": LEADS, "accompaniment": ACCOMPANIMENTS}.get(part, {})
        if new in allowed:
            draft.change(part, new)
        else:
            name = {"lead": "melody", "accompaniment": "accompaniment"}.get(part, part)
            draft.not_done.append(f"the {name} cannot be played by {'an' if new[0] in 'aeiou' else 'a'} {new}")


@production(
    rf"(?:add|bring in|put in|include|introduce|throw in|give it) {INSTRUMENT}(?: (?:to|in|into) {PIECE})?",
    rf"(?:i want|i'd like|there should be) {INSTRUMENT} (?:in|on) {PIECE}",
)  # fmt: skip
def _add_instrument(draft: Draft, groups: Mapping[str, Any]) -> None:
    """Another instrument takes the place of one: a piece has one for its melody and one for its chords."""
    new, attributes, score = SHORT_NAMES.get(groups["new"], groups["new"]), draft.score.attributes, draft.score
    if score.lead and attributes.lead == new or score.accompaniment and attributes.accompaniment == new:
        draft.already.append(new)
        return
    part = "accompaniment" if new not in LEADS else "lead"
    old = attributes.accompaniment if new not in LEADS else attributes.lead
    if not score.track(part):
        draft.not_done.append(f"the piece has no {'chords' if part == 'accompaniment' else 'melody'} that the {new} could play")
        return
    draft.change(part, new)
    played = "chords" if part == "accompaniment" else "melody"
    takes = "take" if new == "strings" else "takes"
    draft.not_done.append(f"an instrument more: one plays the {played}, so the {new} {takes} the place of the {old}")


@production(
    rf"(?:play|put|do|arrange|have|make) {PIECE} (?P<how>on|for|with) {INSTRUMENT}", rf"(?:now )?(?P<how>on) {INSTRUMENT}",
    rf"(?:now )?(?P<how>with) {INSTRUMENT}(?: (?:instead|as (?:the )?(?:lead|melody|solo)))?",
)  # fmt: skip
def _lead(draft: Draft, groups: Mapping[str, Any]) -> None:
    new = SHORT_NAMES.get(groups["new"], groups["new"])
    if new in LEADS:
        draft.change("lead", new)
    elif groups["how"] == "with" and draft.score.accompaniment:
        draft.change("accompaniment", new)
    else:
        draft.not_done.append(f"the melody cannot be played by {new}")


@production(INSTRUMENT)
def bare_instrument(draft: Draft, groups: Mapping[str, Any]) -> None:
    """In a list of what the piece is to be: "E minor, 90 bpm, flute"."""
    _lead(draft, {**groups, "how": "with"})


@production(
    rf"(?:play|perform|render|hear|listen to|sing)(?: me| us)? {PIECE}(?: (?:as it is|as written|unchanged))?(?: (?:to|for) (?:me|us))?",
    rf"(?:let me|i want to|can i|may i) (?:hear|listen to) {PIECE}",
)  # fmt: skip
def _play(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.plays = True
