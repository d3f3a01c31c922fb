"""What the commands share: text of any encoding, outputs whose reader has left, and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llama.console import CommandParser, argument_text, run_command, signals_as_exit
from llama.errors import SENTENCE_LENGTH

ROOT = Path(__file__).resolve().parents[2]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # a system whose encoding is ASCII


def python(code: str, *arguments: str | bytes, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, env=environment, timeout=60)


# -- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["A waltz", "Müller", "葉 🎻", ""])
def test_text_stays_as_it_is(text: str) -> None:
    assert argument_text(text) == text
    assert argument_text(text.encode().decode("ascii", "surrogateescape")) == text  # as an ASCII system hands it on


@pytest.mark.parametrize("text", ["caf\udce9", "\udcff hello", "\ud800"])
def test_text_that_is_not_utf8_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^The text \S+.* is not UTF-8; set the terminal, and LC_ALL, to UTF-8\.$") as caught:
        argument_text(text)
    assert str(caught.value).isprintable()


def test_text_of_another_system_encoding_is_read_by_it() -> None:
    code = "import sys; from llama.console import argument_text; print(ascii(argument_text(sys.argv[1])))"
    assert python(code, "café".encode(), env=ASCII).stdout == b"'caf\\xe9'\n"


def test_every_text_can_be_printed() -> None:
    code = "from llama.console import run_command; run_command(lambda: print('caf\\xe9 \\udce9 \\u266a') or 0)"
    assert python(code, env=ASCII).stdout == rb"caf\xe9 \udce9 \u266a" + b"\n"
    assert python(code, env={"PYTHONUTF8": "1"}).stdout == "café \\udce9 ♪\n".encode()


def test_a_parser_quotes_long_arguments_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    parser = CommandParser(prog="x")
    parser.add_argument("--seed", type=int)
    with pytest.raises(SystemExit):
        parser.parse_args(["--seed", "9" * 100_000])
    assert len(capsys.readouterr().err) < SENTENCE_LENGTH + 100


# -- outputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["print('x' * 100_000)", "print('x')", "raise SystemExit(print('help'))"])
def test_a_reader_that_has_left_is_no_traceback(what: str) -> None:
    code = f"from llama.console import run_command\ndef command():\n    {what}\n    return 0\nraise SystemExit(run_command(command))"
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, cwd=ROOT) as process:
        os.close(writing)
        assert process.communicate(timeout=60)[1] == b"" and process.returncode == 1


def test_a_command_without_standard_output_runs() -> None:
    code = "import sys; sys.stdout = None; from llama.console import run_command; raise SystemExit(run_command(lambda: print('x') or 3))"
    done = python(code)
    assert (done.returncode, done.stderr) == (3, b"")


def test_warnings_of_the_package_are_one_sentence_those_of_others_as_ever() -> None:
    """In a process of its own: pytest records warnings, so that none is printed."""
    code = """if True:
        import warnings
        from llama.console import run_command, __file__ as ours
        def command():
            warnings.warn_explicit("songs: 1 file left out.", UserWarning, ours, 3)
            warnings.warn_explicit("elsewhere", UserWarning, "/usr/lib/other.py", 3)
            return 0
        run_command(command)
        warnings.warn_explicit("afterwards", UserWarning, ours, 3)
    """
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stderr
    assert told.startswith("songs: 1 file left out.\n/usr/lib/other.py:3: UserWarning: elsewhere\n")
    assert "console.py:3: UserWarning: afterwards" in told


def test_errors_are_one_sentence_and_faults_keep_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def command(error: Exception) -> int:
        raise error

    assert run_command(lambda: command(ValueError("This is\nwrong.")), prefix="train.py: ", failure=1) == 1
    assert capsys.readouterr().err == "train.py: This is wrong.\n"
    with pytest.raises(KeyError):
        run_command(lambda: command(KeyError("x")))


# -- signals ----------------------------------------------------------------------------------------------------------

WRITING = """
import sys, time
from llama.console import run_command
from llama.files import atomic_path

def command():
    with atomic_path(sys.argv[1]) as partial:
        partial.write_bytes(b"half")
        print("writing", flush=True)
        time.sleep(60)

if __name__ == "__main__":
    raise SystemExit(run_command(command))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_nothing_half_written(number: signal.Signals, code: int, tmp_path: Path) -> None:
    target = tmp_path / "piece.wav"
    target.write_bytes(b"before")
    command = [sys.executable, "-c", WRITING, str(target)]
    before = signal.signal(number, signal.SIG_DFL)  # a run of the tests under nohup hands on an ignored SIGHUP
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    finally:
        signal.signal(number, before)
    with process:
        assert process.stdout is not None and process.stdout.readline() == b"writing\n"
        process.send_signal(number)
        assert process.communicate(timeout=60)[1] == b"" and process.returncode == code
    assert target.read_bytes() == b"before" and list(tmp_path.iterdir()) == [target]


def test_signals_are_as_before_afterwards_and_ignored_ones_stay_so() -> None:
    handlers = {signal.SIGHUP: signal.SIG_IGN, signal.SIGTERM: signal.SIG_DFL}  # a server of another test leaves its own for SIGTERM
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        with signals_as_exit():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
