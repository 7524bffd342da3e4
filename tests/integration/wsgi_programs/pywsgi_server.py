"""gevent's own server, in a process that gevent has patched; with ``plain`` as fourth argument, in one it has not."""

from __future__ import annotations

import sys

from gevent import monkey

if "plain" not in sys.argv[4:]:
    monkey.patch_all()

import contextlib

from gevent.pywsgi import WSGIServer

from tests.integration.wsgi_programs.loading import address, loaded

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        WSGIServer(address(), loaded(sys.argv[1]), log=None).serve_forever()
