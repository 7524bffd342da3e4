"""``environ`` from an ASGI ``http`` scope: everything but what needs a running request.

The keys that reach into the running request (``wsgi.input``, ``wsgi.errors``, ``wsgi.file_wrapper`` and the
callables) are added by the adapter; this file knows only the scope.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.translate.headers import BodyFraming, add_request_fields, framing_from_headers
from bridge.translate.paths import request_uri, target_path
from bridge.translate.strings import exact_native
from bridge.translate.tls import ssl_variables_from_tls
from bridge.types import Environ

SERVER_SOFTWARE = "bridge/0.1"

_PROTOCOLS = {
    "1.1": "HTTP/1.1",
    "1.0": "HTTP/1.0",
    "2": "HTTP/2",
    "1": "HTTP/1.0",
    "3": "HTTP/3",
    "2.0": "HTTP/2",
}
_DEFAULT_PORTS = {"https": "443", "wss": "443"}
_PORT_MAX = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironOptions:
    """What the deployer decides about every environ.

    Attributes:
        multithread: the value of ``wsgi.multithread``.
        multiprocess: the value of ``wsgi.multiprocess``.
        strip_root_path: take ``root_path`` off the front of ``path`` where it is there (GW-1).
        underscore_names: lower-case field names with ``_`` that are let through (W-044).
        extra: name/value pairs for every environ; request data wins over them, and what only a request can say
            (``HTTP_*``, ``CONTENT_LENGTH``...) is not taken from here (W-015).
    """

    multithread: bool = True
    multiprocess: bool = True
    strip_root_path: bool = True
    underscore_names: frozenset[bytes] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def base(self) -> Environ:
        """Return a new dict with all that is equal in every request, and with a place for what always comes.

        Copying a dict and overwriting values is much cheaper than growing one key by key.
        """
        return {
            **{key: value for key, value in self.extra.items() if not _describes_request(key)},
            "SERVER_SOFTWARE": SERVER_SOFTWARE,
            "wsgi.version": (1, 0),
            "wsgi.multithread": self.multithread,
            "wsgi.multiprocess": self.multiprocess,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,  # W-059
            **dict.fromkeys(_ALWAYS_SET, ""),
        }


def _describes_request(key: str) -> bool:
    """Tell whether a key that is absent says something about the request."""
    return key.startswith("HTTP_") or key in {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTPS", "REMOTE_ADDR", "REMOTE_PORT"}


_ALWAYS_SET = (
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "REQUEST_URI",
    "RAW_URI",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "wsgi.url_scheme",
)
_OPTIONAL_KEYS: Mapping[str, Any] = dict.fromkeys(
    ("path", "raw_path", "root_path", "query_string", "http_version", "scheme", "client", "server")
)
"""Keys that a scope may lack; None says as much as their absence."""
_DEFAULT_OPTIONS = EnvironOptions()


def environ_from_scope(
    scope: Mapping[str, Any],
    *,
    headers: list[tuple[bytes, bytes]] | None = None,
    framing: BodyFraming | None = None,
    options: EnvironOptions = _DEFAULT_OPTIONS,
    base: Environ | None = None,
) -> Environ:
    """Build the WSGI environ for an ASGI ``http`` scope; the scope is only read.

    Args:
        scope: an ASGI HTTP connection scope; optional keys may be missing or None.
        headers: the scope's headers where the caller has already taken them out (there they may be a one-shot
            iterable).
        framing: what `framing_from_headers` said about them, where the caller knows.
        options: the deployer's choices.
        base: ``options.base()`` where the caller keeps one (it may have more keys); it is copied.

    Returns:
        A new ``dict``. Values under keys without a dot are ``str`` with code points up to U+00FF.

    Raises:
        BadRequest: the request cannot be translated without guessing.

    Spec: PEP 3333 "environ Variables"; ASGI HTTP "WSGI Compatibility"; W-008 to W-065.
    """
    try:  # a subscript takes a third of the time of get()
        path: str = scope["path"] or ""
        raw_path: bytes | None = scope["raw_path"]
        root_path: str = scope["root_path"] or ""
        query_string: bytes = scope["query_string"]
        version: str = scope["http_version"] or "1.1"
        scheme: str = scope["scheme"] or "http"
        client, server = scope["client"], scope["server"]
    except KeyError:
        return environ_from_scope(
            {**_OPTIONAL_KEYS, **scope}, headers=headers, framing=framing, options=options, base=base
        )
    if headers is None:
        headers = list(scope.get("headers") or ())
    if framing is None:
        framing = framing_from_headers(headers)
    environ = options.base() if base is None else base.copy()
    method = scope["method"]
    environ["REQUEST_METHOD"] = method if type(method) is str and method.isascii() else exact_native(method)
    authority = None
    if not root_path and path[:1] == "/" and path.isascii():  # nearly every request
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = path
    else:
        environ["SCRIPT_NAME"], environ["PATH_INFO"], authority = target_path(
            root_path, path, raw_path, strip_root_path=options.strip_root_path
        )
    environ["QUERY_STRING"] = query = query_string.decode("latin-1") if query_string else ""  # W-029
    environ["REQUEST_URI"] = environ["RAW_URI"] = request_uri(path, raw_path, query)
    environ["SERVER_PROTOCOL"] = _PROTOCOLS.get(version) or f"HTTP/{version}"  # W-038
    environ["wsgi.url_scheme"] = scheme
    if scheme == "https":
        environ["HTTPS"] = "on"  # W-061
    if client and (host := client[0]):  # a part that is not known stays away (W-037)
        environ["REMOTE_ADDR"] = host if type(host) is str and host.isascii() else exact_native(str(host))
        if client[1]:
            environ["REMOTE_PORT"] = str(client[1])
    add_request_fields(environ, headers, options.underscore_names)
    if authority is not None:
        environ["HTTP_HOST"] = authority
    if framing.content_length is not None:
        environ["CONTENT_LENGTH"] = str(framing.content_length)
    if server and (host := server[0]) and type(host) is str and host.isascii() and type(server[1]) is int and server[1]:
        environ["SERVER_NAME"] = host if ":" not in host or host[0] == "[" else f"[{host}]"
        environ["SERVER_PORT"] = str(server[1])
    else:
        _add_unusual_server(environ, server, scheme)
    extensions = scope.get("extensions")
    if extensions:
        tls = extensions.get("tls")
        if tls is not None:
            environ.update(ssl_variables_from_tls(tls))
    return environ


def _add_unusual_server(environ: Environ, server: Any, scheme: str) -> None:
    """SERVER_NAME and SERVER_PORT, never empty: from ``server``, else from Host, else the defaults (W-033 to W-036)."""
    if server and server[1] is not None:
        host, port = exact_native(str(server[0] or "")), str(server[1])
    else:  # not known, or a unix socket: its path is no host name
        host, port = _split_authority(environ.get("HTTP_HOST", ""))
    if not host:
        host = "localhost"
    elif ":" in host and host[0] != "[":
        host = f"[{host}]"  # RFC 3875 section 4.1.14
    environ["SERVER_NAME"] = host
    environ["SERVER_PORT"] = port if port and port != "0" else _DEFAULT_PORTS.get(scheme, "80")


def _split_authority(authority: str) -> tuple[str, str]:
    """Split a Host field; the port is ``""`` where there is none, or none that a server could listen on."""
    host, separator, port = authority.rpartition(":")
    if separator and port.isdigit() and port.isascii() and (":" not in host or host[-1:] == "]"):
        return host, port if len(port) <= len("65535") and 0 < int(port) <= _PORT_MAX else ""
    if separator and not port:
        return host, ""
    return authority, ""
