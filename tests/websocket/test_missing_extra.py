"""`to_wsgi` without the extra: handshakes are refused by a sentence that names it, and plain requests are served."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

PROGRAM = """
import logging, sys
sys.modules["websockets"] = None  # as if it were not installed
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
from bridge import to_wsgi
from tests.gateway import environ_for
from tests.integration.raw_websocket import handshake_fields

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"plain"})

adapter = to_wsgi(app, lifespan="off")
for headers in (dict(handshake_fields()), {}):
    result = adapter(environ_for(headers=headers), lambda status, headers: print(status))
    print(b"".join(result).decode())
adapter.shutdown()
"""


@pytest.mark.requirement("A-125")
def test_a_handshake_is_refused_by_a_sentence_that_names_the_extra():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=TOP, capture_output=True, text=True, timeout=30, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    warning, status, sentence, empty, *plain = done.stdout.splitlines()
    assert warning.startswith("WARNING GET '/' refused: 501")
    assert "wsgi-asgi-bridge[websocket]" in warning
    assert status == "501 Not Implemented"
    assert sentence.endswith("pip install 'wsgi-asgi-bridge[websocket]'")
    assert (empty, plain) == ("", ["200 OK", "plain"])
