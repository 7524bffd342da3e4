"""Bring WSGI and ASGI together: host a WSGI application on any ASGI server, and the other way round.

>>> from bridge import dual, to_asgi, to_wsgi
>>> asgi_app = to_asgi(flask_app)
>>> wsgi_app = to_wsgi(fastapi_app)
>>> app = dual(either_app)
"""

from bridge._runtime.workers import WorkerPool
from bridge._wsgi_hosting.async_calls import call_async
from bridge.asgi_to_wsgi import ASGIToWSGI, HostStatistics, to_wsgi
from bridge.detect import Detection, detect, mark
from bridge.dual import DualApp, dual
from bridge.errors import (
    AmbiguousAppError,
    ApplicationError,
    ApplicationTimeout,
    ApplicationTypeError,
    ApplicationValueError,
    BadRequest,
    BodyTooLarge,
    BridgeError,
    ClientDisconnected,
    ClientTimeout,
    ConfigurationError,
    DetectionError,
    EventLoopError,
    LifespanError,
    LoadError,
    LoopStalled,
    NotAnAppError,
    NotInRequestError,
    ProtocolError,
    RequestCancelled,
    RequestRefused,
    ServerError,
)
from bridge.limits import Limits
from bridge.observing import RequestReport
from bridge.wsgi_to_asgi import Statistics, WSGIToASGI, to_asgi

__all__ = [
    "ASGIToWSGI",
    "AmbiguousAppError",
    "ApplicationError",
    "ApplicationTimeout",
    "ApplicationTypeError",
    "ApplicationValueError",
    "BadRequest",
    "BodyTooLarge",
    "BridgeError",
    "ClientDisconnected",
    "ClientTimeout",
    "ConfigurationError",
    "Detection",
    "DetectionError",
    "DualApp",
    "EventLoopError",
    "HostStatistics",
    "LifespanError",
    "Limits",
    "LoadError",
    "LoopStalled",
    "NotAnAppError",
    "NotInRequestError",
    "ProtocolError",
    "RequestCancelled",
    "RequestRefused",
    "RequestReport",
    "ServerError",
    "Statistics",
    "WSGIToASGI",
    "WorkerPool",
    "call_async",
    "detect",
    "dual",
    "mark",
    "to_asgi",
    "to_wsgi",
]
