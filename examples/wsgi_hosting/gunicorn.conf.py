"""Settings of gunicorn for an ASGI application: run ``gunicorn`` in this folder, with or without ``--preload``.

The hooks run the lifespan when a worker begins and ends, so that the first request need not wait for the startup, a
startup that fails stops the server, and the shutdown is run before gunicorn's own end of the worker.
"""

from typing import Any

from bridge import ASGIToWSGI

wsgi_app = "wsgi:app"
bind = "127.0.0.1:8000"
workers = 2
# A thread for each request that is open at a time, streams included. They only wait: the work is done on the loop.
worker_class = "gthread"
threads = 32


def post_worker_init(worker: Any) -> None:
    if isinstance(worker.wsgi, ASGIToWSGI):  # and not an application that has one inside
        worker.wsgi.startup()


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn passes it
    if isinstance(worker.wsgi, ASGIToWSGI):  # and not None, where the application could not be imported
        worker.wsgi.shutdown()
