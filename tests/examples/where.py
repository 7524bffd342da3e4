"""Two applications that say where they believe to be: a WSGI one for ASGI servers, an ASGI one for WSGI servers."""

from __future__ import annotations

import json
from typing import Any

from bridge import to_asgi, to_wsgi


def _wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    answer = {
        "prefix": environ["SCRIPT_NAME"],
        "path": environ["PATH_INFO"],
        "scheme": environ["wsgi.url_scheme"],
        "client": environ.get("REMOTE_ADDR"),
    }
    return [json.dumps(answer).encode()]


async def _asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    answer = {
        "prefix": scope["root_path"],
        "path": scope["path"].removeprefix(scope["root_path"]),
        "scheme": scope["scheme"],
        "client": scope["client"][0] if scope["client"] else None,
    }
    fields = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


wsgi_on_asgi = to_asgi(_wsgi)
asgi_on_wsgi = to_wsgi(_asgi, lifespan="off")
