"""The scope that an application under `ASGIToWSGI` gets: fresh, typed, and with no more than the server can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import answering, environ_for, hosted, run

ENVIRON_KEY = "bridge.environ"
KEYS = {
    "type",
    "asgi",
    "http_version",
    "method",
    "scheme",
    "path",
    "query_string",
    "root_path",
    "headers",
    "client",
    "server",
    "extensions",
    ENVIRON_KEY,
}
"""What a scope has where the server gives no request URI and the application no lifespan."""


class Witness:
    """An ASGI application that keeps its scopes. With a lifespan if ``state`` is given, which is put into its state."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.scopes: list[dict[str, Any]] = []
        self._state = state

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            self.scopes.append(scope)
            await answering()(scope, receive, send)
            return
        if self._state is None:
            raise NotImplementedError
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"].update(self._state)
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})


def scope_of(environ: dict[str, Any], **options: Any) -> dict[str, Any]:
    witness = Witness()
    with hosted(witness, lifespan="off", **options) as adapter:
        run(adapter, environ)
    return witness.scopes[0]


def assert_is_well_typed(scope: dict[str, Any]) -> None:
    """Check the type of every value of an ``http`` scope."""
    assert type(scope) is dict
    assert all(type(key) is str for key in scope)
    for key in ("type", "http_version", "method", "scheme", "path", "root_path"):
        assert isinstance(scope[key], str), key
        scope[key].encode("utf-8")  # no surrogates: scopes are logged and sent elsewhere
    assert type(scope["query_string"]) is bytes
    assert type(scope.get("raw_path", b"")) is bytes
    assert type(scope["headers"]) is list
    for header in scope["headers"]:
        assert type(header) is tuple
        assert [type(part) for part in header] == [bytes, bytes]
        assert header[0] == header[0].lower()
    if scope["client"] is not None:
        host, port = scope["client"]
        assert (type(host), type(port)) == (str, int)
    if scope["server"] is not None:
        host, port = scope["server"]
        assert type(host) is str
        assert port is None or type(port) is int
    assert type(scope["extensions"]) is dict
    assert all(type(name) is str and type(entry) is dict for name, entry in scope["extensions"].items())


HOSTILE = [
    pytest.param({}, id="plain"),
    pytest.param({"PATH_INFO": "/caf\xc3\xa9", "SCRIPT_NAME": "/\xff"}, id="octets that are no text"),
    pytest.param({"PATH_INFO": "/\u20ac\ud800", "QUERY_STRING": "q=\u20ac\udcff"}, id="surrogates"),
    pytest.param({"REQUEST_URI": "/%ff\u20ac", "RAW_URI": 5}, id="strange uri"),
    pytest.param({"HTTP_X_A": "\xe9\xff", "HTTP_X_B": None, "HTTP_X_C": 7, "HTTP_X D": "1"}, id="strange fields"),
    pytest.param({"HTTP_": "1", "HTTP_X_\xe9": "1", "HTTPS": "on", "http_x": "1"}, id="strange field names"),
    pytest.param({"SERVER_NAME": None, "SERVER_PORT": None, "REMOTE_ADDR": None}, id="nothing known"),
    pytest.param({"SERVER_PORT": "99999999999", "REMOTE_PORT": -1}, id="impossible ports"),
    pytest.param({"SERVER_PROTOCOL": "SPDY/9", "REQUEST_METHOD": "g\xe9t"}, id="strange request line"),
    pytest.param({5: "number", None: "none", b"HTTP_X": "bytes"}, id="keys that are no text"),
    pytest.param({"wsgi.url_scheme": "https", "SSL_PROTOCOL": "TLSv1.3"}, id="tls"),
]


@pytest.mark.requirement("A-010")
@pytest.mark.parametrize("change", HOSTILE)
def test_each_value_has_its_type_whatever_the_environ_says(change):
    scope = scope_of(environ_for() | change)

    assert_is_well_typed(scope)


def mutable_parts(value: Any) -> Iterator[object]:
    """Yield all dicts, lists and sets in a value."""
    if isinstance(value, dict | list | set):
        yield value
    if isinstance(value, dict):
        for item in value.values():
            yield from mutable_parts(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from mutable_parts(item)


@pytest.mark.requirement("A-010", "A-034")
@pytest.mark.parametrize("change", HOSTILE)
def test_two_scopes_of_one_environ_share_nothing_that_can_be_changed(change, backend):
    witness = Witness()
    environ = environ_for(
        headers={"TE": "trailers"},
        **{"wsgi.early_hints": print, "wsgi.file_wrapper": print, "gunicorn.http2.send_trailers": print},
    )
    environ |= change

    with hosted(witness, lifespan="off", event_loop=backend.name) as adapter:
        run(adapter, environ)
        run(adapter, environ)
    first, second = ({key: scope[key] for key in scope if key != ENVIRON_KEY} for scope in witness.scopes)

    assert first == second
    assert not {id(part) for part in mutable_parts(first)} & {id(part) for part in mutable_parts(second)}


@pytest.mark.requirement("A-010")
def test_what_an_application_does_to_its_scope_is_not_seen_by_the_next_request(backend):
    seen: list[set[str]] = []

    async def app(scope, receive, send):
        seen.append(set(scope))
        scope["extensions"].clear()
        scope["headers"].clear()
        scope["asgi"].clear()
        scope.clear()
        await answering()({"type": "http"}, receive, send)

    environ = environ_for()
    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        bodies = [run(adapter, environ).body for _ in range(2)]

    assert bodies == [b"hello", b"hello"]
    assert seen == [KEYS, KEYS]


@pytest.mark.requirement("A-011")
def test_the_scope_says_http_and_the_versions_that_are_kept(backend):
    scope = scope_of(environ_for(), event_loop=backend.name)

    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}


# ---- State --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-032")
def test_state_is_a_shallow_copy_per_request(backend):
    shared: list[str] = []
    witness = Witness({"shared": shared})

    with hosted(witness, event_loop=backend.name) as adapter:
        run(adapter)
        witness.scopes[0]["state"]["mine"] = "first request"
        witness.scopes[0]["state"]["shared"].append("seen by all")
        run(adapter)

    second = witness.scopes[1]["state"]
    assert second == {"shared": ["seen by all"]}
    assert second["shared"] is shared


@pytest.mark.requirement("A-032")
def test_an_application_with_a_lifespan_but_nothing_in_its_state_gets_an_empty_one(backend):
    witness = Witness({})

    with hosted(witness, event_loop=backend.name) as adapter:
        run(adapter)

    assert witness.scopes[0]["state"] == {}


async def _returns(scope, receive, send):
    """Answer requests; return from the lifespan without a word."""
    if scope["type"] == "http":
        assert "state" not in scope
        await answering()(scope, receive, send)


async def _raises_after_startup_came(scope, receive, send):
    if scope["type"] == "lifespan":
        scope["state"]["left"] = "over"
        await receive()
        raise RuntimeError("no lifespan here")
    assert "state" not in scope
    await answering()(scope, receive, send)


async def _refuses(scope, receive, send):
    assert scope["type"] == "http"
    assert "state" not in scope
    await answering()(scope, receive, send)


@pytest.mark.requirement("A-033")
@pytest.mark.parametrize(
    ("app", "lifespan"),
    [
        pytest.param(_refuses, "auto", id="raised at the scope"),
        pytest.param(_raises_after_startup_came, "auto", id="raised after the startup came"),
        pytest.param(_returns, "auto", id="returned"),
        pytest.param(_refuses, "off", id="off"),
    ],
)
def test_without_a_lifespan_there_is_no_state_at_all(app, lifespan, backend):
    with hosted(app, lifespan=lifespan, event_loop=backend.name) as adapter:
        gateway = run(adapter)

    assert gateway.status == "200 OK"


# ---- Extensions and keys ------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-034")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="bare"),
        pytest.param({"wsgi.file_wrapper": None, "wsgi.early_hints": "yes"}, id="not callable"),
        pytest.param({"gunicorn.http2.send_trailers": print}, id="a client that takes no trailers"),
        pytest.param({"SSL_PROTOCOL": "TLSv1.3"}, id="tls variables on http"),
    ],
)
def test_a_server_that_offers_nothing_gives_no_extensions(change):
    scope = scope_of(environ_for() | change)

    assert scope["extensions"] == {}


@pytest.mark.requirement("A-034", "A-040")
def test_of_a_server_that_offers_everything_exactly_what_works_is_listed(backend):
    everything = {
        "wsgi.early_hints": print,
        "wsgi.file_wrapper": print,
        "gunicorn.http2.send_trailers": print,
        "wsgi.url_scheme": "https",
        "SSL_PROTOCOL": "TLSv1.3",
    }

    scope = scope_of(environ_for(headers={"TE": "trailers"}, **everything), event_loop=backend.name)

    assert set(scope["extensions"]) == {
        "http.response.early_hint",
        "http.response.pathsend",
        "http.response.trailers",
        "tls",
    }
    assert [scope["extensions"][name] for name in scope["extensions"] if name != "tls"] == [{}, {}, {}]


@pytest.mark.requirement("A-040")
def test_a_plain_scope_has_the_keys_of_the_specification_and_the_environ():
    environ = environ_for()

    scope = scope_of(environ)

    assert set(scope) == KEYS
    assert scope[ENVIRON_KEY] is environ


# ---- TLS ----------------------------------------------------------------------------------------------------------

UNKNOWN_TLS = {
    "server_cert": None,
    "client_cert_chain": [],
    "client_cert_name": None,
    "client_cert_error": None,
    "tls_version": None,
    "cipher_suite": None,
}


@pytest.mark.requirement("A-038")
@pytest.mark.parametrize(
    ("variables", "known"),
    [
        pytest.param(
            {"SSL_PROTOCOL": "TLSv1.3", "SSL_CIPHER": "TLS_AES_128_GCM_SHA256"},
            {"tls_version": 0x0304, "cipher_suite": 0x1301},
            id="connection",
        ),
        pytest.param(
            {"SSL_PROTOCOL": "TLSv9", "SSL_SERVER_CERT": "-----BEGIN CERTIFICATE-----\nserver"},
            {"server_cert": "-----BEGIN CERTIFICATE-----\nserver"},
            id="server certificate, unknown version",
        ),
        pytest.param(
            {
                "SSL_CLIENT_CERT": "client",
                "SSL_CLIENT_CERT_CHAIN_0": "issuer",
                "SSL_CLIENT_CERT_CHAIN_1": "root",
                "SSL_CLIENT_S_DN": "CN=Zo\xc3\xab",
                "SSL_CLIENT_VERIFY": "SUCCESS",
            },
            {"client_cert_chain": ["client", "issuer", "root"], "client_cert_name": "CN=Zo\xeb"},
            id="client certificate",
        ),
        pytest.param(
            {"SSL_CLIENT_VERIFY": "FAILED:certificate has expired"},
            {"client_cert_error": "certificate has expired"},
            id="client certificate that failed",
        ),
    ],
)
def test_the_variables_of_mod_ssl_become_the_tls_extension(variables, known):
    scope = scope_of(environ_for(**{"wsgi.url_scheme": "https"}, **variables))

    assert scope["extensions"] == {"tls": UNKNOWN_TLS | known}


@pytest.mark.requirement("A-038")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"wsgi.url_scheme": "http", "SSL_PROTOCOL": "TLSv1.3"}, id="http"),
        pytest.param({"wsgi.url_scheme": "https"}, id="https, nothing known"),
        pytest.param({"wsgi.url_scheme": "https", "SSL_PROTOCOL": "", "SSL_CIPHER": None}, id="https, empty variables"),
        pytest.param({"wsgi.url_scheme": "https", "HTTPS": "on", "HTTP_SSL_PROTOCOL": "TLSv1.3"}, id="request fields"),
    ],
)
def test_there_is_no_tls_entry_where_nothing_is_known(change):
    scope = scope_of(environ_for() | change)

    assert scope["extensions"] == {}
