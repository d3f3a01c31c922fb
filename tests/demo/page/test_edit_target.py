"""The form of a change in a browser: "More..." on a card aims it at that piece, and a change empties it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DataSet.synthesis.composer import compose
from demo.page import piece_actions, suggestions
from demo.page.suggestions import chips
from llama.media.edit import Edit
from llama.media.score import Attributes
from tests import scripted_engine
from tests.browser_helpers import Site, say, settled, versions

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers",)

SCORE = compose(np.random.default_rng(3), Attributes("piano", "strings", "ballad", 120, "minor", 4, True, 4), 8.0)
GO_ON = "#edit input[type=number]:visible >> nth=0"  # of a decoder of sound, which a scripted engine has


@pytest.fixture(autouse=True)
def scripted_edits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripted engine plays for texts with these words, and its piece has bars."""
    monkeypatch.setattr(scripted_engine, "SCORE", SCORE)
    monkeypatch.setattr(suggestions, "chips", lambda score, **kwargs: [] if score is None else chips(score))
    monkeypatch.setattr(piece_actions, "edit_words", lambda edit, *mode: "we play notes")
    yield


def test_more_aims_the_form_at_the_piece_of_its_card(tab: Any, site: Site) -> None:
    say(tab, "play notes")
    settled(tab, 1)
    say(tab, "play other notes")
    settled(tab, 2)
    first, second = versions(tab)
    tab.fill("#box textarea", "half a thought")
    tab.click(".chip-more >> nth=0")
    tab.wait_for_selector("#change:has-text('Change “Sad ballad, piano”')")
    tab.fill(GO_ON, "5")
    tab.press(GO_ON, "Tab")
    tab.click("#change")
    tab.wait_for_function("JSON.parse(document.querySelector('music-card').dataset.card).versions.filter(one => one.complete).length === 2")
    request = site.engine.requests[-1]
    assert request.options.edit == Edit(continuation=5) and Path(str(request.turn.audio)).stem == first["id"] != second["id"]
    tab.wait_for_selector("#change:has-text('Change the last piece')")
    assert tab.input_value("#box textarea") == "half a thought" and tab.input_value(GO_ON) == "0"
    tab.click("#change")
    tab.wait_for_selector("text=The form of the change is empty")
