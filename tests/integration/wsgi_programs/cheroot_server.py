"""Cheroot, CherryPy's server, with four threads; the application is mounted a second time."""

from __future__ import annotations

import contextlib
import sys

from cheroot.wsgi import PathInfoDispatcher, Server

from tests.integration.wsgi_programs.loading import MOUNT, address, loaded

if __name__ == "__main__":
    app = loaded(sys.argv[1])
    server = Server(address(), PathInfoDispatcher({"/": app, MOUNT: app}), numthreads=4)
    server.shutdown_timeout = 1
    with contextlib.suppress(KeyboardInterrupt):
        server.start()
    server.stop()
