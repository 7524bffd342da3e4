"""Bring WSGI and ASGI together: host a WSGI application on any ASGI server.

>>> from bridge import to_asgi
>>> asgi_app = to_asgi(flask_app)
"""

from bridge._runtime.workers import WorkerPool
from bridge._wsgi_hosting.async_calls import call_async
from bridge.errors import (
    ApplicationError,
    ApplicationTypeError,
    ApplicationValueError,
    BadRequest,
    BodyTooLarge,
    BridgeError,
    ClientDisconnected,
    ClientTimeout,
    LifespanError,
    NotInRequestError,
    ProtocolError,
    RequestCancelled,
    RequestRefused,
    ServerError,
)
from bridge.limits import Limits
from bridge.wsgi_to_asgi import Statistics, WSGIToASGI, to_asgi

__all__ = [
    "ApplicationError",
    "ApplicationTypeError",
    "ApplicationValueError",
    "BadRequest",
    "BodyTooLarge",
    "BridgeError",
    "ClientDisconnected",
    "ClientTimeout",
    "LifespanError",
    "Limits",
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
]
