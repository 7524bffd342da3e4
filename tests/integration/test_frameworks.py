"""Live: what people host, on the servers they host it on."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from tests.integration.raw import fetch
from tests.integration.servers import GRANIAN, HYPERCORN_ASYNCIO, UVICORN_HTTPTOOLS, Server, ServerKind, running

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

_FRAMEWORKS = ["flask", "django", "bottle", "falcon", "pyramid"]
_LINES = "".join(f"line {number:05}\n" for number in range(2000))
# Beyond what is kept in memory, for the bridge and for most of the frameworks.
_LARGE_BYTES = 1_500_000


@pytest.fixture(scope="session", params=[UVICORN_HTTPTOOLS, HYPERCORN_ASYNCIO, GRANIAN], ids=str)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with all frameworks mounted."""
    kind: ServerKind = request.param
    directory = tmp_path_factory.mktemp(f"{kind.name}-site")
    with running(kind, "tests.integration.framework_apps:app", directory) as server:
        yield server


@pytest.fixture
def client(site: Server) -> Iterator[httpx.Client]:
    """A client that keeps cookies and its connection."""
    with httpx.Client(base_url=site.url, timeout=30, trust_env=False) as opened:
        yield opened


@pytest.mark.requirement("W-018")
@pytest.mark.parametrize("framework", _FRAMEWORKS)
def test_routing(client: httpx.Client, framework: str) -> None:
    response = client.get(f"/{framework}/hello/caf%C3%A9")

    assert (response.status_code, response.text) == (200, f"hello caf\u00e9 from {framework}")
    assert client.get(f"/{framework}/nowhere").status_code == 404
    assert client.get("/native").json() == {"path": "/native"}


@pytest.mark.parametrize("framework", _FRAMEWORKS)
def test_forms(client: httpx.Client, framework: str) -> None:
    response = client.post(f"/{framework}/form", data={"name": "caf\u00e9 & co", "other": "x"})

    assert response.text == "caf\u00e9 & co"


@pytest.mark.requirement("W-053", "W-059", "W-077")
@pytest.mark.parametrize("size_bytes", [0, 1000, _LARGE_BYTES], ids=str)
@pytest.mark.parametrize("framework", _FRAMEWORKS)
def test_chunked_uploads_without_a_length_are_seen(site: Server, framework: str, size_bytes: int) -> None:
    pieces = [b"x" * 1000] * (size_bytes // 1000)
    response = fetch(site, "POST", f"/{framework}/body", body=pieces)

    assert (response.status, response.body) == (200, str(size_bytes).encode())


@pytest.mark.requirement("W-059", "W-077")
@pytest.mark.parametrize("size_bytes", [100, _LARGE_BYTES], ids=str)
@pytest.mark.parametrize("has_length", [True, False], ids=["with-length", "chunked"])
@pytest.mark.parametrize("framework", ["flask", "django", "bottle", "falcon"])
def test_multipart_uploads(client: httpx.Client, framework: str, has_length: bool, size_bytes: int) -> None:
    prepared = client.build_request(
        "POST",
        f"/{framework}/upload",
        data={"title": "A title"},
        files={"file": ("a file.bin", b"x" * size_bytes, "application/octet-stream")},
    )
    body = prepared.read()
    content = body if has_length else iter([body[:50], body[50:]])
    response = client.post(
        f"/{framework}/upload", content=content, headers={"content-type": prepared.headers["content-type"]}
    )

    assert response.json() == {"name": "a file.bin", "size": size_bytes, "title": "A title"}


@pytest.mark.requirement("W-098")
@pytest.mark.parametrize("framework", ["flask", "django"])
def test_sessions_live_in_cookies(client: httpx.Client, framework: str) -> None:
    assert [client.get(f"/{framework}/visits").text for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("framework", ["flask", "django", "bottle", "falcon"])
def test_streaming_responses(client: httpx.Client, framework: str) -> None:
    response = client.get(f"/{framework}/stream")

    assert response.text == _LINES
    assert response.headers["content-type"].startswith("text/plain")


@pytest.mark.requirement("W-126", "W-127", "W-128")
@pytest.mark.parametrize("framework", ["flask", "django", "bottle", "falcon"])
def test_files(client: httpx.Client, framework: str) -> None:
    response = client.get(f"/{framework}/file")

    assert response.text == _LINES
    assert response.headers["content-length"] == str(len(_LINES))


@pytest.mark.requirement("W-127")
@pytest.mark.parametrize("framework", ["flask", "bottle"])
def test_ranges_of_files(client: httpx.Client, framework: str) -> None:
    response = client.get(f"/{framework}/file", headers={"range": "bytes=110-120"})

    assert (response.status_code, response.text) == (206, _LINES[110:121])
    assert response.headers["content-range"] == f"bytes 110-120/{len(_LINES)}"


@pytest.mark.requirement("W-125")
def test_a_file_that_has_not_changed_is_a_304(client: httpx.Client) -> None:
    etag = client.get("/flask/file").headers["etag"]
    response = client.get("/flask/file", headers={"if-none-match": etag})

    assert (response.status_code, response.content) == (304, b"")
    assert client.get("/flask/hello/x").status_code == 200


@pytest.mark.requirement("W-017", "W-018", "W-020", "W-031")
@pytest.mark.parametrize(
    "prefix",
    [
        pytest.param("/flask", id="starlette-mount"),
        pytest.param("/django", id="starlette-mount-of-django"),
        pytest.param("/fast/inner", id="fastapi-in-starlette"),
        pytest.param("/caf\u00e9", id="non-ascii-mount"),
        pytest.param("/shifted/deeper", id="wsgi-in-wsgi"),
    ],
)
def test_urls_made_by_the_application_lead_back_to_it(site: Server, client: httpx.Client, prefix: str) -> None:
    urls = client.get(f"{prefix}/where").json()

    # Flask makes IRIs, Django URLs.
    assert unquote(urls["relative"]) == f"{prefix}/hello/x"
    assert unquote(urls["absolute"]) == f"{site.url}{prefix}/hello/x"
    assert client.get(urls["absolute"]).text.startswith("hello x from")


@pytest.mark.requirement("W-031")
def test_pyramid_knows_where_it_is_mounted(client: httpx.Client, site: Server) -> None:
    assert client.get("/pyramid/where").text == f"{site.url}/pyramid/hello/x"


def test_routes_beside_a_mount_are_native(client: httpx.Client) -> None:
    assert client.get("/fast/native").json() == {"native": "yes"}


@pytest.mark.requirement("W-132")
def test_exceptions_reach_starlettes_server_error_middleware(client: httpx.Client) -> None:
    response = client.get("/flask/error")

    assert (response.status_code, response.json()) == (500, {"starlette saw": "LookupError('lost in flask')"})


@pytest.mark.requirement("W-016", "W-077")
def test_webdav(client: httpx.Client, site: Server) -> None:
    name = "/dav/folder"
    assert client.request("MKCOL", name).status_code == 201
    assert client.put(f"{name}/with length.txt", content=b"octets").status_code == 201
    assert fetch(site, "PUT", f"{name}/chunked.txt", body=[b"oc", b"te", b"ts"]).status == 201
    listing = client.request("PROPFIND", name, headers={"depth": "1"})
    moved = client.request("MOVE", f"{name}/chunked.txt", headers={"destination": f"{site.url}{name}/moved.txt"})

    assert listing.status_code == 207
    hrefs = {element.text for element in ET.fromstring(listing.content).iter("{DAV:}href")}
    assert hrefs == {f"{name}/", f"{name}/with%20length.txt", f"{name}/chunked.txt"}
    assert moved.status_code == 201
    assert client.get(f"{name}/moved.txt").content == b"octets"
    assert client.get(f"{name}/with%20length.txt", headers={"range": "bytes=2-3"}).content == b"te"
    assert client.delete(name).status_code == 204
    assert client.get(f"{name}/moved.txt").status_code == 404


@pytest.mark.skipif(shutil.which("git") is None, reason="needs the git command")
def test_git_pushes_and_clones(site: Server, tmp_path: Path) -> None:
    def git(directory: Path, *arguments: str) -> str:
        done = subprocess.run(
            [
                "git",
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.org",
                "-c",
                "init.defaultBranch=master",
                *arguments,
            ],
            cwd=directory,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    work, clone = tmp_path / "work", tmp_path / "clone"
    work.mkdir()
    git(work, "init")
    (work / "small.txt").write_text("a small file\n")
    # Large enough that git sends it chunked, without a length.
    (work / "large.bin").write_bytes(bytes(pow(7, number, 65_537) & 0xFF for number in range(60_000)) * 40)
    git(work, "add", ".")
    git(work, "commit", "-m", "First")
    git(work, "-c", "http.postBuffer=65536", "push", f"{site.url}/git/repo", "master")
    git(tmp_path, "clone", "--branch", "master", f"{site.url}/git/repo", str(clone))

    assert git(clone, "rev-parse", "HEAD") == git(work, "rev-parse", "HEAD")
    assert (clone / "large.bin").read_bytes() == (work / "large.bin").read_bytes()
