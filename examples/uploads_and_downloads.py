"""Large uploads and downloads, neither of them ever in memory as a whole.

    uvicorn examples.uploads_and_downloads:app
    curl -T some-large-file http://127.0.0.1:8000/files/large
    curl -o back http://127.0.0.1:8000/files/large

By default a large body is received into a temporary file *before* the view gets a worker thread, so a slow client costs
no thread; the view then reads it at full speed. With ``large_body="stream"`` the view would read it as it comes.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from flask import Flask, Response, request, send_file

from bridge import Limits, to_asgi

BLOCK_BYTES = 64 * 1024

storage = tempfile.TemporaryDirectory(prefix="uploads-")
flask_app = Flask(__name__)


def path_of(name: str) -> Path:
    """Return where a file is kept: under a name made from the given one, which may be anything."""
    return Path(storage.name, hashlib.sha256(name.encode()).hexdigest())


@flask_app.put("/files/<name>")
def upload(name: str) -> tuple[dict[str, str | int], int]:
    digest = hashlib.sha256()
    size_bytes = 0
    path = path_of(name)
    partial = path.with_suffix(f".{os.urandom(8).hex()}")
    try:
        with partial.open("wb") as file:
            # If the client is cut off this loop raises: half a file never takes the place of a whole one.
            while block := request.stream.read(BLOCK_BYTES):
                digest.update(block)
                size_bytes += file.write(block)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return {"name": name, "bytes": size_bytes, "sha256": digest.hexdigest()}, 201


@flask_app.get("/files/<name>")
def download(name: str) -> Response | tuple[str, int]:
    path = path_of(name)
    if not path.is_file():
        return "no such file\n", 404
    # Conditional requests and ranges are Flask's work; the file itself travels by wsgi.file_wrapper.
    return send_file(path, mimetype="application/octet-stream", download_name=name, conditional=True)


app = to_asgi(
    flask_app,
    limits=Limits(
        body_max_bytes=4 * 1024**3,  # more is answered 413
        body_wait_s=30,  # an upload that stands still for so long is over
    ),
)
