"""gevent's own server, not patched, with gevent-websocket's handler, which completes the handshakes itself."""

from __future__ import annotations

import contextlib
import sys

from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler

from tests.integration.wsgi_programs.loading import address, loaded

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        WSGIServer(address(), loaded(sys.argv[1]), log=None, handler_class=WebSocketHandler).serve_forever()
