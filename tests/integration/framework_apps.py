"""The same little site in five frameworks, WebDAV and git, mounted in Starlette and FastAPI.

``app`` is what the servers serve. Imported by server processes only: it makes its files in the working directory.
"""

from __future__ import annotations

import os
import wsgiref.util
from collections.abc import Iterator
from typing import Any

import bottle
import django
import falcon
import flask
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain
from fastapi import FastAPI
from pyramid.config import Configurator
from pyramid.request import Request as PyramidRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

from bridge import to_asgi
from bridge.types import WSGIApp

_LINES = 2000
_FILE = os.path.abspath("file.txt")
with open(_FILE, "wb") as _opened:
    _opened.write(b"".join(b"line %05d\n" % number for number in range(_LINES)))


def _lines() -> Iterator[str]:
    for number in range(_LINES):
        yield f"line {number:05}\n"


# ---- Flask ----------------------------------------------------------------------------------------------------------

flask_app = flask.Flask(__name__)
flask_app.secret_key = "not secret"


@flask_app.get("/hello/<name>")
def flask_hello(name: str) -> str:
    return f"hello {name} from flask"


@flask_app.post("/form")
def flask_form() -> str:
    return flask.request.form["name"]


@flask_app.post("/body")
def flask_body() -> str:
    return str(len(flask.request.get_data()))


@flask_app.post("/upload")
def flask_upload() -> dict[str, Any]:
    file = flask.request.files["file"]
    return {"name": file.filename, "size": len(file.read()), "title": flask.request.form["title"]}


@flask_app.get("/visits")
def flask_visits() -> str:
    flask.session["visits"] = flask.session.get("visits", 0) + 1
    return str(flask.session["visits"])


@flask_app.get("/stream")
def flask_stream() -> flask.Response:
    return flask.Response(flask.stream_with_context(_lines()), mimetype="text/plain")


@flask_app.get("/file")
def flask_file() -> flask.Response:
    return flask.send_file(_FILE)


@flask_app.get("/where")
def flask_where() -> dict[str, str]:
    return {
        "relative": flask.url_for("flask_hello", name="x"),
        "absolute": flask.url_for("flask_hello", name="x", _external=True),
    }


@flask_app.get("/error")
def flask_error() -> str:
    raise LookupError("lost in flask")


# Only the ASGI side is to see this error: otherwise Flask makes a page of it.
flask_app.config["PROPAGATE_EXCEPTIONS"] = True


# ---- Django ---------------------------------------------------------------------------------------------------------


def django_hello(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(f"hello {name} from django")


def django_form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.POST["name"])


def django_body(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


def django_upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    return JsonResponse({"name": file.name, "size": len(file.read()), "title": request.POST["title"]})


def django_visits(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


def django_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_lines(), content_type="text/plain")


def django_file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(_FILE, "rb"))


def django_where(request: HttpRequest) -> HttpResponse:
    relative = reverse("hello", args=["x"])
    return JsonResponse({"relative": relative, "absolute": request.build_absolute_uri(relative)})


urlpatterns = [
    path("hello/<name>", django_hello, name="hello"),
    path("form", django_form),
    path("body", django_body),
    path("upload", django_upload),
    path("visits", django_visits),
    path("stream", django_stream),
    path("file", django_file),
    path("where", django_where),
]
settings.configure(
    SECRET_KEY="not secret",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
)
django.setup()
django_app = get_wsgi_application()

# ---- Bottle ---------------------------------------------------------------------------------------------------------

bottle_app = bottle.Bottle()


@bottle_app.get("/hello/<name>")
def bottle_hello(name: str) -> str:
    return f"hello {name} from bottle"


@bottle_app.post("/form")
def bottle_form() -> str:
    return str(bottle.request.forms.getunicode("name"))


@bottle_app.post("/body")
def bottle_body() -> str:
    return str(len(bottle.request.body.read()))


@bottle_app.post("/upload")
def bottle_upload() -> dict[str, Any]:
    file = bottle.request.files["file"]
    return {
        "name": file.raw_filename,
        "size": len(file.file.read()),
        "title": bottle.request.forms.getunicode("title"),
    }


@bottle_app.get("/stream")
def bottle_stream() -> Iterator[str]:
    bottle.response.content_type = "text/plain"
    yield from _lines()


@bottle_app.get("/file")
def bottle_file() -> bottle.HTTPResponse:
    return bottle.static_file(os.path.basename(_FILE), root=os.path.dirname(_FILE))


# ---- Falcon ---------------------------------------------------------------------------------------------------------


class FalconHello:
    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        resp.text = f"hello {name} from falcon"


class FalconForm:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = req.get_media()["name"]


class FalconBody:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = str(len(req.stream.read()))


class FalconUpload:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        found: dict[str, Any] = {}
        for part in req.get_media():
            if part.name == "file":
                found |= {"name": part.filename, "size": len(part.stream.read())}
            else:
                found["title"] = part.text
        resp.media = found


class FalconStream:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "text/plain"
        resp.stream = (line.encode() for line in _lines())


class FalconFile:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        # Falcon hands file objects to wsgi.file_wrapper.
        resp.set_stream(open(_FILE, "rb"), os.path.getsize(_FILE))  # noqa: SIM115 - Falcon closes it


falcon_app = falcon.App()
falcon_app.add_route("/hello/{name}", FalconHello())
falcon_app.add_route("/form", FalconForm())
falcon_app.add_route("/body", FalconBody())
falcon_app.add_route("/upload", FalconUpload())
falcon_app.add_route("/stream", FalconStream())
falcon_app.add_route("/file", FalconFile())

# ---- Pyramid --------------------------------------------------------------------------------------------------------


def pyramid_hello(request: PyramidRequest) -> str:
    return f"hello {request.matchdict['name']} from pyramid"


def pyramid_form(request: PyramidRequest) -> str:
    return str(request.POST["name"])


def pyramid_body(request: PyramidRequest) -> str:
    return str(len(request.body))


def pyramid_where(request: PyramidRequest) -> str:
    return str(request.route_url("hello", name="x"))


def _pyramid() -> WSGIApp:
    with Configurator() as configurator:
        for name, view, pattern in (
            ("hello", pyramid_hello, "/hello/{name}"),
            ("form", pyramid_form, "/form"),
            ("body", pyramid_body, "/body"),
            ("where", pyramid_where, "/where"),
        ):
            configurator.add_route(name, pattern)
            configurator.add_view(view, route_name=name, renderer="string")
        app: WSGIApp = configurator.make_wsgi_app()
        return app


# ---- WebDAV and git -------------------------------------------------------------------------------------------------

os.makedirs("dav", exist_ok=True)
dav_app = WsgiDAVApp(
    {
        "mount_path": "/dav",
        "provider_mapping": {"/": FilesystemProvider(os.path.abspath("dav"))},
        "simple_dc": {"user_mapping": {"*": True}},
        "verbose": 1,
    }
)
git_app = make_wsgi_chain(DictBackend({"/repo": Repo.init_bare("repo", mkdir=True)}))

# ---- The site -------------------------------------------------------------------------------------------------------


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"starlette saw": repr(error)}, status_code=500)


async def _native(request: Request) -> Response:
    return JSONResponse({"path": request.url.path})


fastapi_app = FastAPI()
fastapi_app.mount("/inner", to_asgi(flask_app))


@fastapi_app.get("/native")
async def fastapi_native() -> dict[str, str]:
    return {"native": "yes"}


def shifted(environ: dict[str, Any], start_response: Any) -> Any:
    """A WSGI application that mounts another one by itself, as werkzeug's dispatcher does."""
    assert wsgiref.util.shift_path_info(environ) == "deeper"
    return flask_app(environ, start_response)


app = Starlette(
    routes=[
        Route("/native", _native),
        Mount("/flask", to_asgi(flask_app)),
        Mount("/django", to_asgi(django_app)),
        Mount("/bottle", to_asgi(bottle_app)),
        # Falcon parses forms of bodies with a length only; that is what the option is for.
        Mount("/falcon", to_asgi(falcon_app, set_content_length=True)),
        Mount("/pyramid", to_asgi(_pyramid())),
        Mount("/dav", to_asgi(dav_app)),
        Mount("/git", to_asgi(git_app)),
        Mount("/fast", fastapi_app),
        Mount("/caf\u00e9", to_asgi(flask_app)),
        Mount("/shifted", to_asgi(shifted)),
    ],
    exception_handlers={Exception: _failed},
)
