"""Generations in the background: their states, their ends, and who sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from api_server import Json, Server, refused

from demo.api import jobs
from demo.api.generation_request import GenerationRequest
from demo.api.jobs import JobStore

URL = "/v1/jobs"


def post(server: Server, prompt: str = "play it", url: str = URL, key: str = "", host: str = "10.0.0.1", **fields: Any) -> httpx.Response:
    return asyncio.run(server.send(url, key, host, method="POST", json={"prompt": prompt, "seconds": 2, "seed": 5, **fields}))


def get(server: Server, path: str, key: str = "", host: str = "10.0.0.1", method: str = "GET") -> httpx.Response:
    return asyncio.run(server.send(path, key, host, method=method))


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """The first true value of `condition`, which other threads make true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)
    return value


def ended(server: Server, path: str, **options: str) -> Json:
    def state() -> Json | None:
        body: Json = get(server, path, **options).json()
        return body if body["status"] in ("completed", "failed") else None

    return until(state)


@pytest.mark.parametrize("url, fields", [(URL, {}), ("/v1/audio/generations", {"background": True})])
def test_a_job_from_beginning_to_end(server: Server, url: str, fields: Json) -> None:
    response = post(server, "play notes and wait", url, **fields)
    path, body = response.headers["Location"], response.json()
    assert response.status_code == 202 and path == f"/v1/jobs/{body['id']}" and response.headers["Retry-After"] == "2"
    assert body["status"] == "queued" and body["queue_position"] == 3 and body["result"] is None and body["expires_at"] is None
    for _ in range(10):  # words, and half of the sound
        server.engine.leaves.release()
    running = until(lambda: (state := get(server, path).json())["progress"] == 50 and state)
    assert running["status"] == "in_progress" and running["queue_position"] == 0
    for _ in range(20):
        server.engine.leaves.release()
    done = ended(server, path)
    assert done["status"] == "completed" and done["progress"] == 100 and done["error"] is None
    assert done["completed_at"] == 1000 and done["expires_at"] == 1000 + 3600
    assert get(server, done["result"]["url"]).content.startswith(b"RIFF") and done["result"]["text"] == "play notes and wait"
    assert "Retry-After" not in get(server, path).headers


def test_a_job_takes_every_form(server: Server) -> None:
    done = ended(server, post(server, "play notes", format="midi").headers["Location"])
    assert get(server, done["result"]["url"]).content.startswith(b"MThd")


@pytest.mark.parametrize("prompt, status, code", [("hello there", 422, "no_music"), ("memory", 500, None), ("stumble", 400, None)])
def test_a_failed_job_says_why(server: Server, prompt: str, status: int, code: str | None) -> None:
    done = ended(server, post(server, prompt).headers["Location"])
    assert done["status"] == "failed" and done["result"] is None and done["error"]["status"] == status and done["error"]["code"] == code
    assert done["error"]["message"].endswith(".") and not server.files


def test_what_is_refused_at_once_makes_no_job(server: Server) -> None:
    refused(post(server, " "), 400, "prompt")
    refused(post(server, stream=True, format="mp3"), 400, "stream")
    assert not server.engine.requests


def test_fields_without_effect_are_named(server: Server) -> None:
    assert post(server, voice="x").headers["X-Ignored-Fields"] == "voice"


def test_only_its_caller_sees_a_job(server: Server) -> None:
    path = post(server, key="a").headers["Location"]
    for key, host in (("b", "10.0.0.1"), ("", "10.0.0.1"), ("a", "10.0.0.2")):
        for method in ("GET", "DELETE"):
            refused(get(server, path, key, host, method), 404, None, "job_not_found")
    assert get(server, path, "a").status_code == 200


def test_a_user_has_jobs_of_its_own(server: Server) -> None:
    path = post(server, user="alice").headers["Location"]
    assert get(server, path).status_code == 404 and get(server, f"{path}?user=alice").status_code == 200


def test_a_deleted_job_is_cancelled(server: Server) -> None:
    path = post(server, "play and wait").headers["Location"]
    assert get(server, path, method="DELETE").json() == {"id": path.rpartition("/")[2], "object": "job.deleted", "deleted": True}
    assert server.engine.requests[-1].cancelled
    refused(get(server, path), 404, None, "job_not_found")
    until(lambda: server.folders == 0)


def test_a_deleted_job_loses_its_piece(server: Server) -> None:
    path = post(server).headers["Location"]
    url = ended(server, path)["result"]["url"]
    assert get(server, url).status_code == 200
    get(server, path, method="DELETE")
    assert get(server, url).status_code == 404 and not server.files


def test_a_job_expires_with_its_piece(server: Server) -> None:
    path = post(server).headers["Location"]
    url = ended(server, path)["result"]["url"]
    server.now += 3599
    assert get(server, path).status_code == get(server, url).status_code == 200
    server.now += 2
    assert "hour is over" in refused(get(server, path), 404, None, "job_not_found")
    assert get(server, url).status_code == 404 and not server.files


def test_the_jobs_of_a_caller_are_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JobStore.__init__, "__defaults__", ("", time.time, 2))
    small = Server(server.sessions.root.parent / "small")
    first, second = (post(small, "play and wait").headers["Location"] for _ in range(2))
    assert "2 jobs are under way" in refused(post(small), 429, None, "rate_limit_exceeded")
    assert post(small, key="another").status_code == 202
    for _ in range(50):
        small.engine.leaves.release()
    ended(small, first)
    ended(small, second)
    third = post(small).headers["Location"]
    assert get(small, first).status_code == 404 and get(small, second).status_code == get(small, third).status_code == 200
    ended(small, third)
    small.sessions.close_all()


def test_the_jobs_of_all_are_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_JOBS", 2)
    for number in range(2):
        post(server, "play and wait", key=f"key{number}")
    refused(post(server, key="key3"), 429, None, "rate_limit_exceeded")
    for request in server.engine.requests:
        request.cancel()
    until(lambda: server.folders == 0)


def test_a_stopped_engine_fails_its_jobs(server: Server) -> None:
    path = post(server, "play and wait").headers["Location"]
    server.engine.requests[-1].cancel()
    done = ended(server, path)
    assert done["status"] == "failed" and done["error"]["type"] == "server_error"


def test_an_ended_job_holds_no_samples(server: Server) -> None:
    handler_jobs: list[Any] = []
    real = JobStore.submit

    def submit(self: JobStore, request: GenerationRequest, *rest: Any) -> Any:
        handler_jobs.append(real(self, request, *rest))
        return handler_jobs[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobStore, "submit", submit)
        ended(server, post(server).headers["Location"])
    assert handler_jobs[0].job is None
