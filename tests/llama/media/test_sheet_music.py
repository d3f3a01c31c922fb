"""Sheet music: valid SVG for scores of all kinds, with nothing in it that runs or loads."""

from __future__ import annotations

import threading
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from DataSet.synthesis.composer import compose
from llama.media import sheet_music
from llama.media.naming import title_of
from llama.media.score import TRACKS, Attributes, Score
from llama.media.sheet_music import SVG, checked_svg, engrave

PIECES = {
    "swing": compose(np.random.default_rng(1), Attributes("saxophone", "piano", "swing", 138, "minor", 4, drums=True, key=3), 20.0),
    "waltz": compose(np.random.default_rng(2), Attributes("violin", "strings", "waltz", 150, "major", 3, drums=False, key=10), 6.0),
    "drums": compose(np.random.default_rng(3), Attributes("guitar", "organ", "rock", 120, "major", 4, drums=True, key=1), 6.0),
}
HOSTILE = '</text><script>alert(1)</script><image href="http://x/"/> & "quotes" \x00\x1b ]]> é 音'


def heads(page: str) -> int:
    """How many note heads are drawn."""
    return sum("notehead" in element.get("class", "").split() for element in ElementTree.fromstring(page).iter())


def words(page: str) -> str:
    return " ".join("".join(ElementTree.fromstring(page).itertext()).split())


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_every_note_is_engraved(name: str, size: str) -> None:
    score = PIECES[name]
    pages = engrave(score, size=size)
    assert all(ElementTree.fromstring(page).tag == f"{{{SVG}}}svg" for page in pages)
    assert sum(map(heads, pages)) >= sum(len(score.track(part)) for part in TRACKS)  # a tied note is drawn twice
    assert title_of(score) in words(pages[0])


def test_the_same_score_gives_the_same_pages_in_both_sizes() -> None:
    score = PIECES["swing"]
    assert engrave(score) == engrave(score)
    wide, narrow = (ElementTree.fromstring(engrave(score, size=size)[0]).get("viewBox", "").split() for size in ("wide", "narrow"))
    assert float(narrow[2]) < 0.5 * float(wide[2])


def test_a_hostile_title_is_text() -> None:
    page = engrave(PIECES["waltz"], HOSTILE)[0]
    assert "<script>alert(1)</script>" in words(page) and "音" in words(page)
    names = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(page).iter()}
    assert not names & {"script", "image", "foreignObject", "a"}


def test_every_thread_has_the_fonts() -> None:
    pages: list[str] = []
    thread = threading.Thread(target=lambda: pages.extend(engrave(PIECES["waltz"])))
    thread.start()
    thread.join(30)
    assert pages and pages[0] == engrave(PIECES["waltz"])[0]


def test_a_piece_without_notes_is_a_page() -> None:
    silent: Score = replace(PIECES["waltz"], lead=(), accompaniment=(), bass=())
    (page,) = engrave(silent)
    assert heads(page) == 0


@pytest.mark.parametrize("inner", [
    "<script>1</script>", "<foreignObject/>", "<image href='#a'/>", "<a href='#a'/>", "<animate attributeName='href'/>", "<unclosed>",
    "<g onload='x()'/>", "<g style='fill:url(http://x)'/>", "<use href='http://x/a.svg#b'/>", "<use href='data:image/svg+xml,x'/>",
    "<style>@import 'http://x'</style>", "<style>a{b:url(#x)}</style>", "<html xmlns='http://www.w3.org/1999/xhtml'/>",
])  # fmt: skip
def test_what_runs_or_loads_is_refused(inner: str) -> None:
    with pytest.raises(ValueError, match="SVG"):
        checked_svg(f"<svg xmlns='{SVG}'>{inner}</svg>")


def test_a_refusal_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'huge' of pages is not known; choose from wide, narrow"):
        engrave(PIECES["waltz"], size="huge")
    monkeypatch.setattr(sheet_music, "MAX_STAFF_NOTES", 3)
    with pytest.raises(ValueError, match="up to 3 are engraved; take its MIDI file"):
        engrave(PIECES["waltz"])
