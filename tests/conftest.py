"""Shared fixtures: the golden values, and one thread, so that tests run side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of reference values in the published format; tests/golden/README.md says where they come from."""
    return GOLDEN


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
