"""The oracle of environ: what each variable but those of the path must be, variable by variable from the rules."""

from __future__ import annotations

from typing import Any

from fuzz.http_rules import Refusal, is_split, is_token, lowered, request_length, trimmed, uppered
from fuzz.path_rules import Target, octets_of_text

_PROTOCOLS = {"1.0": "HTTP/1.0", "1": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2", "2.0": "HTTP/2", "3": "HTTP/3"}
_PORT_MAX = 65535
_HIDDEN = frozenset({b"content-length", b"transfer-encoding"})


def request_variables(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the variables that request fields make.

    Raises:
        Refusal: the request is to be answered with 400.
    """
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(lowered(name), []).append(value)
    if any(is_split(value) for of_name in values.values() for value in of_name):
        raise Refusal("CR, LF or NUL in a value (W-046)")
    for name in (b"host", b"content-type"):
        if len(values.get(name, ())) > 1:
            raise Refusal(f"more than one {name.decode()} (W-054)")
    length = request_length(values.get(b"content-length", ()))
    variables: dict[str, str] = {}
    for name, of_name in values.items():
        if not is_token(name) or b"_" in name or name in _HIDDEN:
            continue
        key = uppered(name).replace(b"-", b"_").decode("ascii")
        text = (b"; " if name == b"cookie" else b", ").join(map(trimmed, of_name)).decode("latin-1")
        variables[key if name == b"content-type" else "HTTP_" + key] = text
    if variables.get("HTTP_HOST") == "":
        del variables["HTTP_HOST"]
    if length is not None and b"transfer-encoding" not in values:
        variables["CONTENT_LENGTH"] = str(length)
    return variables


def expected_variables(scope: dict[str, Any], target: Target) -> dict[str, str]:
    """Return what the environ of a scope must hold besides what is constant and what is of the path.

    Raises:
        Refusal: the request is to be answered with 400.
    """
    variables = request_variables(scope["headers"])
    authority = target.authority
    if authority is not None:
        if is_split(authority):
            raise Refusal("a control character in the authority")
        variables["HTTP_HOST"] = authority.decode("latin-1")
    if target.is_refused:
        raise Refusal("a lone surrogate in the path (W-024)")
    variables["REQUEST_METHOD"] = scope["method"]
    variables["QUERY_STRING"] = scope["query_string"].decode("latin-1")
    variables["SERVER_PROTOCOL"] = _PROTOCOLS[scope["http_version"] or "1.1"]
    scheme = scope["scheme"] or "http"
    variables["wsgi.url_scheme"] = scheme
    if scheme == "https":
        variables["HTTPS"] = "on"
    client = scope["client"]
    if client is not None and client[0]:
        variables["REMOTE_ADDR"] = octets_of_text(client[0]).decode("latin-1")
        if client[1]:
            variables["REMOTE_PORT"] = str(client[1])
    name, port = _server(scope["server"], variables.get("HTTP_HOST", ""))
    if not name:
        name = "localhost"
    elif ":" in name and name[0] != "[":
        name = f"[{name}]"
    variables["SERVER_NAME"] = name
    variables["SERVER_PORT"] = port if port not in ("", "0") else "443" if scheme in ("https", "wss") else "80"
    return variables


def _server(server: Any, host_field: str) -> tuple[str, str]:
    if server is not None and server[1] is not None:
        return octets_of_text(server[0]).decode("latin-1"), str(server[1])
    return split_host(host_field)


def split_host(field: str) -> tuple[str, str]:
    """Return host and port of a Host field; the port is empty where there is none, or none that can be.

    Of what is no host with a port, all is the host: nothing can be known of it.
    """
    colon = field.rfind(":")
    if colon < 0:
        return field, ""
    host, port = field[:colon], field[colon + 1 :]
    if not port:
        return host, ""
    if not all("0" <= digit <= "9" for digit in port) or (":" in host and host[-1] != "]"):
        return field, ""
    return host, port if len(port) <= len("65535") and 0 < int(port) <= _PORT_MAX else ""
