"""A Flask application served by uvicorn.

    python examples/flask_under_uvicorn.py            # http://127.0.0.1:8000
    uvicorn examples.flask_under_uvicorn:app          # the same, with uvicorn's own options

The application is an ordinary one: it imports nothing of the bridge. The one line that matters is
``app = to_asgi(flask_app)``.
"""

import argparse
import time
from collections.abc import Iterator
from threading import current_thread

import uvicorn
from flask import Flask, Response, jsonify, request, url_for

from bridge import to_asgi

flask_app = Flask(__name__)


@flask_app.get("/")
def home() -> str:
    return f"""<!doctype html>
<title>Flask under uvicorn</title>
<style>body {{ font: 1.1em/1.6 system-ui; max-width: 40em; margin: 3em auto }}</style>
<h1>Flask under uvicorn</h1>
<p>This page came from {request.environ["SERVER_PROTOCOL"]}, through the bridge,
out of the worker thread <code>{current_thread().name}</code>.</p>
<ul>
<li><a href="{url_for("hello", name="world")}">a greeting</a>
<li><a href="{url_for("environ")}">the environ of a request</a>
<li><a href="{url_for("countdown")}">a response that is streamed</a>, one line a moment
</ul>
<form method="post" action="{url_for("shout")}">
<input name="words" value="say it louder"> <button>Shout</button>
</form>"""


@flask_app.get("/hello/<name>")
def hello(name: str) -> dict[str, str]:
    return {"hello": name}


@flask_app.post("/shout")
def shout() -> str:
    return request.form["words"].upper()


@flask_app.get("/environ")
def environ() -> Response:
    return jsonify({key: repr(value) for key, value in sorted(request.environ.items())})


@flask_app.get("/countdown")
def countdown() -> Response:
    def lines() -> Iterator[str]:
        for number in range(10, 0, -1):
            yield f"{number}\n"
            time.sleep(0.1)  # a blocking call: it holds a worker thread, and nobody else
        yield "lift-off\n"

    return Response(lines(), mimetype="text/plain")


app = to_asgi(flask_app)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a Flask application on uvicorn.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 lets the system choose (default: %(default)s)")
    options = parser.parse_args()
    uvicorn.run(app, host=options.host, port=options.port)


if __name__ == "__main__":
    main()
