"""The Flask application of ``shop.py`` on an ASGI server, with nothing around it.

uvicorn alone:app
"""

from shop import flask_app

from bridge import to_asgi

app = to_asgi(flask_app)
