"""An ASGI application on waitress.

    python waitress_server.py --port 8000

``waitress-serve wsgi:app`` works as well. A program of its own can do more: the lifespan begins before the first
request, and SIGTERM (which ends ``waitress-serve`` on the spot) runs its shutdown.
"""

import argparse
import signal
import sys

import waitress
from wsgi import app


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the ASGI application on waitress.")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    app.startup()
    try:
        waitress.serve(
            app,
            host="127.0.0.1",
            port=options.port,
            threads=32,  # a thread for each request that is open at a time, streams included
            channel_request_lookahead=1,  # lets waitress notice that a client has left
        )
    finally:
        app.shutdown()


if __name__ == "__main__":
    main()
