"""The order of bars with repeats and endings: the cases that scores have, and wrong ones."""

from __future__ import annotations

import pytest

from llama.media.repeats import Barlines, play_order


def bars(text: str) -> list[Barlines]:
    """Bars such as ". |: . [1 .:| [2 .]": a repeat begins, an ending begins, a repeat ends (":|" or ":|3" times), an ending ends."""
    found = []
    for bar in text.split():
        ending = tuple(int(digit) for digit in bar.partition("[")[2].partition("_")[0])
        backward = int(bar.partition(":|")[2] or 2) if ":|" in bar else 0
        found.append(Barlines("|:" in bar, backward, ending, "]" in bar or bool(backward and ending)))
    return found


@pytest.mark.parametrize(
    ("text", "order"),
    [
        (". . .", "0 1 2"),
        (". .:| .", "0 1 0 1 2"),
        (". |:. .:| .", "0 1 2 1 2 3"),
        (". |:. .:|3 .", "0 1 2 1 2 1 2 3"),
        ("|:. [1_:| [2_] .", "0 1 0 2 3"),
        ("|:. [1_ .:| [2_ .] .", "0 1 2 0 3 4 5"),
        ("|:. [12_:| [3_] .", "0 1 0 1 0 2 3"),
        ("|:. [1_:| [2_:| [3_] .", "0 1 0 2 0 3 4"),
        ("|:. [1_:| . .", "0 1 0 2 3"),  # the second ending is not marked
        ("|:. [1_:| [2_:| .", "0 1 0 2 3"),  # a repeat sign that leads nowhere
        ("|:. .:| |:. .:|", "0 1 0 1 2 3 2 3"),
        ("|:. .:| |:. [1_:| [2_] .:|", "0 1 0 1 2 3 2 4 5 5"),
        (". .:| . .:|", "0 1 0 1 2 3 2 3"),
        ("|:. |:. .:| .:|", "0 1 2 1 2 3 3"),
        ("[2_ .", "1"),
        ("|:. .", "0 1"),
        ("", ""),
    ],
)
def test_order(text: str, order: str) -> None:
    assert " ".join(map(str, play_order(bars(text), 100))) == order


def test_the_order_has_a_limit() -> None:
    assert len(play_order(bars(" ".join(["|:.:|9"] * 50)), 100)) == 100


def test_any_signs_end() -> None:
    signs = ["|:.", ".:|", ".:|9", "[1_", "[12_:|", "[2_]", "[1_.:|", "."]
    for case in range(len(signs) ** 4):
        chosen = [signs[case // len(signs) ** place % len(signs)] for place in range(4)]
        order = play_order(bars(" ".join(chosen)), 1000)
        assert len(order) < 1000 and order == [index for index in order if index < 4]
