"""The same server for programs: its own documentation, its state, and the sound itself for a prompt."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import httpx
import pytest

from llama.media.audio import Waveform
from tests.instrument import NanoSite

pytest.importorskip("gradio")
pytest_plugins = ("tests.browser_helpers", "tests.instrument")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(nano_site: NanoSite) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=nano_site.address, timeout=60) as client:
        yield client


def test_the_documentation_is_our_own(client: httpx.Client) -> None:
    page, schema = client.get("docs"), client.get("openapi.json").json()
    assert page.status_code == 200 and "text/html" in page.headers["content-type"] and "https://cdn" not in page.text
    assert {"/v1/chat/completions", "/v1/audio/generations", "/v1/jobs"} <= set(schema["paths"])
    assert "FastAPI" not in schema["info"]["title"]


def test_health_and_metrics(client: httpx.Client) -> None:
    health = client.get("health")
    assert health.status_code == 200 and health.json()["ready"]
    assert "mumu_http_requests_total" in client.get("metrics").text


def test_a_prompt_gives_the_sound_itself(client: httpx.Client) -> None:
    wish = {"prompt": "a fast dance for trumpet", "seconds": 4, "seed": 3}
    answer = client.post("v1/audio/generations", json=wish)
    assert answer.status_code == 200 and answer.headers["content-type"] == "audio/wav"
    assert "dance" in answer.headers["content-disposition"]
    music = Waveform.read(io.BytesIO(answer.content))
    assert music.seconds == pytest.approx(4, abs=0.5) and music.samples.abs().max() > 0.01
    assert client.post("v1/audio/generations", json=wish).content == answer.content, "the same seed gives the same piece"


def test_a_long_piece_is_a_job(client: httpx.Client) -> None:
    started = client.post("v1/jobs", json={"prompt": "a calm piece for flute", "seconds": 5})
    assert started.status_code == 202
    address = started.headers["location"]
    deadline = time.monotonic() + 60
    while (job := client.get(address).json())["status"] not in ("completed", "failed") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert job["status"] == "completed", job
    assert Waveform.read(io.BytesIO(client.get(job["result"]["url"]).content)).seconds > 3
    long = client.post("v1/jobs", json={"prompt": "a calm piece for flute", "seconds": 120}).headers["location"]
    assert client.delete(long).status_code in (200, 204) and client.get(long).status_code == 404
