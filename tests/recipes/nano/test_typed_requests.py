"""The probe of requests as people type them: its two hundred requests, and what counts as right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from DataSet.synthesis.wishes import complete_attributes
from llama.media.score import ACCOMPANIMENTS, LEADS, METRES, MODES, STYLES
from recipes.nano.evaluation import typed_requests
from recipes.nano.evaluation.figures import ProbeContext, Report
from recipes.nano.evaluation.probes_typed import (
    ALL_ASKED,
    MUSIC_COMES,
    NOT_TURNED,
    TARGETS,
    add_figures,
    shares_by_kind,
)
from recipes.nano.evaluation.typed_requests import Answer, TypedRequest, Verdict, judge, load_requests, says_impossible

VALUES = {
    "lead": tuple(LEADS), "accompaniment": tuple(ACCOMPANIMENTS), "style": STYLES, "mode": MODES, "metre": METRES,
    "drums": (True, False), "key": tuple(range(12)),
}  # fmt: skip
KINDS = "genre use mood instrument tempo length key negation several typing language talk".split()
REQUESTS = load_requests()


def answer(text: str = "", **facts: object) -> Answer:
    values = {**vars(complete_attributes({})), "seconds": 8.0, "bars": 4, **facts}
    return Answer(text, values.__getitem__)


def silent(text: str) -> Answer:
    return Answer(text, None)


def request(*asked: dict[str, object], music: bool | None = True, **never: object) -> TypedRequest:
    return TypedRequest("genre", "x", music, asked, never)


def test_there_are_two_hundred_of_every_kind() -> None:
    kinds = {kind: sum(one.kind == kind for one in REQUESTS) for kind in KINDS}
    assert sum(kinds.values()) == len(REQUESTS) == 200 == len({one.text.lower() for one in REQUESTS})
    assert min(kinds.values()) >= 7 and kinds["genre"] >= 30
    assert all(one.music is None for one in REQUESTS if one.kind == "language")
    assert sum(one.music is False for one in REQUESTS) == kinds["talk"]


def test_every_wish_can_be_had_or_said() -> None:
    for one, wish in [(row, wish) for row in REQUESTS for wish in (*row.asked, row.never)]:
        assert one.never is wish or wish
        for name, value in wish.items():
            if name == "said":
                assert all(part.strip() for part in value.split("|"))
            elif isinstance(value, dict):
                assert value.keys() <= {"min", "max"} or list(value) == ["not"], one
                assert all(item in VALUES[name] for item in value.get("not", ())), one
            elif name in VALUES:
                assert all(item in VALUES[name] for item in (value if isinstance(value, list) else [value])), one


def test_no_request_forbids_what_it_asks_for() -> None:
    for one, wish in [(row, wish) for row in REQUESTS for wish in row.asked]:
        for name, forbidden in one.never.items():
            value = wish.get(name)
            if value is None or isinstance(value, (dict, list)) or isinstance(forbidden, dict):
                continue
            assert value not in (forbidden if isinstance(forbidden, list) else [forbidden]), one


def test_wishes_are_found_in_the_music() -> None:
    sad = request({"mode": "minor"}, {"lead": "violin"}, mode="major")
    assert judge(sad, answer(mode="minor", lead="violin")) == Verdict(True, (), ())
    assert judge(sad, answer(mode="major", lead="violin")) == Verdict(True, ("mode",), (0,))
    assert judge(sad, silent("I can only speak about music.")) == Verdict(False, (), (0, 1))
    slow = request({"tempo": {"max": 90}}, tempo={"min": 126})
    assert judge(slow, answer(tempo=72)).missing == () and judge(slow, answer(tempo=100)).missing == (0,)
    assert judge(slow, answer(tempo=140)) == Verdict(True, ("tempo",), (0,))
    assert judge(request({"lead": {"not": ["piano"]}}), answer(lead="harp")).missing == ()
    assert judge(request({"bars": 8}), answer(bars=8)).missing == () and judge(request({"bars": 8}), answer(bars=4)).missing == (0,)


def test_what_is_named_as_impossible_counts() -> None:
    tango = request({"said": "tango"}, {"style": "dance", "said": "polka"})
    assert judge(tango, answer("I have no tango and no polka, so I take a dance track.", style="ballad")).missing == ()
    assert judge(tango, answer("Here is a tango.", style="ballad")).missing == (0, 1)
    assert judge(tango, answer("Here is a tango. I have no harp.", style="dance")).missing == (0,)
    assert says_impossible("I have no tubas.", ["tuba"]) and not says_impossible("There is no intubation.", ["tuba"])
    assert not says_impossible("A tuba and a horn!", ["tuba"])
    assert says_impossible("I cannot play drums alone.", ["only drums", "drums alone"])
    assert not says_impossible("Only drums!", ["only drums"])  # the wish said back is no refusal


def test_talk_needs_no_music_and_foreign_requests_may_have_a_sentence() -> None:
    assert judge(request(music=False), silent("Hello!")).music_right and not judge(request(music=False), answer()).music_right
    foreign = request({"mode": "minor", "said": "English"}, music=None)
    assert judge(foreign, silent("Ich verstehe nur Englisch; please ask in English.")) == Verdict(True, (), ())
    assert judge(foreign, answer(mode="minor")).missing == () and judge(foreign, answer(mode="major")).missing == (0,)


def test_an_unknown_fact_is_refused(tmp_path: Path) -> None:
    row = {"kind": "genre", "text": "x", "music": True, "asked": [{"colour": "red"}], "never": {}}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    with pytest.raises(ValueError, match="colour"):
        load_requests(tmp_path / "rows.json")


def test_the_table_has_its_baselines() -> None:
    """A model that does what is asked, one that always plays the same, and one that says nothing."""
    modes = [request({"mode": "minor"}, mode="major"), request({"mode": "major"}, mode="minor")]
    requests = [*modes, request({"drums": True}, drums=False), request(music=False)]
    right = [answer(mode="minor"), answer(mode="major"), answer(drums=True), silent("Hello!")]
    shares = _shares(requests, right)
    assert shares[MUSIC_COMES].value == shares[NOT_TURNED].value == shares[ALL_ASKED].value == 1.0
    assert all(figure.chance is not None and figure.chance < 1.0 and figure.target == TARGETS[what] for what, figure in shares.items())
    assert shares[MUSIC_COMES].majority == 0.75 and shares[ALL_ASKED].majority == pytest.approx(2 / 3)
    same = _shares(requests, [answer(mode="minor", drums=False)] * 4)
    assert same[ALL_ASKED].value == pytest.approx(1 / 3) == same[ALL_ASKED].majority and same[NOT_TURNED].value == pytest.approx(1 / 3)
    mute = _shares(requests, [silent("?")] * 4)
    assert mute[MUSIC_COMES].value == 0.25 and mute[ALL_ASKED].value == 0.0
    assert shares_by_kind(requests, right) == {"genre": {MUSIC_COMES: 1.0, NOT_TURNED: 1.0, ALL_ASKED: 1.0}}


def _shares(requests: list[TypedRequest], answers: list[Answer]) -> dict[str, object]:
    report = Report()
    add_figures(ProbeContext(None, Path(), 4, report, Path()), requests, answers)
    found = {}
    for figure in report.figures:
        found.setdefault(figure.what, figure)
    return found


def test_facts_are_read_once() -> None:
    import numpy as np

    from DataSet.synthesis.composer import compose

    score = compose(np.random.default_rng(1), complete_attributes({}), 12.0)
    calls: list[str] = []
    fact_of = typed_requests.facts_of(lambda piece, name: calls.append(name) or getattr(piece.attributes, name), score, 12.0)
    assert (fact_of("mode"), fact_of("mode"), fact_of("seconds")) == ("major", "major", 12.0) and fact_of("bars") >= 2
    assert calls == ["mode"]
