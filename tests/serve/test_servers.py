"""The command line of each server: every option of a `Launch` in the server's own words."""

from __future__ import annotations

import dataclasses
import os
import sys
from importlib import metadata

import pytest

from bridge.serve import servers
from bridge.serve.servers import SERVERS, Interface, Launch, adapter_between, first_installed

LAUNCH = Launch(interface="asgi", host="127.0.0.1", port=8000, reload_dir="/srv/shop")

UVICORN = "--host 127.0.0.1 --port 8000"
GRANIAN = "--host 127.0.0.1 --port 8000"
BIND = "--bind 127.0.0.1:8000"
UWSGI = "--module bridge.wsgi:app --need-app --master --single-interpreter --enable-threads --die-on-term"

COMMANDS: dict[tuple[str, Interface], dict[str, str]] = {
    ("uvicorn", "asgi"): {
        "nothing": f"{UVICORN} bridge.asgi:app",
        "host": "--host ::1 --port 8000 bridge.asgi:app",
        "port": "--host 127.0.0.1 --port 0 bridge.asgi:app",
        "uds": "--uds /run/shop.sock bridge.asgi:app",
        "workers": f"{UVICORN} --workers 4 bridge.asgi:app",
        "reload": f"{UVICORN} --reload --reload-dir /srv/shop bridge.asgi:app",
        "log_level": f"{UVICORN} --log-level debug bridge.asgi:app",
        "root_path": f"{UVICORN} --root-path /api bridge.asgi:app",
    },
    ("granian", "asgi"): {
        "nothing": f"--interface asgi {GRANIAN} bridge.asgi:app",
        "host": "--interface asgi --host ::1 --port 8000 bridge.asgi:app",
        "port": "--interface asgi --host 127.0.0.1 --port 0 bridge.asgi:app",
        "uds": "--interface asgi --uds /run/shop.sock bridge.asgi:app",
        "workers": f"--interface asgi {GRANIAN} --workers 4 bridge.asgi:app",
        "reload": f"--interface asgi {GRANIAN} --reload --reload-paths /srv/shop bridge.asgi:app",
        "log_level": f"--interface asgi {GRANIAN} --log-level debug bridge.asgi:app",
        "root_path": f"--interface asgi {GRANIAN} --url-path-prefix /api bridge.asgi:app",
    },
    ("granian", "wsgi"): {
        "nothing": f"--interface wsgi {GRANIAN} bridge.wsgi:app",
        "host": "--interface wsgi --host ::1 --port 8000 bridge.wsgi:app",
        "port": "--interface wsgi --host 127.0.0.1 --port 0 bridge.wsgi:app",
        "uds": "--interface wsgi --uds /run/shop.sock bridge.wsgi:app",
        "workers": f"--interface wsgi {GRANIAN} --workers 4 bridge.wsgi:app",
        "threads": f"--interface wsgi {GRANIAN} --blocking-threads 16 bridge.wsgi:app",
        "reload": f"--interface wsgi {GRANIAN} --reload --reload-paths /srv/shop bridge.wsgi:app",
        "log_level": f"--interface wsgi {GRANIAN} --log-level debug bridge.wsgi:app",
        "root_path": f"--interface wsgi {GRANIAN} --url-path-prefix /api bridge.wsgi:app",
    },
    ("hypercorn", "asgi"): {
        "nothing": f"{BIND} bridge.asgi:app",
        "host": "--bind [::1]:8000 bridge.asgi:app",
        "port": "--bind 127.0.0.1:0 bridge.asgi:app",
        "uds": "--bind unix:/run/shop.sock bridge.asgi:app",
        "workers": f"{BIND} --workers 4 bridge.asgi:app",
        "reload": f"{BIND} --reload bridge.asgi:app",
        "log_level": f"{BIND} --log-level debug bridge.asgi:app",
        "root_path": f"{BIND} --root-path /api bridge.asgi:app",
    },
    ("gunicorn", "asgi"): {
        "nothing": f"-k asgi {BIND} bridge.asgi:app",
        "host": "-k asgi --bind [::1]:8000 bridge.asgi:app",
        "port": "-k asgi --bind 127.0.0.1:0 bridge.asgi:app",
        "uds": "-k asgi --bind unix:/run/shop.sock bridge.asgi:app",
        "workers": f"-k asgi {BIND} --workers 4 bridge.asgi:app",
        "reload": f"-k asgi {BIND} --reload bridge.asgi:app",
        "log_level": f"-k asgi {BIND} --log-level debug bridge.asgi:app",
        "root_path": f"-k asgi {BIND} --root-path /api bridge.asgi:app",
    },
    ("gunicorn", "wsgi"): {
        "nothing": f"-k gthread --threads 8 {BIND} bridge.wsgi:app",
        "host": "-k gthread --threads 8 --bind [::1]:8000 bridge.wsgi:app",
        "port": "-k gthread --threads 8 --bind 127.0.0.1:0 bridge.wsgi:app",
        "uds": "-k gthread --threads 8 --bind unix:/run/shop.sock bridge.wsgi:app",
        "workers": f"-k gthread --threads 8 {BIND} --workers 4 bridge.wsgi:app",
        "threads": f"-k gthread --threads 16 {BIND} bridge.wsgi:app",
        "reload": f"-k gthread --threads 8 {BIND} --reload bridge.wsgi:app",
        "log_level": f"-k gthread --threads 8 {BIND} --log-level debug bridge.wsgi:app",
    },
    ("daphne", "asgi"): {
        "nothing": "-b 127.0.0.1 -p 8000 bridge.asgi:app",
        "host": "-b ::1 -p 8000 bridge.asgi:app",
        "port": "-b 127.0.0.1 -p 0 bridge.asgi:app",
        "uds": "-u /run/shop.sock bridge.asgi:app",
        "root_path": "-b 127.0.0.1 -p 8000 --root-path /api bridge.asgi:app",
    },
    ("waitress", "wsgi"): {
        "nothing": "--listen=127.0.0.1:8000 bridge.wsgi:app",
        "host": "--listen=[::1]:8000 bridge.wsgi:app",
        "port": "--listen=127.0.0.1:0 bridge.wsgi:app",
        "uds": "--unix-socket=/run/shop.sock bridge.wsgi:app",
        "threads": "--listen=127.0.0.1:8000 --threads 16 bridge.wsgi:app",
        "root_path": "--listen=127.0.0.1:8000 --url-prefix /api bridge.wsgi:app",
    },
    ("cheroot", "wsgi"): {
        "nothing": f"{BIND} bridge.wsgi:app",
        "host": "--bind [::1]:8000 bridge.wsgi:app",
        "port": "--bind 127.0.0.1:0 bridge.wsgi:app",
        "uds": "--bind /run/shop.sock bridge.wsgi:app",
        "threads": f"{BIND} --threads 16 bridge.wsgi:app",
    },
    ("uwsgi", "wsgi"): {
        "nothing": f"--http-socket 127.0.0.1:8000 {UWSGI} --processes 1 --threads 8",
        "host": f"--http-socket [::1]:8000 {UWSGI} --processes 1 --threads 8",
        "port": f"--http-socket 127.0.0.1:0 {UWSGI} --processes 1 --threads 8",
        "uds": f"--http-socket /run/shop.sock {UWSGI} --processes 1 --threads 8",
        "workers": f"--http-socket 127.0.0.1:8000 {UWSGI} --processes 4 --threads 8",
        "threads": f"--http-socket 127.0.0.1:8000 {UWSGI} --processes 1 --threads 16",
        "reload": f"--http-socket 127.0.0.1:8000 {UWSGI} --processes 1 --threads 8 --py-autoreload 1",
    },
}

CHANGES: dict[str, dict[str, object]] = {
    "nothing": {},
    "host": {"host": "::1"},
    "port": {"port": 0},
    "uds": {"uds": "/run/shop.sock"},
    "workers": {"workers": 4},
    "threads": {"threads": 16},
    "reload": {"reload": True},
    "log_level": {"log_level": "debug"},
    "root_path": {"root_path": "/api"},
}
EACH = [pytest.param(server, interface, id=f"{server}-{interface}") for server, interface in COMMANDS]
ABILITIES = ("uds", "workers", "threads", "reload", "log_level", "root_path")


def launch(interface: Interface, **changes: object) -> Launch:
    return dataclasses.replace(LAUNCH, interface=interface, **changes)


@pytest.mark.parametrize(
    ("server", "interface", "asked", "expected"),
    [
        pytest.param(server, interface, asked, line.split(), id=f"{server}-{interface}-{asked}")
        for (server, interface), lines in COMMANDS.items()
        for asked, line in lines.items()
    ],
)
def test_what_is_asked_for_is_said_in_the_options_of_the_server(
    server: str, interface: Interface, asked: str, expected: list[str]
) -> None:
    assert SERVERS[server].arguments(launch(interface, **CHANGES[asked])) == expected


def test_each_server_and_each_of_its_interfaces_has_its_commands() -> None:
    there_are = {(kind.name, interface) for kind in SERVERS.values() for interface in kind.protocols}

    assert set(COMMANDS) == there_are


@pytest.mark.parametrize(("server", "interface"), EACH)
def test_a_server_can_exactly_what_it_has_an_option_for(server: str, interface: Interface) -> None:
    can = {ability for ability in ABILITIES if SERVERS[server].can(ability, interface)}

    assert can == set(COMMANDS[server, interface]) & set(ABILITIES)


@pytest.mark.parametrize(("server", "interface"), EACH)
def test_a_path_with_a_space_stays_one_argument(server: str, interface: Interface) -> None:
    arguments = SERVERS[server].arguments(launch(interface, uds="/run/my shop.sock"))

    assert [part for part in arguments if part.endswith("/run/my shop.sock")]


def test_a_relative_socket_path_is_no_host_name_for_cheroot() -> None:
    arguments = SERVERS["cheroot"].arguments(launch("wsgi", uds="shop.sock"))

    # Its --bind takes a socket path only with a slash in front; "shop.sock" would be a machine.
    assert arguments[:2] == ["--bind", os.path.abspath("shop.sock")]


# ---- The table --------------------------------------------------------------------------------------------------


def test_the_order_in_which_a_server_is_picked(installed: set[str]) -> None:
    order = []
    while (kind := first_installed()) is not None:
        order.append(kind.name)
        installed.remove(kind.module)

    assert order == ["uvicorn", "granian", "hypercorn", "gunicorn", "daphne", "waitress", "cheroot", "uwsgi"]
    assert order == list(SERVERS)


@pytest.mark.parametrize(
    ("server", "protocol", "interface"),
    [
        pytest.param("uvicorn", "wsgi", "asgi", id="one-protocol-asgi"),
        pytest.param("waitress", "asgi", "wsgi", id="one-protocol-wsgi"),
        pytest.param("granian", "wsgi", "asgi", id="granian-wsgi"),
        pytest.param("granian", "asgi", "asgi", id="granian-asgi"),
        pytest.param("gunicorn", "wsgi", "wsgi", id="gunicorn-wsgi"),
        pytest.param("gunicorn", "asgi", "asgi", id="gunicorn-asgi"),
        pytest.param("gunicorn", "asgi2", "asgi", id="gunicorn-asgi2"),
        pytest.param("gunicorn", "dual", "asgi", id="gunicorn-dual"),
    ],
)
def test_the_protocol_a_server_is_run_with(server: str, protocol, interface: Interface) -> None:
    assert SERVERS[server].interface_for(protocol) == interface


@pytest.mark.parametrize(
    ("interface", "protocol", "adapter"),
    [
        pytest.param("asgi", "wsgi", "WSGIToASGI", id="wsgi-on-asgi"),
        pytest.param("asgi", "asgi", None, id="asgi-on-asgi"),
        pytest.param("asgi", "asgi2", None, id="asgi2-on-asgi"),
        pytest.param("asgi", "dual", None, id="dual-on-asgi"),
        pytest.param("wsgi", "wsgi", None, id="wsgi-on-wsgi"),
        pytest.param("wsgi", "asgi", "ASGIToWSGI", id="asgi-on-wsgi"),
        pytest.param("wsgi", "asgi2", "ASGIToWSGI", id="asgi2-on-wsgi"),
        pytest.param("wsgi", "dual", None, id="dual-on-wsgi"),
    ],
)
def test_an_adapter_is_in_between_only_where_the_protocols_differ(interface: Interface, protocol, adapter) -> None:
    assert adapter_between(interface, protocol) == adapter


def test_a_module_is_run_by_this_python() -> None:
    assert SERVERS["uvicorn"].command(LAUNCH)[:3] == [sys.executable, "-m", "uvicorn"]


def test_a_program_of_this_environment_comes_before_one_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = os.path.join(os.path.dirname(sys.executable), "uwsgi")
    monkeypatch.setattr(servers.shutil, "which", lambda _: "/usr/bin/uwsgi")

    monkeypatch.setattr(servers.os, "access", lambda path, _: path == beside)
    with_one = SERVERS["uwsgi"].command(launch("wsgi"))[0]
    monkeypatch.setattr(servers.os, "access", lambda *_: False)
    without = SERVERS["uwsgi"].command(launch("wsgi"))[0]

    assert (with_one, without) == (beside, "/usr/bin/uwsgi")


def test_the_version_is_that_of_whichever_distribution_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"uvicorn": "0.1", "uwsgi": "2.0.1"}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(servers.metadata, "version", version)

    assert [SERVERS[name].version() for name in ("uvicorn", "uwsgi", "waitress")] == ["0.1", "2.0.1", None]
