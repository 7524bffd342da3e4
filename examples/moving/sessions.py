"""Who is logged in, for routes of FastAPI: what Flask has put in its session. Flask alone writes it."""

from typing import Annotated, Any

from fastapi import Depends, Request
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature
from old import flask_app


def flask_session(request: Request) -> dict[str, Any]:
    serializer = SecureCookieSessionInterface().get_signing_serializer(flask_app)
    cookie = request.cookies.get(flask_app.config["SESSION_COOKIE_NAME"])
    if serializer is None or cookie is None:
        return {}
    age_s = int(flask_app.permanent_session_lifetime.total_seconds())
    try:
        content: dict[str, Any] = serializer.loads(cookie, max_age=age_s)
    except BadSignature:  # forged, or too old
        return {}
    return content


Session = Annotated[dict[str, Any], Depends(flask_session)]
