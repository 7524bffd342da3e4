"""Rows about requests and their bodies, under a WSGI server."""

from __future__ import annotations

from typing import Any

from bridge import Limits
from tests.docs.coming_from.gateways import Request, http_only
from tests.docs.coming_from.looks import Host, to_wsgi_row
from tests.gateway import answering, environ_for


def scope_of(host: Host, **environ: Any) -> dict[str, Any]:
    """Return the scope that an adapter makes of an environ; raise what it raises."""
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        seen.append(scope)
        await answering()(scope, receive, send)

    with host(app) as hosted:
        Request(hosted, environ_for(**environ)).run()
    return seen[0]


def events_of(host: Host, environ: dict[str, Any], most: int = 20) -> list[dict[str, Any]]:
    """Return what an application receives, until the body is over, the client has left, or it is ``most``."""
    events: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        while len(events) < most:
            event = await receive()
            events.append(event)
            if not event.get("more_body"):
                break
        await answering()(scope, receive, send)

    with host(app) as hosted:
        try:
            Request(hosted, environ).run()
        except ConnectionError:
            pass  # the client has left: there is nobody to answer
    return events


@to_wsgi_row("An upload that is cut")
def cut_upload(host: Host, _: str) -> str:
    events = events_of(host, environ_for("POST", body=b"abc", CONTENT_LENGTH="6"))
    assert events[0] == {"type": "http.request", "body": b"abc", "more_body": True}
    if len(events) == 20:
        assert all(event == {"type": "http.request", "body": b"", "more_body": True} for event in events[1:])
        return "gives empty events without end"
    return f"gives `{events[1]['type']}`"


@to_wsgi_row("A chunked upload")
def chunked_upload(host: Host, _: str) -> str:
    environ = environ_for(
        "POST",
        body=b"abcdef",
        headers={"transfer-encoding": "chunked"},
        CONTENT_LENGTH=None,
        **{"wsgi.input_terminated": True},
    )
    body = b"".join(event["body"] for event in events_of(host, environ))
    return {b"": "is empty", b"abcdef": "is read"}[body]


@to_wsgi_row("The largest upload")
def largest_upload(host: Host, _: str) -> str:
    size = 1024**3
    assert Limits().body_max_bytes == size
    with host(answering()) as hosted:
        status = Request(hosted, environ_for("POST", body=b"x", CONTENT_LENGTH=str(size + 1))).run().statuses[0]
    return {"200": "has no limit", "413": "413 beyond 1 GiB"}[status[:3]]


@to_wsgi_row("`%FF` in the path")
def path_beyond_utf_8(host: Host, _: str) -> str:
    try:
        scope = scope_of(host, path="/\xff")
    except UnicodeDecodeError:
        return "is an error"
    assert scope["path"] == "/\ufffd"
    return "is served"


@to_wsgi_row("environ in the scope")
def environ_in_the_scope(host: Host, _: str) -> str:
    scope = scope_of(host)
    [name] = [name for name, value in scope.items() if isinstance(value, dict) and "wsgi.version" in value]
    return f"`{name}`"


@to_wsgi_row("`raw_path`")
def raw_path(host: Host, _: str) -> str:
    scope = scope_of(host, path="/a/b", REQUEST_URI="/a%2Fb")
    return "is there where the server tells it" if scope.get("raw_path") == b"/a%2Fb" else "is never there"


@to_wsgi_row("`client` where the server tells no port")
def client_without_port(host: Host, _: str) -> str:
    scope = scope_of(host, REMOTE_PORT=None)
    return "is missing" if scope.get("client") is None else f"is `{scope['client']}`"


@to_wsgi_row("What the server has besides")
def extensions(host: Host, _: str) -> str:
    offered = {"wsgi.file_wrapper": iter, "wsgi.early_hints": list}
    extensions = set(scope_of(host, **offered)["extensions"])
    if not extensions:
        return "is kept from the application"
    assert extensions >= {"http.response.pathsend", "http.response.early_hint"}
    return "is offered to the application"
