"""A FastAPI application mounted in a Flask application, on any WSGI server.

    flask --app fastapi_in_flask run
    gunicorn --threads 32 fastapi_in_flask:app

This is how a Flask application gets its first async routes without changing its server: everything below ``/api`` is
FastAPI's, all else stays as it was.
"""

from api import app as api
from flask import Flask, url_for
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from bridge import to_wsgi

app = Flask(__name__)


@app.get("/")
def home() -> dict[str, str]:
    return {"answered_by": "Flask", "self": url_for("home")}


app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/api": to_wsgi(api)})
