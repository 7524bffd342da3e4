"""A server that leaves a child behind, for the tests of those that clean up: ``python -m`` it with a port and a manner.

``child``: the server ends when it is asked to, and the child does not. ``all``: neither does. A request is answered
with the id of the child.
"""

from __future__ import annotations

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

port, manner = int(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child == 0:
    while True:
        signal.pause()
if manner == "child":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % child)

    def log_message(self, *_: object) -> None:
        pass


HTTPServer(("127.0.0.1", port), Handler).serve_forever()
