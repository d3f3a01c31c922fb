"""Turns, and the prompt template that the published weights were trained with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llama.dialogue import Turn, format_prompt


def test_prompt_is_the_published_one(golden: Path) -> None:
    reference = json.loads((golden / "tokenizer_cases.json").read_text())["prompt"]["text"]
    assert format_prompt("Describe the music with piano and drums") == reference


def test_braces_in_an_instruction_are_words() -> None:
    assert "### Instruction:\nplay {x} %s\n" in format_prompt("play {x} %s")


@pytest.mark.parametrize(("text", "right"), [("Müller 葉 🎻", "Müller 葉 🎻"), ("\udcff hello", "? hello"), ("a\ud800", "a?")])
def test_text_is_unicode(text: str, right: str) -> None:
    assert Turn(text).text == right


def test_paths_become_strings_and_nonsense_is_refused() -> None:
    assert Turn("x", audio=Path("a.wav")).audio == "a.wav"
    with pytest.raises(ValueError, match="must be a string, not list"):
        Turn(["x"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="path of the image is empty"):
        Turn("x", image="")
    with pytest.raises(ValueError, match="audio of a turn was given as ndarray; give a path or Waveform"):
        Turn("x", audio=np.zeros(100))
