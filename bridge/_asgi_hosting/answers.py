"""What the bridge answers by itself, and responses without content. Request thread."""

from __future__ import annotations

from collections.abc import Iterable

from bridge._asgi_hosting.blocks import NoContent, WholeResponse
from bridge.translate.status import status_from_code
from bridge.types import Environ, StartResponse


def plain_response(
    environ: Environ,
    start_response: StartResponse,
    status: int,
    sentence: str,
    retry_after_s: int,
    extra: tuple[tuple[str, str], ...] = (),
) -> Iterable[bytes]:
    """Answer by ourselves; the sentence names no value of the request."""
    body = sentence.encode("utf-8") + b"\n"
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), *extra]
    if status == 503:  # noqa: PLR2004
        headers.append(("Retry-After", str(retry_after_s)))
    start_response(status_from_code(status), headers)
    return no_content(environ, len(body)) if environ.get("REQUEST_METHOD") == "HEAD" else WholeResponse([body])


def no_content(environ: Environ, content_length: int | None) -> Iterable[bytes]:
    """Return the content of a response that carries none (HEAD, 204, 304).

    A list would make servers infer a Content-Length of 0, which is not theirs to say. But waitress ends a HEAD response
    without a length with the last chunk of a body that must not be there, which the client takes for the next response.
    """
    if content_length is None and "waitress.client_disconnected" in environ:
        return WholeResponse([b""])
    return NoContent()
