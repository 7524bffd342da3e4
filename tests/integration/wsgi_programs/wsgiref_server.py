"""``wsgiref.simple_server``, one request at a time; with ``threads`` as fourth argument, a thread per request."""

from __future__ import annotations

import contextlib
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tests.integration.wsgi_programs.loading import address, loaded


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


if __name__ == "__main__":
    kind = _ThreadingServer if "threads" in sys.argv[4:] else WSGIServer
    with make_server(*address(), loaded(sys.argv[1]), kind, _QuietHandler) as server:
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
