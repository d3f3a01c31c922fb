"""Fault of a worker process, raised again in the main one with the traceback of where it happened."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import NoReturn

from DataSet.pipeline.shard_job import BrokenItemsError
from DataSet.pipeline.shard_task import WorkerDiedError
from llama.errors import USER_ERRORS, InstallationError, is_installation_error, is_program_fault, sentence

# The classes that a fault of a worker comes back as; an error itself may not cross between processes.
RAISED = {error.__name__: error for error in (BrokenItemsError, WorkerDiedError, ValueError, InstallationError, OSError, RuntimeError)}


class WorkerTracebackError(Exception):
    """Traceback of another process as text: the cause of the error that is raised in this one."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class WorkerFault:
    """An error that ended a worker's shard. kind: name of the class it is raised as; traceback: as text."""

    kind: str
    message: str
    traceback: str

    @classmethod
    def of(cls, error: Exception) -> WorkerFault:
        """Users' errors keep their sentence; faults of the program become a RuntimeError with their class and message."""
        text = "".join(traceback.format_exception(error))
        if isinstance(error, (BrokenItemsError, WorkerDiedError)):
            return cls(type(error).__name__, str(error), text)
        if is_installation_error(error):
            return cls("InstallationError", sentence(error), text)
        if isinstance(error, USER_ERRORS):
            return cls("ValueError", sentence(error), text)
        if isinstance(error, OSError) and not is_program_fault(error):
            return cls("OSError", sentence(error), text)
        return cls("RuntimeError", f"{type(error).__name__}: {error}", text)

    def throw(self) -> NoReturn:
        raise RAISED[self.kind](self.message) from WorkerTracebackError(self.traceback)
