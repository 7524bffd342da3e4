"""Programs for processes of their own: an application, what a process does before and after it is hosted."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

APP = """
import asyncio, os, sys, threading, time
import anyio
from bridge import ASGIToWSGI, EventLoopError
from tests.gateway import QUICK, environ_for, run

to_thread = anyio.to_thread.run_sync if KIND == "trio" else asyncio.to_thread
running, all_here = 0, None

async def app(scope, receive, send):
    global running, all_here
    if scope["type"] == "lifespan":
        await receive()
        all_here = anyio.Event()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("lifespan over", await to_thread(lambda: "in a thread"), flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b"whole"
    if scope["path"] == "/together":  # five requests, none of which ends before the last has come
        running += 1
        if running == 5:
            all_here.set()
        await all_here.wait()
    elif scope["path"] == "/thread":
        body = await to_thread(lambda: b"from a thread")
    elif scope["path"] == "/upload":
        body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d " % number, "more_body": True})
            await anyio.sleep(0.001)
    await send({"type": "http.response.body", "body": body})

def make():
    return ASGIToWSGI(app, limits=QUICK, event_loop=KIND)

def body_of(path, body=None):
    return run(adapter, environ_for("GET" if body is None else "POST", path, body=body)).body
"""


PATCH_EVENTLET = """
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet
    eventlet.monkey_patch()
"""


def app_program(kind: str = "auto", adapter: str = "make()") -> str:
    """Return the beginning of a program: an application, and its adapter unless that is yet to be made."""
    return f"KIND = {kind!r}\n{APP}\nadapter = {adapter}\n"


def run_program(*parts: str) -> str:
    """Run a program that is given in parts; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(textwrap.dedent(part) for part in parts)],
        # eventlet's own resolver cannot be imported beside trio.
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "EVENTLET_NO_GREENDNS": "yes"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
