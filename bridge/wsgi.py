"""The application named by ``BRIDGE_APP``, for any WSGI server: ``BRIDGE_APP=shop:app gunicorn bridge.wsgi:app``.

An ASGI application is hosted by an `ASGIToWSGI`; one that speaks WSGI is what the server gets, with nothing in between.
The variables are described in `docs/reference/environment.md`. Importing this module imports the application.
"""

from __future__ import annotations

import os

from bridge._settings import Settings

app = Settings.from_variables(os.environ).wsgi_app()
application = app  # the name uWSGI and mod_wsgi look for
