"""What servers are given in the documentation: ``main:app``."""

from shop import fastapi_app

from bridge import ASGIToWSGI

app = ASGIToWSGI(fastapi_app)
