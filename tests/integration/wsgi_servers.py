"""The WSGI servers that host ASGI applications in the live tests, what each can do, and how one is started.

Started and stopped like the others (`tests.integration.servers`), each in a directory of its own for journal and gates
(`tests.integration.asgi_apps`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.integration.asgi_apps import DIRECTORY_VARIABLE, FILE_OCTETS, file_path, gate_path, journal_path
from tests.integration.raw import fetch
from tests.integration.servers import Server, ServerKind, running
from tests.integration.wsgi_programs.apache_server import why_unavailable as why_no_apache

APP = "tests.integration.asgi_apps:app"
_LOOK_S = 0.01
_WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class WSGIServerKind(ServerKind):
    """One way to run a WSGI server, and what it can do. (``has_lifespan`` is the bridge's, and true of all.)

    Attributes:
        keeps_alive: many requests on one connection.
        frames_streams: a response without a length is chunked; else only the end of the connection ends it, and that
            looks the same for a broken one.
        takes_chunked: chunked request bodies reach the application.
        overlaps: it serves a request while another one is under way.
        processes: how many serve.
        has_files: it offers ``wsgi.file_wrapper``.
        has_hints: it offers ``wsgi.early_hints``.
        tells_of_silent_clients: while the application is silent, the bridge can find out that the client has left.
        mounts: how the application gets a SCRIPT_NAME: by the path, by a header field, not at all.
        keeps_slashes: doubled slashes of the path reach the application.
        decodes_slashes: ``%2F`` in the path is decoded like any other octet.
        gives_raw_paths: the path as sent can be had (``RAW_URI`` or ``REQUEST_URI``).
        keeps_octets: header values of the response go out as the application gave them, octet by octet.
        infers_length: a response of one block gets a Content-Length.
        reads_after_start: the rest of a request body can still be read when the response has begun.
        notices_cut_chunks: a cut chunked body is an error, not like a complete one (or worse).
        answers_failures: an exception before the response begins is answered with 500; else by hanging up.
        continues: when ``100 Continue`` comes.
        end: the signal on which Python ends in an orderly way, so that the lifespan is shut down; None: there is none.
    """

    keeps_alive: bool = True
    frames_streams: bool = True
    takes_chunked: bool = True
    overlaps: bool = True
    processes: int = 1
    has_files: bool = False
    has_hints: bool = False
    tells_of_silent_clients: bool = False
    mounts: Literal["path", "field", "no"] = "no"
    keeps_slashes: bool = True
    decodes_slashes: bool = True
    gives_raw_paths: bool = True
    keeps_octets: bool = True
    infers_length: bool = False
    reads_after_start: bool = True
    notices_cut_chunks: bool = True
    answers_failures: bool = True
    continues: Literal["when read", "at once", "never"] = "at once"
    end: signal.Signals | None = signal.SIGTERM

    # slots=True makes a new class, which dataclass' inherited method would not find by super().
    def __str__(self) -> str:
        return self.name

    def why_unavailable(self) -> str | None:
        """Return why it cannot be run here, or None."""
        return why_no_apache() if self is APACHE else None


def _gunicorn(name: str, *more: str, **abilities: Any) -> WSGIServerKind:
    return WSGIServerKind(
        name,
        ("gunicorn", "-b", "{host}:{port}", "--no-control-socket", "--graceful-timeout", "15", *more, "{app}"),
        has_files=True,
        has_hints=True,
        tells_of_silent_clients=True,
        mounts="field",
        **abilities,
    )


def _waitress(name: str, *more: str, **abilities: Any) -> WSGIServerKind:
    return WSGIServerKind(
        name,
        ("waitress", "--listen", "{host}:{port}", *more, "{app}"),
        # It collects the body before it calls the application.
        streams_body=False,
        has_files=True,
        infers_length=True,
        # On SIGTERM it ends on the spot.
        end=signal.SIGINT,
        **abilities,
    )


def _program(name: str, program: str, *more: str, **abilities: Any) -> WSGIServerKind:
    # Programs without handlers of their own: the interpreter ends in an orderly way on SIGINT only.
    arguments = (f"tests.integration.wsgi_programs.{program}", "{app}", "{host}", "{port}", *more)
    return WSGIServerKind(name, arguments, **({"end": signal.SIGINT} | abilities))


def _wsgiref(name: str, *more: str, **abilities: Any) -> WSGIServerKind:
    return _program(
        name,
        "wsgiref_server",
        *more,
        keeps_alive=False,
        frames_streams=False,
        takes_chunked=False,
        has_files=True,
        gives_raw_paths=False,
        infers_length=True,
        continues="never",
        **abilities,
    )


def _uwsgi(name: str, *more: str) -> WSGIServerKind:
    # Else each mount is served by an interpreter of its own, which uWSGI cannot end while threads run in it.
    options = "--master --processes 2 --threads 2 --enable-threads --single-interpreter --need-app".split()
    return WSGIServerKind(
        name,
        (
            "tests.integration.wsgi_programs.uwsgi_server",
            *("--http-socket", "{host}:{port}", "--mount", "/mounted={app}", "--mount", "/={app}"),
            *("--manage-script-name", *options, "--die-on-term", "--disable-logging", *more),
        ),
        keeps_alive=False,
        frames_streams=False,
        takes_chunked=False,
        processes=2,
        has_files=True,
        tells_of_silent_clients=True,
        mounts="path",
        # Without the head of a response it hangs up.
        answers_failures=False,
        continues="never",
    )


GUNICORN_SYNC = _gunicorn("gunicorn-sync", "-k", "sync", keeps_alive=False, overlaps=False)
GUNICORN_GTHREAD = _gunicorn("gunicorn-gthread", "-k", "gthread", "--threads", "4")
GUNICORN_GEVENT = _gunicorn("gunicorn-gevent", "-k", "gevent")
WAITRESS = _waitress("waitress")
WAITRESS_LOOKAHEAD = _waitress("waitress-lookahead", "--channel-request-lookahead", "5", tells_of_silent_clients=True)
WSGIREF = _wsgiref("wsgiref", overlaps=False)
WSGIREF_THREADS = _wsgiref("wsgiref-threads", "threads")
WERKZEUG = _program(
    "werkzeug",
    "werkzeug_server",
    keeps_alive=False,
    tells_of_silent_clients=True,
    mounts="path",
    # It adds its own error page to what has gone out, and ends that well (3.1).
    cuts_failed_responses=False,
    # Of a cut chunk its reader says that it has read more than it has; some interpreters crash on that (3.1).
    notices_cut_chunks=False,
)
# Cheroot throws the rest of a request body away before it sends the head of a response.
CHEROOT = _program("cheroot", "cheroot_server", mounts="path", decodes_slashes=False, reads_after_start=False)
GRANIAN = WSGIServerKind(
    "granian-wsgi",
    ("granian", "--interface", "wsgi", "--host", "{host}", "--port", "{port}", "--blocking-threads", "4", "{app}"),
    # A failed response, and a cut chunked request body, end like complete ones (2.8).
    cuts_failed_responses=False,
    notices_cut_chunks=False,
    gives_raw_paths=False,
    # Values are sent as UTF-8.
    keeps_octets=False,
    infers_length=True,
    continues="when read",
)
UWSGI = _uwsgi("uwsgi-lazy", "--lazy-apps")
UWSGI_PREFORK = _uwsgi("uwsgi-prefork")
APACHE = _program(
    "apache",
    "apache_server",
    has_files=True,
    mounts="path",
    # The daemon process can only close its pipe to Apache, which takes that for the end (mod_wsgi 4.9).
    cuts_failed_responses=False,
    keeps_slashes=False,
    end=signal.SIGTERM,
)

WSGI_SERVERS = (
    GUNICORN_SYNC,
    GUNICORN_GTHREAD,
    GUNICORN_GEVENT,
    WAITRESS,
    WAITRESS_LOOKAHEAD,
    WSGIREF,
    WSGIREF_THREADS,
    WERKZEUG,
    CHEROOT,
    GRANIAN,
    UWSGI,
    UWSGI_PREFORK,
    APACHE,
)
"""The kinds that every live test of this direction runs on."""


_numbers = count(1)


def new_mark() -> str:
    """Return a name for one request, for the journal."""
    return f"n{next(_numbers)}"


class Hosted:
    """A running server, and the way to its applications' journal and gates.

    Args:
        server: the server.
        directory: where journal and gates are.
    """

    def __init__(self, server: Server, directory: str) -> None:
        self.server = server
        self.directory = directory

    @property
    def kind(self) -> WSGIServerKind:
        """What it is."""
        kind = self.server.kind
        assert isinstance(kind, WSGIServerKind)
        return kind

    def open_gate(self, mark: str) -> None:
        """Let the request of that mark go on."""
        Path(gate_path(self.directory, mark)).touch()

    def journal(self, event: str, mark: str | None = None) -> list[dict[str, Any]]:
        """Return the entries of an event, of all requests or one."""
        written, _, _ = Path(journal_path(self.directory)).read_text(encoding="ascii").rpartition("\n")
        lines = written.splitlines()  # without the one that is being written
        entries = [entry for line in lines if (entry := json.loads(line))["event"] == event]
        return [entry for entry in entries if mark is None or entry.get("id") == mark]

    def wait_for(self, event: str, mark: str | None = None, timeout_s: float = _WAIT_S) -> dict[str, Any]:
        """Return the first such entry as soon as it is there; fails if it is not in time."""
        deadline_s = time.monotonic() + timeout_s
        while not (entries := self.journal(event, mark)):
            assert time.monotonic() < deadline_s, f"no {event!r} after {timeout_s} s; the log:\n{self.server.log()}"
            time.sleep(_LOOK_S)
        return entries[0]

    def is_well(self) -> bool:
        """Tell whether an ordinary request is answered as it should be."""
        response = fetch(self.server, "GET", "/hello")
        return (response.status, response.body) == (200, b"hello\n")


@contextlib.contextmanager
def hosting(kind: WSGIServerKind, *, arguments: Sequence[str] = ()) -> Iterator[Hosted]:
    """Start a server of this kind with the applications, stop it at the end; skips where there is none.

    Args:
        kind: a row of the table.
        arguments: more command line arguments, in front.
    """
    if reason := kind.why_unavailable():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="bridge-test-") as directory:
        # The processes of Apache are not this user; pytest's own temporary directories are for this user only.
        os.chmod(directory, 0o755)
        Path(file_path(directory)).write_bytes(FILE_OCTETS)
        journal = Path(journal_path(directory))
        journal.touch()
        journal.chmod(0o666)
        environment = {DIRECTORY_VARIABLE: directory}
        with running(kind, APP, Path(directory), arguments=arguments, environment=environment) as server:
            yield Hosted(server, directory)


def end(hosted: Hosted, signal_number: signal.Signals, timeout_s: float = _WAIT_S) -> int | None:
    """Send a signal; return the exit code, or None (and kill all of it) if it does not end in time."""
    with contextlib.suppress(ProcessLookupError):
        hosted.server.process.send_signal(signal_number)
    return hosted.server.wait(timeout_s)
