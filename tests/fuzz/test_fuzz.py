"""A short run of the fuzzer, and what it relies on. `make fuzz` runs it for long."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.__main__ import Case, Fuzzer, make_case
from fuzz.corpus import FORMATS
from fuzz.mutations import BINARY, TEXT
from fuzz.readers import READERS, is_sentence

SEED, CASES = 12, 150


@pytest.fixture(scope="module")
def fuzzer() -> Iterator[Fuzzer]:
    with Fuzzer() as fuzzer:
        yield fuzzer


def test_forty_formats_of_media_and_all_that_is_read_beside_them() -> None:
    assert sum(chosen.kind == "media" for chosen in FORMATS.values()) >= 40
    assert {chosen.kind for chosen in FORMATS.values()} == set(READERS)


@pytest.mark.parametrize("name", FORMATS)
def test_undamaged_files_are_read(fuzzer: Fuzzer, name: str, tmp_path: Path) -> None:
    """Each by one reader at least, or the fuzzer would test nothing but the first check."""
    file = tmp_path / f"valid.{name}"
    file.write_bytes(FORMATS[name].make())
    assert not fuzzer.run(Case(0, 0, name, (), FORMATS[name].make()))
    if name == "midi":
        return  # notes are refused by all of them
    readers = READERS[FORMATS[name].kind]
    errors = []
    for reader in readers:
        try:
            reader(file)
        except (ValueError, FileNotFoundError) as error:
            errors.append(error)
    assert len(errors) < len(readers), errors


def test_damaged_files_end_in_an_answer_or_one_sentence(fuzzer: Fuzzer) -> None:
    faults = [f"{number} {case.format} {case.mutations}: {fault}" for number in range(CASES)
              for case in [make_case(SEED, number)] for fault in fuzzer.run(case)]  # fmt: skip
    assert not faults, "\n".join(faults)


def test_a_case_is_the_same_again() -> None:
    names = ["png", "wav", "captions"]
    assert [make_case(3, number, names) for number in range(20)] == [make_case(3, number, names) for number in range(20)]
    assert make_case(3, 0, names) != make_case(4, 0, names)


@pytest.mark.parametrize("mutation", sorted({*BINARY, *TEXT}, key=lambda mutation: mutation.__name__))
@pytest.mark.parametrize("name", ["wav", "captions", "yaml"])
def test_a_mutation_changes_the_file(name: str, mutation: object) -> None:
    content = FORMATS[name].make()
    changed = [mutation(random.Random(seed), content, [content, b"other"]) for seed in range(20)]  # type: ignore[operator]
    assert len(set(changed)) > 5


@pytest.mark.parametrize(
    "error, clean",
    [
        (ValueError("a.wav is damaged; export it again."), True),
        (FileNotFoundError("There is no file a.wav; check the name."), True),
        (ValueError("[Errno 22] Invalid argument: 'avcodec_send_packet()'."), False),
        (ValueError("cannot identify image file <_io.BytesIO object at 0x7f>"), False),
        (ValueError("One line.\nAnother one."), False),
        (ValueError("a" * 100_000 + "."), False),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte."), False),
    ],
)
def test_a_sentence_is_told_from_a_library(error: Exception, clean: bool) -> None:
    assert is_sentence(error, Path("/tmp/a.wav")) == clean
