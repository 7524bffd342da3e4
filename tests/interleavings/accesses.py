"""What the calls do that `points` puts into code under test: they announce an access, and make it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from types import FunctionType, MemberDescriptorType
from typing import Any

from tests.interleavings.execution import Execution

PREFIX = "switching."
"""With what the names of copied modules begin."""

_CONTAINERS = (list, deque, dict, set)
_READING_METHODS = frozenset(("copy", "count", "get", "index", "items", "keys", "values", "__contains__", "__len__"))


class OrderedSet(set[Any]):
    """A set that is walked in the order in which its members came: executions must be repeatable."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        super().__init__()
        self._order: dict[Any, None] = {}
        for member in members:
            self.add(member)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._order))

    def add(self, member: Any) -> None:
        super().add(member)
        self._order[member] = None

    def discard(self, member: Any) -> None:
        super().discard(member)
        self._order.pop(member, None)

    def remove(self, member: Any) -> None:
        super().remove(member)
        self._order.pop(member)

    def clear(self) -> None:
        super().clear()
        self._order.clear()

    def pop(self) -> Any:
        member = next(iter(self._order))
        self.remove(member)
        return member


_is_variable: dict[tuple[type, str], bool] = {}
changing: set[str] = set()  # names of attributes that are written elsewhere than where objects are made


def _is_shared(visible: object, name: str) -> bool:
    """Tell whether it is a variable of an object of the code under test, and changes once the object is made."""
    kind = type(visible)
    known = _is_variable.get((kind, name))
    if known is None:
        on_class = getattr(kind, name, None)
        known = (
            name in changing
            and getattr(kind, "__module__", "").startswith(PREFIX)
            and (
                isinstance(on_class, MemberDescriptorType)
                or not isinstance(on_class, (FunctionType, property, classmethod, staticmethod))
            )
        )
        _is_variable[kind, name] = known
    return known


def _active() -> Execution | None:
    execution = Execution.current
    return None if execution is None or execution.running is None else execution


def see(visible: Any, name: str) -> Any:
    """Read an attribute; its value may be a container that is looked into at once."""
    return contents(peek(visible, name))


def peek(visible: Any, name: str) -> Any:
    """Read an attribute, and no more."""
    execution = _active()
    if execution is None:
        return getattr(visible, name)
    if _is_shared(visible, name):
        execution.announce(execution.subject(visible, name).look)
    value = getattr(visible, name)
    if execution.is_told and isinstance(value, _CONTAINERS):  # so that it has the name by which people know it
        execution.subject(value, "contents", f"the contents of {type(visible).__name__}.{name}")
    return value


def contents(value: Any) -> Any:
    """Look into a container."""
    if isinstance(value, _CONTAINERS):
        execution = _active()
        if execution is not None:
            execution.announce(execution.subject(value, "contents", f"the contents of a {type(value).__name__}").look)
    return value


def changed(value: Any) -> Any:
    """Change what is in a container."""
    if isinstance(value, _CONTAINERS):
        execution = _active()
        if execution is not None:
            execution.announce(execution.subject(value, "contents", f"the contents of a {type(value).__name__}").touch)
    return value


def do(visible: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method."""
    if isinstance(visible, _CONTAINERS):
        (contents if name in _READING_METHODS else changed)(visible)
        return getattr(visible, name)(*args, **kwargs)
    return peek(visible, name)(*args, **kwargs)


class Held:
    """Stands for an object whose attribute is written or deleted."""

    __slots__ = ("_visible",)

    def __init__(self, visible: Any) -> None:
        object.__setattr__(self, "_visible", visible)

    def __getattr__(self, name: str) -> Any:
        return peek(self._visible, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._touch(name)
        setattr(self._visible, name, value)

    def __delattr__(self, name: str) -> None:
        self._touch(name)
        delattr(self._visible, name)

    def _touch(self, name: str) -> None:
        execution = _active()
        if execution is not None and _is_shared(self._visible, name):
            execution.announce(execution.subject(self._visible, name).touch)


def forget_variables() -> None:
    """Find out anew which attributes change: a further module is about to be read."""
    _is_variable.clear()
