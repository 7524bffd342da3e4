"""Cookies that two applications in one tree take for their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

from bridge.doctor.frameworks import django_settings, framework_of
from bridge.doctor.report import Hazard
from bridge.doctor.rules import hazard
from bridge.doctor.tree import Node, is_one_of, stored

_STARLETTE = "starlette.middleware.sessions.SessionMiddleware"


@dataclass(frozen=True, slots=True)
class _Claim:
    """A cookie somebody sets. Claims with the same `sharing` are meant to be one."""

    cookie: str
    path: str
    owner: str
    sharing: object


def cookie_hazards(nodes: list[Node]) -> Iterator[Hazard]:
    """Yield the cookies that are claimed twice, on paths of which a browser sends both."""
    claims = [claim for node in nodes for claim in _claims(node)]
    for one, other in combinations(claims, 2):
        if one.cookie == other.cookie and one.sharing != other.sharing and _overlap(one.path, other.path):
            yield hazard("shared-session-cookie", f"cookie {one.cookie!r}", f"{one.owner} and {other.owner} set it")


def _claims(node: Node) -> Iterator[_Claim]:
    framework = framework_of(node.app)
    if framework in ("flask", "quart"):
        yield from _of_config(node, stored(node.app, "config"))
    elif framework == "django":
        yield from _of_django(node)
    elif is_one_of(node.app, (_STARLETTE,)):
        cookie, path = stored(node.app, "session_cookie"), stored(node.app, "path")
        yield _Claim(cookie, path, f"SessionMiddleware in {node.place}", object())
    added = stored(node.app, "user_middleware")
    for entry in cast("list[object]", added) if isinstance(added, list) else ():
        kind = stored(entry, "cls")
        if isinstance(kind, type) and any(f"{one.__module__}.{one.__qualname__}" == _STARLETTE for one in kind.__mro__):
            given: Mapping[str, Any] = stored(entry, "kwargs") or {}
            cookie, path = given.get("session_cookie", "session"), given.get("path", "/")
            yield _Claim(cookie, path, f"SessionMiddleware in {node.place}", object())


def _of_config(node: Node, config: object) -> Iterator[_Claim]:
    if not isinstance(config, dict):
        return
    settings = cast("dict[str, Any]", config)
    secret = settings.get("SECRET_KEY")
    if secret:  # without one there are no sessions; with the same one they are shared on purpose
        path = settings.get("SESSION_COOKIE_PATH") or settings.get("APPLICATION_ROOT") or "/"
        yield _Claim(settings.get("SESSION_COOKIE_NAME") or "session", path, node.place, ("flask", secret))


def _of_django(node: Node) -> Iterator[_Claim]:
    settings = django_settings()
    if settings is None:
        return
    for middleware, kind in (("sessions.middleware.SessionMiddleware", "SESSION"), ("CsrfViewMiddleware", "CSRF")):
        if any(name.endswith(middleware) for name in settings.MIDDLEWARE):
            cookie, path = getattr(settings, f"{kind}_COOKIE_NAME"), getattr(settings, f"{kind}_COOKIE_PATH")
            yield _Claim(cookie, path, node.place, "django")  # all of a process have the same settings


def _overlap(one: str, other: str) -> bool:
    shorter, longer = sorted((one.rstrip("/"), other.rstrip("/")), key=len)
    return longer == shorter or longer.startswith(f"{shorter}/")
