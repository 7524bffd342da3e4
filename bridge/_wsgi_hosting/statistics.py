"""What one adapter does at this moment, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from bridge._wsgi_hosting.hosting import Hosting


@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot of one adapter.

    The worker numbers and ``waiting`` are those of the pool, which several adapters may share.
    """

    workers_busy: int
    workers_idle: int
    workers_max: int
    waiting: int
    """Requests that wait for a worker."""
    requests: int
    """Requests under way, waiting ones included."""
    bytes_held: int
    """Bytes of request bodies in memory and of responses not yet sent."""
    streams_open: int
    websockets: int
    """WebSocket connections under way."""
    refused: int
    """Requests answered by the adapter itself (400, 408, 413, 503) since it was made."""
    stuck: int
    """Workers busy with one request for longer than ``Limits.stuck_s``."""
    workers_aside: int
    """Busy workers whose places others have taken, because they are stuck or wait for a slow client."""
    bytes_spooled: int
    """What the temporary files of this adapter hold: request bodies, and responses that slow clients have not taken."""


def statistics_of(hosting: Hosting) -> Statistics:
    """Return a snapshot. Any thread."""
    hosting.check_process()
    workers = hosting.pool.statistics()
    return Statistics(
        workers_busy=workers.busy,
        workers_idle=workers.idle,
        workers_max=workers.limit,
        waiting=workers.waiting,
        requests=len(hosting.live),
        bytes_held=hosting.bytes_held(),
        streams_open=hosting.streams_open(),
        websockets=len(hosting.websockets),
        refused=hosting.refused,
        stuck=hosting.pool.stuck_count(hosting.limits.stuck_s),
        workers_aside=workers.aside,
        bytes_spooled=hosting.disk.taken_bytes,
    )
