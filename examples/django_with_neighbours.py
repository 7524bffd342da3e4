"""Django with its admin, and asynchronous routes beside it, in one process.

    python django_with_neighbours.py migrate
    python django_with_neighbours.py createsuperuser
    python django_with_neighbours.py collectstatic --noinput
    uvicorn django_with_neighbours:app

Everything is in one file, so that it can be tried as it stands; in a project the first half is Django's own files.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse

HERE = Path(__file__).parent

# ---- Django ----------------------------------------------------------------------------------------------------------

settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", "only an example"),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "db.sqlite3"}},
    STATIC_URL="/static/",
    STATIC_ROOT=HERE / "static",
)
django_application = get_wsgi_application()  # from here on models can be imported

from django.contrib import admin  # noqa: E402
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model  # noqa: E402
from django.contrib.auth.models import AnonymousUser, Group  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.db import close_old_connections, transaction  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils.crypto import constant_time_compare  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from fastapi import Depends, FastAPI, Request  # noqa: E402
from fastapi.responses import StreamingResponse  # noqa: E402
from fastapi.staticfiles import StaticFiles  # noqa: E402

from bridge import WSGIToASGI, call_async  # noqa: E402


@csrf_exempt  # so that it can be tried with curl
def found(request: HttpRequest, name: str) -> JsonResponse:
    """Make a group; whoever listens to the events learns of it as soon as it is in the database."""
    hub: Hub = request.META["bridge.state"]["hub"]
    with transaction.atomic():
        group = Group.objects.create(name=name)
        transaction.on_commit(lambda: call_async(hub.publish, f"group {group.pk}: {name}"))
    return JsonResponse({"group": group.pk}, status=201)


urlpatterns = [path("admin/", admin.site.urls), path("groups/<name>", found)]

# ---- The neighbours --------------------------------------------------------------------------------------------------


class Hub:
    """Hands what is published to all who listen. It lives on the event loop."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[str]] = set()

    async def publish(self, message: str) -> None:
        for listener in self._listeners:
            listener.put_nowait(message)

    async def messages(self) -> AsyncIterator[str]:
        listener: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(listener)
        try:
            yield "retry: 1000\n\n"
            while True:
                yield f"data: {await listener.get()}\n\n"
        finally:
            self._listeners.remove(listener)


@contextmanager
def django_connections() -> Iterator[None]:
    """Do around the ORM, in a thread of FastAPI's, what Django does around its own requests."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def django_user(request: Request) -> Any:
    """Return who is logged in to Django. A plain function: FastAPI runs it in a thread, where the ORM may wait."""
    with django_connections():
        session = SessionStore(request.cookies.get(settings.SESSION_COOKIE_NAME))
        user = get_user_model().objects.filter(pk=session.get(SESSION_KEY), is_active=True).first()
        if user and constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
            return user
        return AnonymousUser()


django = WSGIToASGI(django_application)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"hub": Hub()}
    await django.drain()


app = FastAPI(lifespan=lifespan)


@app.get("/api/me")
async def me(user: Annotated[Any, Depends(django_user)]) -> dict[str, Any]:
    return {"user": user.get_username(), "may_use_admin": user.is_staff}


@app.get("/api/groups")
def groups() -> list[str]:
    with django_connections():
        return list(Group.objects.order_by("name").values_list("name", flat=True))


@app.get("/api/events")
async def events(request: Request) -> StreamingResponse:
    hub: Hub = request.state.hub
    return StreamingResponse(hub.messages(), media_type="text/event-stream")


app.mount("/static", StaticFiles(directory=settings.STATIC_ROOT, check_dir=False))
app.mount("/", django)


if __name__ == "__main__":
    execute_from_command_line(sys.argv)
