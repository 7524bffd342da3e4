"""Nothing is lost on the way there and back, on a subset that is written down here.

`environ_from_scope` and `scope_from_environ` are each other's inverse on the *lossless subset*. Outside of it something
is changed, joined or left out on purpose, because the other protocol has no word for it.

**A scope is in the subset** if it has exactly these keys:

- ``type`` is ``"http"``; ``asgi`` is what the bridge claims; ``extensions`` is empty. (The ``tls`` extension has a
  subset of its own, in ``test_tls_from_environ.py``. ``state`` and other extensions are no part of an environ.)
- ``http_version`` is ``"1.0"``, ``"1.1"``, ``"2"`` or ``"3"``.
- ``method`` is a token in upper case. ``scheme`` is a scheme in lower case (RFC 3986 section 3.1).
- ``root_path`` is empty, or text that begins with a slash and does not end with one. Like all text here it holds no
  surrogate.
- ``path`` is ``root_path``, followed by nothing or by a slash and anything; it is not empty. Or it is ``"*"``.
- ``raw_path`` is there, percent-decodes to ``path`` (as UTF-8, with replacement), begins with a slash, and holds no
  ``?`` and no ``#``. If ``path`` is ``"*"`` it is ``b"*"``. The part of it that stands for ``root_path`` decodes to it
  without replacement; the rest may be any octets.
- ``query_string`` is any octets.
- ``headers`` are tuples. Names are tokens in lower case without ``_`` and ``.``, each there once; ``transfer-encoding``
  is not among them. Values hold no CR, LF or NUL and have no space or tab at their ends. ``host`` and ``content-type``
  are not empty. ``content-length`` stands last and is a number of up to 18 digits without leading zeros.
- ``client`` is None or ``(address, port)``: ASCII text that is no placeholder (``""``, ``"-"``, ``"None"``,
  ``"unknown"``, ``"unix"``, ``"unix:"``), and 0 to 65535.
- ``server`` is ``(address, port)``: ASCII text that is not empty and does not begin with ``[``, and 1 to 65535.

Two things that are nearly in the subset: repeated fields come back as one, joined; and a scope without ``raw_path``
comes back with one, in which the path is quoted.

**An environ is in the subset** if it has what `EnvironOptions.base` gives, and beside that exactly these keys:

- ``REQUEST_METHOD`` and ``wsgi.url_scheme`` as above; ``HTTPS`` is ``"on"`` if and only if the scheme is ``https``.
- ``SERVER_PROTOCOL`` is ``HTTP/1.0``, ``HTTP/1.1``, ``HTTP/2`` or ``HTTP/3``.
- ``SCRIPT_NAME`` is empty, or begins with a slash and does not end with one; its octets are UTF-8.
- ``PATH_INFO`` begins with a slash; or it is empty and ``SCRIPT_NAME`` is not. Its octets may be any. Or it is ``"*"``.
- ``QUERY_STRING`` is any octets.
- ``REQUEST_URI`` and ``RAW_URI`` are equal: octets that percent-decode to SCRIPT_NAME and PATH_INFO, begin with a
  slash and hold no ``?`` and no ``#``, or ``*`` if that is PATH_INFO; then, if there is a query, ``?`` and the query.
- ``SERVER_NAME`` is ASCII text without colon that is not empty and does not begin with ``[``, or one with a colon, in
  brackets. ``SERVER_PORT`` is a number from 1 to 65535 without leading zeros.
- ``REMOTE_ADDR``, where it is there, is as the client's address above; with it there may be ``REMOTE_PORT``, a number
  like SERVER_PORT.
- ``CONTENT_TYPE``, ``CONTENT_LENGTH`` and ``HTTP_*``, where they are there, have values as above. Names are ``HTTP_``
  and a token in upper case without ``-`` and ``.``; none of ``HTTP_CONTENT_TYPE``, ``HTTP_CONTENT_LENGTH`` and
  ``HTTP_TRANSFER_ENCODING``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.translate import EnvironOptions, environ_from_scope, scope_from_environ
from tests.strategies import PROPERTY, Pairs, path_from_raw, texts

# ---- The parts --------------------------------------------------------------------------------------------------
# Constants, since a strategy that is made anew for each example costs more than the example.


def tokens(alphabet: str) -> st.SearchStrategy[str]:
    return st.text(alphabet=alphabet, min_size=1, max_size=10)


def short_octets(min_size: int) -> st.SearchStrategy[bytes]:
    """Field values: any octets but CR, LF and NUL, without space or tab at the ends."""
    octets = st.binary(max_size=10).map(lambda value: value.translate(None, b"\r\n\0").strip(b" \t"))
    return octets.filter(lambda value: len(value) >= min_size)


TOKEN_SIGNS = "!#$%&'*+^`|~0123456789"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
METHODS = st.sampled_from(["GET", "HEAD", "POST", "M-SEARCH"]) | tokens(TOKEN_SIGNS + "-._" + LETTERS.upper())
SCHEMES = st.sampled_from(["http", "https"]) | st.builds(
    str.__add__, st.sampled_from(LETTERS), st.text(alphabet=LETTERS + "0123456789+.-", max_size=8)
)

ASCII_TEXTS = st.text(alphabet=st.characters(max_codepoint=127), min_size=1, max_size=10)
PLACEHOLDERS = ("", "-", "None", "unknown", "unix", "unix:")
CLIENT_ADDRESSES = st.sampled_from(["192.0.2.7", "::1", "localhost", "[::1]"]) | ASCII_TEXTS.filter(
    lambda text: text not in PLACEHOLDERS
)
SERVER_ADDRESSES = st.sampled_from(["shop.example", "::1", "/run/shop.sock"]) | ASCII_TEXTS.filter(
    lambda text: text[0] != "["
)
PORTS = st.integers(1, 65535)
CLIENTS = st.none() | st.tuples(CLIENT_ADDRESSES, st.integers(0, 65535))
SERVERS = st.tuples(SERVER_ADDRESSES, PORTS)

ROOT_PATHS = st.just("") | st.builds(
    str.rstrip,
    st.sampled_from(["/app", "/café", "/a b", "//a//b", "/%41", "/\ufffd"]) | texts().map("/".__add__),
    st.just("/"),
)
RESTS = st.one_of(
    st.sampled_from(
        [b"/", b"//", b"/x", b"/app", b"/caf\xc3\xa9", b"/\xff", b"/a?b#c", b"/%2F", b"/%", b"/http://h", b"/*"]
    ),
    st.binary(max_size=8).map(b"/".__add__),
    texts().map(lambda text: f"/{text}".encode()),
)
"""The octets of a path below its mount point: a slash and anything."""
RESTS_OR_NOTHING = RESTS | st.just(b"")
QUERIES = st.sampled_from([b"", b"x=1&y=%20", b"a?b#c", b"?"]) | st.binary(max_size=8)
ONE_IN_TEN = st.integers(0, 9).map(lambda number: number == 9)

SPECIAL_NAMES = frozenset({"host", "content-type", "content-length", "transfer-encoding"})
NAMES = st.sampled_from(["accept", "cookie", "x-foo", "user-agent", "-", "x--y", "expect", "connection"]) | tokens(
    TOKEN_SIGNS + "-" + LETTERS
).filter(lambda name: name not in SPECIAL_NAMES)
PAIRS = st.tuples(NAMES.map(str.encode), short_octets(0))
REPEATED_PAIRS = st.lists(PAIRS, max_size=6)
UNIQUE_PAIRS = st.lists(PAIRS, max_size=5, unique_by=lambda pair: pair[0])
SINGLE_PAIRS = st.fixed_dictionaries({}, optional={b"host": short_octets(1), b"content-type": short_octets(1)})
LENGTHS = st.none() | st.integers(0, 10**18 - 1)


@st.composite
def quoted(draw: st.DrawFn, octets: bytes) -> bytes:
    """Draw a raw path that decodes to ``octets``: each octet escaped or not, digits in either case."""
    first, rest = octets[:1], octets[1:]
    choices = draw(st.binary(min_size=len(rest), max_size=len(rest)))
    shapes = {0: b"%c", 1: b"%%%02X", 2: b"%c", 3: b"%%%02x"}
    raw = first + b"".join(
        shapes[choice % 4 | (octet in b"?#%")] % octet for octet, choice in zip(rest, choices, strict=True)
    )
    assert unquote_to_bytes(raw) == octets
    return raw


@st.composite
def headers(draw: st.DrawFn, pairs: st.SearchStrategy[Pairs]) -> Pairs:
    """Draw a field list; ``content-length`` last, everything else in any order."""
    drawn = draw(pairs)
    for pair in draw(SINGLE_PAIRS).items():
        drawn.insert(draw(st.integers(0, len(drawn))), pair)
    length = draw(LENGTHS)
    return drawn if length is None else [*drawn, (b"content-length", b"%d" % length)]


UNIQUE_HEADERS = headers(UNIQUE_PAIRS)
REPEATED_HEADERS = headers(REPEATED_PAIRS)


@st.composite
def targets(draw: st.DrawFn) -> tuple[str, bytes, bytes, bytes]:
    """Draw root path, the octets below it, the raw path of both, and a query."""
    root, query = draw(ROOT_PATHS), draw(QUERIES)
    if draw(ONE_IN_TEN):
        return root, b"*", b"*", query
    rest = draw(RESTS_OR_NOTHING if root else RESTS)
    return root, rest, draw(quoted(root.encode() + rest)), query


TARGETS = targets()

# ---- The subset -------------------------------------------------------------------------------------------------

CLAIM = {"version": "3.0", "spec_version": "2.5"}
VERSIONS = st.sampled_from(["1.0", "1.1", "2", "3"])


@st.composite
def lossless_scopes(draw: st.DrawFn, headers: st.SearchStrategy[Pairs] = UNIQUE_HEADERS) -> dict[str, Any]:
    root, rest, raw, query = draw(TARGETS)
    return {
        "type": "http",
        "asgi": CLAIM,
        "http_version": draw(VERSIONS),
        "method": draw(METHODS),
        "scheme": draw(SCHEMES),
        "path": "*" if rest == b"*" else path_from_raw(raw),
        "raw_path": raw,
        "query_string": query,
        "root_path": root,
        "headers": draw(headers),
        "client": draw(CLIENTS),
        "server": draw(SERVERS),
        "extensions": {},
    }


@st.composite
def lossless_environs(draw: st.DrawFn) -> dict[str, Any]:
    root, rest, raw, query = draw(TARGETS)
    uri = (raw + b"?" * bool(query) + query).decode("latin-1")
    scheme = draw(SCHEMES)
    host, port = draw(SERVERS)
    environ = EnvironOptions().base() | {
        "REQUEST_METHOD": draw(METHODS),
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": rest.decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "REQUEST_URI": uri,
        "RAW_URI": uri,
        "SERVER_NAME": f"[{host}]" if ":" in host else host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/" + draw(VERSIONS),
        "wsgi.url_scheme": scheme,
    }
    if scheme == "https":
        environ["HTTPS"] = "on"
    client = draw(CLIENTS)
    if client:
        environ["REMOTE_ADDR"] = client[0]
        if client[1]:
            environ["REMOTE_PORT"] = str(client[1])
    for name, value in draw(UNIQUE_HEADERS):
        key = name.decode().upper().replace("-", "_")
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value.decode("latin-1")
    return environ


def joined(pairs: Pairs) -> Pairs:
    """Return the fields as WSGI can hold them: each name once, where it stood first, its values joined."""
    merged: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        merged.setdefault(name, []).append(value)
    return [(name, (b"; " if name == b"cookie" else b", ").join(values)) for name, values in merged.items()]


# ---- There and back ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-032", "A-012", "A-013", "A-014", "A-015", "A-016", "A-017")
@pytest.mark.requirement("A-018", "A-019", "A-021", "A-022", "A-023", "A-024", "A-025", "A-026", "A-028")
@given(scope=lossless_scopes())
@PROPERTY
def test_a_scope_comes_back_from_its_environ(scope):
    assert scope_from_environ(environ_from_scope(scope)) == scope


@pytest.mark.requirement("W-032", "A-012", "A-013", "A-014", "A-015", "A-016", "A-017")
@pytest.mark.requirement("A-018", "A-019", "A-021", "A-022", "A-023", "A-024", "A-025", "A-026", "A-028")
@given(environ=lossless_environs())
@PROPERTY
def test_an_environ_comes_back_from_its_scope(environ):
    assert environ_from_scope(scope_from_environ(environ)) == environ


@pytest.mark.requirement("W-032", "A-028")
@given(scope=lossless_scopes(REPEATED_HEADERS))
@PROPERTY
def test_repeated_fields_come_back_joined_and_all_else_as_it_was(scope):
    assert scope_from_environ(environ_from_scope(scope)) == scope | {"headers": joined(scope["headers"])}


@pytest.mark.requirement("W-032", "A-024")
@given(scope=lossless_scopes())
@PROPERTY
def test_a_scope_without_raw_path_comes_back_with_its_path_quoted(scope):
    del scope["raw_path"]

    back = scope_from_environ(environ_from_scope(scope))

    raw_path = back.pop("raw_path")
    assert back == scope
    assert unquote_to_bytes(raw_path) == scope["path"].encode()
    assert raw_path.isascii()


@pytest.mark.requirement("W-032", "A-019", "A-024")
@given(environ=lossless_environs())
@PROPERTY
def test_the_second_time_nothing_changes_any_more_even_where_the_server_does_not_tell_the_uri(environ):
    """PATH_INFO that is not UTF-8 is lost without the URI, but only once."""
    del environ["REQUEST_URI"], environ["RAW_URI"]

    once = environ_from_scope(scope_from_environ(environ))

    assert environ_from_scope(scope_from_environ(once)) == once
    assert once["PATH_INFO"] == environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace").encode().decode(
        "latin-1"
    )
