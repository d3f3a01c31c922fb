"""Training rows leave out the requests that are measured."""

from __future__ import annotations

from recipes.nano.evaluation.typed_requests import load_requests
from recipes.nano.language.datasets import Media, sample_rows
from recipes.nano.language.reserved_requests import is_reserved


def test_measured_requests_are_reserved_whatever_their_capitals_and_marks() -> None:
    assert all(is_reserved(request.text) and is_reserved(request.text.upper() + "!") for request in load_requests())
    assert not is_reserved("a sad violin please") and not is_reserved("in B major")


def test_no_training_row_is_a_measured_request() -> None:
    rows = [row["conversation"][0]["value"] for row in sample_rows("wish", 6000, Media({}, {}, {}, {}), held_out=False)]
    assert len(rows) == 6000 and not any(map(is_reserved, rows))
