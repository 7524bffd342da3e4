"""Which startup code is never run: the lifespan of what is mounted, which Starlette does not call."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import cast

from bridge.doctor.report import Hazard
from bridge.doctor.rules import hazard
from bridge.doctor.tree import TO_WSGI, Node, is_one_of, names_of, stored

_DEFAULT = "_DefaultLifespan"
_MERGED = "_merge_lifespan_context.<locals>.merged_lifespan"  # FastAPI's include_router()


def lifespan_hazards(nodes: list[Node]) -> Iterator[Hazard]:
    """Yield the applications whose startup is left to an outer one that does not know of it.

    An application inside an adapter to WSGI is the outermost one of its own: the adapter runs its lifespan.
    """
    for node in nodes:
        own = _startup_of(node.app)
        if own is None:
            continue
        outer = _ignoring(node)
        if outer is None:
            continue
        outers = _startup_of(outer.app)
        if outers is None:
            yield hazard("lifespan-not-run", node.place, f"{outer.place} mounts it and runs only its own lifespan")
        elif outers != own:
            yield hazard("lifespan-by-hand", node.place, f"{outer.place} mounts it and has a lifespan of its own")


def _ignoring(node: Node) -> Node | None:
    """Return the outermost application whose lifespan is run, if that does not reach this one."""
    step, outer, is_mounted = node, None, False
    for above in node.ancestors():
        if is_one_of(above.app, TO_WSGI):
            break
        is_mounted = is_mounted or step.mounted_by == "starlette"
        if is_mounted and stored(stored(above.app, "router", above.app), "lifespan_context") is not None:
            outer = above
        step = above
    return outer


def _startup_of(app: object) -> object | None:
    """Return what an application runs at startup, None if that is nothing."""
    if any(name.startswith(("starlette.", "fastapi.")) for name in names_of(app)):
        return _own_context(stored(stored(app, "router", app), "lifespan_context"))
    for name in ("before_serving_funcs", "while_serving_gens", "on_startup", "_on_startup"):  # Quart, Litestar, ours
        hooks = stored(app, name)
        if isinstance(hooks, list | tuple) and hooks:
            return cast("tuple[object, ...]", hooks)[0]
    return None


def _own_context(context: object) -> object | None:
    """Return a lifespan that somebody wrote, out of what a router keeps."""
    if context is None:
        return None
    if type(context).__name__ == _DEFAULT:
        router = stored(context, "_router")
        hooks = [*(stored(router, "on_startup") or ()), *(stored(router, "on_shutdown") or ())]
        return hooks[0] if hooks else None
    if isinstance(context, FunctionType) and context.__qualname__ == _MERGED:
        for cell in context.__closure__ or ():
            inner = cell.cell_contents
            if callable(inner) and (own := _own_context(inner)) is not None:
                return own
        return None
    return context
