"""Grammar of requests for edits: what a language model cannot be trusted with yet is read by rule, word for word.

The embedded model writes mood, style, instruments and tempo of an edit in its answer, but measured on 20 pieces it turns the drums
round at any mention of them, and knows neither intervals nor bars nor lengths. These requests have a closed grammar: a clause
matches one of the productions as a whole or is not read. What is not read goes to the model; what neither can do is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama.media.edit import KEEPABLE, Edit, apply_edit
from llama.media.requests import arranging, loudness, parts, playing, timing  # noqa: F401  # they register their productions
from llama.media.requests.contradictions import find_contradiction
from llama.media.requests.draft import PRODUCTIONS, Draft, Production
from llama.media.requests.plain_text import plain, without_courtesies
from llama.media.requests.typing_errors import correct_typing
from llama.media.requests.vocabulary import KEY, PART_LIST, SPAN, VAGUE_SPAN
from llama.media.score import Score

MAX_LENGTH = 1000  # characters of a request
MAX_JOINED = 6  # parts of a sentence, as in "keep the drums, the bass and the tune and change everything else"
QUESTION = re.compile(
    r"(?:is|are|does|do|did|has|have|what|which|how|who|why|when|where|whose|describe|tell|explain|name|list|count|compare)\b"
)
OF_THE_PIECE = re.compile(  # says that a piece that is there becomes another one, whatever the model makes of the rest
    r"(?:make|play|put|turn|change|set|render|speed|slow|transform|convert|arrange) (?:it|this|that"
    r"|(?:the|this|that|my) (?:piece|song|track|tune|music|recording|melody|clip|sound))\b.+"
)
VERB = re.compile(r"(?:remove|cut|drop|delete|repeat|keep|make|play|add|transpose|rewrite|mute)\b")  # that the next clause may share
ENDING = re.compile(rf"(?P<left>.+?),? (?:but )?(?P<ending>(?:without|with no|with) {PART_LIST})")
IN_KEY = re.compile(rf"\bin(?:to)? (?:the key of )?{KEY} (?:major|minor)\b")
UNTRUSTED = re.compile(
    r"\b(?:transpos\w*|semitones?|octaves?|intervals?|pitch|bars?|measures?|seconds?|minutes?|longer|shorter|length|lengthen|shorten|double"
    r"|halve|twice|loop\w*|repeat\w*|undo|revert|previous|continu\w*|extend\w*|drums?|drumm\w*|percussion|bass|keep\w*|remove|delete|mute"
    r"|half|quarter|key|fade\w*|backwards?|reverse|cut|trim|insert|copy|swap|split|merge|volume|louder|quieter|softer|reverb|echo|"
    r"stereo|solos?|intro\w*|outro|bridge|chorus|verse|ritardando|rubato|accelerando|staccato|legato|modulat\w*"
    r"|back (?:up|down)|lyrics|sing|vocals?|voice|choir)\b"
)



@dataclass(frozen=True)
class RequestReading:
    """What the grammar read in a request, for one piece.

    edit: of what was read; None if it was nothing. already: what is so in the piece. not_done: what was read or recognised and
    cannot be done. places: where in the piece a change was asked that only the whole can have. rest: what is left for the language
    model: the whole text if nothing was read, "" if nothing is left. is_new: another piece is asked for, and no edit.
    plays: the piece is to be played as it is. kept: parts that the request wants kept beside what it changes.
    """

    edit: Edit | None
    already: tuple[str, ...] = ()
    not_done: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    rest: str = ""
    is_new: bool = False
    plays: bool = False
    kept: tuple[str, ...] = ()


def read_request(text: str, score: Score) -> RequestReading:
    """Reads a request for an edit of a piece; a text of more than MAX_LENGTH characters is left to the model."""
    if len(text) > MAX_LENGTH:
        return RequestReading(None, rest=text.strip())
    draft, rest, trusted = Draft(score), list[str](), list[str]()
    sentences = re.split(r"(?<!\d)[.](?!\d)|[.]$|[!?;:\n]+", plain(text))
    if both := next(filter(None, map(find_contradiction, sentences)), None):
        return RequestReading(Edit(), not_done=(f"{both} contradict each other; say which",))
    for sentence in sentences:
        rest += _read_clauses(draft, sentence)
    if draft.contradictions and not draft.is_new:
        return RequestReading(Edit(), not_done=(f"the request asks for {' and '.join(draft.contradictions)}; say which",))
    for clause in rest:
        if QUESTION.match(clause) or not UNTRUSTED.search(clause):
            trusted.append(clause)
        else:
            draft.not_done.append(f"I did not understand '{clause}'")
    if not (draft.values or draft.already or draft.not_done or draft.places or draft.is_read):
        return RequestReading(None, rest=correct_typing(text).strip())
    left = ", ".join(trusted)
    return RequestReading(
        _edit_of(draft), tuple(draft.already), tuple(draft.not_done), tuple(draft.places), left[:1].upper() + left[1:], draft.is_new,
        draft.plays and not left, tuple(name for name in KEEPABLE if name in draft.kept),
    )  # fmt: skip


def language_text(text: str, score: Score) -> str:
    """What the language model reads of a request: what the grammar does not, or all of it if nothing else is left."""
    reading = read_request(text, score)
    return text if reading.is_new else reading.rest or text


def is_question(text: str) -> bool:
    """Whether a text begins as questions do."""
    return bool(QUESTION.match(plain(text)))


def names_edit(text: str) -> bool:
    """Whether the grammar reads an edit in a request, whatever the piece; none in a text of more than MAX_LENGTH characters."""
    if len(text) > MAX_LENGTH:
        return False
    clauses = re.split(r"[.!?;:\n]+|, | and | but | then ", plain(text))
    bare = [_bare(clause) for clause in clauses]
    found = [production[1] for clause in clauses if (production := _match(clause)) is not None]
    found = [function for function in found if function is not playing.bare_instrument]
    if len(clauses) > 1:  # "piano and strings, slow, in D" is a new piece
        found = [function for function in found if function is not timing.bare_key]
    if timing.new_piece in found:
        return any(function is not timing.new_piece for function in found)
    return bool(found) or any(OF_THE_PIECE.fullmatch(clause) for clause in bare)


def joins_edits(text: str) -> bool:
    """Whether a request is several edits, which the grammar reads, and nothing else: "a whole step up, without bass"."""
    if len(text) > MAX_LENGTH or is_question(text):
        return False
    clauses = [clause for clause in re.split(r"[.!?;:\n]+|, | and | but | then ", plain(text)) if _bare(clause)]
    found = [production[1] if (production := _match(clause)) is not None else None for clause in clauses]
    says_change = any(function not in (playing.bare_instrument, timing.bare_key) for function in found)  # "piano and violin" is a new piece
    return len(found) > 1 and None not in found and timing.new_piece not in found and says_change


def _read_clauses(draft: Draft, sentence: str) -> list[str]:
    """Reads as many clauses as it can, the longest first; returns those that no production matches."""
    words = re.split(r"(, and then |, and |, but |, then | and then | but | then |, | and )", sentence.strip(" ,"))
    clause_count, rest, start, verb = (len(words) + 1) // 2, list[str](), 0, ""
    while start < clause_count:
        stops = range(min(clause_count, start + MAX_JOINED), start, -1)
        stop = next((stop for stop in stops if _read_clause(draft, "".join(words[2 * start : 2 * stop - 1]))), None)
        if stop is None and verb and _read_clause(draft, f"{verb} {words[2 * start]}"):  # "remove the first bar and the last bar"
            stop = start + 1
        if stop is None and (left := _without_place(draft, _without_key(draft, _without_ending(draft, _bare(words[2 * start]))))):
            rest.append(left)
        verb = match[0] if stop is not None and (match := VERB.match(_bare(words[2 * start]))) else verb
        start = stop or start + 1
    return rest


def _bare(clause: str) -> str:
    """A clause without courtesies."""
    return without_courtesies(clause)[-1]


def _match(clause: str) -> tuple[re.Match[str], Production] | None:
    """The first production that matches a clause, with as many of its courtesies as one takes."""
    for stage in without_courtesies(clause):
        for pattern, function in PRODUCTIONS:
            if match := pattern.fullmatch(stage):
                return match, function
    return None


def _read_clause(draft: Draft, clause: str) -> bool:
    """Reads a clause, if a production matches it; an empty one says nothing."""
    if found := _match(clause):
        match, function = found
        draft.is_read = True
        function(draft, match.groupdict())
        return True
    return not _bare(clause)


def _without_ending(draft: Draft, clause: str) -> str:
    """A clause without parts at its end that it should have or not have, as in "a slow waltz without drums", which are read."""
    match = ENDING.fullmatch(clause)
    if match is None or QUESTION.match(clause) or not _read_clause(draft, match["ending"]):
        return clause
    return "" if _read_clause(draft, match["left"]) else match["left"]


def _without_key(draft: Draft, clause: str) -> str:
    """A clause without a key in it, as in "in d major with a violin", which is read: the model hears keys too ill to be asked."""
    match = IN_KEY.search(clause)
    if match is None or QUESTION.match(clause) or not _read_clause(draft, match[0]):
        return clause
    left = re.sub(r"\s+", " ", clause[: match.start()] + clause[match.end() :]).strip(" ,")
    return "" if not left or _read_clause(draft, left) else left


def _without_place(draft: Draft, clause: str) -> str:
    """What the model has to read of a clause that no production matches.

    A place in the piece is taken out of it and noted: only bars that are composed anew have one, other changes are of the whole.
    """
    for pattern in (SPAN, VAGUE_SPAN):
        match = re.search(rf"(?:\b(?P<preposition>in|for|of|from|during|at|on|throughout) )?(?:\b{pattern}\b)", clause)
        if match is None:
            continue
        left = clause[: match.start()] + ("" if match["preposition"] else "it") + clause[match.end() :]
        left = re.sub(r"\s+", " ", left).strip(" ,")
        is_read = _read_clause(draft, left)
        if is_read or not UNTRUSTED.search(left):
            draft.places.append(match[0].removeprefix(f"{match['preposition']} ").removeprefix("the "))
            return "" if is_read else left
        break
    return clause


def _edit_of(draft: Draft) -> Edit:
    """The edit of a draft; one that contradicts itself or does not fit the piece becomes one that changes nothing, and says why."""
    try:
        edit = Edit(**draft.values)
        apply_edit(draft.score, edit)
    except ValueError as error:
        draft.not_done.append(str(error).rstrip("."))
        return Edit()
    return edit
