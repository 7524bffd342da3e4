"""A Flask application under uvicorn that tells what became of each request, and what it is doing now.

    uvicorn --no-access-log examples.access_log:app
    curl http://127.0.0.1:8000/hello
    curl http://127.0.0.1:8000/-/status

Each line says how long the request has waited for a worker thread and how long the application took: what the server's
own access log cannot know. The page for the operator is beside the application and takes no worker, so it answers when
all of them are busy.
"""

import logging
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from flask import Flask

from bridge import RequestReport, WSGIToASGI

logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
log = logging.getLogger("shop.access")
flask_app = Flask(__name__)


@flask_app.get("/hello")
def hello() -> str:
    return "hello\n"


def write_line(report: RequestReport) -> None:
    """Runs on the event loop: a line on stderr is quick, a log server would want a queue in between."""
    log.info(
        "%s %a %s %s: waited %.1f ms, took %.1f ms, %d bytes",
        report.method,
        report.path,
        report.status or "-",
        report.outcome,
        (report.queue_wait_s or 0) * 1000,
        (report.app_time_s or 0) * 1000,
        report.response_bytes,
    )


adapter = WSGIToASGI(flask_app)
adapter.observe(write_line)
app = FastAPI()


@app.get("/-/status")
async def status() -> dict[str, Any]:
    return asdict(adapter.statistics())


app.mount("/", adapter)
