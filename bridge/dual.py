"""One object that servers of both kinds can host: `dual`.

Called with two arguments it speaks WSGI, with three ASGI; nothing else about it differs from the application inside.
What the application speaks by itself reaches it without an adapter in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypedDict, Unpack, cast, overload

from bridge.asgi_to_wsgi import ASGIToWSGI, ASGIToWSGIOptions
from bridge.detect import MARK, PROTOCOLS, Protocol, detect, is_coroutine_function, single_callable
from bridge.limits import Limits
from bridge.types import (
    AnyASGIApp,
    ASGIApp,
    Environ,
    Receive,
    Scope,
    Send,
    StartResponse,
    WSGIApp,
)
from bridge.wsgi_to_asgi import WSGIToASGI, WSGIToASGIOptions


class CommonOptions(TypedDict, total=False):
    """The keyword arguments that both adapters have."""

    limits: Limits
    on_error: Literal["raise", "respond"]


class DualApp:
    """An application that answers to both calls. Made by `dual`.

    Servers that guess take it for ASGI 3 (uvicorn, hypercorn, daphne); those that speak one protocol just call it.
    Attributes of the application are read, set and deleted through it: ``app.cli``, ``app.openapi()``,
    ``app.wsgi_app = ProxyFix(app.wsgi_app)``.

    Attributes:
        app: the application itself.
        as_wsgi: what calls with two arguments go to: the application, or an `ASGIToWSGI` around it.
        as_asgi: what calls with three arguments go to: the application, or a `WSGIToASGI` around it.
    """

    app: Any
    as_wsgi: WSGIApp
    as_asgi: ASGIApp
    _asgi_single_callable = True  # asgiref's mark, for what judges by it

    def __init__(self, app: Any, as_wsgi: WSGIApp, as_asgi: ASGIApp) -> None:
        # uvicorn, hypercorn and asgiref ask whether the attribute `__call__` is a coroutine function; a call looks at
        # the class. So this one is only ever looked at, or called by code that fetches it as an attribute.
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            await as_asgi(scope, receive, send)

        self.__dict__.update(app=app, as_wsgi=as_wsgi, as_asgi=as_asgi, __call__=call)

    @overload
    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Iterable[bytes]: ...
    @overload
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...
    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Serve a WSGI request (two arguments) or an ASGI connection (three).

        Raises:
            TypeError: neither two nor three arguments.
        """
        if len(arguments) == 3:  # noqa: PLR2004
            return self.as_asgi(*arguments)
        if "send" in named:  # daphne calls by name
            return self.as_asgi(*arguments, **named)
        if len(arguments) == 2 and not named:  # noqa: PLR2004
            return self.as_wsgi(*arguments)
        raise TypeError(
            f"{self!r} was called with {len(arguments) + len(named)} arguments; it takes (environ, start_response) or "
            "(scope, receive, send)"
        )

    def __repr__(self) -> str:
        return f"<DualApp {self.__dict__.get('app')!r}>"

    def __getattr__(self, name: str) -> Any:  # only asked for what is not found here
        try:
            app = self.__dict__["app"]
        except KeyError:  # being copied or unpickled
            raise AttributeError(name) from None
        return getattr(app, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__ or name == MARK:
            raise AttributeError(f"{name} of a dual application is fixed; make another with dual()")
        setattr(self.app, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self.__dict__:
            raise AttributeError(f"{name} of a dual application is fixed")
        delattr(self.app, name)

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *dir(self.app)})


setattr(DualApp, MARK, "dual")


def dual(
    app: WSGIApp | AnyASGIApp,
    *,
    protocol: Protocol | None = None,
    to_asgi: WSGIToASGIOptions | None = None,
    to_wsgi: ASGIToWSGIOptions | None = None,
    **common: Unpack[CommonOptions],
) -> DualApp:
    """Return one object that any server of either kind can host. A `DualApp` comes back unchanged.

    Args:
        app: a WSGI or ASGI application (3.0 or 2.0), or one that answers to both calls.
        protocol: what it speaks, where that cannot be told.
        to_asgi: options for the `WSGIToASGI` around a WSGI application.
        to_wsgi: options for the `ASGIToWSGI` around an ASGI application.
        common: options that both adapters have (``limits``, ``on_error``).

    Raises:
        AmbiguousAppError: it could be either; pass ``protocol``.
        NotAnAppError: it is neither.
    """
    if isinstance(app, DualApp):
        return app
    if wrong := set(common) - set(CommonOptions.__annotations__):
        raise TypeError(
            f"dual() takes no option {min(wrong)!r}: those of one adapter go into to_asgi={{...}} or to_wsgi={{...}}"
        )
    if protocol is not None and protocol not in PROTOCOLS:
        raise ValueError(f"a protocol is one of {', '.join(map(repr, PROTOCOLS))}, not {protocol!r}")
    spoken = protocol or detect(app).protocol
    as_wsgi, as_asgi = cast("WSGIApp", app), cast("ASGIApp", app)
    if spoken == "asgi2":
        as_asgi = single_callable(app)
    if spoken == "wsgi":
        asgi_options: WSGIToASGIOptions = {**common, **(to_asgi or {})}
        as_asgi = WSGIToASGI(as_wsgi, **asgi_options)
    elif spoken != "dual":
        wsgi_options: ASGIToWSGIOptions = {**common, **(to_wsgi or {})}
        as_wsgi = ASGIToWSGI(as_asgi, **wsgi_options)
    return DualApp(app, as_wsgi, as_asgi)


def recognisable(app: ASGIApp) -> ASGIApp:
    """Return an ASGI 3 application so that servers which guess take it for one.

    What is not known to give a coroutine counts as ASGI 2 for uvicorn and as WSGI for hypercorn.
    """
    if is_coroutine_function(app) or isinstance(app, DualApp):
        return app

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return call
