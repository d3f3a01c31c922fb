"""An answer names no instrument that the request did not name, whole and while it is written."""

from __future__ import annotations

import pytest

from llama.media.answer_checks import may_be_unasked_instrument, without_unasked_instrument

CAPTION = "A happy waltz for flute over strings at 90 bpm in 3/4 without drums."


@pytest.mark.parametrize(
    ("said", "request_text", "kept"),
    [
        ("I have no kazoo, so I take the flute. ", "a waltz for kazoo", True),
        ("I have no bagpipes, so I take the flute. ", "a waltz for bagpipe", True),
        ("I have no tin whistle, so I take the flute. ", "A Tin Whistle plays", True),
        ("I have no tin whistle, so I take the flute. ", "ein trauriger Walzer", False),
        ("I have no balalaika, so I take the flute. ", "I have no balala", False),
        ("I have no idea. ", "a waltz", True),
        ("I count in three or four, so I take 3/4. ", "a waltz in five", True),
        ("", "a waltz", True),
    ],
)
def test_an_instrument_that_nobody_asked_for_is_not_missed(said: str, request_text: str, kept: bool) -> None:
    whole = said + CAPTION
    assert without_unasked_instrument(whole, request_text) == (whole if kept else CAPTION)
    streamed = ["" if may_be_unasked_instrument(whole[:size]) else without_unasked_instrument(whole[:size], request_text)
                for size in range(len(whole) + 1)]  # fmt: skip
    assert all(later.startswith(earlier) for earlier, later in zip(streamed, streamed[1:], strict=False))
    assert streamed[-1] == (whole if kept else CAPTION)
