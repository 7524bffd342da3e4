"""Bring WSGI and ASGI together: host a WSGI application on any ASGI server, and the other way round.

>>> from bridge import to_asgi, to_wsgi
>>> asgi_app = to_asgi(flask_app)
>>> wsgi_app = to_wsgi(fastapi_app)
"""

from bridge._runtime.workers import WorkerPool
from bridge._wsgi_hosting.async_calls import call_async
from bridge.asgi_to_wsgi import ASGIToWSGI, HostStatistics, to_wsgi
from bridge.errors import (
    ApplicationError,
    ApplicationTimeout,
    ApplicationTypeError,
    ApplicationValueError,
    BadRequest,
    BodyTooLarge,
    BridgeError,
    ClientDisconnected,
    ClientTimeout,
    EventLoopError,
    LifespanError,
    LoopStalled,
    NotInRequestError,
    ProtocolError,
    RequestCancelled,
    RequestRefused,
    ServerError,
)
from bridge.limits import Limits
from bridge.wsgi_to_asgi import Statistics, WSGIToASGI, to_asgi

__all__ = [
    "ASGIToWSGI",
    "ApplicationError",
    "ApplicationTimeout",
    "ApplicationTypeError",
    "ApplicationValueError",
    "BadRequest",
    "BodyTooLarge",
    "BridgeError",
    "ClientDisconnected",
    "ClientTimeout",
    "EventLoopError",
    "HostStatistics",
    "LifespanError",
    "Limits",
    "LoopStalled",
    "NotInRequestError",
    "ProtocolError",
    "RequestCancelled",
    "RequestRefused",
    "ServerError",
    "Statistics",
    "WSGIToASGI",
    "WorkerPool",
    "call_async",
    "to_asgi",
    "to_wsgi",
]
