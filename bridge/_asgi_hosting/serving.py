"""One request from the server's call to what it gets back, also where the bridge answers by itself. Request thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bridge._asgi_hosting.answers import plain_response
from bridge._asgi_hosting.host import Host
from bridge._asgi_hosting.hosting import logger
from bridge._asgi_hosting.servant import Servant, new_record
from bridge.errors import RequestRefused
from bridge.observing import Record
from bridge.types import Environ, StartResponse


def serve(
    host: Host, environ: Environ, start_response: StartResponse, new_servant: Callable[[Host, Environ], Servant]
) -> Iterable[bytes]:
    """Serve one request; return its response for the server to iterate over. Request thread.

    Args:
        host: the application.
        environ: the request.
        start_response: the server's.
        new_servant: `Servant`, or what makes one for another kind of request.

    Raises:
        Exception: what the application raised, or what is wrong with it, before the response began.
    """
    servant: Servant | None = None
    try:
        servant = new_servant(host, environ)
        return servant.serve(start_response)
    except Exception as error:
        retry_after_s = host.limits.retry_after_s
        if isinstance(error, RequestRefused) and (servant is None or servant.is_refused):  # not the application's own
            return refuse(host, environ, start_response, error, None if servant is None else servant.record)
        if servant is None:
            record = new_record(host, *_target(environ))
            if record is not None:
                record.fail(answered=host.hosting.responds_to_errors)
        if not host.hosting.responds_to_errors or (servant is not None and servant.has_started):
            raise
        logger.exception("the application failed; answered 500")
        return plain_response(environ, start_response, 500, "Internal Server Error", retry_after_s)


def refuse(
    host: Host,
    environ: Environ,
    start_response: StartResponse,
    refusal: RequestRefused,
    record: Record | None = None,
) -> Iterable[bytes]:
    """Answer by ourselves, and tell of it. Request thread."""
    host.count_refusal()
    method, path = _target(environ)
    # As text: a record that is kept keeps no request alive. And escaped: what is in them is the client's choice.
    logger.warning("%s %a refused: %s", ascii(method)[1:-1], path, str(refusal))
    record = record or new_record(host, method, path)
    if record is not None:
        record.finish("refused", refusal.status)
    return plain_response(
        environ, start_response, refusal.status, refusal.reason, host.limits.retry_after_s, refusal.headers
    )


def _target(environ: Environ) -> tuple[str, str]:
    """Return method and path of a request that cannot be served, as far as they can be told."""
    path = str(environ.get("SCRIPT_NAME") or "").rstrip("/") + str(environ.get("PATH_INFO") or "")
    return str(environ.get("REQUEST_METHOD") or ""), path.encode("latin-1", "replace").decode("utf-8", "replace")
