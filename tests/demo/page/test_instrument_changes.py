"""The page as a workbench: exact changes by one click, taken back by one; takes, a library, everything to take home."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llama.media.audio import Waveform
from llama.media.score_file import read_score
from tests.instrument import NanoSite, Visitor, visiting

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers", "tests.instrument")
pytestmark = pytest.mark.slow

Notes = list[list[float]]


@pytest.fixture(scope="module")
def visitor(window: Any, nano_site: NanoSite) -> Iterator[Visitor]:
    """One visitor for all tests, with one complete piece."""
    with visiting(window, nano_site.address, viewport={"width": 1280, "height": 900}) as visitor:
        visitor.setting("Length in seconds", 12)
        visitor.say("A happy waltz for violin")
        visitor.page.evaluate("() => transport.pause()")
        yield visitor


@pytest.fixture
def piece(visitor: Visitor) -> dict[str, Any]:
    """The first piece, in the foreground of its card."""
    card = visitor.card(0)
    first = visitor.cards()[0]["versions"][0]
    tab = card.locator(f".card-tab[data-id='{first['id']}']")
    if tab.is_visible() and tab.get_attribute("aria-pressed") != "true":
        tab.click()
    return first


def notes_of(score: dict[str, Any], part: str) -> Notes:
    return next(entry["notes"] for entry in score["parts"] if entry["name"] == part)


def steps(notes: Notes) -> list[float]:
    return [later[2] - earlier[2] for earlier, later in zip(notes, notes[1:], strict=False)]


def beats(score: dict[str, Any], part: str) -> list[float]:
    return [note[0] / score["beat"] for note in notes_of(score, part)]


def choose(visitor: Visitor, chip: str, choice: str) -> dict[str, Any]:
    """Takes a choice of a chip's menu on the first card; the version that comes."""
    before, card = visitor.selected(0), visitor.card(0)
    card.locator(f".chips [data-name='{chip}']").click()
    card.get_by_role("menuitem", name=choice).first.click()
    return visitor.changed(0, before)


def test_a_chip_changes_the_tempo_exactly_and_undo_takes_it_back(visitor: Visitor, piece: dict[str, Any]) -> None:
    before, selected = visitor.score(piece), visitor.selected(0)
    visitor.card(0).locator("[data-name='Tempo next']").click()
    changed = visitor.changed(0, selected)
    after = visitor.score(changed)
    assert changed["facts"] == {**piece["facts"], "tempo": piece["facts"]["tempo"] + 10} and changed["parent"] == piece["id"]
    assert after["tempo"] == before["tempo"] + 10
    for part in (entry["name"] for entry in before["parts"]):
        assert [note[2:] for note in notes_of(after, part)] == [note[2:] for note in notes_of(before, part)], "every note is kept"
        assert beats(after, part) == pytest.approx(beats(before, part), abs=0.01), "in its beat"
    toast = visitor.page.locator("#toasts .toast").last
    assert f"{before['tempo']:g} → {after['tempo']:g} bpm" in toast.inner_text()
    toast.get_by_role("button", name="Undo").click()
    visitor.until(f"{CARD}.selected === '{piece['id']}'")
    assert visitor.version(0) == {**piece, "label": visitor.version(0)["label"]}
    visitor.card(0).locator(".card-tab.undone").click()
    visitor.card(0).get_by_role("button", name="Redo").click()
    visitor.until(f"{CARD}.selected === '{changed['id']}'")


CARD = "JSON.parse(document.querySelector('#log music-card').dataset.card)"


def test_a_chip_changes_the_key_exactly(visitor: Visitor, piece: dict[str, Any]) -> None:
    before = visitor.score(piece)
    changed = choose(visitor, "Key", next(chip["label"] for chip in piece["chips"] if chip["hint"] == "a whole tone up"))
    after = visitor.score(changed)
    assert after["key"] != before["key"] and after["tempo"] == before["tempo"]
    assert steps(notes_of(after, "melody")) == steps(notes_of(before, "melody"))
    moved = [high[2] - low[2] for high, low in zip(notes_of(after, "melody"), notes_of(before, "melody"), strict=True)]
    assert set(moved) <= {2, -10} and len(set(moved)) == 1
    assert [note[:2] for note in notes_of(after, "melody")] == [note[:2] for note in notes_of(before, "melody")]


def test_a_chip_changes_the_instrument_and_no_note(visitor: Visitor, piece: dict[str, Any]) -> None:
    before = visitor.score(piece)
    lead = next(chip["label"] for chip in piece["chips"] if chip["group"] == "lead")
    changed = choose(visitor, "Melody", lead)
    after = visitor.score(changed)
    assert changed["facts"] == {**piece["facts"], "lead": changed["facts"]["lead"]} and changed["facts"]["lead"] == lead.lower()
    assert [part["label"] for part in after["parts"]] == [lead.lower(), *(part["label"] for part in before["parts"][1:])]
    for part in (entry["name"] for entry in before["parts"]):
        assert [note[:3] for note in notes_of(after, part)] == [note[:3] for note in notes_of(before, part)]


def test_dragging_over_bars_makes_these_anew_and_no_other(visitor: Visitor, piece: dict[str, Any]) -> None:
    card, before = visitor.card(0), visitor.score(piece)
    bars = card.locator(".roll-bar")
    bars.nth(2).wait_for(state="attached")
    card.locator(".roll").scroll_into_view_if_needed()
    (one, other), mouse = (bars.nth(index).bounding_box() for index in (1, 2)), visitor.page.mouse
    mouse.move(one["x"] + one["width"] / 2, one["y"] + one["height"] / 2)
    mouse.down()
    mouse.move(other["x"] + 4, other["y"] + other["height"] / 2)
    mouse.move(other["x"] + other["width"] / 2, other["y"] + other["height"] / 2)
    mouse.up()
    toolbar = card.locator(".bars-toolbar")
    assert "Bars 2–3" in toolbar.inner_text()
    selected = visitor.selected(0)
    toolbar.get_by_role("button", name="Compose these anew").click()
    after = visitor.score(visitor.changed(0, selected))
    start, end = before["bars"][1]["start"], before["bars"][2]["end"]
    changed = False
    for part in (entry["name"] for entry in before["parts"]):
        for inside in (False, True):
            one, other = ([note for note in notes_of(score, part) if (start - 1e-3 <= note[0] < end - 1e-3) is inside]
                          for score in (before, after))  # fmt: skip
            assert inside or one == other, f"{part} outside of the bars"
            changed |= inside and one != other
    assert changed, "and these are new"


def test_one_of_several_takes_is_kept(visitor: Visitor) -> None:
    visitor.setting("Takes", 3)
    visitor.setting("Length in seconds", 4)
    visitor.say("A calm flute piece")
    visitor.setting("Takes", 1)
    card = visitor.card()
    takes = [version for version in visitor.cards()[-1]["versions"] if version["kind"] == "take"]
    assert visitor.texts("#log > * .turn:last-child .card-tab") == ["Take 1", "Take 2", "Take 3"]
    card.get_by_role("button", name="Take 2").click()
    card.get_by_role("button", name="Keep this one").click()
    visitor.until("[...document.querySelectorAll('#log music-card')].at(-1).querySelectorAll('.card-tab').length === 1")
    assert visitor.version()["id"] == takes[1]["id"] and visitor.version()["kept"]
    visitor.say("Make it faster")
    asked = visitor.cards()[-1]
    assert asked["versions"][0]["kind"] == "before" and asked["versions"][0]["seconds"] == pytest.approx(takes[1]["seconds"], abs=0.1)
    link = visitor.page.locator("#log .turn").last.locator(".referred a")
    assert link.get_attribute("href") == f"#piece-{takes[1]['id']}"


def test_what_a_message_was_about_can_be_corrected(visitor: Visitor, piece: dict[str, Any]) -> None:
    visitor.say("What key is it in?")
    turn = visitor.page.locator("#log .turn").last
    count = visitor.page.locator("#log .turn").count()
    assert turn.locator(".referred a").inner_text()
    turn.get_by_role("button", name="Another piece?").click()
    pieces = visitor.page.locator("dialog.choice [data-piece]")
    assert pieces.last.get_attribute("data-piece") == piece["id"], "the oldest one"
    pieces.last.click()
    visitor.answered(count + 1)
    again = visitor.page.locator("#log .turn").last
    assert again.locator(".referred a").get_attribute("href") == f"#piece-{piece['id']}"
    again.locator(".referred a").click()
    visitor.page.wait_for_function("document.querySelector('#log music-card').getBoundingClientRect().bottom > 0")


def test_every_form_can_be_taken_home_and_opens(visitor: Visitor, piece: dict[str, Any], tmp_path: Path) -> None:
    card = visitor.card(0)
    card.locator(".take-home").click()
    forms = {entry["form"]: entry for entry in visitor.version(0)["downloads"]}
    assert {"wav", "mp3", "flac", "midi", "stems", "musicxml", "chords", "all"} <= set(forms)
    assert len(card.get_by_role("menuitem").all()) == len(forms)
    visitor.page.keyboard.press("Escape")
    for form, entry in forms.items():
        card.locator(".take-home").click()
        with visitor.page.expect_download() as started:
            card.locator(f"[role=menuitem][download='{entry['name']}']").first.click()
        file = tmp_path / started.value.suggested_filename
        started.value.save_as(file)
        assert file.name == entry["name"] and "waltz" in file.name and "violin" in file.name, "names say what is inside"
        opens(form, file, piece["seconds"])


def opens(form: str, file: Path, seconds: float) -> None:
    """Fails unless a file is what its form says."""
    if form in ("wav", "mp3", "flac"):
        assert Waveform.read(file).seconds == pytest.approx(seconds, abs=0.2)
    elif form == "loop":
        assert Waveform.read(file).seconds > 1
    elif form in ("midi", "musicxml"):
        assert len(read_score(file).lead) > 5
    elif form == "chords":
        assert "|" in file.read_text(encoding="utf-8")
    elif form == "stems":
        assert {"lead", "accompaniment", "bass"} <= {name.lower() for name in wav_names(file)}
    else:
        with zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            assert {".wav", ".mid"} <= {Path(name).suffix for name in archive.namelist()}


def wav_names(file: Path) -> list[str]:
    """Names without suffix of the sounds in an archive, each of which is not silent."""
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            assert Waveform.read(io.BytesIO(archive.read(name))).samples.abs().max() > 0.001
        return [Path(name).stem.rpartition("-")[2] for name in archive.namelist()]


def test_the_library_names_stars_and_deletes(visitor: Visitor) -> None:
    visitor.page.get_by_role("button", name="Library").click()
    drawer, count = visitor.page.locator("#library"), len(visitor.now("connection.state.library"))
    rows = drawer.locator("li")
    assert rows.count() == count >= 1
    rows.first.get_by_role("button", name="Star").click()
    visitor.until("connection.state.library.filter(piece => piece.starred).length === 1")
    drawer.get_by_role("button", name="Starred", exact=True).click()
    assert rows.count() == 1
    drawer.get_by_role("button", name="Starred", exact=True).click()
    rows.first.get_by_role("button", name="More about").click()
    visitor.page.get_by_role("menuitem", name="Rename").click()
    visitor.page.keyboard.press("Control+a")
    visitor.page.keyboard.type("Best of all")
    visitor.page.keyboard.press("Enter")
    visitor.until("connection.state.library[0].title === 'Best of all'")
    rows.last.get_by_role("button", name="More about").click()
    visitor.page.get_by_role("menuitem", name="Delete").click()
    visitor.until(f"document.querySelectorAll('#library li').length === {count - 1}")
    visitor.page.locator("#toasts").get_by_role("button", name="Undo").last.click()
    visitor.until(f"document.querySelectorAll('#library li').length === {count}")
    visitor.page.keyboard.press("Escape")


def test_the_capabilities_fill_the_input(window: Any, nano_site: NanoSite) -> None:
    with visiting(window, nano_site.address) as newcomer:
        box = newcomer.page.locator("#capabilities")
        texts = " ".join(newcomer.texts("#capabilities button")).lower()
        assert all(word in texts for word in ("violin", "waltz")) and "bpm" in texts
        box.get_by_role("button", name="violin", exact=True).first.click()
        assert "violin" in newcomer.page.input_value("#box textarea")
