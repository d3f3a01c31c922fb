"""Generations in the background, for clients that cannot wait: a proxy between may close what takes over a minute.

The form is that of OpenAI's video jobs: the request answers at once with an id, whose state is asked for until it has ended.
Jobs need no connection and no thread while they run: the engine reports to them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from demo.api.audio_store import LIFETIME
from demo.api.generation_job import GenerationHandler, GenerationJob
from demo.api.job import new_name
from demo.api.protocol import RATE_LIMITED, ApiError
from demo.api.route import to_api_error
from demo.service.errors import UserFacingError, user_errors
from demo.service.request import STOPPED
from demo.service.take_events import TakeEvent, add_listeners
from llama.generation import Done, Progress, TextDelta

if TYPE_CHECKING:
    from demo.api.generation_request import GenerationRequest
    from llama.dialogue import Reply

Json = dict[str, Any]
JobStatus = Literal["queued", "in_progress", "completed", "failed"]
MAX_PER_CALLER = 32  # jobs that are kept of one caller, ended ones included
MAX_JOBS = 1000  # of all callers
WRITERS = 2  # threads that write the files of ended jobs
MISSING = "There is no such job of yours here, or its hour is over; start it again."


@dataclass(eq=False)
class BackgroundJob:
    """A generation that runs without a connection. progress: percent; result: the description of its piece."""

    job: GenerationJob | None  # until its end
    caller: str
    audio_id: str
    headers: Mapping[str, str]
    model: str
    created_at: float  # seconds since 1970, as the other times
    name: str = field(default_factory=lambda: new_name("job"))
    state: JobStatus = "queued"
    progress: int = 0
    completed_at: float | None = None
    error: ApiError | None = None
    result: Json | None = None
    deleted: bool = False

    @property
    def ended(self) -> bool:
        return self.state in ("completed", "failed")

    @property
    def expires_at(self) -> float | None:
        return None if self.completed_at is None else self.completed_at + LIFETIME

    def status(self) -> Json:
        """The job in JSON."""
        error = None if self.error is None else {**self.error.body()["error"], "status": self.error.status}
        running = self.job
        position = running.submitted.requests[0].queue_position if running is not None and self.state == "queued" else 0
        return {
            "id": self.name, "object": "job", "model": self.model, "status": self.state, "progress": self.progress,
            "queue_position": position, "created_at": int(self.created_at), "completed_at": _whole(self.completed_at),
            "expires_at": _whole(self.expires_at),
            "error": error, "result": self.result,
        }  # fmt: skip


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)


class JobStore:
    """Jobs by id, each seen by its caller alone, for an hour after its end. Thread-safe.

    model, base: as in the descriptions of pieces; clock: seconds since 1970.
    """

    def __init__(
        self, handler: GenerationHandler, model: str, base: str = "", clock: Callable[[], float] = time.time,
        max_per_caller: int = MAX_PER_CALLER,
    ) -> None:
        self._handler, self._model, self._base, self._clock, self._max_per_caller = handler, model, base, clock, max_per_caller
        self._jobs: dict[str, BackgroundJob] = {}  # oldest first
        self._guard = threading.Lock()
        self._writers = ThreadPoolExecutor(WRITERS, "jobs")  # begins no thread before the first job

    def submit(self, request: GenerationRequest, caller: str, client_address: str, unknown: Sequence[str] = ()) -> BackgroundJob:
        """Begins a job. Raises `ApiError` or `UserFacingError` for what is refused at once, and for too many jobs (429)."""
        self._make_room(caller)
        job = self._handler.begin(request, caller, client_address, unknown)
        background = BackgroundJob(job, caller, job.audio_id, job.headers, self._model, self._clock())
        with self._guard:
            self._jobs[background.name] = background
        add_listeners(job.submitted.requests, partial(self._handle, background, job))
        return background

    def get(self, job_id: str, caller: str) -> BackgroundJob:
        """Job of an id. Raises the same `ApiError` (404) for one of another caller, an unknown one, and one whose hour is over."""
        with self._guard:
            self._drop_expired()
            job = self._jobs.get(job_id)
        if job is None or job.caller != caller:
            raise ApiError(MISSING, status=404, code="job_not_found")
        return job

    def delete(self, job_id: str, caller: str) -> None:
        """Cancels a job and deletes its piece. Raises `ApiError` as `get` does."""
        job = self.get(job_id, caller)
        with self._guard:
            job.deleted = True
            self._jobs.pop(job_id, None)
            running = job.job
        if running is not None:
            running.submitted.cancel()
        self._handler.forget(job.audio_id)

    def describe(self, job: GenerationJob, reply: Reply, expires_at: int) -> Json:
        """The description of a finished piece."""
        return self._handler.description(job, reply, expires_at, self._model, self._base)

    def _make_room(self, caller: str) -> None:
        """Drops ended jobs beyond the limits, the oldest first. Raises `ApiError` (429) where all of them still run."""
        with self._guard:
            self._drop_expired()
            own = [job for job in self._jobs.values() if job.caller == caller]
            for jobs, limit in ((own, self._max_per_caller), (list(self._jobs.values()), MAX_JOBS)):
                if len(jobs) < limit:
                    continue
                ended = next((job for job in jobs if job.ended), None)
                if ended is None:
                    sentence = f"{len(jobs)} jobs are under way, which is the most; wait until one has ended, or delete one."
                    raise ApiError(sentence, status=429, code="rate_limit_exceeded", kind=RATE_LIMITED, headers={"Retry-After": "5"})
                del self._jobs[ended.name]

    def _drop_expired(self) -> None:
        now = self._clock()
        for name, job in list(self._jobs.items()):
            if job.expires_at is not None and job.expires_at <= now:
                del self._jobs[name]

    # -- called by the engine's threads ----------------------------------------------------------------------------------------

    def _handle(self, background: BackgroundJob, job: GenerationJob, take_event: TakeEvent) -> None:
        event = take_event.event
        if isinstance(event, Done):
            job.replies[0] = event.reply
            self._writers.submit(self._end, background, job, None)
        elif isinstance(event, Exception):
            self._writers.submit(self._end, background, job, event)
        elif event is None and not job.replies:
            self._writers.submit(self._end, background, job, UserFacingError(STOPPED, "server"))
        elif isinstance(event, Progress) and event.total_seconds > 0:
            background.state, background.progress = "in_progress", min(99, int(100 * event.seconds / event.total_seconds))
        elif isinstance(event, TextDelta) and background.state == "queued":
            background.state = "in_progress"

    # -- on a writer's thread --------------------------------------------------------------------------------------------------

    def _end(self, background: BackgroundJob, job: GenerationJob, failure: Exception | None) -> None:
        """Keeps the piece, or the error; a deleted job keeps nothing."""
        try:
            if failure is not None:
                with user_errors(job.submitted.names):
                    raise failure
            [reply] = job.answers()
            background.result = self.describe(job, reply, self._handler.finish(job, reply))
        except Exception as error:
            background.error = to_api_error(error)
        finally:
            if background.deleted:
                self._handler.forget(background.audio_id)
            self._handler.end(job)
        background.job, background.completed_at = None, self._clock()
        background.progress, background.state = (100, "completed") if background.error is None else (background.progress, "failed")
