"""Live, ASGI applications on WSGI servers: what reaches the application, on every server."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.integration.raw import Connection, fetch
from tests.integration.wsgi_programs.apache_server import SUB_INTERPRETER_MOUNT
from tests.integration.wsgi_programs.loading import MOUNT
from tests.integration.wsgi_servers import APACHE, WERKZEUG, Hosted, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_REQUESTS = 40
_CLIENTS = 8


@pytest.mark.requirement("A-001", "A-010", "A-011", "A-012", "A-014", "A-016", "A-017", "A-032", "A-034", "A-040")
def test_the_scope_says_what_the_client_sent(hosted: Hosted) -> None:
    scope = fetch(hosted.server, "PROPFIND", "/probe/x?a=%20&b=1").json()

    expected = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "PROPFIND",
        "scheme": "http",
        "path": "/probe/x",
        "root_path": "",
        "query_string": "a=%20&b=1",
        "state": ["pid"],
    }
    assert {key: scope.get(key) for key in expected} == expected
    assert scope["client"][0] == "127.0.0.1"
    assert isinstance(scope["client"][1], int)
    assert scope["server"][1] == hosted.server.port
    assert ["host", f"127.0.0.1:{hosted.server.port}"] in scope["headers"]
    offered = {"http.response.pathsend": hosted.kind.has_files, "http.response.early_hint": hosted.kind.has_hints}
    assert scope["extensions"] == {name: {} for name, is_offered in offered.items() if is_offered}


@pytest.mark.requirement("A-019", "A-021", "A-022", "A-023", "A-024")
@pytest.mark.parametrize(
    ("sent", "path"),
    [
        pytest.param("/probe/x%20y", "/probe/x y", id="a-space"),
        pytest.param("/probe/caf%C3%A9", "/probe/caf\xe9", id="utf-8"),
        pytest.param("/probe/%2541", "/probe/%41", id="a-percent-sign"),
        pytest.param("/probe/%FF", "/probe/\ufffd", id="not-utf-8"),
        pytest.param("/probe/a%2Fb", "/probe/a/b", id="an-escaped-slash"),
        pytest.param("/probe//a//b/", "/probe//a//b/", id="doubled-slashes"),
        pytest.param("/probe/a;b=c,d", "/probe/a;b=c,d", id="parameters"),
    ],
)
def test_the_path_is_decoded_once_and_known_as_sent(hosted: Hosted, sent: str, path: str) -> None:
    kind = hosted.kind
    is_altered = ("//" in sent and not kind.keeps_slashes) or ("%2F" in sent and not kind.decodes_slashes)

    scope = fetch(hosted.server, "GET", sent).json()

    if is_altered:  # what the server made of it is not what was sent
        assert scope["path"] != path
        assert "raw_path" not in scope
    else:
        assert scope["path"] == path
        assert scope.get("raw_path") == (sent if kind.gives_raw_paths else None)


@pytest.mark.requirement("A-018", "A-019", "A-020")
@pytest.mark.parametrize("rest", ["/probe/x", "/probe/caf%C3%A9"])
def test_a_mount_is_the_root_path_and_part_of_the_path(hosted: Hosted, rest: str) -> None:
    if hosted.kind.mounts == "no":
        pytest.skip(f"{hosted.kind} has no mounts, or needs an option that is for all requests")
    fields = [("SCRIPT_NAME", MOUNT)] if hosted.kind.mounts == "field" else []

    scope = fetch(hosted.server, "GET", MOUNT + rest, fields).json()

    assert scope["root_path"] == MOUNT
    assert scope["path"] == (MOUNT + rest).replace("%C3%A9", "\xe9")
    assert scope["raw_path"] == MOUNT + rest


@pytest.mark.requirement("A-026", "A-027", "A-028", "A-029")
def test_request_fields_arrive_as_lower_case_pairs(hosted: Hosted) -> None:
    fields = [("X-Token", "a, b"), ("Content-Type", "text/x"), ("Cookie", "c=1; d=2")]

    headers = fetch(hosted.server, "POST", "/probe", fields, body=b"12").json()["headers"]

    assert ["x-token", "a, b"] in headers
    assert ["cookie", "c=1; d=2"] in headers
    names = [name for name, _ in headers]
    assert [value for name, value in headers if name == "content-type"] == ["text/x"]
    assert [value for name, value in headers if name == "content-length"] == ["2"]
    assert all(name == name.lower() for name in names)
    assert "https" not in names


@pytest.mark.requirement("A-027")
def test_a_request_without_a_body_has_no_length(hosted: Hosted) -> None:
    names = [name for name, _ in fetch(hosted.server, "GET", "/probe").json()["headers"]]

    assert "content-length" not in names


@pytest.mark.requirement("A-001", "A-002", "A-004", "A-006")
@pytest.mark.parametrize("target", ["/lint/hello", "/lint/blocks", "/lint/page", "/lint/echo"])
def test_what_the_server_gets_passes_wsgiref_validate(hosted: Hosted, target: str) -> None:
    if hosted.kind is WERKZEUG:
        pytest.skip("the validator refuses werkzeug's own environ: REMOTE_PORT is a number")
    response = fetch(hosted.server, "GET", target)

    assert response.status == 200
    assert "AssertionError" not in hosted.server.log()
    assert "without being closed" not in hosted.server.log()


@pytest.mark.requirement("A-050", "A-051", "A-080")
def test_many_requests_on_one_connection_are_answered_each_with_its_own(hosted: Hosted) -> None:
    if not hosted.kind.keeps_alive:
        pytest.skip(f"{hosted.kind} closes the connection after each response")
    with Connection(hosted.server) as connection:
        for number in range(_REQUESTS):
            body = b"%d" % number * 50
            answers = {
                0: ("POST", "/echo", body, 200, body),
                1: ("GET", "/hello", None, 200, b"hello\n"),
                2: ("HEAD", "/page", None, 200, b""),
                3: ("GET", "/page", None, 200, b"<p>a page</p>"),
            }
            method, target, sent, status, answer = answers[number % 4]
            response = connection.request(method, target, body=sent)

            assert (response.status, response.body, response.is_complete) == (status, answer, True), number
            assert (response.header("connection") or "keep-alive").lower() == "keep-alive", number


@pytest.mark.requirement("A-001", "A-108")
def test_a_pooling_client_gets_the_right_answers_from_one_loop(hosted: Hosted) -> None:
    loops: set[tuple[int, int]] = set()
    with httpx.Client(base_url=hosted.server.url, trust_env=False, timeout=30) as client:
        for number in range(10):
            octets = f"{number}".encode() * 1000
            assert client.post("/echo", content=octets).content == octets
            answer = client.get("/whoami").json()
            assert answer["started_in"] == answer["pid"]  # the lifespan's process is the request's
            loops.add((answer["pid"], answer["thread"]))

    assert len(loops) == len({pid for pid, _ in loops}) <= hosted.kind.processes


@pytest.mark.requirement("A-001", "A-109")
def test_requests_of_many_clients_do_not_mix(hosted: Hosted) -> None:
    wrong: list[object] = []

    def ask(number: int) -> None:
        octets = b"%d" % number * 3000
        response = fetch(hosted.server, "POST", "/echo", body=octets)
        if (response.status, response.body) != (200, octets):
            wrong.append((number, response))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)

    assert wrong == []


@pytest.mark.requirement("A-077", "A-109")
def test_a_request_overlaps_with_the_one_that_waits_for_it(hosted: Hosted) -> None:
    if not hosted.kind.overlaps or hosted.kind.processes > 1:
        pytest.skip(f"{hosted.kind} would serve the other request later, or in another process")
    mark = new_mark()
    with Connection(hosted.server) as connection:
        connection.send_head("GET", f"/wait?id={mark}", [("Connection", "close")])
        connection.read_head()
        begin = connection.read_some()
        while b"data: one\n\n" not in begin:  # in two segments: the size of the chunk, the chunk
            begin += connection.read_some()
        released = fetch(hosted.server, "GET", f"/release?id={mark}")
        rest = connection.read_to_end()

    assert b"data: two" not in begin
    assert released.body == b"fine\n"
    assert b"data: two" in rest


@pytest.mark.requirement("A-096", "A-116")
def test_the_lifespan_is_started_once_in_each_serving_process(hosted: Hosted) -> None:
    assert hosted.is_well()

    pids = [entry["pid"] for entry in hosted.journal("startup")]
    expected = hosted.kind.processes + (1 if hosted.kind is APACHE else 0)  # a sub-interpreter in another process
    assert len(pids) == len(set(pids))
    assert 1 <= len(pids) <= expected


@pytest.mark.requirement("A-123")
def test_a_sub_interpreter_has_a_loop_of_its_own(hosted: Hosted) -> None:
    if hosted.kind is not APACHE:
        pytest.skip("only mod_wsgi has sub-interpreters")
    main = fetch(hosted.server, "GET", "/whoami").json()
    sub = fetch(hosted.server, "GET", f"{SUB_INTERPRETER_MOUNT}/whoami").json()

    assert main["pid"] != sub["pid"]
    assert sub["started_in"] == sub["pid"]
