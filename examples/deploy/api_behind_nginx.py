"""A FastAPI application under gunicorn behind nginx: what ``nginx.conf`` has at ``/api/``.

    SCRIPT_NAME=/api gunicorn --threads 32 --bind unix:/run/api/api.sock api_behind_nginx:app

gunicorn takes the scheme from ``X-Forwarded-Proto`` by itself, but not the client's address from ``X-Forwarded-For``:
`ProxyFix` does that. It comes from werkzeug and fits around any WSGI application.
"""

from fastapi import FastAPI, Request, WebSocket
from werkzeug.middleware.proxy_fix import ProxyFix

from bridge import to_wsgi

fastapi_app = FastAPI()


@fastapi_app.get("/")
async def where(request: Request) -> dict[str, str | None]:
    client = request.client.host if request.client else None
    return {"url": str(request.url_for("where")), "scheme": request.url.scheme, "client": client}


@fastapi_app.websocket("/echo")
async def echo(ws: WebSocket) -> None:
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)


app = ProxyFix(to_wsgi(fastapi_app), x_for=1, x_proto=0, x_host=0)
