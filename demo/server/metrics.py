"""/metrics in Prometheus' format: requests, the queue, waits, music and memory; never words, sounds, tokens or addresses of users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Protocol

import psutil
from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from llama.serving.observer import Outcome, RequestObserver

Message = MutableMapping[str, Any]
WAITS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)  # seconds, the buckets of the histograms
METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")  # others, which clients may make up, count as one
OTHER = "other"  # the route of what gradio answers, and of what is refused before a route is found


class MeasuredEngine(Protocol):
    """The part of `llama.serving.engine.Engine` that is measured."""

    observer: RequestObserver

    @property
    def load(self) -> tuple[int, int]: ...


class ServerMetrics:
    """The numbers of one server, in a registry of their own. It becomes the observer of the engine."""

    def __init__(self, engine: MeasuredEngine) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("mumu_http_requests", "Requests by route, method and status.", ("route", "method", "status"),
                                 registry=self.registry)  # fmt: skip
        self._answers = Counter("mumu_answers", "Answers of the model by outcome.", ("outcome",), registry=self.registry)
        self._music = Counter("mumu_music_seconds", "Seconds of music made.", registry=self.registry)
        self._first_text = Histogram("mumu_first_text_seconds", "Wait for an answer's first words.", buckets=WAITS, registry=self.registry)
        self._first_sound = Histogram("mumu_first_sound_seconds", "Wait for its first sound.", buckets=WAITS, registry=self.registry)
        self.registry.register(ServerState(engine))
        engine.observer = self

    def count_request(self, route: str, method: str, status: int) -> None:
        self._requests.labels(route, method if method in METHODS else "other", str(status)).inc()

    def first_text(self, seconds: float) -> None:
        self._first_text.observe(seconds)

    def first_sound(self, seconds: float) -> None:
        self._first_sound.observe(seconds)

    def ended(self, outcome: Outcome, music_seconds: float) -> None:
        self._answers.labels(outcome).inc()
        self._music.inc(music_seconds)


class ServerState(Collector):
    """What is read when it is asked for: the engine's load, and the memory of the server's processes."""

    def __init__(self, engine: MeasuredEngine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        running, waiting = self._engine.load
        yield GaugeMetricFamily("mumu_answers_running", "Answers that are being made.", running)
        yield GaugeMetricFamily("mumu_answers_waiting", "Answers that wait for their turn.", waiting)
        memory = GaugeMetricFamily("mumu_memory_bytes", "Resident memory of the server, and of its workers together.", labels=("process",))
        server = psutil.Process()
        memory.add_metric(("server",), server.memory_info().rss)
        memory.add_metric(("workers",), sum(_resident(child) for child in server.children(recursive=True)))
        yield memory


def _resident(process: psutil.Process) -> int:
    """Bytes of a process; 0 for one that has just ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def metrics_router(metrics: ServerMetrics) -> APIRouter:
    """Router of /metrics. A login of the server holds for it, too."""
    router = APIRouter()

    @router.get("/metrics", include_in_schema=False)
    def show(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    return router


class MetricsMiddleware:
    """Counts every request with the route that answered it: a path would have tokens in it, and as many values as clients make up."""

    def __init__(self, app: Any, metrics: ServerMetrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_request(route_of(scope), scope["method"], message["status"])
            await send(message)

        await self.app(scope, receive, count)


def route_of(scope: MutableMapping[str, Any]) -> str:
    """The path of the route that a request was given to, with its parameters' names; "other" without one."""
    path = getattr(scope.get("route"), "path", "")
    return path.rstrip("/") or "/" if path else OTHER
