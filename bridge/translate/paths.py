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
        path, raw_path, authority = _without_authority(path, raw_path)
    elif not root_path and path and path.isascii():
        return TargetPath("", path, None)  # nearly every request
    root = root_path.rstrip("/")
    if root and root[0] != "/":
        root = "/" + root
    # ASCII: nothing can have been lost in decoding.
    if path.isascii() and root.isascii():
        return TargetPath(root, _path_info(root, path) if strip_root_path else path or "/", authority)

    octets = _octets_lost_in_path(root, path, raw_path, strip_root_path) if _REPLACEMENT in root + path else None
    if octets is not None:
        return TargetPath(native_from_octets(octets[0]), native_from_octets(octets[1]), authority)
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


def _octets_lost_in_path(
    root: str, path: str, raw_path: bytes | None, strip_root_path: bool
) -> tuple[bytes, bytes] | None:
    """Return prefix and rest of the path as octets of ``raw_path``, where it agrees with ``path`` (W-022, W-023)."""
    if not raw_path:
        return None
    octets = unquote_to_bytes(raw_path.partition(b"?")[0])
    text = octets.decode("utf-8", "replace")
    if text == path:
        return _split_octets(root, octets) if strip_root_path else (octets_from_text(root), octets)
    if root and text[:1] == "/" and root + text == path:  # the server put root_path in front of path only
        prefix = octets_from_text(root)
        return prefix, octets if strip_root_path else prefix + octets
    if root and path[:1] in ("/", "") and root + path == text:  # in front of raw_path only
        return _split_octets(root, octets)
    return None


def _split_octets(root: str, octets: bytes) -> tuple[bytes, bytes]:
    """Take ``root`` off the front of a path's octets where it is there, at a segment boundary.

    The root itself may hold octets that are lost in its text: a mount point can be made of a path parameter. A slash is
    a slash in both, so the octets of the root have as many segments as its text.
    """
    segments = root.count("/") + 1
    prefix = b"/".join(octets.split(b"/", segments)[:segments])
    if prefix.decode("utf-8", "replace") == root:
        return prefix, octets[len(prefix) :]
    return octets_from_text(root), octets


def _without_authority(path: str, raw_path: bytes | None) -> tuple[str, bytes | None, str | None]:
    """Return path and raw path of an absolute-form target without its authority, and the authority (W-028).

    Where ``raw_path`` says the same as ``path`` it is cut, not its decoded text, in which an escaped ``/`` or ``@``
    would end an authority, and an escaped ``:`` make one.
    """
    if not _is_absolute_form(path):
        return path, raw_path, None  # asterisk form, authority form
    if raw_path:
        target = raw_path.partition(b"?")[0]
        if unquote_to_bytes(target).decode("utf-8", "replace") == path:
            sent = target.decode("latin-1")
            if not _is_absolute_form(sent):
                return path, raw_path, None
            host, rest = _cut_authority(sent)
            target = rest.encode("latin-1")
            return unquote_to_bytes(target).decode("utf-8", "replace"), target, host
    host, path = _cut_authority(path)
    return path, raw_path, None if host is None else native_from_text(host)


def _is_absolute_form(target: str) -> bool:
    scheme, separator, _ = target.partition("://")
    return bool(separator) and scheme.lower() in ("http", "https")


def _cut_authority(target: str) -> tuple[str | None, str]:
    authority, slash, rest = target.partition("://")[2].partition("/")
    host = authority.rpartition("@")[2]
    if FORBIDDEN_IN_VALUE(host):
        raise BadRequest("The authority of the request target holds a control character.")
    return host or None, slash + rest or "/"


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
