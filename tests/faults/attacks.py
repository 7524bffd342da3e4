"""The attacks: who comes, how many, how the application is hosted, and what has to hold. One entry for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.faults import outcomes
from tests.faults.clients import Load
from tests.faults.content import KIB, MIB
from tests.faults.outcomes import Target


class Watched(Enum):
    """What the healthy client asks for meanwhile."""

    NOTHING = "nothing"
    SAME_APPLICATION = "the hello of the application that is attacked, as fast as it is answered"
    ROUTE_BESIDE = "an ASGI route in the same process, now and then"
    NEXT_DOOR = "the hello of an application that shares the workers, now and then"


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Attributes:
        name: how it is called.
        title: what it is, with ``{clients}`` and other fields of the load, for people.
        behaviour: a key of `tests.faults.behaviours.BEHAVIOURS`.
        modest: the load of a test run.
        full: the load of a measurement.
        targets: what has to hold.
        limits: how the application is hosted, where the defaults would not do.
        watched: what the healthy client asks for.
        strikes_early: the crowd strikes while the healthy client asks, not when it has finished.
        settle_s: how long the crowd is in position before the rest happens, if that takes time.
    """

    name: str
    title: str
    behaviour: str
    modest: Load
    full: Load
    targets: tuple[Target, ...]
    limits: Mapping[str, Any] = field(default_factory=dict)
    watched: Watched = Watched.NOTHING
    strikes_early: bool = False
    settle_s: float = 0.0

    def __str__(self) -> str:
        return self.name

    def describe(self, load: Load) -> str:
        """Return what it is, in a line."""
        return self.title.format(
            clients=f"{load.clients:,}",
            size=_size(load.size_bytes),
            rate=_size(int(load.bytes_per_s)),
            ms=round(1000 * load.seconds),
        )


def _size(size_bytes: int) -> str:
    for unit, name in ((MIB, "MB"), (KIB, "KB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.4g} {name}"
    return "1 byte" if size_bytes == 1 else f"{size_bytes} bytes"


_ALWAYS = (outcomes.GIVEN_BACK, outcomes.ENDS)
_UNHARMED = (outcomes.RATE, outcomes.ANSWERED, *_ALWAYS)
_SLOW = (outcomes.BEGINS, outcomes.RIGHT_ANSWERS, *_UNHARMED)
_LEFT = (outcomes.DROPS, outcomes.CLOSED, outcomes.CLOSED_SOON, *_UNHARMED)

_TRICKLED = Load(clients=60, size_bytes=10 * KIB, bytes_per_s=1)
_MANY_TRICKLED = Load(clients=200, size_bytes=10 * KIB, bytes_per_s=1)
_READ = Load(clients=50, size_bytes=5 * MIB, bytes_per_s=KIB, piece_bytes=KIB)
_MANY_READ = Load(clients=100, size_bytes=5 * MIB, bytes_per_s=KIB, piece_bytes=KIB)
_LARGE = Load(clients=1, size_bytes=160 * MIB)
_VERY_LARGE = Load(clients=1, size_bytes=512 * MIB)
_ODD = Load(clients=10, size_bytes=10 * KIB)
_MANY_ODD = Load(clients=50, size_bytes=10 * KIB)

ATTACKS = (
    Attack(
        name="slow-uploads",
        title="{clients} clients upload {size} each at {rate}/s",
        behaviour="upload_slowly",
        modest=_TRICKLED,
        full=_MANY_TRICKLED,
        targets=_SLOW,
        watched=Watched.SAME_APPLICATION,
    ),
    Attack(
        name="slow-large-uploads",
        title="{clients} clients upload {size} each at {rate}/s",
        behaviour="upload_slowly",
        modest=Load(clients=45, size_bytes=2 * MIB, bytes_per_s=16 * KIB, piece_bytes=4 * KIB),
        full=Load(clients=50, size_bytes=5 * MIB, bytes_per_s=16 * KIB, piece_bytes=4 * KIB),
        targets=_SLOW,
        watched=Watched.SAME_APPLICATION,
    ),
    Attack(
        name="slow-continue",
        title="{clients} clients wait for 100 Continue, then upload {size} each at {rate}/s",
        behaviour="continue_slowly",
        modest=_TRICKLED,
        full=_MANY_TRICKLED,
        targets=_SLOW,
        watched=Watched.SAME_APPLICATION,
        settle_s=0.5,
    ),
    Attack(
        name="slow-readers",
        title="{clients} clients read {size} each, made by a generator, at {rate}/s",
        behaviour="read_slowly",
        modest=_READ,
        full=_MANY_READ,
        targets=(outcomes.CLOSED, *_SLOW),
        watched=Watched.SAME_APPLICATION,
    ),
    Attack(
        name="slow-file-readers",
        title="{clients} clients read {size} each, from a file (`wsgi.file_wrapper`), at {rate}/s",
        behaviour="read_file_slowly",
        modest=_READ,
        full=_MANY_READ,
        targets=_SLOW,
        watched=Watched.SAME_APPLICATION,
    ),
    Attack(
        name="dropped-streams",
        title="{clients} clients leave in the middle of an endless stream that says something each {ms} ms",
        behaviour="drop_stream",
        modest=Load(clients=100, seconds=0.25),
        full=Load(clients=500, seconds=1.5),
        targets=_LEFT,
        # A stream of the application's keeps its thread: as many as there are streams.
        limits={"workers": 600},
        watched=Watched.SAME_APPLICATION,
        strikes_early=True,
    ),
    Attack(
        name="dropped-unread-streams",
        title="{clients} clients leave in the middle of an endless stream that they do not read",
        behaviour="drop_unread_stream",
        modest=Load(clients=60),
        full=Load(clients=60),
        targets=_LEFT,
        # The file is soon full; then these streams wait for their clients with more workers than there are.
        limits={"response_spool_bytes": MIB},
        watched=Watched.SAME_APPLICATION,
        strikes_early=True,
    ),
    Attack(
        name="dropped-downloads",
        title="{clients} clients leave in the middle of {size} that they read slowly",
        behaviour="drop_download",
        modest=Load(clients=80, size_bytes=5 * MIB),
        full=Load(clients=100, size_bytes=5 * MIB),
        targets=_LEFT,
        watched=Watched.SAME_APPLICATION,
        strikes_early=True,
    ),
    Attack(
        name="dropped-uploads",
        title="{clients} clients leave in the middle of an upload of {size}",
        behaviour="drop_upload",
        modest=Load(clients=100, size_bytes=200 * KIB),
        full=Load(clients=500, size_bytes=200 * KIB),
        targets=(outcomes.DROPS, outcomes.CUT, *_UNHARMED),
        watched=Watched.SAME_APPLICATION,
        strikes_early=True,
    ),
    Attack(
        name="rush",
        title="{clients} requests at once for what takes {ms} ms",
        behaviour="rush",
        modest=Load(clients=500, seconds=0.05),
        full=Load(clients=2000, seconds=0.05),
        targets=(outcomes.RIGHT_OR_REFUSED, outcomes.ANSWERED, outcomes.BESIDE, *_ALWAYS),
        watched=Watched.ROUTE_BESIDE,
        strikes_early=True,
    ),
    Attack(
        name="rush-next-door",
        title="{clients} requests at once for what takes {ms} ms, in an application that shares its workers",
        behaviour="rush",
        modest=Load(clients=500, seconds=0.05),
        full=Load(clients=2000, seconds=0.05),
        targets=(outcomes.RIGHT_OR_REFUSED, outcomes.ANSWERED, outcomes.NEXT_DOOR, *_ALWAYS),
        limits={"queue": 200},
        watched=Watched.NEXT_DOOR,
        strikes_early=True,
    ),
    Attack(
        name="stuck",
        title="{clients} requests never end; a worker counts as stuck after 1 s",
        behaviour="get_stuck",
        modest=Load(clients=40),
        full=Load(clients=40),
        targets=_SLOW,
        limits={"stuck_s": 1.0},
        watched=Watched.SAME_APPLICATION,
        settle_s=2.5,
    ),
    *(
        Attack(
            name=behaviour.replace("_", "-"),
            title=title,
            behaviour=behaviour,
            modest=_LARGE,
            full=_VERY_LARGE,
            targets=(outcomes.RIGHT_ANSWERS, outcomes.MEMORY, *_ALWAYS),
        )
        for behaviour, title in (
            ("upload_much", "an upload of {size}"),
            ("upload_much_after_a_rest", "an upload of {size} that begins slowly"),
            ("upload_much_chunked", "an upload of {size}, chunked"),
            ("download_much", "a generated response of {size}"),
            ("download_much_after_a_rest", "a generated response of {size} whose client rests at first"),
            ("download_much_from_file", "a file of {size}"),
        )
    ),
    *(
        Attack(
            name=behaviour.replace("_", "-"),
            title=title,
            behaviour=behaviour,
            modest=_ODD,
            full=_MANY_ODD,
            targets=(outcomes.RIGHT_ANSWERS, *_ALWAYS),
        )
        for behaviour, title in (
            ("pipeline", "{clients} clients send three requests without waiting for an answer"),
            ("half_close", "{clients} clients close their half of the connection after an upload"),
            ("wait_to_continue", "{clients} clients wait for 100 Continue, then upload {size} at once"),
        )
    ),
)


def attack_named(name: str) -> Attack:
    """Return one of them.

    Raises:
        KeyError: there is none of that name.
    """
    for attack in ATTACKS:
        if attack.name == name:
            return attack
    raise KeyError(f"there is no attack {name!r}; there are {', '.join(map(str, ATTACKS))}")
