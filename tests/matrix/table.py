"""The three sides of the matrix as tables: applications, servers, and ways to bring one to the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal, TypeAlias

from tests.integration import servers, wsgi_servers
from tests.integration.servers import ServerKind

Interface: TypeAlias = Literal["asgi", "wsgi"]


@dataclass(frozen=True, slots=True)
class Site:
    """One application.

    Attributes:
        name: what the page calls it; it greets with it.
        module: where it is, below `tests.matrix.apps`.
        protocol: what it speaks.
        distribution: what it is made with, for the page's list of versions; nothing for plain functions.
    """

    name: str
    module: str
    protocol: Literal["wsgi", "asgi", "asgi2"]
    distribution: str = ""

    @property
    def target(self) -> str:
        """``module:attribute``."""
        return f"tests.matrix.apps.{self.module}:app"

    def __str__(self) -> str:
        return self.module.removesuffix("_site")


@dataclass(frozen=True, slots=True)
class Host:
    """One way to run a server.

    Attributes:
        name: what the page calls it.
        interface: the protocol it is run with.
        kind: how it is started by itself.
        distribution: what it is installed from; nothing for what comes with Python or with the system.
        served_as: what ``bridge serve --server`` calls it; nothing where that has no such server.
        extra: arguments ``bridge serve`` passes on to it: what concerns the test's machine, not the application.
    """

    name: str
    interface: Interface
    kind: ServerKind
    distribution: str = ""
    served_as: str = ""
    extra: Sequence[str] = ()

    def why_unavailable(self) -> str | None:
        """Return why it cannot be run here, or None."""
        return self.kind.why_unavailable() if isinstance(self.kind, wsgi_servers.WSGIServerKind) else None

    def __str__(self) -> str:
        return self.kind.name


SITES = (
    Site("Flask", "flask_site", "wsgi", "flask"),
    Site("FastAPI", "fastapi_site", "asgi", "fastapi"),
    Site("Django (WSGI)", "django_wsgi_site", "wsgi", "django"),
    Site("Django (ASGI)", "django_asgi_site", "asgi", "django"),
    Site("Channels", "channels_site", "asgi", "channels"),
    Site("Pyramid", "pyramid_site", "wsgi", "pyramid"),
    Site("Starlette", "starlette_site", "asgi", "starlette"),
    Site("Bottle", "bottle_site", "wsgi", "bottle"),
    Site("Quart", "quart_site", "asgi", "quart"),
    Site("Falcon (WSGI)", "falcon_wsgi_site", "wsgi", "falcon"),
    Site("Falcon (ASGI)", "falcon_asgi_site", "asgi", "falcon"),
    Site("Litestar", "litestar_site", "asgi", "litestar"),
    Site("Sanic", "sanic_site", "asgi", "sanic"),
    Site("Werkzeug", "werkzeug_site", "wsgi", "werkzeug"),
    Site("plain WSGI", "plain_wsgi_site", "wsgi"),
    Site("plain ASGI", "plain_asgi_site", "asgi"),
    Site("ASGI 2", "asgi2_site", "asgi2"),
)

_NO_SOCKET = ("--no-control-socket",)

HOSTS = (
    Host("uvicorn", "asgi", servers.UVICORN_HTTPTOOLS, "uvicorn", "uvicorn"),
    Host("hypercorn", "asgi", servers.HYPERCORN_ASYNCIO, "hypercorn", "hypercorn"),
    Host("granian (ASGI)", "asgi", servers.GRANIAN, "granian", "granian"),
    Host("daphne", "asgi", servers.DAPHNE, "daphne", "daphne"),
    Host("gunicorn (ASGI)", "asgi", servers.GUNICORN, "gunicorn", "gunicorn", _NO_SOCKET),
    Host("gunicorn (threads)", "wsgi", wsgi_servers.GUNICORN_GTHREAD, "gunicorn", "gunicorn", _NO_SOCKET),
    Host("gunicorn (sync)", "wsgi", wsgi_servers.GUNICORN_SYNC, "gunicorn"),
    Host("gunicorn (gevent)", "wsgi", wsgi_servers.GUNICORN_GEVENT, "gunicorn"),
    Host("waitress", "wsgi", wsgi_servers.WAITRESS, "waitress", "waitress"),
    Host("uWSGI", "wsgi", wsgi_servers.UWSGI_PREFORK, "pyuwsgi", "uwsgi"),
    Host("granian (WSGI)", "wsgi", wsgi_servers.GRANIAN, "granian", "granian"),
    Host("cheroot", "wsgi", wsgi_servers.CHEROOT, "cheroot", "cheroot"),
    Host("Werkzeug", "wsgi", wsgi_servers.WERKZEUG, "werkzeug"),
    Host("wsgiref", "wsgi", wsgi_servers.WSGIREF),
    Host("Apache", "wsgi", wsgi_servers.APACHE),
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to bring an application to a server.

    Attributes:
        name: its heading on the page.
        label: its id in test names.
        hosts: the servers it leads to.
    """

    name: str
    label: str
    hosts: Sequence[Host] = field(repr=False, hash=False)

    def __str__(self) -> str:
        return self.label


DUAL = Way("`dual(app)`, by the server's own command", "dual", HOSTS)
ENTRY = Way("`bridge.asgi:app` and `bridge.wsgi:app`, by the server's own command", "entry", HOSTS)
SERVE = Way("`bridge serve module:app`", "serve", tuple(host for host in HOSTS if host.served_as))
WAYS = (DUAL, ENTRY, SERVE)


@dataclass(frozen=True, slots=True)
class Cell:
    """One application on one server by one way."""

    site: Site
    host: Host
    way: Way

    def __str__(self) -> str:
        return f"{self.site}-{self.host}-{self.way}"


def all_cells() -> list[Cell]:
    """Return every cell there is."""
    return [Cell(site, host, way) for way in WAYS for site, host in product(SITES, way.hosts)]


# ---- What cannot work ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Cells that cannot work for a reason outside of the bridge.

    Attributes:
        reason: a footnote of the page: what is at fault, in which version.
        symptom: a part of what such a cell reports.
        covers: tells which cells.
    """

    reason: str
    symptom: str
    covers: Callable[[Cell], bool] = field(repr=False)


def _between(site: str, *hosts: str) -> Callable[[Cell], bool]:
    return lambda cell: cell.site.name == site and cell.host.name in hosts


OBSTACLES: tuple[Obstacle, ...] = (
    Obstacle(
        "Sanic (25.12) serves nothing before its lifespan has started it, and daphne (4.2) runs no lifespan.",
        "Loop can only be retrieved after the app has started running",
        _between("Sanic", "daphne"),
    ),
    Obstacle(
        "gunicorn's ASGI worker (27.0) goes over the fields of a response twice, and Sanic (25.12) gives an iterator, "
        "which is empty the second time: the response goes out without its fields.",
        "the application saw a body of None bytes",
        _between("Sanic", "gunicorn (ASGI)"),
    ),
    Obstacle(
        "Sanic (25.12) insists on `raw_path`, which is optional in ASGI. These servers do not tell it, and the "
        "bridge does not make it up.",
        "KeyError: 'raw_path'",
        _between("Sanic", "granian (WSGI)", "wsgiref"),
    ),
    Obstacle(
        "Sanic (25.12) starts a subprocess when it starts, and gevent (26.9) lets only the main thread do that. The "
        "event loop has a thread of its own, so Sanic's lifespan fails.",
        "TypeError: 'NoneType' object is not callable",
        _between("Sanic", "gunicorn (gevent)"),
    ),
    Obstacle(
        "Channels (4.3) runs synchronous code in a thread pool that asgiref (3.13) makes when it is imported, and the "
        "queues of gevent (26.9) work only in the thread that made them.",
        "AssertionError: Can only use Waiter.switch method from the Hub greenlet",
        _between("Channels", "gunicorn (gevent)"),
    ),
)


def obstacle_for(cell: Cell) -> Obstacle | None:
    """Return why this cell cannot work, or None."""
    return next((obstacle for obstacle in OBSTACLES if obstacle.covers(cell)), None)


# ---- The selection ------------------------------------------------------------------------------------------------


def selections() -> list[list[Cell]]:
    """Return what runs of the suite make of the matrix, one selection per run: few cells, fair, none in two of them.

    In every way each site meets one server, that of its own number plus a shift, so that all servers have their turn
    (there are more sites than servers). A choice of shifts, one per way, counts if it also puts every site on servers
    of both kinds; of those, each that has nothing in common with the ones before it is taken.
    """
    chosen: list[list[Cell]] = []
    taken: set[Cell] = set()
    for shifts in product(*(range(len(way.hosts)) for way in WAYS)):
        cells = _diagonals(shifts)
        if _is_fair(cells) and taken.isdisjoint(cells):
            chosen.append(cells)
            taken.update(cells)
    return chosen


def _diagonals(shifts: Sequence[int]) -> list[Cell]:
    return [
        Cell(site, way.hosts[(number + shift) % len(way.hosts)], way)
        for way, shift in zip(WAYS, shifts, strict=True)
        for number, site in enumerate(SITES)
    ]


def _is_fair(cells: Sequence[Cell]) -> bool:
    return len({(cell.site, cell.host.interface) for cell in cells}) == len({"asgi", "wsgi"}) * len(SITES)
