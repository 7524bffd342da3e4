"""An ASGI application on uWSGI; ``uwsgi.ini`` names this module.

uWSGI imports it in the master and forks the workers from that. The event loop is started in each worker, and
``uwsgi.atexit`` runs the lifespan's shutdown there: Python's own exit hooks come too late in uWSGI, if at all.
"""

import uwsgi  # exists inside uWSGI only
from api import app as api

from bridge import ASGIToWSGI

application = ASGIToWSGI(api)
uwsgi.atexit = application.shutdown
