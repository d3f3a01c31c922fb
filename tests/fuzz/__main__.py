"""Damages files of all formats and gives them to their readers, in one process that is replaced when it dies.

    python -m fuzz --cases 10000 --seed 1        # make fuzz ARGS="..."
    python -m fuzz --seed 1 --case 812           # one case again

A fault is anything but an answer or one sentence: a traceback, the end of the process, more than 10 s of processor time or 2 GB.
Each is one line, and its file is saved. Exit code 1 if there was one.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz.corpus import FORMATS, ROOT
from fuzz.mutations import damage
from fuzz.readers import MODULES, READERS, faults
from llama.serving.media_client import MediaWorkerClient

SECONDS, MEMORY = 120.0, 2 << 30  # all readers together, on a machine that may be busy; each has 10 s of processor time
SAVED = ROOT / "build/fuzz"


@dataclass(frozen=True)
class Case:
    """One damaged file."""

    seed: int
    number: int
    format: str
    mutations: tuple[str, ...]
    content: bytes

    @property
    def kind(self) -> str:
        return FORMATS[self.format].kind

    @property
    def name(self) -> str:
        return f"{self.seed}-{self.number}.{self.format}"


def make_case(seed: int, number: int, formats: Sequence[str] = tuple(FORMATS)) -> Case:
    """The case, which is the same for the same arguments."""
    rng = random.Random(f"{seed}/{number}")
    format_name = rng.choice(formats)
    chosen = FORMATS[format_name]
    others = [FORMATS[name].make() for name in rng.sample([name for name in FORMATS if FORMATS[name].kind == "media"], 2)]
    content, mutations = damage(rng, chosen.make(), [chosen.make(), *others], chosen.text)
    return Case(seed, number, format_name, tuple(mutations), content)


class Fuzzer:
    """Runs cases in one worker process; also a context manager."""

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._worker = MediaWorkerClient(seconds=seconds, memory=memory, modules=(*MODULES, "fuzz.readers"))
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")

    def __enter__(self) -> Fuzzer:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()
        self._folder.cleanup()

    def run(self, case: Case) -> list[str]:
        """The faults of a case, one line each."""
        file = Path(self._folder.name, case.name)
        file.write_bytes(case.content)
        names = [reader.__name__ for reader in READERS[case.kind]]
        try:
            return self._worker.call("All readers", faults, case.kind, str(file), names)
        except ValueError as death:  # of which reader?
            alone = [fault for name in names for fault in self._faults_of(case.kind, file, name)]
            return alone or [str(death)]
        finally:
            file.unlink()

    def _faults_of(self, kind: str, file: Path, reader: str) -> list[str]:
        try:
            return self._worker.call(reader, faults, kind, str(file), [reader])
        except ValueError as death:
            return [str(death)]


def run_cases(fuzzer: Fuzzer, cases: Iterator[Case]) -> Iterator[tuple[Case, str]]:
    for case in cases:
        for fault in fuzzer.run(case):
            yield case, fault


def save(case: Case) -> Path:
    SAVED.mkdir(parents=True, exist_ok=True)
    file = SAVED / case.name
    file.write_bytes(case.content)
    return file


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--seed", type=int, default=None, help="of the cases (default: from the clock)")
    result.add_argument("--cases", type=int, default=1000, metavar="N", help="(default: %(default)s)")
    result.add_argument("--case", type=int, metavar="NUMBER", help="this case alone")
    result.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS), metavar="NAME", help=", ".join(FORMATS))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    values = parser().parse_args(arguments)
    seed = int(time.time()) if values.seed is None else values.seed
    numbers = range(values.cases) if values.case is None else [values.case]
    begin, count = time.monotonic(), 0
    with Fuzzer() as fuzzer:
        for case, fault in run_cases(fuzzer, (make_case(seed, number, values.formats) for number in numbers)):
            count += 1
            saved = save(case).relative_to(ROOT)
            print(f"seed {seed} case {case.number} {case.format} ({', '.join(case.mutations)}) {fault} [{saved}]", flush=True)
    print(f"{len(numbers)} cases of seed {seed}, {count} faults, {time.monotonic() - begin:.0f} s", flush=True)
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
