"""Paths: ``(root_path, path, raw_path)`` to ``(SCRIPT_NAME, PATH_INFO)`` and the request URI.

Facts that shape this file:

- ``path`` includes ``root_path`` on some servers (uvicorn), and is "as received" on others (hypercorn, daphne); a
  front end may have removed the prefix already. So the prefix is taken off where it is there, at a segment boundary,
  and its absence is no error (W-018, W-019).
- ``path`` was decoded as UTF-8 with replacement, so octets that are not UTF-8 are lost in it; ``raw_path`` (optional)
  still has them. It is only trusted where it decodes to ``path``: middleware rewrites the one and not the other.
- Nothing is normalised: ``//``, ``..`` and ``;`` mean what the application says they mean (W-026).
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from bridge.errors import BadRequest
from bridge.translate.headers import FORBIDDEN_IN_VALUE
from bridge.translate.strings import native_from_octets, native_from_text, octets_from_text

_REPLACEMENT = "\ufffd"
_SAFE_IN_PATH = "/:@!$&'()*+,;=~"  # RFC 3986 pchar and "/": what a client need not have escaped


class TargetPath(NamedTuple):
    """The parts of a request target that WSGI wants, each latin-1 ``str``."""

    script_name: str
    path_info: str
    authority: str | None
    """The authority of an absolute-form target; it replaces ``HTTP_HOST`` (W-028)."""


def target_path(root_path: str, path: str, raw_path: bytes | None, *, strip_root_path: bool = True) -> TargetPath:
    """Split an ASGI path into SCRIPT_NAME and PATH_INFO.

    Args:
        root_path: Unicode text, with or without slashes at its ends.
        path: Unicode text, percent-decoded, with or without ``root_path`` in front.
        raw_path: percent-encoded octets as received, or None.
        strip_root_path: take ``root_path`` off the front of ``path`` where it is there.

    Raises:
        BadRequest: a lone surrogate that stands for no octet.

    Spec: ASGI HTTP "WSGI Compatibility"; PEP 3333 "environ Variables"; W-017 to W-028.
    """
    authority = None
    if path[:1] not in ("/", ""):
        path, authority = _without_authority(path)
        raw_path = None if raw_path is None else _raw_without_authority(raw_path)
    elif not root_path and path and path.isascii():
        return TargetPath("", path, None)  # nearly every request
    root = root_path.rstrip("/")
    if root and root[0] != "/":
        root = "/" + root
    # ASCII: nothing can have been lost in decoding.
    if path.isascii() and root.isascii():
        return TargetPath(root, _path_info(root, path) if strip_root_path else path or "/", authority)

    octets = _octets_lost_in_path(root, path, raw_path) if _REPLACEMENT in path else None
    if octets is not None:
        prefix = octets_from_text(root)
        info = native_from_octets(octets)
        return TargetPath(
            native_from_octets(prefix),
            _path_info(native_from_octets(prefix), info) if strip_root_path else info,
            authority,
        )
    info = _path_info(root, path) if strip_root_path else path or "/"  # decoded text is compared (W-020)
    return TargetPath(native_from_text(root), native_from_text(info), authority)


def _path_info(root: str, path: str) -> str:
    if not root:
        return path or "/"  # W-027
    if path.startswith(root):
        rest = path[len(root) :]
        if not rest or rest[0] == "/":  # a segment boundary: /apple is not below /app (W-018)
            return rest
    return path


def _octets_lost_in_path(root: str, path: str, raw_path: bytes | None) -> bytes | None:
    """Return the whole path's octets from ``raw_path`` where it agrees with ``path``, else None (W-022, W-023)."""
    if not raw_path:
        return None
    octets = unquote_to_bytes(raw_path.partition(b"?")[0])
    text = octets.decode("utf-8", "replace")
    if text == path:
        return octets
    if root and root + text == path:  # the server put root_path in front of path only
        return octets_from_text(root) + octets
    if root and root + path == text:  # in front of raw_path only
        return octets[len(octets_from_text(root)) :]
    return None


def _without_authority(path: str) -> tuple[str, str | None]:
    scheme, separator, rest = path.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return path, None  # asterisk form, authority form
    authority, slash, tail = rest.partition("/")
    host = native_from_text(authority.rpartition("@")[2])
    if not host.isprintable() and FORBIDDEN_IN_VALUE(host):
        raise BadRequest("The authority of the request target holds a control character.")
    return slash + tail or "/", host or None


def _raw_without_authority(raw_path: bytes) -> bytes:
    scheme, separator, rest = raw_path.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return raw_path
    _, slash, tail = rest.partition(b"/")
    return slash + tail or b"/"


def request_uri(path: str, raw_path: bytes | None, query: str) -> str:
    """Return the request target as received: latin-1 ``str``, percent-encoded, query included when non-empty.

    ``raw_path`` wins; without it the quoted ``path`` stands in. A stray query inside ``raw_path`` is dropped.

    Spec: W-030.
    """
    if raw_path:
        target = raw_path.decode("latin-1")
        if "?" in target:
            target = target.partition("?")[0]
    else:
        target = quote(octets_from_text(path), safe=_SAFE_IN_PATH) or "/"
    return f"{target}?{query}" if query else target
