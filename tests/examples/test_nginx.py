"""``examples/deploy/nginx.conf`` in a real nginx, with the three applications it speaks of behind it."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.examples.running import DEPLOY, WSGI_HOSTING, environment, started
from tests.integration.certificates import make_certificate, trusting
from tests.integration.raw import Connection
from tests.integration.servers import HOST, Server, free_port
from tests.meeting import until

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")

pytestmark = [
    pytest.mark.once,
    pytest.mark.live,
    pytest.mark.skipif(NGINX is None, reason="needs nginx"),
    pytest.mark.skipif(not Path("/etc/nginx/uwsgi_params").exists(), reason="needs nginx's own uwsgi_params"),
]

MEBIBYTE = 1024**2
SECRET = os.urandom(300_000)


@dataclass(frozen=True, slots=True)
class Site:
    """A running nginx and what is behind it."""

    http_port: int
    https_port: int
    context: ssl.SSLContext
    nginx: Server
    shop: Server

    def client(self, scheme: str = "https") -> httpx.Client:
        port = self.https_port if scheme == "https" else self.http_port
        return httpx.Client(
            base_url=f"{scheme}://{HOST}:{port}",
            verify=self.context,
            timeout=15,
            trust_env=False,
            follow_redirects=True,
        )


def command_of_the_unit(run: Path) -> list[str]:
    """Return what systemd would run for ``shop.service``, with this Python, and the socket in a folder of ours."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "shop.service", encoding="utf-8")
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "uvicorn"
    return [sys.executable, "-m", "uvicorn", *(part.replace("/run", str(run)) for part in arguments)]


def nginx_settings(directory: Path, ports: tuple[int, int]) -> str:
    """Return the settings of a whole nginx, with the example in it: its paths and ports are replaced, nothing else."""
    example = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    certificate, key = make_certificate(directory)
    for old, new in {
        "listen 80;": f"listen {HOST}:{ports[0]};",
        "listen 443 ssl;": f"listen {HOST}:{ports[1]} ssl;",
        "/etc/ssl/certs/shop.pem": str(certificate),
        "/etc/ssl/private/shop.key": str(key),
        "/srv/shop/files/": f"{directory}/files/",
        "unix:/run/": f"unix:{directory}/",
    }.items():
        assert old in example, old
        example = example.replace(old, new)
    temporary = "\n".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""  # the sockets are in a folder of ours
    return f"""{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr;
daemon off;
events {{ worker_connections 200; }}
http {{
access_log off;
{temporary}
{example}
}}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    # Not pytest's folder: the path of a unix socket may have no more than a hundred characters.
    with tempfile.TemporaryDirectory(prefix="nginx-") as name, ExitStack() as running:
        directory = Path(name)
        sockets = {name: directory / name / f"{name}.sock" for name in ("shop", "api", "reports")}
        for path in (*(path.parent for path in sockets.values()), directory / "files"):
            path.mkdir()
        (directory / "files" / "secret").write_bytes(SECRET)

        shop = running.enter_context(
            started(directory, "shop", command_of_the_unit(directory), sockets["shop"], environment(DEPLOY))
        )
        gunicorn = ["gunicorn", "--no-control-socket", "--threads", "8", "--bind", f"unix:{sockets['api']}"]
        running.enter_context(
            started(
                directory,
                "api",
                [sys.executable, "-m", *gunicorn, "api_behind_nginx:app"],
                sockets["api"],
                environment(DEPLOY, SCRIPT_NAME="/api"),
            )
        )
        if find_spec("pyuwsgi") is not None:
            options = "--master --threads 4 --enable-threads --die-on-term --need-app --manage-script-name".split()
            run = ["--socket", str(sockets["reports"]), "--mount", "/reports=wsgi:app", *options]
            running.enter_context(
                started(
                    directory,
                    "reports",
                    [sys.executable, "-c", f"import pyuwsgi; pyuwsgi.run({run!r})"],
                    sockets["reports"],
                    environment(WSGI_HOSTING),
                )
            )
        ports = free_port(), free_port()
        settings = directory / "nginx.conf"
        settings.write_text(nginx_settings(directory, ports), encoding="utf-8")
        command = [str(NGINX), "-p", name, "-c", str(settings), "-e", "stderr"]
        nginx = running.enter_context(started(directory, "nginx", command, ports[0], environment()))
        yield Site(*ports, trusting(directory / "certificate.pem"), nginx, shop)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("prefix", ["/shop/", "/api/"])
def test_made_urls_have_the_prefix_and_the_scheme_of_the_client(site: Site, prefix: str, scheme: str) -> None:
    with site.client(scheme) as client:
        answer = client.get(prefix)

    assert answer.json() == {"url": f"{scheme}://{HOST}{prefix}", "scheme": scheme, "client": HOST}


@pytest.mark.parametrize("prefix", ["/shop/", "/api/"])
def test_what_a_client_says_of_its_address_and_scheme_is_thrown_away(site: Site, prefix: str) -> None:
    lies = {"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "http", "script_name": "/lie", "forwarded": "for=lie"}
    with site.client() as client:
        answer = client.get(prefix, headers=lies)

    assert answer.json() == {"url": f"https://{HOST}{prefix}", "scheme": "https", "client": HOST}


@pytest.mark.parametrize("prefix", ["/shop", "/api"])
def test_the_prefix_without_its_slash_leads_to_the_application(site: Site, prefix: str) -> None:
    with site.client("http") as client:
        response = client.get(prefix, follow_redirects=False)

    assert (response.status_code, httpx.URL(response.headers["location"]).path) == (301, f"{prefix}/")


def test_an_event_comes_while_the_stream_is_open(site: Site) -> None:
    with site.client() as listener, site.client() as client:
        with listener.stream("GET", "/shop/events") as response:
            assert "x-accel-buffering" not in response.headers, "it is for nginx, and ends there"
            lines = response.iter_lines()
            assert next(lines) == "retry: 1000"
            assert client.post("/shop/events", content="tea is ready").json() == {"listeners": 1}
            assert next(line for line in lines if line) == "data: tea is ready"


def test_a_listener_that_leaves_is_told_to_the_application(site: Site) -> None:
    # The generator waits up to 15 s for news: what wakes it here is the news itself.
    with site.client() as client:
        with site.client() as listener, listener.stream("GET", "/shop/events") as response:
            next(response.iter_lines())
        until(lambda: client.post("/shop/events", content="?").json() == {"listeners": 0}, "no listener")


@pytest.mark.parametrize("path", ["/shop/echo", "/api/echo"])
def test_a_websocket_passes(site: Site, path: str) -> None:
    with connect(f"wss://{HOST}:{site.https_port}{path}", ssl=site.context, proxy=None) as ws:
        ws.send("grüße")
        assert ws.recv(timeout=10) == "grüße"
        ws.send("x" * 100_000)
        assert ws.recv(timeout=10) == "x" * 100_000


def test_a_large_upload_arrives_whole_with_a_length_or_without(site: Site) -> None:
    content = b"x" * (5 * MEBIBYTE)
    with site.client("http") as client:
        with_length = client.put("/shop/uploads", content=content)
        without = client.put("/shop/uploads", content=iter([content]))

    assert with_length.json() == without.json() == {"bytes": 5 * MEBIBYTE}


def test_nginx_and_the_bridge_have_the_same_bound_for_uploads(site: Site) -> None:
    [bound] = re.findall(r"client_max_body_size (\d+)m;", (DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    [limit] = re.findall(r"body_max_bytes=(\d+) \* 1024\*\*2", (DEPLOY / "behind_nginx.py").read_text(encoding="utf-8"))
    with Connection(site.nginx) as connection:
        connection.send_head("PUT", "/shop/uploads", [("Content-Length", str(64 * MEBIBYTE + 1))])
        refused = connection.read_response()

    assert bound == limit == "64"
    assert refused.status == 413
    assert b"nginx" in refused.body


def test_nginx_sends_the_file_that_the_application_names_and_no_other(site: Site) -> None:
    with site.client() as client:
        named = client.get("/shop/files/secret")
        part = client.get("/shop/files/secret", headers={"range": "bytes=-10"})
        direct = client.get("/protected/secret")

    assert named.content == SECRET
    assert "x-accel-redirect" not in named.headers
    assert (part.status_code, part.content) == (206, SECRET[-10:])
    assert direct.status_code == 404


def test_nginx_lets_go_of_a_kept_connection_before_uvicorn_does(tmp_path: Path) -> None:
    [nginx_s] = re.findall(r"keepalive_timeout (\d+)s;", (DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    command = command_of_the_unit(tmp_path)
    uvicorn_s = command[command.index("--timeout-keep-alive") + 1]

    assert int(nginx_s) < int(uvicorn_s)


@pytest.mark.skipif(find_spec("pyuwsgi") is None, reason="needs pyuwsgi")
def test_uwsgi_pass_serves_an_application_below_its_prefix(site: Site) -> None:
    with site.client() as client:
        assert client.get("/reports/").json()["visits"] >= 1
        assert client.post("/reports/shout", content="tea").json() == {"shouted": "TEA"}
        with client.stream("GET", "/reports/countdown") as response:
            pieces = [piece for piece in response.iter_text() if piece]
    assert "".join(pieces).endswith("data: lift-off\n\n")
    assert len(pieces) > 1, "the events came in one piece: they were not streamed"


def test_nothing_went_wrong_on_the_way(site: Site) -> None:
    """After all the others: nginx and the application have no error in their logs."""
    assert not re.findall(r"\[(?:error|crit|alert|emerg)\] (?!.*intended to send too large body)", site.nginx.log())
    assert "Traceback" not in site.shop.log()
