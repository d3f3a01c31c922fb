"""The private parts of gradio that demo/server/gradio_patches.py relies on, checked against the installed version.

Each assertion says which part is gone, so that an update of gradio fails here first.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from types import SimpleNamespace
from typing import Any

import pytest

from demo.page.controller import Page
from demo.page.layout import About, build
from demo.server import gradio_patches

gradio = pytest.importorskip("gradio")
pytest_plugins = ("tests.page_helpers",)

VERSION = f"gradio {gradio.__version__} is installed"


@pytest.fixture
def blocks(page: Page) -> Any:
    blocks = build(page, About("nano", "CPU"))
    gradio_patches.patch_controls(blocks)
    return blocks


def controls(blocks: Any, kind: type) -> list[Any]:
    return [block for block in blocks.blocks.values() if isinstance(block, kind)]


def test_uploads_go_through_classes_that_can_be_replaced() -> None:
    from gradio import route_utils

    for name in ("GradioUploadFile", "GradioMultiPartParser", "MultiPartException"):
        assert hasattr(route_utils, name), f"{VERSION}, and gradio.route_utils has no {name}: patch_uploads has no effect."
    source = inspect.getsource(route_utils.upload_fn)
    assert "GradioMultiPartParser(" in source, f"{VERSION}, whose uploads are not parsed by GradioMultiPartParser: they are unlimited."
    gradio_patches.patch_uploads()
    parser = route_utils.GradioMultiPartParser({}, _no_chunks(), max_file_size=1)  # type: ignore[arg-type]
    for name in ("headers", "stream", "upload_dir", "max_file_size", "_files_to_close_on_error"):
        assert hasattr(parser, name), f"{VERSION}, whose upload parser has no {name}: pending uploads are not counted or cleaned up."


async def _no_chunks() -> Any:
    return
    yield b""


def test_two_uploads_of_one_content_get_different_hashes() -> None:
    import io

    from gradio import route_utils

    gradio_patches.patch_uploads()
    first, second = (route_utils.GradioUploadFile(io.BytesIO()).sha.hexdigest() for _ in range(2))
    assert first != second, f"{VERSION}, whose uploads are not named by `sha`: users with the same file would share it."


def test_downloads_are_refused() -> None:
    from gradio import processing_utils

    for name in ("ssrf_protected_download", "async_ssrf_protected_download"):
        assert hasattr(processing_utils, name), f"{VERSION}, and processing_utils has no {name}: files given as URLs may be fetched."
    gradio_patches.patch_downloads()
    with pytest.raises(ValueError, match="fetches nothing"):
        processing_utils.ssrf_protected_download("http://127.0.0.1:9/a.wav", "/tmp")
    with pytest.raises(ValueError, match="fetches nothing"):
        asyncio.run(processing_utils.async_ssrf_protected_download("http://127.0.0.1:9/a.wav", "/tmp"))


def test_a_mounted_page_checks_uploads_once_it_counts_as_launched(blocks: Any) -> None:
    from gradio import processing_utils

    assert hasattr(blocks, "has_launched") and "has_launched" in inspect.getsource(processing_utils), (
        f"{VERSION}, which does not read Blocks.has_launched: any path on the server may be accepted as an upload."
    )
    gradio_patches.require_uploads(blocks)
    assert blocks.has_launched


def test_a_cleared_slider_is_none(blocks: Any) -> None:
    sliders = controls(blocks, gradio.Slider)
    assert sliders and all(slider.preprocess(None) is None for slider in sliders), f"{VERSION}: a cleared slider does not give None."
    slider = next(slider for slider in sliders if slider.minimum == 1)
    assert slider.preprocess(3) == 3
    with pytest.raises(gradio.Error):
        slider.preprocess(-1)


def test_a_file_is_passed_as_its_path(blocks: Any) -> None:
    files = controls(blocks, gradio.File)
    assert len(files) >= 3
    for file in files:
        assert file.preprocess(SimpleNamespace(path="/uploads/a.wav")) == "/uploads/a.wav", f"{VERSION}: a file is not passed as its path."
        assert file.preprocess(None) is None


def test_gradio_keeps_no_state_and_no_connection_of_a_page(blocks: Any) -> None:
    assert not controls(blocks, gradio.State) and not blocks.get_config_file()["connect_heartbeat"]


def test_handlers_get_their_event_by_type(blocks: Any) -> None:
    from gradio.utils import get_type_hints

    hints = [value for fn in blocks.fns.values() for value in get_type_hints(fn.fn).values()]
    assert gradio.EventData in hints, (
        f"{VERSION}, which does not find the parameter types of the page's handlers: they would be called without their event."
    )


def test_a_gradio_app_has_an_event_that_ends_its_streams(blocks: Any) -> None:
    from gradio.routes import App

    app = App.create_app(blocks)
    events = list(gradio_patches.stop_events([SimpleNamespace(app=app), SimpleNamespace()]))
    assert len(events) == 1, f"{VERSION}, whose App has no stop_event: open pages delay the end of the server."


def test_tracebacks_of_calls_go_to_the_log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    from gradio import queueing, route_utils, routes
    from gradio.exceptions import InvalidPathError

    gradio_patches.patch_tracebacks()
    for module in (queueing, route_utils, routes):
        used = set(re.findall(r"\btraceback\.(\w+)", inspect.getsource(module)))
        assert used == {"print_exc"}, f"{VERSION}, whose {module.__name__} uses traceback.{used}: patch_tracebacks lacks some."
    for error in (InvalidPathError("Cannot move /etc/x"), ValueError("a mistake")):
        try:
            raise error
        except ValueError:
            queueing.traceback.print_exc()
    refused, failed = caplog.records
    assert refused.getMessage() == "a call of the page was refused: Cannot move /etc/x" and refused.exc_info is None
    assert failed.exc_info is not None and failed.levelname == "ERROR" and capsys.readouterr().err == ""


def test_uploads_are_tracked_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradio import routes

    gradio_patches.patch_uploads()
    monkeypatch.setattr(gradio_patches, "MAX_TRACKED_UPLOADS", 5)
    progress = routes.file_upload_statuses

    async def ask() -> None:
        for number in range(9):
            progress.track(f"upload {number}")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(progress.is_tracked(f"nothing {number}"), 0.001)

    asyncio.run(ask())
    assert len(progress._statuses) <= 5 and len(progress._signals) <= 5, f"{VERSION}, which tracks uploads in another way."
    assert progress.is_done("upload 8") is False


def test_the_states_of_sessions_are_bounded(blocks: Any) -> None:
    from gradio.routes import App

    blocks.state_session_capacity = 3
    App.create_app(blocks)
    for number in range(9):
        blocks.state_holder[f"session {number}"]
    assert len(blocks.state_holder.session_data) == 3, f"{VERSION}, which does not bound its sessions by state_session_capacity."
