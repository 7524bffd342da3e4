"""Hypothesis strategies shared by the tests: field lists, paths, scopes, chunkings.

Two families. The well-formed ones give what a careful ASGI server hands over; what is true for all of them is a promise
to applications. The ``hostile_`` ones give whatever octets a client can push through a server that checks little; for
them the promise is smaller: an answer or a documented exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

PROPERTY = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
"""The settings of every property, as a decorator; what else there is to say is in the profile of ``conftest.py``."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

Pairs = list[tuple[bytes, bytes]]

# ---- Request fields ---------------------------------------------------------------------------------------------

TOKEN_OCTETS = b"!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What a field name may hold (RFC 9110 section 5.6.2), without the underscore."""

FRAMING_NAMES = frozenset({b"content-length", b"transfer-encoding"})
SINGLE_NAMES = frozenset({b"host", b"content-type"})
_SPECIAL_NAMES = FRAMING_NAMES | SINGLE_NAMES

_ORDINARY_NAMES = [b"accept", b"cookie", b"x-foo", b"X-Foo", b"user-agent", b"Via", b"x-forwarded-for", b"remote-user"]


def header_names() -> st.SearchStrategy[bytes]:
    """Field names that reach the application: tokens in any case, without underscore, that may be repeated."""
    token = st.lists(st.sampled_from(TOKEN_OCTETS), min_size=1, max_size=12).map(bytes)
    return st.one_of(st.sampled_from(_ORDINARY_NAMES), token.filter(lambda name: name.lower() not in _SPECIAL_NAMES))


def header_values() -> st.SearchStrategy[bytes]:
    """Field values: any octet but CR, LF and NUL."""
    return st.binary(max_size=24).map(lambda octets: octets.translate(None, b"\r\n\0"))


def header_lists() -> st.SearchStrategy[Pairs]:
    """Return field lists with repeats and mixed case; Host, Content-Type and Content-Length at most once."""
    repeatable = st.lists(st.tuples(header_names(), header_values()), max_size=8)
    host = st.sampled_from([b"shop.example", b"shop.example:8080", b"127.0.0.1:80", b"[::1]:8000"])
    single = st.fixed_dictionaries(
        {},
        optional={
            b"host": host,
            b"content-type": header_values(),
            b"content-length": st.integers(0, 10**17).map(lambda number: b"%d" % number),
            b"transfer-encoding": st.just(b"chunked"),
        },
    )
    return st.builds(lambda pairs, extra: [*extra.items(), *pairs], repeatable, single)


def hostile_header_lists() -> st.SearchStrategy[Pairs]:
    """Return field lists of any octets, with a liking for the names that mean something."""
    name = st.one_of(
        st.sampled_from(
            [
                *_ORDINARY_NAMES,
                *_SPECIAL_NAMES,
                b"Content_Length",
                b"Content-Length",
                b"HOST",
                b":authority",
                b"",
                b"proxy",
                b"https",
                b"wsgi.input",
                b"x_auth_user",
                b"x-\xdf",
                b"expect",
            ]
        ),
        st.binary(max_size=12),
    )
    value = st.one_of(
        st.sampled_from([b"5", b"5, 5", b"+5", b"chunked", b"h:81", b"[", b":", b""]), st.binary(max_size=24)
    )
    return st.lists(st.tuples(name, value), max_size=8)


# ---- Paths ------------------------------------------------------------------------------------------------------

_PATH_PIECES = [
    *[b"/", b"//", b"a", b"app", b"..", b".", b";p=1", b"+", b"~", b":", b"@", b"index.php"],
    *[b"%2F", b"%25", b"%2525", b"%20", b"%3F", b"%23", b"%0A", b"%00", b"%7e"],
    *[b"%C3%A9", b"%e2%82%ac", b"%F0%9F%90%8D", b"%EF%BF%BD"],  # é, €, a snake, U+FFFD itself
    *[b"%FF", b"%E9", b"%C3", b"%ED%A0%80"],  # not UTF-8
]


def raw_paths() -> st.SearchStrategy[bytes]:
    """Percent-encoded paths in origin form: a slash and then anything, also octets that are not UTF-8."""
    piece = st.one_of(
        st.sampled_from(_PATH_PIECES), st.binary(max_size=4).map(lambda octets: quote_from_bytes(octets).encode())
    )
    return st.lists(piece, max_size=6).map(lambda pieces: b"/" + b"".join(pieces))


def path_from_raw(raw_path: bytes) -> str:
    """Return the ``path`` a server makes of ``raw_path``: decoded once, as UTF-8, undecodable octets replaced."""
    return unquote_to_bytes(raw_path).decode("utf-8", "replace")


def texts() -> st.SearchStrategy[str]:
    """Any Unicode text that can be encoded."""
    return st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)


def hostile_texts() -> st.SearchStrategy[str]:
    """Any text at all, lone surrogates and control characters included."""
    anything = st.text(alphabet=st.characters(categories=None), max_size=12)
    surrogates = st.text(alphabet="/a\udcff\udc80\ud800\udfff\ufffd\r\n\0", max_size=8)
    return st.one_of(anything, surrogates)


def root_paths() -> st.SearchStrategy[str]:
    """Mount points as servers and frameworks spell them: with and without slashes at the ends."""
    segment = st.one_of(st.sampled_from(["app", "api", "v1", "café", "a b"]), texts())
    return st.builds(
        lambda segments, front, back: front + "/".join(segments) + back,
        st.lists(segment, max_size=3),
        st.sampled_from(["", "/"]),
        st.sampled_from(["", "/"]),
    )


def hostile_paths() -> st.SearchStrategy[str]:
    """Return paths in every form a request target can take, of any text."""
    return st.one_of(
        hostile_texts(),
        hostile_texts().map(lambda text: "/" + text),
        st.builds(lambda authority, rest: f"http://{authority}/{rest}", hostile_texts(), hostile_texts()),
        st.sampled_from(["", "*", "//", "http://", "https://h", "http:///p", "example.com:443", "HTTP://h/p"]),
    )


# ---- Scopes -----------------------------------------------------------------------------------------------------

_ADDRESSES = ["127.0.0.1", "::1", "192.0.2.7", "shop.example"]


def scopes() -> st.SearchStrategy[dict[str, Any]]:
    """Return well-formed ``http`` scopes in which optional keys are missing, ``None`` or given."""
    port = st.integers(1, 65535)
    server_port = st.one_of(port, port.map(str))
    return st.builds(
        lambda raw, has_raw, rest: {
            "type": "http",
            "path": path_from_raw(raw),
            **({"raw_path": raw} if has_raw else {}),
            **rest,
        },
        raw_paths(),
        st.booleans(),
        st.fixed_dictionaries(
            {"method": st.sampled_from(METHODS)},
            optional={
                "http_version": st.sampled_from(["1.0", "1.1", "2", "3", "1"]),
                "scheme": st.sampled_from(["http", "https", None]),
                "query_string": st.one_of(st.none(), st.binary(max_size=12)),
                "root_path": st.one_of(st.none(), root_paths()),
                "headers": st.one_of(
                    st.none(), header_lists(), header_lists().map(lambda pairs: tuple(map(list, pairs)))
                ),
                "client": st.one_of(st.none(), st.tuples(st.sampled_from(_ADDRESSES), st.integers(0, 65535))),
                "server": st.one_of(
                    st.none(),
                    st.tuples(st.sampled_from(_ADDRESSES), server_port),
                    st.just(["/run/shop.sock", None]),
                ),
                "extensions": st.sampled_from([None, {}, {"tls": {}}, {"tls": {"client_cert_name": "CN=Zoë,O=€"}}]),
                "state": st.sampled_from([None, {}]),
            },
        ),
    )


def hostile_scopes() -> st.SearchStrategy[dict[str, Any]]:
    """Return ``http`` scopes with any octets and any text where a client has a say."""
    octet_text = st.text(alphabet=st.characters(max_codepoint=255), max_size=12)
    return st.fixed_dictionaries(
        {
            "type": st.just("http"),
            "method": st.text(alphabet="ABCZ-!", min_size=1, max_size=8),
            "path": hostile_paths(),
        },
        optional={
            "raw_path": st.one_of(st.none(), st.binary(max_size=16), raw_paths()),
            "scheme": st.sampled_from(["http", "https"]),
            "query_string": st.binary(max_size=16),
            "root_path": hostile_texts(),
            "headers": hostile_header_lists(),
            "client": st.tuples(octet_text, st.one_of(st.none(), st.integers(0, 65535))),
            "server": st.one_of(st.none(), st.tuples(octet_text, st.one_of(st.none(), st.integers(0, 65535)))),
            "extensions": st.fixed_dictionaries(
                {},
                optional={
                    "tls": st.fixed_dictionaries(
                        {},
                        optional={
                            "client_cert_name": st.one_of(st.none(), hostile_texts()),
                            "client_cert_chain": st.lists(hostile_texts(), max_size=3),
                            "client_cert_error": st.one_of(st.none(), hostile_texts()),
                            "server_cert": hostile_texts(),
                            "tls_version": st.one_of(st.none(), st.integers()),
                            "cipher_suite": st.one_of(st.none(), st.integers(0, 0xFFFF)),
                        },
                    )
                },
            ),
        },
    )


# ---- Requested URLs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Visit:
    """A URL somebody asked for, and the scope in which some server presents it."""

    url: str
    """In one spelling: the path's octets quoted as ``urllib.parse.quote`` does, default ports left out."""
    root_path: str
    raw_target: bytes
    """The whole path on the wire, mount point included."""
    scope: dict[str, Any]


@st.composite
def visits(draw: st.DrawFn) -> Visit:
    """Draw a URL (scheme, host, port, mount, path, query) and one of the shapes servers give it.

    Left out, because nobody can tell them apart: a path whose prefix a front end removed and that begins with the
    prefix all the same, and octets that are not UTF-8 on a server that offers no ``raw_path``.
    """
    scheme = draw(st.sampled_from(["http", "https"]))
    segments = st.text(
        alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=6
    )
    root = draw(
        st.sampled_from(["", "/app", "/café"])
        | st.lists(segments, max_size=2).map(lambda s: "".join("/" + x for x in s))
    )
    rest = draw(raw_paths() | st.just(b"")) if root else draw(raw_paths())
    rest_text = path_from_raw(rest)
    is_lossy = rest_text.encode() != unquote_to_bytes(rest)

    is_prefix_in_path = draw(st.booleans())
    assume(is_prefix_in_path or not root or not (rest_text == root or rest_text.startswith(root + "/")))
    raw_root = quote_from_bytes(root.encode()).encode()
    raw_path = draw(st.sampled_from([rest, raw_root + rest] if is_lossy else [None, rest, raw_root + rest]))
    query = draw(st.sampled_from([b"", b"x=1&y=%20", b"q=%E9&r=\xe9", b"a?b"]))
    if raw_path is not None and query and draw(st.booleans()):
        raw_path += b"?" + query  # a stray query, as some servers leave it

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "scheme": scheme,
        "path": (root if is_prefix_in_path else "") + rest_text,
        "raw_path": raw_path,
        "root_path": root,
        "query_string": query,
        "headers": [],
        "server": None,
    }
    authority = _draw_authority(draw, scheme, scope)
    octets = root.encode() + unquote_to_bytes(rest)
    url = f"{scheme}://{authority}{quote_from_bytes(octets)}" + (f"?{query.decode('latin-1')}" if query else "")
    return Visit(url, root, raw_root + rest, scope)


def _draw_authority(draw: st.DrawFn, scheme: str, scope: dict[str, Any]) -> str:
    """Give the scope a Host field or a server address; return the authority of the URL."""
    default_port = 443 if scheme == "https" else 80
    host, address = draw(st.sampled_from([("shop.example", "shop.example"), ("127.0.0.1",) * 2, ("[::1]", "::1")]))
    port = draw(st.sampled_from([default_port, 8080, 8443]))
    if draw(st.booleans()):
        authority = draw(st.sampled_from([host, f"{host}:{port}"]))
        scope["headers"] = [(b"host", authority.encode())]
        scope["server"] = draw(st.sampled_from([None, ("10.0.0.1", 8000), ("/run/shop.sock", None)]))
        return authority
    scope["server"] = (address, draw(st.sampled_from([port, str(port)])))
    return host if port == default_port else f"{host}:{port}"


# ---- Chunkings --------------------------------------------------------------------------------------------------


@st.composite
def chunkings(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """Draw a way to cut ``body`` into pieces, empty ones included; joined they are ``body``."""
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=8)))
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]


def bodies() -> st.SearchStrategy[bytes]:
    """Bodies with many line ends, so that reading by lines has something to do."""
    return st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"bc", b"\0", b"\xff", b"line"]), max_size=24).map(
        b"".join
    )
