"""Errors in one sentence: what the user gave, the disk, and an installation whose libraries do not load."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import evaluate
from demo.service.errors import SERVER_ERROR, to_user_error
from llama import __main__ as cli
from llama.checkpoint import __main__ as checkpoint_cli
from llama.errors import SENTENCE_LENGTH, InstallationError, importing, is_installation_error, sentence, shorten
from llama.files import WriteError
from llama.media.audio import Waveform

MISMATCH = "Could not load this library: /env/lib/torchaudio/lib/libtorchaudio.so"
BROKEN = [OSError(MISMATCH), ImportError("No module named 'av'"), OSError("libx.so: undefined symbol: _ZN2at4"), InstallationError("x")]


@pytest.mark.parametrize("error", BROKEN[:3])
def test_a_library_that_does_not_load_says_what_to_install(error: Exception) -> None:
    assert is_installation_error(error)
    assert sentence(error) == (f"A library is missing or does not load ({error}); "
                               "install the tested versions with make, or pip install -r requirements.txt.")


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError("x"), OSError(28, "No space left on device"), RuntimeError("x")])
def test_other_errors_are_not_of_the_installation(error: Exception) -> None:
    assert not is_installation_error(error) and "install" not in sentence(error)


def test_a_torchaudio_of_another_torch_is_not_a_damaged_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading media catches ValueError and OSError as damaged files; this error is neither."""

    class Mismatch:
        def __getattr__(self, name: str) -> object:
            raise OSError(MISMATCH)

    monkeypatch.setitem(sys.modules, "torchaudio.functional", Mismatch())  # type: ignore[arg-type]
    with pytest.raises(InstallationError, match="The package torchaudio does not load .*libtorchaudio.so.*pip install -r") as caught:
        Waveform(torch.zeros(1, 64), 44100).resample(24000)
    assert not isinstance(caught.value, (OSError, ValueError)) and sentence(caught.value) == str(caught.value)


def test_importing_lets_other_errors_through() -> None:
    with pytest.raises(RuntimeError, match="x"), importing("torch"):
        raise RuntimeError("x")


@pytest.mark.parametrize("error", BROKEN)
def test_commands_report_it(error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "load_model", fail)
    monkeypatch.setattr(checkpoint_cli, "verify", fail)
    monkeypatch.setattr("llama.evaluation.commands.probes.load_model", fail)
    probes = ["probes", "--out", str(tmp_path)]
    for command, arguments in ((cli.main, ["hi"]), (checkpoint_cli.main, ["verify", "x"]), (evaluate.main, probes)):
        assert command(arguments) == 2
        assert capsys.readouterr().err == f"{sentence(error)}\n"


@pytest.mark.parametrize("error", BROKEN)
def test_the_server_takes_it_as_its_own_fault(error: Exception) -> None:
    told = to_user_error(error, {})
    assert told.category == "server" and str(told) == SERVER_ERROR


OWN = "from llama.config import nonexistent"


def test_an_import_error_of_our_own_code_keeps_its_traceback() -> None:
    """It is a fault of the program, which no installation can mend."""
    with pytest.raises(ImportError, match="nonexistent"), importing("torch"):
        exec(OWN)
    try:
        exec(OWN)
    except ImportError as error:
        assert not is_installation_error(error) and not isinstance(error, InstallationError)
        with pytest.raises(ImportError, match="nonexistent"):
            sentence(error)


def test_a_lost_connection_asks_for_no_room() -> None:
    assert "room" not in sentence(BrokenPipeError(32, "Broken pipe"))


def test_a_file_the_server_cannot_write_is_not_the_users_fault() -> None:
    for cause in (OSError(28, "No space left on device"), None):
        error = WriteError("x could not be written")
        error.__cause__ = cause
        assert to_user_error(error, {}).category == "server"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("A waltz", "A waltz"),
        ("Müller, 葉, 🎻", "Müller, 葉, 🎻"),
        ("a" * 80, "a" * 80),
        ("a" * 60 + "b" * 60, "a" * 52 + "..." + "b" * 25),
        ("two\nlines\x1b[31m", "two\\nlines\\x1b[31m"),
        ("caf\udce9", "caf\\udce9"),
        (7, "7"),
    ],
)
def test_quotations_are_short_and_print(text: object, quoted: str) -> None:
    assert shorten(text) == quoted


def test_quotations_stay_within_their_limit() -> None:
    for limit in (10, 80):
        for text in ("a" * 100_000, "\x1b" * 100_000, "\udcff" * limit, "ab\n" * 30):
            short = shorten(text, limit)
            assert len(short) <= limit and short.isprintable()


def test_a_name_that_a_library_cannot_encode_is_one_sentence() -> None:
    for work in (lambda: "caf\udce9.safetensors".encode(), lambda: b"caf\xe9".decode()):
        with pytest.raises(UnicodeError) as caught:
            work()
        assert sentence(caught.value).isprintable() and "caf\\" in sentence(caught.value) and "utf-8" in sentence(caught.value)


def test_a_sentence_repeats_no_long_text() -> None:
    told = sentence(ValueError(f"There is no file {'a' * 100_000}; check the name."))
    assert len(told) == SENTENCE_LENGTH and told.startswith("There is no file aaa") and told.endswith("aaa; check the name.")
    assert len(sentence(OSError(36, "File name too long", "a" * 100_000))) < 300
