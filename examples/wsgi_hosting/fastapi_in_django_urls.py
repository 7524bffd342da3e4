"""A FastAPI application at a path of Django's ``urls.py``, behind Django's middleware.

    gunicorn --threads 32 fastapi_in_django_urls:application

Requests for ``/api`` go through Django's middleware and a view first, so they can be guarded by Django's own login:
wrap the view in ``login_required``. `fastapi_beside_django.py` shows the faster way, past Django.
"""

from typing import Any

from api import app as api
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from bridge import to_wsgi
from bridge.types import WSGIApp


def mounted(app: WSGIApp, prefix: str) -> Any:
    """Return a view that lets a WSGI application answer everything below a prefix."""

    @csrf_exempt  # the application has its own rules; and looking for a token would read the request body
    def view(request: WSGIRequest, rest: str = "") -> StreamingHttpResponse:  # noqa: ARG001 - the pattern has it
        environ: dict[str, Any] = request.environ
        below = {
            "SCRIPT_NAME": environ["SCRIPT_NAME"] + prefix,
            "PATH_INFO": environ["PATH_INFO"].removeprefix(prefix),
        }
        response = StreamingHttpResponse()
        del response["Content-Type"]  # the application says what it is

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            response.status_code = int(status[:3])
            for name, value in headers:
                if name.lower() == "set-cookie":  # Django keeps one value for each other field
                    response.cookies.load(value)
                else:
                    response[name] = value

        response.streaming_content = app(environ | below, start_response)
        return response

    return view


def home(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"answered_by": "Django"})


api_view = mounted(to_wsgi(api), "/api")
urlpatterns = [path("", home), path("api", api_view), path("api/<path:rest>", api_view), path("api/", api_view)]
settings.configure(SECRET_KEY="only an example", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)  # noqa: S106

application = get_wsgi_application()
