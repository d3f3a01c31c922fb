"""Productions of pitch, tempo, metre and length, and of requests that are understood and no edits.

Each matches a clause as a whole, in lower case, without courtesies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama.media.bar_edits import bars_in
from llama.media.requests.draft import Draft, production
from llama.media.requests.parts import COMPOSE, NEW
from llama.media.requests.vocabulary import (
    INTERVAL,
    KEY,
    LENGTH_UNITS,
    NUMBER,
    PIECE,
    SECOND_UNITS,
    SPAN,
    read_interval,
    read_key,
    read_number,
    read_span,
)
from llama.media.score import TEMPO_RANGE

LENGTH_FACTORS: Mapping[str, float] = {
    "twice": 2.0, "double": 2.0, "three times": 3.0, "half": 0.5, "halve": 0.5,
    **dict.fromkeys(("longer", "lengthen", "extend"), 1.5), **dict.fromkeys(("shorter", "shorten"), 2 / 3),  # where none is named
}  # fmt: skip
CONTINUATION_SECONDS = 8.0  # of new music, where a request names no length


# -- pitch and time -----------------------------------------------------------------------------------------------

MOVE = r"(?:transpose|move|shift|pitch|put|bring|take|play|make|push|raise|lower)"
UP, DOWN = r"(?:up|up by|higher)", r"(?:down|down by|lower)"


@production(
    rf"(?:(?P<verb>{MOVE}) (?:{PIECE} |the key )?)?(?:(?P<way>up|down)(?: by)? |by )?(?P<interval>{INTERVAL})"
    r"(?: (?P<after>up|down|higher|lower|upwards|downwards))?",
)  # fmt: skip
def _transpose(draft: Draft, groups: Mapping[str, Any]) -> None:
    way = groups["way"] or groups["after"] or {"raise": "up", "lower": "down", "transpose": "up"}.get(groups["verb"] or "")
    if way is None:
        draft.not_done.append(f"I did not understand whether to go up or down by {groups['interval']}")
        return
    semitones = read_interval(groups["interval"]) * (1 if way in ("up", "higher", "upwards") else -1)
    draft.values["transpose"] = draft.values.get("transpose", 0) + semitones


@production(
    rf"(?:transpose|move|change|put|play|set|shift|bring|make) (?:{PIECE} |the key |the key of {PIECE} )?"
    rf"(?:in|into|to|in the key of|to the key of) (?P<key>{KEY})(?: (?P<mode>major|minor))?",
    rf"(?:in|into) the key of (?P<key>{KEY})(?: (?P<mode>major|minor))?", rf"(?:(?:in|into|to) )?(?P<key>{KEY}) (?P<mode>major|minor)",
    rf"(?:give me|gimme|try|do|have|i want) {PIECE} in (?P<key>{KEY})(?: (?P<mode>major|minor))?",
)  # fmt: skip
def _key(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.change("key", read_key(groups["key"]))
    if groups.get("mode"):
        draft.change("mode", groups["mode"])


@production(rf"(?:(?:make|play|put|move|take|do) {PIECE} )?(?:a bit |a little |much |slightly )?(?P<way>higher|lower|deeper|up|down)")
def _move_how_far(draft: Draft, groups: Mapping[str, Any]) -> None:
    way = {"deeper": "lower", "up": "higher", "down": "lower"}.get(groups["way"], groups["way"])
    draft.not_done.append(f"the request does not say how far; say it, such as 'an octave {way}' or 'a whole tone {way}'")


@production(rf"(?:in|into|to) (?P<key>(?!a$){KEY})")
def bare_key(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.change("key", read_key(groups["key"]))


TEMPO_VERB = (
    r"(?:(?:make|play|set|change|put|speed|slow|bring|take|do|raise|lower|increase|decrease|reduce) (?:up |down )?"
    rf"(?:{PIECE} |the tempo |the speed |its tempo )?(?:up |down )?)?"
)


@production(
    rf"{TEMPO_VERB}(?:at |to |at a tempo of |to a tempo of |at tempo )?(?P<tempo>{NUMBER}) ?(?:bpm|beats (?:per|a) minute)",
    rf"(?:the )?tempo (?:of |to |at )?(?P<tempo>{NUMBER})", rf"(?:(?:make|play|do|try) {PIECE} )?at (?P<tempo>\d{{2,3}})",
    rf"(?:set|change|raise|lower|increase|reduce|bring) (?:the |its )?(?:tempo|speed) (?:of {PIECE} )?to (?P<tempo>{NUMBER})",
)  # fmt: skip
def _tempo(draft: Draft, groups: Mapping[str, Any]) -> None:
    _set_tempo(draft, read_number(groups["tempo"]))


@production(
    rf"{TEMPO_VERB}(?:by )?(?P<count>{NUMBER}) ?(?P<unit>%|percent|per cent|bpm|beats (?:per|a) minute) (?P<way>faster|slower)",
    rf"(?P<way>speed|slow) (?:{PIECE} )?(?:up |down )?by (?P<count>{NUMBER}) ?(?P<unit>%|percent|per cent|bpm|beats (?:per|a) minute)",
)  # fmt: skip
def _tempo_by(draft: Draft, groups: Mapping[str, Any]) -> None:
    count, sign = read_number(groups["count"]), 1 if groups["way"] in ("faster", "speed") else -1
    tempo = draft.score.attributes.tempo
    _set_tempo(draft, tempo * (1 + sign * count / 100) if groups["unit"] in ("%", "percent", "per cent") else tempo + sign * count)


@production(
    rf"{TEMPO_VERB}(?P<factor>twice|half|three times|double) (?:as fast|the (?:speed|tempo))",
    r"(?P<factor>double|halve) (?:the |its )?(?:speed|tempo)",
    rf"{TEMPO_VERB}(?:in |at )?(?P<factor>half|double)[ -]?(?:time|speed|tempo)",
)  # fmt: skip
def _tempo_times(draft: Draft, groups: Mapping[str, Any]) -> None:
    factor = {"twice": 2.0, "double": 2.0, "three times": 3.0}.get(groups["factor"], 0.5)
    _set_tempo(draft, draft.score.attributes.tempo * factor)


def _set_tempo(draft: Draft, tempo: float) -> None:
    low, high = TEMPO_RANGE
    if low <= tempo <= high:
        draft.change("tempo", int(tempo) if float(tempo).is_integer() else round(tempo, 3))
    else:
        draft.not_done.append(f"{tempo:g} beats a minute are out of range, {low} to {high} are possible")


@production(
    rf"(?:(?:make|play|put|change|turn) {PIECE} )?(?:in|into|to) "
    r"(?P<metre>3/4|4/4|three four|four four|three quarter|four quarter|3|4|three|four)(?: time| metre| meter)?",
    r"(?P<metre>3/4|4/4|three four|four four|three quarter|four quarter) (?:time|metre|meter)",
    rf"make {PIECE} (?P<metre>3/4|4/4)",
)  # fmt: skip
def _metre(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.change("metre", 3 if groups["metre"][0] in "3t" else 4)


SAY_WHICH: Mapping[str, str] = {
    "tempo": "'120 bpm' or 'faster'", "speed": "'120 bpm' or 'faster'", "key": "'in E minor' or 'up a fifth'", "mode": "'in minor'",
    "metre": "'in 3/4'", "meter": "'in 3/4'", "time signature": "'in 3/4'", "length": "'16 bars' or '30 seconds'", "style": "'as a waltz'",
    "genre": "'as a waltz'", "instrument": "'on a flute'", "instruments": "'on a flute'",
}  # fmt: skip


@production(
    rf"(?:change|alter|adjust|vary|modify|set) (?:the |its )(?P<name>{'|'.join(SAY_WHICH)})(?: of {PIECE})?",
    rf"(?:try |use |in |with )?(?:another|a different|some other) (?P<name>{'|'.join(SAY_WHICH)})",
)  # fmt: skip
def _say_which(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.not_done.append(f"the request names no {groups['name'].removesuffix('s')}; say which, such as {SAY_WHICH[groups['name']]}")


# -- length -------------------------------------------------------------------------------------------------------

MAKE = (
    rf"(?:(?:make|cut|shorten|extend|lengthen|trim|bring|stretch|let|have|get|reduce) (?:{PIECE} )?(?:down |out )?"
    r"(?:last |be |run |for )?)?"
)
SECONDS = rf"(?P<count>{NUMBER})[ -]?(?P<unit>{SECOND_UNITS})"
LENGTH = rf"(?P<count>{NUMBER})[ -]?(?P<unit>{LENGTH_UNITS})"


@production(
    rf"{MAKE}(?:to |at |about |exactly )?{LENGTH}(?: (?:long|in length|in total|altogether))?",
    rf"(?:it should|it must) (?:last|be) {LENGTH}(?: long)?",
)  # fmt: skip
def _length(draft: Draft, groups: Mapping[str, Any]) -> None:
    count = read_number(groups["count"]) * (60 if groups["unit"].startswith("min") else 1)
    name = "bar_count" if groups["unit"][0] in "b" or groups["unit"].startswith("mea") else "seconds"
    draft.set(name, max(1, round(count)) if name == "bar_count" else count)


@production(
    rf"{MAKE}(?:by )?{LENGTH} (?P<way>longer|shorter)", rf"(?P<way>extend|lengthen|shorten|cut|trim) (?:{PIECE} )?by {LENGTH}",
    rf"(?:make {PIECE} )?(?P<way>longer|shorter) by {LENGTH}",
    rf"(?P<way>add) (?:another )?{LENGTH}(?: (?:to|at) (?:it|the end))?", rf"(?P<way>cut|remove|drop) the last {SECONDS}",
)  # fmt: skip
def _length_by(draft: Draft, groups: Mapping[str, Any]) -> None:
    count = read_number(groups["count"]) * (60 if groups["unit"].startswith("min") else 1)
    count *= 1 if groups["way"] in ("longer", "extend", "lengthen", "add") else -1
    in_bars = groups["unit"].startswith(("bar", "mea"))
    bars = draft.bar_count + round(count) if in_bars else bars_in(draft.score, max(1.0, draft.score.seconds + count))
    if bars < 1:
        draft.not_done.append(f"the piece has only {draft.bar_count} bars, and one must stay")
    else:
        draft.set("bar_count", bars)


@production(
    rf"(?:(?:make|play) {PIECE} )?(?P<factor>twice|half|three times) as long",
    r"(?P<factor>double|halve) (?:it|its length|the length(?: of it)?)",
    rf"(?:make {PIECE} )?(?:(?:a bit|a little|much|even) )?(?P<factor>longer|shorter)", rf"(?P<factor>lengthen|extend|shorten) {PIECE}",
    rf"(?:make {PIECE} )?(?P<factor>twice|double|half) (?:the|its) length",
)  # fmt: skip
def _length_times(draft: Draft, groups: Mapping[str, Any]) -> None:
    factor = LENGTH_FACTORS[groups["factor"]]
    draft.set("bar_count", max(1, round(draft.bar_count * factor)))


@production(
    rf"(?:continue|carry on|go on|keep going|play on)(?: (?:{PIECE}|playing))?(?: (?:for|by) (?:another )?{LENGTH})?(?: more)?",
    r"what comes next",
    rf"(?:add|compose|write) (?:another )?{LENGTH} (?:more|of new music|of music|more of it|of continuation)",
)  # fmt: skip
def _continue(draft: Draft, groups: Mapping[str, Any]) -> None:
    if not groups.get("count"):
        draft.values["continuation"] = CONTINUATION_SECONDS
        return
    count, attributes = read_number(groups["count"]), draft.score.attributes
    if groups["unit"].startswith(("bar", "mea")):
        count *= attributes.metre * 60 / attributes.tempo
    draft.values["continuation"] = float(count * (60 if groups["unit"].startswith("min") else 1))


@production(rf"(?:(?:keep|take|play|give me|extract)(?: only| just)?|only|just|cut (?:it )?(?:down )?to) {SPAN}(?: only| alone)?")
def _excerpt(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.set("excerpt", read_span(groups, draft.bar_count))


# -- what is understood and not an edit ---------------------------------------------------------------------------


@production(
    rf"(?:{COMPOSE} )?{NEW} (?:piece|song|track|one|music)(?: .*)?",
    r"(?:write|compose|generate|create|make)(?: me)? (?:a|an) (?!new|different|version).*",
    r"(?:something (?:new|else|completely different|different)|start over|start again|forget (?:it|that|this))",
)  # fmt: skip
def new_piece(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.is_new = True


@production(r"(?:undo|revert)(?: (?:it|that|this|the last (?:change|edit|step)))?|go back(?: .*)?|take (?:it|that) back")
def _undo(draft: Draft, groups: Mapping[str, Any]) -> None:
    draft.not_done.append("the piece before is not known here; give it again to go on from it")
