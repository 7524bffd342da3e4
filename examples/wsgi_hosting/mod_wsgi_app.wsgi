"""An ASGI application on Apache's mod_wsgi; ``apache.conf`` names this file."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import mod_wsgi  # exists inside Apache only
from api import app as api

from bridge import ASGIToWSGI

application = ASGIToWSGI(api)


def stop(event, **more):
    """Run the lifespan's shutdown: mod_wsgi tells so before it takes the interpreter down."""
    application.shutdown()


mod_wsgi.subscribe_shutdown(stop)
