"""Runs all tests in two pytest processes at once, which takes little more than half of the time on two cores.

    python tests/two_processes.py [pytest's options]

The output of the first is shown as it comes, that of the second when both have ended. The exit code is that of the first that failed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST = ("tests/llama", "tests/recipes", "tests/benchmarks", "tests/demo/api", "tests/demo/service")
SECOND = ("tests", *(f"--ignore={folder}" for folder in FIRST))


def main(options: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", *options]
    with tempfile.TemporaryFile() as output:
        first = subprocess.Popen([*command, *FIRST], cwd=ROOT)
        second = subprocess.Popen([*command, "-p", "no:cacheprovider", *SECOND], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        codes = [first.wait(), second.wait()]
        output.seek(0)
        sys.stdout.write(output.read().decode(errors="replace"))
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
