"""The oracle of paths: what was asked for on the wire, how servers present it, and what the environ must say of it.

Nothing is parsed back here. A target is put together from its parts (mount point, rest, authority), and then written as
one kind of server or another would: so it is known what the environ must be. Besides, there are free targets, whose
parts do not fit each other; of those the text is checked that the environ stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from fuzz.http_rules import Refusal
from fuzz.reading import Reader, expect, expect_equal

_KINDS = ("prefixed", "whole", "stripped", "stripped path", "whole without raw", "stripped without raw", "free")
_STAR = b"*"


@dataclass(frozen=True, slots=True)
class Target:
    """A request target and its shape in a scope.

    Attributes:
        root_path: the scope's.
        path: the scope's.
        raw_path: the scope's.
        query: the scope's.
        mount: the octets of the mount point, percent-decoded; None for a free target.
        rest: the octets below it, percent-decoded; None for a free target.
        authority: that of an absolute-form target, as sent.
        below_authority: the path of a free target without that.
        is_refused: the path cannot be said in octets.
    """

    root_path: str
    path: str
    raw_path: bytes | None
    query: bytes
    mount: bytes | None = None
    rest: bytes | None = None
    authority: bytes | None = None
    below_authority: str = ""
    is_refused: bool = False


def octets_of_text(text: str) -> bytes:
    """Return UTF-8; surrogates that escape an octet are the octet.

    Raises:
        Refusal: another lone surrogate.
    """
    octets = bytearray()
    for character in text:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004
            octets.append(code - 0xDC00)
        elif 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004
            raise Refusal("a lone surrogate")
        else:
            octets += character.encode()
    return bytes(octets)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def draw_target(reader: Reader) -> Target:
    """Read a target: its kind, mount point or root_path, rest or path, query, and what else the kind needs."""
    kind = reader.choice(_KINDS)
    if kind == "free":
        root_path, path, query = reader.text(), reader.text(), reader.octets()
        raw_path = reader.octets()
        return free_target(root_path, path, None if raw_path == b"-" else raw_path, query)
    mount, rest, query, authority = reader.octets(), reader.octets(), reader.octets(), reader.octets()
    return built_target(kind, mount, rest, query, authority or None)


def built_target(kind: str, mount: bytes, rest: bytes, query: bytes, authority: bytes | None = None) -> Target:
    """Put a target together; what cannot be one is mended: ``?``, ``#`` and slashes where they cannot be.

    Args:
        kind: how the server presents it. ``whole``: mount point in path and raw path; ``prefixed``: the same by a
            server that puts its own root_path in front of what it received; ``stripped``: in neither;
            ``stripped path``: in the raw path alone.
        mount: percent-encoded.
        rest: percent-encoded, what follows it.
        query: after the ``?``.
        authority: that of the absolute form, which has no mount point here.
    """
    mount, rest = (part.translate(None, b"?#") for part in (mount, rest))
    if authority is not None:
        authority = authority.translate(None, b"?#/")
        rest = rest if rest[:1] in (b"/", b"") else b"/" + rest
        raw = b"http://" + authority + rest
        host = authority.rpartition(b"@")[2]
        target = Target("", _text(unquote_to_bytes(raw)), raw, query, b"", unquote_to_bytes(rest) or b"/")
        return _with_authority(target, host or None)
    if unquote_to_bytes(mount)[-1:] == b"/" or not mount.startswith(b"/"):
        mount = b""
    if rest == _STAR and not mount:
        return Target("", "*", rest, query, b"", rest)
    if rest[:1] != b"/" and (rest or not mount):
        rest = b"/" + rest
    root_octets, rest_octets = unquote_to_bytes(mount), unquote_to_bytes(rest)
    root, path = _text(root_octets), _text(rest_octets)
    if kind.startswith("stripped") and root and (path == root or path.startswith(root + "/")):
        kind = "whole"  # nobody could tell that the prefix has been taken off
    if kind == "prefixed":
        mount = quote_from_bytes(root.encode()).encode()
        root_octets = root.encode()
    raw_path = {"stripped": rest, "whole without raw": None, "stripped without raw": None}.get(kind, mount + rest)
    if raw_path is None:
        root_octets, rest_octets = root.encode(), path.encode()
    elif kind == "stripped":
        root_octets = root.encode()
    return Target(root, path if "stripped" in kind else root + path, raw_path, query, root_octets, rest_octets)


def _with_authority(target: Target, authority: bytes | None) -> Target:
    return Target(
        target.root_path, target.path, target.raw_path, target.query, target.mount, target.rest, authority=authority
    )


def free_target(root_path: str, path: str, raw_path: bytes | None, query: bytes) -> Target:
    """Return a target whose parts came from anywhere; no absolute form where the raw path is another one."""
    raw = (raw_path or b"").partition(b"?")[0]
    is_same = _text(unquote_to_bytes(raw)) == path
    authority: bytes | None = None
    rest = path
    try:
        if _is_absolute(path) and is_same:
            # Both fit, so what is not absolute on the wire is not absolute.
            if _is_absolute(raw.decode("latin-1")):
                host, rest = _cut(raw.decode("latin-1"))
                authority, rest = host.encode("latin-1"), _text(unquote_to_bytes(rest.encode("latin-1")))
        elif _is_absolute(path):
            host, rest = _cut(path)
            authority = octets_of_text(host)
        for text in (root_path, rest if raw_path else path):
            octets_of_text(text)
    except Refusal:
        return Target(root_path, path, raw_path, query, is_refused=True)
    return Target(root_path, path, raw_path, query, authority=authority or None, below_authority=rest)


def _is_absolute(target: str) -> bool:
    return target[:7].lower() == "http://" or target[:8].lower() == "https://"


def _cut(target: str) -> tuple[str, str]:
    beginning = target.index("//") + 2
    slash = target.find("/", beginning)
    end = len(target) if slash < 0 else slash
    return target[beginning:end].rpartition("@")[2], target[end:] or "/"


def check_paths(target: Target, environ: Mapping[str, Any]) -> None:
    """Check SCRIPT_NAME, PATH_INFO and the two URIs of an environ that was not refused."""
    script_name, path_info = (environ[key].encode("latin-1") for key in ("SCRIPT_NAME", "PATH_INFO"))
    expect(script_name[:1] in (b"", b"/"), f"SCRIPT_NAME begins with no slash: {script_name!r}")
    expect(script_name[-1:] != b"/", f"SCRIPT_NAME ends with a slash: {script_name!r}")
    expect_equal(environ["REQUEST_URI"], environ["RAW_URI"], "REQUEST_URI and RAW_URI")
    _check_uri(target, environ["REQUEST_URI"].encode("latin-1"))
    if target.mount is not None:
        expect_equal(path_info, target.rest, f"PATH_INFO of {target}")
        expect_equal(script_name, target.mount, f"SCRIPT_NAME of {target}")
        return
    root = target.root_path.rstrip("/")
    if root and root[0] != "/":
        root = "/" + root
    path = target.below_authority
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    elif not root and not path:
        path = "/"
    expect_equal(_text(script_name), _text(octets_of_text(root)), "SCRIPT_NAME as text")
    expect_equal(_text(path_info), _text(octets_of_text(path)), "PATH_INFO as text")


def _check_uri(target: Target, uri: bytes) -> None:
    if target.raw_path:
        path = target.raw_path.partition(b"?")[0]
        expect_equal(uri, path + b"?" + target.query if target.query else path, "REQUEST_URI")
        return
    path, _, query = uri.partition(b"?")
    expect_equal(query, target.query, "the query of REQUEST_URI")
    expect(path.isascii(), f"REQUEST_URI is not quoted: {path!r}")
    expect_equal(unquote_to_bytes(path), octets_of_text(target.path) or b"/", "REQUEST_URI, decoded")
