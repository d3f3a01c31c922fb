"""The command, and the page that it builds around a model."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import gradio_app
from demo.page.controller import Page
from demo.page.theme import EXAMPLES
from demo.service.service import ChatService
from tests.page_helpers import SHORT, asked, ended, views
from tests.scripted_engine import ScriptedEngine

gradio = pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)


def test_every_example_is_there_and_is_answered(page: Page, engine: ScriptedEngine) -> None:
    numbers = range(sum(len(row) for row in EXAMPLES.values()))
    for number in numbers:
        assert views(ended(page, page.submit_example("", number, SHORT)))[-1].status == "done"
    kinds = [tuple(name for name in ("audio", "image", "video") if getattr(ticket.turn, name)) for ticket in engine.requests]
    assert {*kinds} == {(), ("audio",), ("image",), ("video",)}


@pytest.mark.parametrize(
    ("decoder", "choices"),
    [
        (SimpleNamespace(tokenizer=None), ["hidden"]),
        (None, ["hidden"]),
        (SimpleNamespace(tokenizer=object()), ["hidden", "caption"]),
        (SimpleNamespace(), ["hidden", "caption"]),  # AudioLDM2, whose tokenizers are inside
    ],
)
def test_the_words_are_offered_only_to_a_decoder_that_reads(page: Page, decoder: Any, choices: list[str]) -> None:
    model: Any = SimpleNamespace(music_decoder=decoder)
    blocks = gradio_app.build_app(model, page.service).blocks.values()
    radio = next(block for block in blocks if isinstance(block, gradio.Radio))
    assert [value for _, value in radio.choices] == choices and radio.visible == (len(choices) > 1)


def test_a_launched_page_shows_its_media(page: Page, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # which building changes
    blocks = gradio_app.build_app(SimpleNamespace(), page.service)  # type: ignore[arg-type]
    _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True)
    try:
        piece = views(asked(page, "play", [recording]))[-1].takes[0].url
        assert urllib.request.urlopen(address + piece, timeout=30).read(4) == b"RIFF"
        assert "#dock" in urllib.request.urlopen(address, timeout=30).read().decode()
    finally:
        blocks.close()


def test_published_flags() -> None:
    values = gradio_app.parser().parse_args(
        "--model a --llama_type 7B --llama_dir b --mert_path c --vit_path d --vivit_path e --knn_dir f "
        "--music_decoder audioldm2 --music_decoder_path cvssp/audioldm2".split()
    )
    assert values.music_decoder_path == "cvssp/audioldm2"
    assert (values.host, values.port, values.share, values.auth) == ("127.0.0.1", 7860, False, None)


@pytest.mark.parametrize(
    ("flags", "word"),
    [(["--model", "none.pth"], "none.pth"), (["--auth", "me"], "user:password"), (["--auth", ":x"], "user:password"),
     (["--auth", "me:\udcff"], "not UTF-8")],
)
def test_a_mistake_on_the_command_line_is_one_sentence(flags: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert gradio_app.main(flags) == 2
    told = capsys.readouterr().err.strip()
    assert word in told and "\n" not in told


def test_a_long_argument_is_quoted_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gradio_app.main(["--port", "9" * 100 + "x" * 100_000])
    assert "argument --port" in (told := capsys.readouterr().err) and len(told) < 3000


def test_the_log_and_the_limit_on_open_files_are_set_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    done = list[str]()
    monkeypatch.setattr("demo.server.logs.configure_logging", lambda: done.append("log"))
    monkeypatch.setattr("demo.server.descriptors.raise_descriptor_limit", lambda: done.append("files"))
    assert gradio_app.main(["--model", "none.pth"]) == 2 and done == ["log", "files"]


SERVER = """
import sys, types, pathlib
import gradio_app
from demo.server.app import serve
from demo.service.request import Settings
from demo.service.sessions import Sessions
from demo.service.service import ChatService
from tests.scripted_engine import ScriptedEngine
sessions = Sessions(pathlib.Path(sys.argv[1]))
gradio_app.page_routers, make = lambda page: print(page.submit("", "hello", [], Settings())) or make(page), gradio_app.page_routers
try:
    serve(gradio_app.build_application(types.SimpleNamespace(), ChatService(ScriptedEngine(), sessions)), "127.0.0.1", int(sys.argv[2]))
except KeyboardInterrupt:
    print("interrupted")
finally:
    sessions.close_all()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_its_end_leaves_nothing(tmp_path: Path, name: str) -> None:
    root = Path(gradio_app.__file__).parent
    started = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path / "s"), "0"], cwd=root, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    token, address = started.stdout.readline().strip(), started.stdout.readline().split()[-1]
    said = json.dumps({"data": ["hi", None, None, None, 1, 0, None, None], "session_hash": "somebody"}).encode()
    call = urllib.request.Request(f"{address}gradio_api/call/respond", said, {"Content-Type": "application/json"})
    urllib.request.urlopen(call, timeout=60).close()
    listening = urllib.request.urlopen(f"{address}page/{token}/events", timeout=60)  # a page that is open
    assert listening.readline() == b"event: state\n"
    started.send_signal(getattr(signal, name))
    told, _ = started.communicate(timeout=30)
    listening.close()
    assert started.returncode == 0 and told.strip() == "interrupted"
    assert [file.name for file in (tmp_path / "s").iterdir()] == ["start.lock"]


def test_a_taken_port_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, page: Page) -> None:
    @contextmanager
    def run_service(model: Any, max_queued_requests: int) -> Iterator[ChatService]:
        yield page.service

    monkeypatch.setattr(gradio_app, "run_service", run_service)
    monkeypatch.setattr(gradio_app, "load_model", lambda values: SimpleNamespace())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert gradio_app.main(["--port", str(taken.getsockname()[1])]) == 2
    output = capsys.readouterr()
    assert "ddress already in use" in output.err and "\n" not in output.err.strip()
    steps = ["Importing torch and gradio ...", "Loading ckpts/nano ...", "Starting the server ..."]
    assert output.out.splitlines() == steps


def test_help_imports_nothing_slow() -> None:
    slow = "{'torch', 'gradio', 'fastapi'}"
    code = f"import sys, gradio_app\ntry:\n    gradio_app.main(['--help'])\nfinally:\n    assert not {slow} & {{*sys.modules}}"
    root = Path(gradio_app.__file__).parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, timeout=60).returncode == 0


def test_a_read_only_home_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib, which draws the letters of the plots, says nothing about its folder."""
    code = "import gradio_app; gradio_app.use_writable_caches(); from demo.page.canvas import font; font(20)"
    environment = {**os.environ, "HOME": "/proc/none", "TMPDIR": str(tmp_path)}
    environment.pop("MPLCONFIGDIR", None)
    root = Path(gradio_app.__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "") and list(tmp_path.iterdir()) == []
