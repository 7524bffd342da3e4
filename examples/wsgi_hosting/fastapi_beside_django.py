"""A FastAPI application beside Django, in Django's ``wsgi.py``.

    gunicorn --threads 32 fastapi_beside_django:application

What is below ``/api`` never reaches Django: neither its middleware nor its sessions. `fastapi_in_django_urls.py` shows
the other way.
"""

from typing import Any

from api import app as api
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from bridge import to_wsgi


def home(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"answered_by": "Django"})


urlpatterns = [path("", home)]
settings.configure(SECRET_KEY="only an example", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)  # noqa: S106

django_application = get_wsgi_application()
api_application = to_wsgi(api)


def application(environ: dict[str, Any], start_response: Any) -> Any:
    prefix, rest = "/api", environ["PATH_INFO"].removeprefix("/api")
    if rest == environ["PATH_INFO"] or rest[:1] not in ("", "/"):  # not below it; "/apis" is not either
        return django_application(environ, start_response)
    return api_application(
        environ | {"SCRIPT_NAME": environ["SCRIPT_NAME"] + prefix, "PATH_INFO": rest}, start_response
    )
