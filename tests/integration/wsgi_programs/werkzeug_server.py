"""Werkzeug's development server, a thread per request; the application is mounted a second time."""

from __future__ import annotations

import sys

from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import run_simple

from tests.integration.wsgi_programs.loading import MOUNT, address, loaded

if __name__ == "__main__":
    app = loaded(sys.argv[1])
    run_simple(*address(), DispatcherMiddleware(app, {MOUNT: app}), threaded=True)
