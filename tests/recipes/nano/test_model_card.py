"""Model card: the measured part is replaced, the rest stays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from recipes.nano.evaluation import model_card
from recipes.nano.evaluation.model_card import BEGIN, END

TEXT = f"# A card\n\nby hand\n\n{BEGIN}\nold\n{END}\n\nalso by hand\n"


def test_the_text_between_the_marks_is_replaced() -> None:
    filled = model_card.fill(TEXT, "| new |\n")
    assert filled == f"# A card\n\nby hand\n\n{BEGIN}\n\n| new |\n\n{END}\n\nalso by hand\n"
    assert model_card.fill(filled, "| new |\n") == filled


@pytest.mark.parametrize("text", ["no marks", BEGIN, f"{END} {BEGIN}", f"{TEXT}{BEGIN}{END}"])
def test_a_card_without_one_pair_of_marks_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="The card needs one line"):
        model_card.fill(text, "")


def test_the_command_writes_card_and_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probes, model = tmp_path / "probes", tmp_path / "model"
    for folder in (probes, model):
        folder.mkdir()
    (probes / "probes.md").write_text("### It hears\n")
    (probes / "probes.png").write_bytes(b"picture")
    (tmp_path / "card.md").write_text(TEXT)
    monkeypatch.setattr(sys, "argv", ["card", str(probes), str(model), "--card", str(tmp_path / "card.md")])
    model_card.main()
    assert "### It hears" in (model / "README.md").read_text() and "old" not in (model / "README.md").read_text()
    assert (model / "probes.png").read_bytes() == b"picture"
    assert sorted(file.name for file in model.iterdir()) == ["README.md", "probes.png"]
