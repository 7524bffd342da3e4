"""Runs the Python of pages: a program that has the frameworks imported, and forks a process for each page.

    python -m tests.docs.page_runner       # a line of JSON for each page comes in, and a line of JSON for each goes out

The blocks of a page run in order, in one namespace, as a module; each keeps the line numbers of the page. A warning is
an error, and so is what fails in another thread or when an object is destroyed. Importing the frameworks takes longer
than all pages together, so it is done once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
import types
import warnings
from pathlib import Path
from typing import Any

NEIGHBOURS = Path(__file__).with_name("neighbours")
PAGE_MAX_S = 30
"""What one page may take: its blocks define things and call them, nothing waits."""

_IMPORTED_BEFORE = (
    "bridge",
    "channels.routing",
    "django.core.wsgi",
    "eventlet",
    "fastapi.testclient",
    "flask",
    "flask_sock",
    "flask_socketio",
    "httpx",
    "mcp.server.mcpserver",
    "starlette.testclient",
    "werkzeug.test",
)


def run_blocks(blocks: list[dict[str, Any]], page: str) -> None:
    """Run the blocks of a page in one namespace; what fails unseen is raised at the end."""
    unseen: list[Any] = []
    sys.unraisablehook = unseen.append
    threading.excepthook = unseen.append
    module = types.ModuleType("page")
    module.__file__ = os.path.abspath("page.py")
    sys.modules["page"] = module
    for block in blocks:
        # Below as many empty lines as stand before it in the page: a traceback names the page's own lines.
        code = compile("\n" * (block["line"] - 1) + block["text"], page, "exec", dont_inherit=True)
        exec(code, module.__dict__)
    gc.collect()  # what is nobody's any more says now what was wrong with its end
    for failure in unseen:
        raise failure.exc_value


def in_child(page: dict[str, Any], output: int) -> int:
    """Be the process of one page: return its exit status."""
    signal.alarm(PAGE_MAX_S)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run_blocks(page["blocks"], page["page"])
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def run_page(page: dict[str, Any]) -> dict[str, Any]:
    """Fork the process of a page, wait for it, and return its exit status and output."""
    directory = tempfile.mkdtemp(prefix="page-")
    try:
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if child == 0:
                os.chdir(directory)
                os._exit(in_child(page, output.fileno()))
            _, status = os.waitpid(child, 0)
            output.seek(0)
            return {"status": os.waitstatus_to_exitcode(status), "output": output.read().decode(errors="replace")}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Import the frameworks, then answer for pages until there are no more."""
    sys.path.insert(0, str(NEIGHBOURS))
    os.environ["EVENTLET_NO_GREENDNS"] = "yes"  # else its monkey_patch() wants to come before all other imports
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the frameworks import; the pages are not meant
        for name in _IMPORTED_BEFORE:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        asyncio.run(asyncio.sleep(0))  # what asyncio imports late
    assert threading.active_count() == 1, "a thread would be lost in the processes of the pages"
    gc.collect()
    gc.freeze()  # what is there now need not be looked through at the end of each page
    for line in sys.stdin:
        print(json.dumps(run_page(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
