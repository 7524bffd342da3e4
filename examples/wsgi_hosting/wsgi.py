"""The application as a WSGI application: what ``gunicorn.conf.py`` and ``waitress_server.py`` serve.

    gunicorn wsgi:app
    waitress-serve wsgi:app

Importing this starts no thread and no event loop; the first request does, or ``app.startup()``.
"""

from api import app as api

from bridge import ASGIToWSGI

app = ASGIToWSGI(api)
