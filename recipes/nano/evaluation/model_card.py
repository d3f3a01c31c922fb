"""Fills the measured part of the model card with the table and plot of the probes.

    python -m recipes.nano.evaluation.model_card build/nano/probes build/nano/model --card ckpts/nano/README.md

PROBES is what `evaluate.py probes` wrote. The text between the card's two marks is replaced, and the card is written
as README.md into MODEL, with probes.png beside it. The rest of a card is written by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from llama.files import atomic_path, write_text

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
CARD = Path("ckpts/nano/README.md")


def fill(card: str, table: str) -> str:
    """The card with `table` between its marks. ValueError where it has not exactly one pair of them, in order."""
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"The card needs one line {BEGIN!r} and after it one line {END!r}; put them around its measured part.")
    return f"{before}{BEGIN}\n\n{table.strip()}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("probes", type=Path, help="folder with probes.md and probes.png")
    parser.add_argument("model", type=Path, help="folder of the model, which gets README.md and probes.png")
    parser.add_argument("--card", type=Path, default=CARD, help="the card to fill (default: %(default)s)")
    options = parser.parse_args()
    text = fill(options.card.read_text(encoding="utf-8"), (options.probes / "probes.md").read_text(encoding="utf-8"))
    write_text(options.model / "README.md", text)
    with atomic_path(options.model / "probes.png") as draft:
        draft.write_bytes((options.probes / "probes.png").read_bytes())
    print(f"{options.model / 'README.md'}: measured part of {options.probes}")


if __name__ == "__main__":
    main()
