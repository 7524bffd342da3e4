"""Import an application by its name (`bridge.targets`); what goes wrong is said in one sentence."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

from bridge.detect import detect
from bridge.errors import DetectionError, LoadError
from bridge.targets import Target, parse_target

NAMES = ("app", "application", "asgi_app", "wsgi_app", "asgi", "wsgi", "api")
"""Attributes that are looked for where only a module is named, in this order."""

SUBMODULES = ("asgi", "wsgi", "app", "main", "application", "api", "web", "server")
"""Modules of a package that are looked through after the package itself, in this order."""

FACTORIES = ("create_app", "make_app", "get_app", "build_app", "create_application", "make_application")
"""Attributes that are mentioned where no application was found."""


_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded application.

    Attributes:
        app: the application.
        target: where it was found, complete with its attribute.
        module: the module it was found in.
    """

    app: Any
    target: Target
    module: ModuleType


def load(text: str, *, is_factory: bool = False, prefers_wsgi: bool = False) -> Loaded:
    """Import an application by its name (see `bridge.targets.parse_target`). Any thread.

    Of a package that has both, its ``asgi`` module is looked through first, or ``wsgi`` if that is preferred.
    The folder of a file is put on the import path, as ``python file.py`` would.

    Raises:
        LoadError: it cannot be had; the message says in one sentence why and what to do, the cause is the error.
    """
    target = parse_target(text, is_factory=is_factory)
    if target.directory is not None:
        put_first(target.directory)
    module = _import(target.module)
    if target.directory is not None:
        _check_place(module, target)
    if target.attribute is None:
        module, attribute = _search(module, is_factory=target.is_factory, prefers_wsgi=prefers_wsgi)
        place = target.module if target.module.endswith(".py") else module.__name__
        target = Target(place, attribute, target.directory, target.is_factory)
    found: Any = module
    place = target.module
    for part in (target.attribute or "").split("."):
        found = _attribute(found, part, place)
        place = f"{place}.{part}" if ":" in place else f"{place}:{part}"
    return Loaded(_call_factory(found, target) if target.is_factory else found, target, module)


def put_first(directory: str) -> None:
    """Put a folder in front of the import path, where the names in it win."""
    if directory in sys.path:
        sys.path.remove(directory)
    sys.path.insert(0, directory)
    importlib.invalidate_caches()


# ---- Importing ------------------------------------------------------------------------------------------------------


def _import(name: str) -> ModuleType:
    try:
        return _import_file(name) if name.endswith(".py") else importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - also SystemExit: whatever a module does when it is imported
        _explain(name, error)


def _check_place(module: ModuleType, target: Target) -> None:
    """See that a file's module is that file: one of the same name may have been imported before."""
    found = getattr(module, "__file__", None)
    if target.module.endswith(".py") or found is None or target.directory is None:
        return
    asked = os.path.join(target.directory, *target.module.split("."))
    if os.path.realpath(found) not in (os.path.realpath(f"{asked}.py"), os.path.realpath(f"{asked}/__init__.py")):
        raise LoadError(f"the name {target.module} is taken by {found}: give {asked} another name")


def _import_file(path: str) -> ModuleType:
    name = re.sub(r"\W", "_", os.path.basename(path)[: -len(".py")])
    while name in sys.modules:
        if getattr(sys.modules[name], "__file__", None) == path:
            return sys.modules[name]
        name += "_"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise LoadError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _explain(name: str, error: BaseException) -> NoReturn:
    place = _place_in(error)
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}" if error.filename else name
        raise LoadError(f"{where} cannot be read by Python: {error.msg}") from error
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        parent, _, last = name.rpartition(".")
        if name == error.name and parent in sys.modules and not hasattr(sys.modules[parent], "__path__"):
            raise LoadError(
                f"{parent} is a module, not a package: an attribute comes after a colon, {parent}:{last}"
            ) from error
        if name == error.name or name.startswith(f"{error.name}."):
            raise LoadError(
                f"there is no module {error.name!r} to import: is the name right, and its folder the current one or "
                "given by --app-dir (or PYTHONPATH)?"
            ) from error
        raise LoadError(
            f"{name} was found, but it imports {error.name!r}, which is not installed (or not on the import path)"
            f"{place}"
        ) from error
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    raise LoadError(f"importing {name} failed with {what}{place}") from error


def _place_in(error: BaseException) -> str:
    """Name the innermost place in the user's own files; else in anybody's but Python's import machinery."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename not in (__file__, importlib.__file__)
    ]
    frames = [frame for frame in frames if not frame.filename.startswith(_INSTALLED)] or frames
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


# ---- Attributes -----------------------------------------------------------------------------------------------------


def _search(module: ModuleType, *, is_factory: bool, prefers_wsgi: bool) -> tuple[ModuleType, str]:
    """Find the application, or its factory, where only a module or package is named."""
    find = _factory_in if is_factory else _app_in
    found = find(module)
    if found is not None:
        return module, found
    submodules = sorted(SUBMODULES, key=lambda name: name != "wsgi") if prefers_wsgi else SUBMODULES
    for name in submodules if hasattr(module, "__path__") else ():
        full_name = f"{module.__name__}.{name}"
        if importlib.util.find_spec(full_name) is not None:
            submodule = _import(full_name)
            found = find(submodule)
            if found is not None:
                return submodule, found
    factory = _factory_in(module)
    if factory is not None:
        raise LoadError(
            f"{module.__name__} has no application, but {factory}(): write {module.__name__}:{factory} and --factory "
            "(or BRIDGE_FACTORY=1)"
        )
    if getattr(module, "__file__", None) is None:  # a folder that is no package
        for folder in getattr(module, "__path__", ()):
            if os.path.exists(os.path.join(folder, module.__name__, "__init__.py")):
                raise LoadError(
                    f"{module.__name__} is a folder around the package of this name: add --app-dir {folder}"
                )
    what = "factory" if is_factory else "application"
    several = [] if is_factory else _apps_in(module)
    if several:
        raise LoadError(f"{module.__name__} has several applications: name one, as in {module.__name__}:{several[0]}")
    raise LoadError(f"no {what} was found in {module.__name__}: name it, as in {module.__name__}:app")


def _app_in(module: ModuleType) -> str | None:
    """Return the name of the application in a module: a usual one, or that of the only object that is one."""
    for name in NAMES:
        if _is_app(getattr(module, name, None)):
            return name
    names = _apps_in(module)
    return names[0] if len(names) == 1 else None


def _apps_in(module: ModuleType) -> list[str]:
    """Return the first name of each object in a module that is an application (functions are not counted)."""
    named: dict[int, str] = {}
    for name, value in vars(module).items():
        if not name.startswith("_") and type(value).__module__ not in ("builtins", "typing") and _is_app(value):
            named.setdefault(id(value), name)
    return list(named.values())


def _factory_in(module: ModuleType) -> str | None:
    return next((name for name in FACTORIES if callable(getattr(module, name, None))), None)


def _is_app(value: object) -> bool:
    if value is None or isinstance(value, ModuleType | type):
        return False
    try:
        detect(value)
    except DetectionError:
        return False
    return True


def _attribute(holder: Any, name: str, place: str) -> Any:
    try:
        return getattr(holder, name)
    except AttributeError as error:
        if isinstance(holder, ModuleType) and hasattr(holder, "__path__"):
            full_name = f"{holder.__name__}.{name}"
            if importlib.util.find_spec(full_name) is not None:
                return _import(full_name)
        known_here: dict[str, Any] = getattr(holder, "__dict__", {})
        close = difflib.get_close_matches(name, known_here, n=1)
        apps = [known for known, value in known_here.items() if not known.startswith("_") and _is_app(value)][:3]
        where = holder.__name__ if isinstance(holder, ModuleType) else place
        advice = f"; did you mean {(close or apps)[0]!r}?" if close or apps else "; is the name right?"
        raise LoadError(f"{where} has no attribute {name!r}{advice}") from error


def _call_factory(factory: Any, target: Target) -> Any:
    if not callable(factory):
        raise LoadError(f"{target.name} is {type(factory).__name__}, which cannot be called: leave --factory out")
    try:
        app = factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        text = " ".join(str(error).split())
        what = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise LoadError(f"the factory {target.name}() failed with {what}{_place_in(error)}") from error
    if hasattr(app, "__await__"):
        close = getattr(app, "close", None)
        if close is not None:
            close()
        raise LoadError(f"the factory {target.name} is asynchronous; a factory has to return the application itself")
    return app
