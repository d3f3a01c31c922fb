"""Values of a preprocessor_config.json that describe no image processor are refused by name."""

from __future__ import annotations

import pytest

from llama.encoders.image_processor import ImageProcessor

VALUES = {"size": {"height": 8, "width": 8}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_mean", None), ("image_mean", 0.5), ("image_mean", [0.5, 0.5]), ("image_std", [0.5, 0.5, None]), ("image_std", "abc"),
        ("resample", {"a": None}), ("resample", 9), ("rescale_factor", "small"), ("size", None), ("size", {"height": 8}), ("size", {}),
        ("size", {"shortest_edge": "8"}), ("size", {"shortest_edge": -8}), ("size", [8, 8]),
    ],
)  # fmt: skip
def test_values_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError) as caught:
        ImageProcessor.read(VALUES | {name: value})
    named = {"size": ("height", "width", "shortest_edge")}.get(name, (name,))
    assert str(caught.value).startswith(named) and str(caught.value).endswith(".")
