#!/usr/bin/env python3
"""An ASGI application as a CGI program: one process for each request, on the cheapest of hosts.

Each request pays for starting Python, importing the application, and its lifespan: tenths of a second.
"""

import os
import sys
from wsgiref.handlers import CGIHandler

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api import app as api

from bridge import ASGIToWSGI, Limits

# Background work is waited for at the end, at most this long: the server waits for the process meanwhile.
app = ASGIToWSGI(api, limits=Limits(shutdown_s=10))

try:
    CGIHandler().run(app)
finally:
    app.shutdown()
