"""What has to be known of frameworks, by name: nothing here imports one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from inspect import getattr_static
from types import FunctionType, MethodType

# Their requests read CONTENT_LENGTH octets and take a body without it for an empty one.
_LENGTH_READERS = ("django.core.handlers.", "bottle", "falcon.app")

_DEEPEST_WRAPPING = 6


def needs_content_length(app: object) -> bool:
    """Tell whether an application sees no request body unless ``CONTENT_LENGTH`` is set.

    Looks through WSGI middleware that keeps the application it wraps in an attribute or a closure.
    """
    seen: set[int] = set()
    layer = [app]
    for _ in range(_DEEPEST_WRAPPING):
        wrapped: list[object] = []
        for candidate in layer:
            if any(kind.__module__.startswith(_LENGTH_READERS) for kind in type(candidate).__mro__):
                return True
            seen.add(id(candidate))
            wrapped += (inner for inner in _wrapped_by(candidate) if callable(inner) and id(inner) not in seen)
        layer = wrapped
    return False


def _wrapped_by(app: object) -> Iterator[object]:
    """Return what a callable keeps: closure cells of a function, the bound object of a method, plain attributes.

    Looks only at what is stored: no code of the application runs.
    """
    if isinstance(app, FunctionType):
        for cell in app.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not filled yet
                continue
    elif isinstance(app, MethodType):
        yield app.__self__
    elif isinstance(app, partial):
        yield app.func  # pyright: ignore[reportUnknownMemberType]
    for name in ("app", "application", "wsgi_app", "_app", "_application", "wrapped", "__wrapped__"):
        yield getattr_static(app, name, None)  # pyright: ignore[reportUnknownArgumentType]
