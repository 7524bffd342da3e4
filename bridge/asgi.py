"""The application named by ``BRIDGE_APP``, for any ASGI server: ``BRIDGE_APP=shop:app uvicorn bridge.asgi:app``.

A WSGI application is hosted by a `WSGIToASGI`; one that speaks ASGI is what the server gets, with nothing in between.
The variables are described in `docs/reference/environment.md`. Importing this module imports the application.
"""

from __future__ import annotations

import os

from bridge._settings import Settings

app = Settings.from_variables(os.environ).asgi_app()
application = app
