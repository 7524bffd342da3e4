"""``python -m tests.docs.coming_from.forked HOST``: make an adapter, fork, and make a request in the child.

A process of its own, so that what hangs in it ends with it.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from tests.gateway import answering, environ_for


def adapter_of(name: str) -> Any:
    if name == "a2wsgi_to_wsgi":
        from a2wsgi import ASGIMiddleware

        return ASGIMiddleware(answering())
    from bridge import ASGIToWSGI

    return ASGIToWSGI(answering())


def main(name: str) -> None:
    adapter = adapter_of(name)
    if (child := os.fork()) == 0:
        request = threading.Thread(target=lambda: list(adapter(environ_for(), lambda *_: None)), daemon=True)
        request.start()
        request.join(1.0 if name == "a2wsgi_to_wsgi" else 20.0)
        os._exit(3 if request.is_alive() else 0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print({0: "requests are served", 3: "every request hangs"}[code])


if __name__ == "__main__":
    main(sys.argv[1])
