"""`FairJobs`: the jobs of several owners, who are served in turn.

A pool that several applications share would else belong to whoever is flooded: a thousand of its jobs would be before
the one of its neighbour.
"""

from __future__ import annotations

from collections import deque

from bridge._runtime.worker_reports import Job


def owner_of(job: Job) -> object:
    """Return whose job it is; those that say nothing have one owner together."""
    return getattr(job, "owner", None)


class FairJobs:
    """A queue with one line for each owner; the first of each line comes in turn.

    Has what the pool uses of `collections.deque`, and like it no lock of its own: the pool's guards it.
    """

    __slots__ = ("_count", "_lines")

    def __init__(self) -> None:
        self._lines: dict[object, deque[Job]] = {}  # never an empty one; the first is the next to be served
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, job: Job) -> None:
        """Put a job behind those of its owner."""
        self._lines.setdefault(owner_of(job), deque()).append(job)
        self._count += 1

    def popleft(self) -> Job:
        """Take the first job of the line whose turn it is.

        Raises:
            IndexError: there is none.
        """
        if not self._lines:
            raise IndexError("no job is waiting")
        owner = next(iter(self._lines))
        line = self._lines.pop(owner)
        job = line.popleft()
        self._count -= 1
        if line:
            self._lines[owner] = line  # behind the others
        return job

    def remove(self, job: Job) -> None:
        """Take a job out.

        Raises:
            ValueError: it is not there.
        """
        owner = owner_of(job)
        line = self._lines.get(owner)
        if line is None:
            raise ValueError("the job is not waiting")
        line.remove(job)
        self._count -= 1
        if not line:
            del self._lines[owner]

    def may_wait(self, job: Job, most: int) -> bool:
        """Tell whether a job may be queued although ``most`` are waiting: its owner has less than an equal share.

        So a flooded neighbour cannot have everybody else refused; twice ``most`` is the worst that can come of it.
        """
        own = len(self._lines.get(owner_of(job), ()))
        others = len(self._lines) - (own > 0)
        return own < most // (others + 1) and self._count < 2 * most
