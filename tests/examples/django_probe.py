"""Uses the site of ``examples/django_with_neighbours.py``, and prints as JSON what it has seen of Django's connections.

Run by `test_django_neighbours` in a folder with that file: Django is configured once in a process.
"""

import asyncio
import json
import threading
import warnings
from typing import Any

import django_with_neighbours as site  # first: it configures Django
import httpx
from django.contrib.auth.models import Group, User
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.db import connections, transaction
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import path
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bridge import Limits, WSGIToASGI, call_async

LOCAL = {"host": "localhost"}
CROWD = 50
made: list[tuple[threading.Thread, Any]] = []
"""Each connection that Django opens, and the thread it is for."""


def note(connection: Any, **_: Any) -> None:
    made.append((threading.current_thread(), connection))


def what_was_made() -> list[tuple[str, bool]]:
    """Return of each connection that was opened for which thread it was, and whether it is open still."""
    found = [(thread.name.rstrip("0123456789_-"), connection.connection is not None) for thread, connection in made]
    made.clear()
    return found


# ---- Views ----------------------------------------------------------------------------------------------------------


def count(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"groups": Group.objects.count()})


async def count_by_asyncio() -> int:
    return await Group.objects.acount()


async def count_on_the_loop() -> int:
    return Group.objects.count()


def within_a_transaction(_request: HttpRequest) -> JsonResponse:
    seen: dict[str, Any] = {}
    try:
        with transaction.atomic():
            Group.objects.create(name="not for long")
            seen["in the view"] = Group.objects.count()
            seen["by call_async"] = call_async(count_by_asyncio)
            call_async(count_on_the_loop)
    except Exception as error:
        seen["on the loop"] = type(error).__name__
    seen["afterwards"] = Group.objects.count()
    return JsonResponse(seen)


meeting = threading.Barrier(CROWD, timeout=20)


def meet(_request: HttpRequest) -> HttpResponse:
    Group.objects.count()
    meeting.wait()
    return HttpResponse()


# ---- What is asked --------------------------------------------------------------------------------------------------


def ask_the_recipe() -> dict[str, Any]:
    with TestClient(site.app) as client:
        for _ in range(2):
            assert client.get("/count", headers=LOCAL).json() == {"groups": 0}
        of_a_view = what_was_made()
        assert client.get("/api/groups").json() == []
        of_a_plain_function = what_was_made()
        within = client.get("/within", headers=LOCAL).json()
        of_call_async = what_was_made()
        static = client.get("/static/site.css").headers["content-type"]
        assert made == []
        users = ask_for_users(client)
    return {
        "a view": of_a_view,
        "a plain function": of_a_plain_function,
        "within a transaction": within,
        "call_async": of_call_async,
        "static": static,
        "users": users,
    }


def ask_for_users(client: TestClient) -> dict[str, str]:
    def user(session: str) -> str:
        return client.get("/api/me", headers={"cookie": f"sessionid={session}"}).json()["user"]

    ann = User.objects.create_user("ann", password="tea")
    login = Client()
    login.force_login(ann)
    session = login.cookies["sessionid"].value
    users = {"nobody": user(""), "her session": user(session), "another key": user(session[::-1])}
    ann.set_password("rice")
    ann.save()
    return users | {"after a new password": user(session)}


def ask_for_what_is_kept() -> dict[str, Any]:
    connections.settings["default"]["CONN_MAX_AGE"] = None
    adapter = WSGIToASGI(site.django_application, limits=Limits(workers=2, worker_idle_s=0.05))
    made.clear()
    with TestClient(adapter) as client:
        for _ in range(3):
            client.get("/count", headers=LOCAL)
        used = [connection.connection is not None for _, connection in made]
        for thread, _ in made:
            thread.join(20)
            assert not thread.is_alive()
    return {"kept": used, "kept after its worker": [connection.connection is not None for _, connection in made]}


async def ask_both_handlers() -> dict[str, Any]:
    connections.settings["default"]["CONN_MAX_AGE"] = 0
    app = FastAPI()
    app.mount("/asgi", get_asgi_application())
    app.mount("/wsgi", WSGIToASGI(site.django_application))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client:
        both = [(await client.get(f"/{name}/count")).json() for name in ("asgi", "wsgi")]
        made.clear()
        done = await asyncio.gather(*(client.get("/asgi/meet") for _ in range(CROWD)))
        assert {response.status_code for response in done} == {200}
        return {"both": both, "threads of Django's own handler": len({thread for thread, _ in made})}


def main() -> None:
    site.urlpatterns += [path("count", count), path("within", within_a_transaction), path("meet", meet)]
    call_command("migrate", verbosity=0)
    site.settings.STATIC_ROOT.mkdir()
    (site.settings.STATIC_ROOT / "site.css").touch()
    site.settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the usual ones take their time
    connections.close_all()
    connection_created.connect(note)
    answers = ask_the_recipe() | ask_for_what_is_kept() | asyncio.run(ask_both_handlers())
    warnings.simplefilter("ignore")  # of connections that nobody has closed: that is what was to be seen
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
