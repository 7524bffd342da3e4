"""An ASGI application on Phusion Passenger (cPanel, Plesk and many shared hosts).

Passenger looks for a file of this name and an ``application`` in it. It may import the file once and fork the processes
that serve from that: nothing is started here, each process starts its own event loop at its first request.

Passenger kills its processes without running exit hooks, so a lifespan's shutdown may never run there.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api import app as api

from bridge import to_wsgi

application = to_wsgi(api)
