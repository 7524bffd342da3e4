"""Live: what reaches the application, on every server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import count

import pytest

from tests.integration.apps import LINTED
from tests.integration.raw import Connection, Fields, fetch, wait_for_counters
from tests.integration.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_LARGE = bytes(range(256)) * (5 * 4096)  # 5 MiB: beyond `Limits.body_memory_bytes`
_SMALL = bytes(range(256)) * 40
_ids = count(1)


def _chunks_of(octets: bytes, size_bytes: int) -> list[bytes]:
    return [octets[start : start + size_bytes] for start in range(0, len(octets), size_bytes)]


def test_a_flask_application_answers(server: Server) -> None:
    response = fetch(server, "GET", "/lint/flask/World")

    assert (response.status, response.body, response.is_complete) == (200, b"Hello, World!", True)
    assert response.header("content-type") == "text/html; charset=utf-8"


@pytest.mark.requirement("W-011", "W-012", "W-017", "W-018", "W-033", "W-037", "W-038", "W-056", "W-057", "W-059")
def test_the_environ_is_complete_and_passes_wsgiref_validate(server: Server) -> None:
    response = fetch(server, "GET", "/lint/probe/a/b?x=1&y=%20", [("X-Token", "abc"), ("Accept", "a"), ("Accept", "b")])

    environ = response.json()
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/lint/probe",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "x=1&y=%20",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": f"127.0.0.1:{server.port}",
        "HTTP_X_TOKEN": "abc",
        "HTTP_ACCEPT": "a, b",
        "wsgi.version": [1, 0],
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {key: environ.get(key) for key in expected} == expected
    assert environ["REMOTE_PORT"].isdigit()
    assert None not in environ.values()
    assert not {"REMOTE_USER", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTPS", "werkzeug.socket"} & environ.keys()


@pytest.mark.parametrize("name", sorted(LINTED))
def test_each_well_behaved_application_passes_wsgiref_validate(server: Server, name: str) -> None:
    response = fetch(server, "GET", f"/lint/{name}/x")

    assert (response.status, response.is_complete) == (200, True)


def test_wsgiref_validate_has_nothing_to_say_about_unclosed_iterables(server: Server) -> None:
    fetch(server, "GET", "/lint/blocks")

    # What the validator finds too late for an assertion it prints when the iterable is collected.
    assert "without being closed" not in server.log()


@pytest.mark.requirement("W-041", "W-068", "W-073", "W-077")
@pytest.mark.parametrize("hosting", ["lint", "stream"])
@pytest.mark.parametrize(
    ("body", "length"),
    [
        pytest.param(_SMALL, len(_SMALL), id="with-length"),
        pytest.param(b"", 0, id="with-length-zero"),
        pytest.param(_chunks_of(_SMALL, 1000), None, id="chunked"),
        pytest.param([], None, id="chunked-empty"),
        pytest.param(_LARGE, len(_LARGE), id="large-with-length"),
        pytest.param(_chunks_of(_LARGE, 100_000), None, id="large-chunked"),
    ],
)
def test_a_body_arrives_octet_by_octet(
    server: Server, hosting: str, body: bytes | Iterable[bytes], length: int | None
) -> None:
    response = fetch(server, "POST", f"/{hosting}/digest", body=body)

    octets = body if isinstance(body, bytes) else b"".join(body)
    assert response.json() == {
        "length": len(octets),
        "sha256": hashlib.sha256(octets).hexdigest(),
        "content_length": None if length is None else str(length),
    }


def test_a_request_without_a_body_reads_as_empty(server: Server) -> None:
    assert fetch(server, "GET", "/lint/echo").body == b""


@pytest.mark.requirement("W-082", "W-132")
def test_fifty_requests_on_one_connection_answer_each_to_its_own(server: Server) -> None:
    connection = Connection(server)
    closed = 0
    for number in range(50):
        octets = b"%d" % number * 50
        kinds = {
            0: ("POST", "/echo", octets, 200, octets),
            1: ("POST", "/echo", [octets[:7], octets[7:]], 200, octets),
            2: ("GET", "/hello", None, 200, b"hello\n"),
            3: ("POST", "/ignore", octets, 403, b"not read\n"),
            4: ("GET", "/blocks", None, 200, b"".join(b"block %d\n" % block for block in range(5))),
            5: ("GET", "/error_page", None, 500, b"an error page"),
            6: ("GET", "/no_content", None, 204, b""),
            7: ("GET", "/nothing/here", None, 404, b"no such application\n"),
        }
        method, target, body, status, answer = kinds[number % 8]
        response = connection.request(method, target, body=body)

        assert (response.status, response.body) == (status, answer), number
        if (response.header("connection") or "").lower() == "close":
            closed += 1
            connection.close()
            connection = Connection(server)
    connection.close()
    assert closed == 0


@pytest.mark.requirement("W-132")
def test_requests_go_on_after_raised_errors(server: Server) -> None:
    for number in range(3):
        error = fetch(server, "GET", "/error_before_start")
        good = fetch(server, "POST", "/echo", body=b"%d" % number)

        assert (error.status, good.status, good.body) == (500, 200, b"%d" % number)


@pytest.mark.requirement("W-075")
def test_expect_continue_is_answered_when_the_application_reads(server: Server) -> None:
    with Connection(server) as connection:
        connection.send_head("POST", "/echo", [("Content-Length", "5"), ("Expect", "100-continue")])

        assert connection.read_interim() == 100
        connection.send(b"12345")
        response = connection.read_response("POST")

    assert (response.status, response.body) == (200, b"12345")


@pytest.mark.requirement("W-075", "W-141")
def test_expect_continue_is_not_answered_when_the_application_refuses(server: Server) -> None:
    if not server.kind.continues_on_demand:
        pytest.skip(f"{server.kind} sends 100 Continue by itself, whatever the application does")
    with Connection(server) as connection:
        connection.send_head("POST", "/ignore", [("Content-Length", "5"), ("Expect", "100-continue")])
        response = connection.read_response("POST")

    assert (response.status, response.body, response.interim) == (403, b"not read\n", [])


@pytest.mark.requirement("W-078")
@pytest.mark.parametrize("hosting", ["", "/stream"], ids=["spool", "stream"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size_bytes", [1000, 1_500_000], ids=["small", "large"])
def test_a_cut_upload_raises_oserror_in_the_application(
    server: Server, hosting: str, framing: str, size_bytes: int
) -> None:
    if not server.kind.streams_body:
        pytest.skip(f"{server.kind} calls the application when the body is complete, so never for a cut one")
    mark = str(next(_ids))
    octets = b"x" * size_bytes
    with Connection(server) as connection:
        if framing == "length":
            connection.send_head("POST", f"{hosting}/upload?id={mark}", [("Content-Length", str(2 * size_bytes))])
            connection.send(octets)
        else:
            connection.send_head("POST", f"{hosting}/upload?id={mark}", [("Transfer-Encoding", "chunked")])
            connection.send(b"%x\r\n%b\r\n" % (size_bytes, octets))

    counters = wait_for_counters(server, lambda now: any(one["id"] == mark for one in now["uploads"]))
    (upload,) = [one for one in counters["uploads"] if one["id"] == mark]
    assert upload["error"] == "bridge.errors.ClientDisconnected"
    assert upload["length"] <= size_bytes
    assert fetch(server, "POST", "/echo", body=b"next").body == b"next"


@pytest.mark.requirement("W-025", "W-028", "W-030")
def test_options_asterisk_reaches_the_application(server: Server) -> None:
    environ = fetch(server, "OPTIONS", "*").json()

    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["SCRIPT_NAME"]) == ("OPTIONS", "*", "")


@pytest.mark.requirement("W-021", "W-022", "W-025", "W-026", "W-029", "W-030")
@pytest.mark.parametrize(
    ("target", "path_info", "query"),
    [
        pytest.param("/%FF", "/\xff", "", id="octet-that-is-not-utf-8"),
        pytest.param("/caf%C3%A9", "/caf\xc3\xa9", "", id="utf-8"),
        pytest.param("/a%2Fb", "/a/b", "", id="encoded-slash"),
        pytest.param("/%2525+", "/%25+", "", id="decoded-once"),
        pytest.param("/a//b/../c;p=1/", "/a//b/../c;p=1/", "", id="not-normalised"),
        pytest.param("/a?q=%E9&x=%2F+", "/a", "q=%E9&x=%2F+", id="query-undecoded"),
    ],
)
def test_paths_arrive_decoded_once_and_raw_uris_as_sent(
    server: Server, target: str, path_info: str, query: str
) -> None:
    environ = fetch(server, "GET", "/probe" + target).json()

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/probe", path_info)
    assert environ["QUERY_STRING"] == query
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == "/probe" + target


@pytest.mark.requirement("W-016")
@pytest.mark.parametrize("method", ["PROPFIND", "M-SEARCH", "DELETE"])
def test_extension_methods_arrive_unchanged(server: Server, method: str) -> None:
    assert fetch(server, method, "/probe").json()["REQUEST_METHOD"] == method


@pytest.mark.requirement("W-013", "W-039", "W-044")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("X-Auth-User", "proxy"), ("X_Auth_User", "client")], id="underscored-last"),
        pytest.param([("X_Auth_User", "client"), ("X-Auth-User", "proxy")], id="underscored-first"),
    ],
)
def test_an_underscored_name_cannot_pose_as_a_dashed_one(server: Server, headers: Fields) -> None:
    more = [("Remote-User", "mallory"), ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")]

    environ = fetch(server, "GET", "/probe", [*headers, *more]).json()

    assert environ["HTTP_X_AUTH_USER"] == "proxy"
    assert "REMOTE_USER" not in environ
    assert (environ["HTTP_REMOTE_USER"], environ["HTTP_X_FORWARDED_FOR"]) == ("mallory", "192.0.2.1")


@pytest.mark.requirement("W-045")
def test_latin_1_field_values_arrive_octet_by_octet(server: Server) -> None:
    environ = fetch(server, "GET", "/probe", [("X-Name", b"caf\xe9 \xc3\xa9")]).json()

    assert environ["HTTP_X_NAME"] == "caf\xe9 \xc3\xa9"


@pytest.mark.requirement("W-050", "W-051", "W-138")
@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param(["5", "6"], id="two-that-differ"),
        pytest.param(["5, 6"], id="one-list-that-differs"),
        pytest.param(["+5"], id="signed"),
        pytest.param(["5_0"], id="grouped"),
    ],
)
def test_content_lengths_that_cannot_be_are_answered_400(server: Server, lengths: list[str]) -> None:
    with Connection(server) as connection:
        connection.send_head("POST", "/echo", [("Content-Length", length) for length in lengths])
        connection.send(b"12345")
        response = connection.read_response("POST")

    assert response.status == 400


@pytest.mark.requirement("W-054")
def test_http_1_0_without_host_is_served(server: Server) -> None:
    environ = fetch(server, "GET", "/probe", version="1.0").json()

    assert "HTTP_HOST" not in environ
    assert (environ["SERVER_PROTOCOL"], environ["SERVER_NAME"]) == ("HTTP/1.0", "127.0.0.1")


def test_a_json_body_survives_both_ways(server: Server) -> None:
    text = json.dumps({"name": "caf\u00e9 \U0001f600"}, ensure_ascii=False)

    assert fetch(server, "POST", "/lint/echo", body=text.encode()).body.decode() == text
