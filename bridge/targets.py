"""Names of applications: ``module:attribute``, a module or package, or a file. Nothing is imported here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from bridge.errors import LoadError

_CALL = re.compile(r"\(\s*\)\s*$")


@dataclass(frozen=True, slots=True)
class Target:
    """Where an application is.

    Attributes:
        module: dotted name of the module, or the path of a file whose name is no module name.
        attribute: dotted name in it; None: to be looked for.
        directory: what has to be on the import path, or None if the module can be found already.
        is_factory: the attribute is called, without arguments, to get the application.
    """

    module: str
    attribute: str | None
    directory: str | None
    is_factory: bool

    @property
    def name(self) -> str:
        """``module:attribute``, for messages."""
        return self.module if self.attribute is None else f"{self.module}:{self.attribute}"


def parse_target(text: str, *, is_factory: bool = False) -> Target:
    """Read the name of an application. Imports nothing.

    Args:
        text: ``module:attribute`` (also ``module:factory()``), ``module``, or a path: ``shop.py``, ``shop.py:app``,
            ``src/shop`` (a package's folder).
        is_factory: what is named makes the application.

    Raises:
        LoadError: it is no such name, or there is no such file.
    """
    place, attribute = _split(text.strip())
    if attribute is not None:
        if _CALL.search(attribute):
            attribute, is_factory = _CALL.sub("", attribute), True
        if not all(part.isidentifier() for part in attribute.split(".")):
            raise LoadError(
                f"{attribute!r} in {text!r} is no name of an attribute: write module:attribute, for example shop:app"
            )
    if place.endswith(".py") or os.sep in place or "/" in place or place in (".", ".."):
        return _target_of_path(place, attribute, is_factory)
    if not place or not all(part.isidentifier() for part in place.split(".")):
        raise LoadError(f"{text!r} names no module: write module:attribute (shop:app) or a path (shop.py)")
    return Target(place, attribute, None, is_factory)


def _split(text: str) -> tuple[str, str | None]:
    place, colon, attribute = text.rpartition(":")
    if not colon or "/" in attribute or os.sep in attribute:  # also a drive letter: C:/shop.py
        return text, None
    return place, attribute


def _target_of_path(path: str, attribute: str | None, is_factory: bool) -> Target:
    path = os.path.abspath(path)
    if not os.path.exists(path):
        raise LoadError(f"there is no file or folder {path}")
    if os.path.isdir(path) and not os.path.exists(os.path.join(path, "__init__.py")):
        raise LoadError(f"{path} is a folder without __init__.py, so no package: name a file in it, or a module")
    if os.path.isfile(path) and os.path.islink(path):
        path = os.path.realpath(path)  # as Python does: its neighbours are where the file is
    directory, name = os.path.split(path)
    stem = name.removesuffix(".py")
    names = [] if stem in ("__init__", "__main__") and _is_package(directory) else [stem]
    if stem == "__main__" and not names:
        names = [stem]
    while _is_package(directory):
        directory, package = os.path.split(directory)
        names.insert(0, package)
    if os.path.isdir(path) and not all(part.isidentifier() for part in names):
        raise LoadError(f"{path} is a package whose name cannot be imported: name a file in it, or rename it")
    if not all(part.isidentifier() for part in names):
        return Target(path, attribute, directory, is_factory)
    return Target(".".join(names), attribute, directory, is_factory)


def _is_package(directory: str) -> bool:
    return os.path.exists(os.path.join(directory, "__init__.py"))
