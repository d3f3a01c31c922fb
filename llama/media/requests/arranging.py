"""Productions of the order of bars: cut, begun later, ended sooner, played several times, copied, exchanged.

Each matches a clause as a whole, in lower case, without courtesies. A number of times counts how often the bars are played in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama.media.bar_edits import check_bars
from llama.media.requests.draft import Draft, production
from llama.media.requests.vocabulary import NUMBER, PIECE, SPAN, read_number, read_span

TIMES = (
    rf"(?:(?P<twice>twice|two times|again|once more|one more time|thrice|over and over)|(?P<times>{NUMBER}) times)"
    r"(?: in a row)?"
)
CUT = r"(?:cut|remove|drop|delete|take out|leave out|leave off|skip|omit|lose|trim|throw away|get rid of|chop)(?: off| out| away)?"
BAR = rf"(?:bar|measure) (?:number )?(?P<bar>{NUMBER})"
START = r"(?:start|begin|have it start|let it start|make it start|play)"
MAX_TIMES = 1000  # more than an edit takes, which says so
STOP = r"(?:end|stop|finish|have it end|let it end|make it end|play)"


@production(
    rf"{CUT} {SPAN}", rf"(?:cut|take|leave) {SPAN} (?:out|away|off)", rf"(?:(?:play|make|do) {PIECE} )?without {SPAN}", rf"no {SPAN}",
)  # fmt: skip
def _cut(draft: Draft, groups: Mapping[str, Any]) -> None:
    first, last = read_span(groups, draft.bar_count)
    try:
        check_bars(first, last, draft.bar_count)
    except ValueError as error:
        draft.not_done.append(str(error).rstrip("."))
        return
    if draft.cut:  # what was cut before is set again, together with this
        draft.values.pop("order", None)
        draft.values.pop("excerpt", None)
    draft.cut |= {*range(first, last + 1)}
    gaps = [0, *sorted(draft.cut), draft.bar_count + 1]
    _arrange(draft, [(before + 1, after - 1) for before, after in zip(gaps, gaps[1:], strict=False)])


@production(
    rf"{START}(?: {PIECE})? (?:at|from|in|on|with) {BAR}(?: on| onwards?| to the end)?", rf"from {BAR}(?: on| onwards?| to the end)?",
)  # fmt: skip
def _start(draft: Draft, groups: Mapping[str, Any]) -> None:
    bar = int(read_number(groups["bar"]))
    _arrange(draft, [(bar, max(bar, draft.bar_count))])


@production(rf"{STOP}(?: {PIECE})? (?P<way>at|after|with|on|in|before|until|up to) {BAR}", rf"(?:only )?(?P<way>until|up to) {BAR}")
def _stop(draft: Draft, groups: Mapping[str, Any]) -> None:
    _arrange(draft, [(1, int(read_number(groups["bar"])) - int(groups["way"] == "before"))])


@production(
    rf"(?:play|repeat|loop|have|do|double) {SPAN} {TIMES}", rf"{SPAN} (?:(?P<twice>twice|two times|thrice)|(?P<times>{NUMBER}) times)",
    rf"(?:repeat|loop|double|make a loop of|play again) {SPAN}(?: again)?",
)  # fmt: skip
def _repeat(draft: Draft, groups: Mapping[str, Any]) -> None:
    first, last = read_span(groups, draft.bar_count)
    _arrange(draft, [(1, first - 1), *[(first, last)] * _times(groups), (last + 1, draft.bar_count)])


@production(
    rf"(?:play|repeat|loop|have|do|put) {PIECE} {TIMES}", rf"(?:repeat|loop|make a loop of) {PIECE}(?: again)?",
    rf"(?:make|turn) {PIECE} (?:into )?a loop", r"loop",
)  # fmt: skip
def _repeat_all(draft: Draft, groups: Mapping[str, Any]) -> None:
    _arrange(draft, [(1, draft.bar_count)] * _times(groups))


@production(
    rf"(?:add|copy|put|append|paste) {SPAN} (?:again )?(?:to|at|onto) the end(?: again)?", rf"end with {SPAN}(?: again| once more)",
    rf"(?:repeat|play) {SPAN} (?:again )?at the end",
)  # fmt: skip
def _append(draft: Draft, groups: Mapping[str, Any]) -> None:
    _arrange(draft, [(1, draft.bar_count), read_span(groups, draft.bar_count)])


@production(r"(?:swap|exchange|switch) (?:the|its) (?:two )?halves", r"(?:swap|exchange|switch) the first and (?:the )?second half")
def _swap(draft: Draft, groups: Mapping[str, Any]) -> None:
    half = draft.bar_count // 2
    _arrange(draft, [(half + 1, draft.bar_count), (1, half)])


def _times(groups: Mapping[str, Any]) -> int:
    """How often bars are played in all; twice where the words name no number."""
    if groups.get("times"):
        return min(int(read_number(groups["times"])), MAX_TIMES)
    return 3 if groups.get("twice") == "thrice" else 2


def _arrange(draft: Draft, ranges: Sequence[tuple[int, int]]) -> None:
    """Sets the order to these ranges, without those that hold no bar, as an excerpt where it is one."""
    order = [(first, last) for first, last in ranges if first <= last]
    if not order:
        draft.not_done.append("nothing of the piece would be left")
    elif len(order) == 1:
        draft.set("excerpt", order[0])
    else:
        draft.set("order", tuple(order))
