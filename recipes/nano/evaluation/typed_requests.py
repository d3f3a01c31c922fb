"""Two hundred requests as people type them, and the rules that an answer must hold to be right.

They were written by hand before the wording of training, and no template makes them: so they measure what people say. Each
row of typed_requests.json says whether music must come ("music"; null where a plain sentence will do as well), what was asked
for ("asked") and what would be the opposite ("never").
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from DataSet.synthesis.stated_attributes import attribute_matches
from llama.media.score_edits import score_line

TYPED_REQUESTS = Path(__file__).with_name("typed_requests.json")
FACTS = ("lead", "accompaniment", "style", "tempo", "mode", "metre", "drums", "key", "seconds", "bars")
HONEST = re.compile(r"\b(?:no|not|cannot|nearest|closest|instead|only|without|please)\b|n't\b", re.IGNORECASE)  # words of a sentence that refuses
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

FactOf = Callable[[str], Any]  # name of FACTS -> its value in the music


@dataclass(frozen=True)
class TypedRequest:
    """A request and what its answer must hold.

    asked: wishes, each with facts that must hold or with "said": words ("a|b": either) of which one must stand in a sentence that
    says that it cannot be. never: facts of the opposite. A fact is a value, {"min", "max"} or {"not": [values]}.
    """

    kind: str
    text: str
    music: bool | None
    asked: tuple[Mapping[str, Any], ...]
    never: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The text of an answer, and the facts of its music; None where no music came."""

    text: str
    fact_of: FactOf | None


@dataclass(frozen=True)
class Verdict:
    """music_right: music came, or did not, as the request asks. turned_round: names of facts that are the opposite of the wish.
    missing: positions of the wishes that are neither in the music nor said to be impossible."""

    music_right: bool
    turned_round: tuple[str, ...]
    missing: tuple[int, ...]


def load_requests(path: Path = TYPED_REQUESTS) -> list[TypedRequest]:
    """The requests in the order of the file. Raises ValueError for a row with a fact of another name."""
    requests = [TypedRequest(row["kind"], row["text"], row["music"], tuple(row["asked"]), row["never"]) for row in json.loads(path.read_text(encoding="utf-8"))]
    for request in requests:
        unknown = {name for wish in (*request.asked, request.never) for name in wish} - {*FACTS, "said"}
        if unknown or "said" in request.never:
            raise ValueError(f"The request {request.text!r} has facts named {sorted(unknown) or ['said']}; those of a request are {', '.join(FACTS)}.")
    return requests


def judge(request: TypedRequest, answer: Answer) -> Verdict:
    """What is right of an answer. A request for which no music is wanted has no wishes to miss."""
    fact_of = answer.fact_of
    right = request.music is None or request.music == (fact_of is not None)
    turned = tuple(name for name, wish in request.never.items() if fact_of is not None and _holds(name, wish, fact_of(name)))
    missing = tuple(position for position, wish in enumerate(request.asked) if not is_fulfilled(wish, answer))
    return Verdict(right, turned, missing)


def is_fulfilled(wish: Mapping[str, Any], answer: Answer) -> bool:
    """Whether a wish is in the music, or a sentence of the answer says in the user's own word that it cannot be."""
    if "said" in wish and says_impossible(answer.text, wish["said"].split("|")):
        return True
    facts = {name: value for name, value in wish.items() if name != "said"}
    return bool(facts) and answer.fact_of is not None and all(_holds(name, value, answer.fact_of(name)) for name, value in facts.items())


def says_impossible(text: str, words: Sequence[str]) -> bool:
    """Whether one sentence names one of the words and says that it cannot be, or what is done in its place."""
    sentences = SENTENCE_END.split(text)
    named = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?:es|s)?(?!\w)" for word in words), re.IGNORECASE)
    return any(named.search(sentence) and HONEST.search(named.sub("", sentence)) for sentence in sentences)


def _holds(name: str, wish: Any, value: Any) -> bool:
    """Whether a fact of the music is as the wish says; a fact that could not be read is not."""
    if value is None:
        return False
    if isinstance(wish, Mapping):
        if "not" in wish:
            return value not in wish["not"]
        return wish.get("min", value) <= value <= wish.get("max", value)
    allowed = wish if isinstance(wish, list) else [wish]
    return any(attribute_matches(name, value, target) if name not in ("seconds", "bars") else value == target for target in allowed)


def constant_answer_shares(requests: Sequence[TypedRequest], answers: Sequence[Answer], right: Callable[[TypedRequest, Answer], bool]) -> tuple[float, float]:
    """Two baselines of a measure: answers of other requests (mean over all pairs), and the best single answer to all requests."""
    hits = [[right(request, answer) for request in requests] for answer in answers]
    pairs = [hit for at, row in enumerate(hits) for position, hit in enumerate(row) if position != at]
    return sum(pairs) / max(1, len(pairs)), max((sum(row) / len(row) for row in hits), default=0.0)


def facts_of(read: Callable[[Any, str], Any], score: Any, seconds: float) -> FactOf:
    """The facts of a piece, each read once. read: a reader of one attribute from a score, such as `attribute_readers.read_attribute`."""
    known: dict[str, Any] = {"seconds": seconds, "bars": score_line(score).bar_count}
    return partial(_fact, known, read, score)


def _fact(known: dict[str, Any], read: Callable[[Any, str], Any], score: Any, name: str) -> Any:
    if name not in known:
        known[name] = read(score, name)
    return known[name]
