"""What takes longer than an answer may: builds, comparisons, promotions. It goes on while its page is looked at.

A job belongs to this process and ends with it. What it builds does not: a build is gone on with where it stopped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from twofold.building import OnProgress
from twofold.errors import TwofoldError
from twofold.http.problems import Problem
from twofold.sequences import describe
from twofold.store import Progress
from twofold.verify import Difference

log = logging.getLogger("twofold.console")

Work = Callable[[OnProgress], Awaitable[object]]


@dataclass
class Job:
    """What is done to a view, by whom, how far it has come. `outcome` is what came of it; None as long as it runs."""

    kind: str
    view: str
    by: str
    began: float
    progress: Progress | None = None
    outcome: str | None = None
    failed: bool = False
    differences: list[Difference] | None = None

    @property
    def running(self) -> bool:
        """Whether it still goes on."""
        return self.outcome is None

    @property
    def share(self) -> float:
        """How much of the log it has seen, from 0 to 1."""
        return min(1.0, self.progress.position / self.progress.head) if self.progress and self.progress.head else 0.0

    @property
    def seconds(self) -> float:
        """For how long it has been going on, or has gone on."""
        return (self._ended or time.monotonic()) - self.began

    _ended: float | None = None

    def end(self, outcome: str, *, failed: bool) -> None:
        """It is over."""
        self.outcome, self.failed, self._ended = outcome, failed, time.monotonic()


class Jobs:
    """The jobs of this process: the last of each view."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, view: str) -> Job | None:
        """The last job of a view."""
        return self._jobs.get(view)

    def start(self, kind: str, view: str, by: str, work: Work) -> Job:
        """Begin a job. Raises a Problem (409) if one of the view is still running."""
        known = self._jobs.get(view)
        if known is not None and known.running:
            raise Problem(409, "job-running", f"The {known.kind} of {view} is still running")
        job = self._jobs[view] = Job(kind, view, by, time.monotonic())
        task = asyncio.create_task(_run(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def close(self) -> None:
        """End all that is running: the service stops."""
        for task in self._tasks:
            task.cancel()


async def _run(job: Job, work: Work) -> None:
    def note(progress: Progress) -> None:
        job.progress = progress

    try:
        done = await work(note)
    except asyncio.CancelledError:
        job.end("it was ended, as the service stopped", failed=True)
        raise
    except Exception as error:
        if not isinstance(error, TwofoldError):
            log.exception("the %s of %s failed", job.kind, job.view)
        job.end(describe(error), failed=True)
    else:
        if job.kind == "compare":
            found = job.differences = cast("list[Difference]", done)
            job.end(f"{len(found)} rows differ" if found else "no difference", failed=bool(found))
        else:
            job.end("done", failed=False)
