"""The test run itself: one test that hangs does not hold it for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HANGS = "import threading\ndef test_it():\n    threading.Event().wait()\n"


def test_a_test_that_hangs_ends_the_run_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "test_hangs.py").write_text(HANGS)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-o", "faulthandler_timeout=1", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert ended.returncode != 0 and "Timeout" in ended.stderr and "test_hangs.py\", line 3 in test_it" in ended.stderr


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by their names alone, and stops where two are equal."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert not {name for name in names if names.count(name) > 1}
